"""Watch a network while it trains: what its local spectra say at each of several steps.

`SpectrumMonitor`
    A skorch callback, which writes into ``net.history``.
`Trajectory`
    The same for any training loop.
"""

from hessdiag.monitor._layer_measures import (
    raw_measures,
)
from hessdiag.monitor._spectrum_monitor import (
    SpectrumMonitor,
)
from hessdiag.monitor._trajectory import (
    MonitorWarning,
    Trajectory,
)
from hessdiag.monitor._trajectory_point import (
    TrajectoryPoint,
)

__all__ = [
    "MonitorWarning",
    "SpectrumMonitor",
    "Trajectory",
    "TrajectoryPoint",
    "raw_measures",
]
