"""Digests of networks and data: equal where results are, refused where nobody can know."""

from hessdiag.digests._content import content_digest, value_digest
from hessdiag.digests._digester import NotDigestibleError

__all__ = ["NotDigestibleError", "content_digest", "value_digest"]
