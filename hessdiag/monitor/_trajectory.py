"""Trajectory: what a network was at several steps of any training loop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from hessdiag.cases import NetworkCase
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.features import LayerSpectra, layer_table
from hessdiag.monitor._trajectory_point import TrajectoryPoint
from hessdiag.optional import import_optional
from hessdiag.zoo import load_reference_diagnoser

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from hessdiag.diagnosis import FitDiagnoser


class MonitorWarning(UserWarning):
    """An examination during training failed; training goes on."""


class Trajectory:
    """What a network was at several steps of its training.

    For any training loop: call `record` where a look is wanted. Parameters, gradients, modes and
    random states are left as they are, so that training goes on as if nobody had looked. An
    examination that fails, as of a net that has diverged, is recorded as such and warned of once;
    it never ends a training.

    Parameters
    ----------
    diagnose : bool, default=True
        Whether to diagnose the network at each look.
    diagnoser : FitDiagnoser or None, default=None
        A fitted diagnoser; None takes `hessdiag.load_reference_diagnoser`, which is fitted once in
        a process, in some seconds. To judge a network on a data set that the reference knows, pass
        one that was loaded ``without`` it.
    layers : list of str, dict or None, default=None
        Layers to examine, as in `hessdiag.layer_spectra`, where nothing is diagnosed. A diagnosis
        is about all layers, so that none can be left out then.
    max_samples : int or None, default=None
        Samples on which curvature is measured: the same ones at every look. None takes as many as
        the diagnoser does.
    max_time : float or None, default=10
        Seconds that one look keeps within, as far as something can be left out, see
        `hessdiag.examine`. What is left out stands in the point's ``notes``.

    Attributes
    ----------
    points : list of TrajectoryPoint
        What was found, in the order of the looks.

    See Also
    --------
    SpectrumMonitor : The same for skorch, at a cadence of its own.

    Examples
    --------
    >>> import torch
    >>> import hessdiag as hd
    >>> X, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> module, loss = torch.nn.Linear(4, 3), torch.nn.CrossEntropyLoss()
    >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    >>> trajectory = hd.Trajectory(diagnose=False)
    >>> for step in range(3):
    ...     optimizer.zero_grad()
    ...     loss(module(X), y).backward()
    ...     optimizer.step()
    ...     point = trajectory.record(module, X, y, loss=loss, step=step + 1)
    >>> trajectory.steps
    [1, 2, 3]
    >>> trajectory.layer_names
    ('module',)
    """

    def __init__(
        self,
        *,
        diagnose: bool = True,
        diagnoser: FitDiagnoser | None = None,
        layers: Sequence[str] | dict[str, Any] | None = None,
        max_samples: int | None = None,
        max_time: float | None = 10.0,
    ) -> None:
        if diagnose and layers is not None:
            raise ValueError(
                f"Expected all layers to be examined for a diagnosis, found layers={layers!r}. "
                "Leave layers at None, or pass diagnose=False."
            )
        self.diagnose = diagnose
        self.diagnoser = diagnoser
        self.layers = layers
        self.max_samples = max_samples
        self.max_time = max_time
        self.points: list[TrajectoryPoint] = []

    def record(
        self,
        module: torch.nn.Module | NeuralNet | NetworkCase,
        X: Any = None,
        y: Any = None,
        *,
        loss: torch.nn.Module | type[torch.nn.Module] | Callable[..., Any] | None = None,
        step: int | None = None,
        epoch: int | None = None,
        output: str | int | None = None,
    ) -> TrajectoryPoint:
        """Look at a network as it is now.

        Parameters
        ----------
        module : torch.nn.Module, skorch.NeuralNet or NetworkCase
            The network, in training mode or not. It is examined in evaluation mode, on a copy.
        X, y : as in `NetworkCase.from_module`
            The data it is trained on, without random augmentation and never those it is validated
            on: the same at every look, in the same order.
        loss : torch.nn.Module, class of one, or callable
            The loss it is trained with; must be given for a module.
        step : int or None, default=None
            Steps that have been made; None counts the looks.
        epoch : int or None, default=None
            Epochs that have been made.
        output : str, int or None, default=None
            Where the network sends several tensors, or a named one, which of them the loss is
            taken of, as in `NetworkCase.from_module`; a `NetworkCase` says so itself.

        Returns
        -------
        point : TrajectoryPoint
            What was found; it is added to `points`.

        Raises
        ------
        TypeError
            If `module` is none of the three, a module comes without its loss, or X is a loader.
        """
        if isinstance(X, torch.utils.data.DataLoader):
            # Drawing from it could move the order in which training draws.
            raise TypeError(
                "Expected the data as X and y, found a DataLoader, from which training draws. Pass "
                "the tensors or arrays behind it."
            )
        if isinstance(module, NetworkCase):
            return self._look(lambda: module, step, epoch)
        if isinstance(module, NeuralNet):
            return self._look(lambda: NetworkCase(module, X, y, output=output), step, epoch)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                f"Expected a torch.nn.Module, found an object of type {type(module).__name__}. "
                "Pass the module that is trained."
            )
        if loss is None:
            raise TypeError(
                "Expected the loss that the module is trained with, found none. Pass it as "
                "loss=torch.nn.CrossEntropyLoss(), or a function (output, y) -> 0-d tensor."
            )
        return self._look(
            lambda: NetworkCase.from_module(module, X, y, loss=loss, output=output), step, epoch
        )

    def record_net(
        self,
        net: NeuralNet,
        data: Callable[[], tuple[Any, Any]],
        step: int | None = None,
        epoch: int | None = None,
    ) -> TrajectoryPoint:
        """Look at a skorch net while it trains.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        data : callable
            Returns X and y, what the net is trained on, without its validation part. It is called
            when nothing that it does can end the training.
        step, epoch : int or None, default=None
            As in `record`.

        Returns
        -------
        point : TrajectoryPoint
            What was found.
        """
        return self._look(lambda: NetworkCase(net, *data(), held_back="keep"), step, epoch)

    def load(self) -> FitDiagnoser | None:
        """Load the diagnoser now, so that the first look takes no longer than the others.

        Returns
        -------
        diagnoser : FitDiagnoser or None
            What is asked at each look; None where nothing is diagnosed.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the diagnoser that was given is not fitted.
        """
        return self._fitted_diagnoser() if self.diagnose else None

    @property
    def steps(self) -> list[int]:
        """list of int : Steps at which something was found."""
        return [point.step for point in self.points if not point.failed]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """tuple of str : Names of the layers in forward order; empty where nothing was found."""
        for point in self.points:
            if point.examination is not None:
                return point.examination.layer_names
        return ()

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each layer, and one for the whole net, at each step.

        Returns
        -------
        rows : list of dict
            As `TrajectoryPoint.rows` yields them; failed looks have none.
        """
        return [row for point in self.points for row in point.rows()]

    def to_frame(self) -> pd.DataFrame:
        """Return the same as a frame.

        Returns
        -------
        frame : pandas.DataFrame
            Columns as in `TrajectoryPoint.rows`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return import_optional("pandas", "zoo", "A frame of a trajectory").DataFrame(self.rows())

    def __len__(self) -> int:
        """Count the looks."""
        return len(self.points)

    def __repr__(self) -> str:
        """Show how many looks there were, and the last answer."""
        n_failed = sum(point.failed for point in self.points)
        words = f"{len(self.points)} looks" + (f", {n_failed} failed" if n_failed else "")
        if self.points and self.points[-1].diagnosis:
            words += f", last {self.points[-1].diagnosis} at step {self.points[-1].step}"
        return f"Trajectory({words})"

    def _look(self, make_case, step, epoch=None):
        """Examine and diagnose a case, or record why that cannot be done."""
        start = time.perf_counter()
        step = len(self.points) + 1 if step is None else int(step)
        # What warns is no news at every look; what was left out stands in the notes.
        with untouched_surroundings(None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self._found(make_case())
            except Exception as error:
                found = {"error": f"{type(error).__name__}: {error}"}
        seconds = time.perf_counter() - start
        point = TrajectoryPoint(step=step, epoch=epoch, seconds=seconds, **found)
        first = point.failed and not any(earlier.failed for earlier in self.points)
        self.points.append(point)
        if first:
            warnings.warn(
                f"The network could not be examined at step {step}: {point.error} Training goes "
                "on; further failures are recorded without a warning.",
                MonitorWarning,
                stacklevel=4,
            )
        return point

    def _found(self, case):
        """Fields of a point."""
        examination = self._spectra().transform([case])[0]
        table = layer_table(examination)
        return {"examination": examination, "table": table} | self._diagnosed(table)

    def _diagnosed(self, table):
        """What the diagnoser says of a table."""
        if not self.diagnose:
            return {}
        diagnoser = self._fitted_diagnoser()
        found = {
            "diagnosis": str(diagnoser.predict([table])[0]),
            "domain_score": float(diagnoser.domain_score([table])[0]),
        }
        if hasattr(diagnoser, "predict_proba"):
            row = diagnoser.predict_proba([table])[0]
            names = diagnoser.classes_.tolist()
            found["probabilities"] = dict(zip(names, row.tolist(), strict=True))
        if diagnoser.gain_names_:
            row = diagnoser.predict_gains([table])[0]
            found["gains"] = dict(zip(diagnoser.gain_names_, row.tolist(), strict=True))
        return found

    def _spectra(self):
        """What examines: the diagnoser's own first stage, where there is one."""
        if self.diagnose:
            spectra = clone(self._fitted_diagnoser().spectra_)
        else:
            spectra = LayerSpectra(curvature="auto", max_samples=500, dtype=None)
        asked = {"layers": self.layers, "max_time": self.max_time, "on_error": "raise"}
        if self.max_samples is not None:
            asked["max_samples"] = self.max_samples
        known = spectra.get_params()
        return spectra.set_params(**{name: asked[name] for name in asked if name in known})

    def _fitted_diagnoser(self):
        """The diagnoser that was given, or the reference's."""
        if self.diagnoser is None:
            return reference_diagnoser()
        check_is_fitted(self.diagnoser)
        return self.diagnoser


@lru_cache(maxsize=1)
def reference_diagnoser():
    """Load the reference's diagnoser, once in a process."""
    with untouched_surroundings(None), np.errstate(all="ignore"):
        return load_reference_diagnoser()
