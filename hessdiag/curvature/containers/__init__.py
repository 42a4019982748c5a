"""What data come in: containers that skorch reads as meant, streams, and draws that repeat."""

from hessdiag.curvature.containers._fingerprint import fingerprint
from hessdiag.curvature.containers._plain import plain_containers
from hessdiag.curvature.containers._streams import (
    ListedSamples,
    check_same_draw,
    may_vary,
    varying,
)

__all__ = [
    "ListedSamples",
    "check_same_draw",
    "fingerprint",
    "may_vary",
    "plain_containers",
    "varying",
]
