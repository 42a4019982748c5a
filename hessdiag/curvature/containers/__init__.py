"""What data come in: containers that skorch reads as meant, streams, and draws that repeat."""

from hessdiag.curvature.containers._fingerprint import fingerprint
from hessdiag.curvature.containers._plain import plain_containers
from hessdiag.curvature.containers._streams import (
    DrawError,
    ListedSamples,
    check_same_draw,
    drawing,
    may_vary,
    varying,
)

__all__ = [
    "DrawError",
    "ListedSamples",
    "check_same_draw",
    "drawing",
    "fingerprint",
    "may_vary",
    "plain_containers",
    "varying",
]
