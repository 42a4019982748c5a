"""What is examined: a fitted net and the data it is examined on, brought through any door."""

from hessdiag.cases._changed_settings import changed_net, changed_settings
from hessdiag.cases._network_case import NetworkCase, check_case

__all__ = ["NetworkCase", "changed_net", "changed_settings", "check_case"]
