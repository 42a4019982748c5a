"""What is examined: a fitted net and the data it is examined on, brought through any door."""

from hessdiag.cases._network_case import NetworkCase, check_case
from hessdiag.cases._rows import rows_of

__all__ = ["NetworkCase", "check_case", "rows_of"]
