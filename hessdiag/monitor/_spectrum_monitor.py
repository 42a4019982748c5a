"""SpectrumMonitor: a skorch callback that examines a net while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from skorch.callbacks import Callback, PrintLog

from hessdiag.features import LAYER_MEASURES
from hessdiag.monitor._cadence import Cadence, check_cadence
from hessdiag.monitor._history_entries import (
    PREFIX,
    blank_entries,
    check_measures,
    entries_of,
)
from hessdiag.monitor._training_part import training_data
from hessdiag.monitor._trajectory import Trajectory

if TYPE_CHECKING:
    from skorch import NeuralNet

    from hessdiag.diagnosis import FitDiagnoser


class SpectrumMonitor(Callback):
    """Examine a skorch net while it trains, and write what is found into its history.

    The net is examined on its training part, never on what its ``train_split`` holds back. Nothing
    is changed: with the same seed a net has bitwise the same parameters with and without.

    Entries of an epoch in ``net.history``, each a float, a string or None where there was no look:
    ``event_diagnosis``, which `PrintLog` shows as *diagnosis* and which loggers of numbers leave
    out; ``probability_overfitting`` and so on; ``gain_widening`` and so on, in units of the null
    loss; ``spectrum/<measure>/<layer>``, with the layer ``network`` for the whole net;
    ``spectrum_step``, ``spectrum_seconds``, ``spectrum_domain_score`` and, where a look failed,
    ``spectrum_error``. Callbacks that read them, as ``Checkpoint``, come after this one in the
    list.

    Parameters
    ----------
    every : "log" or int, default="log"
        When to look: after 1, 2, 3, 4, 6, 8, 11, 16, ... epochs, or after every so many; after the
        last one in any case. What cannot be afforded then is done as soon as it can be.
    unit : {"epoch", "step"}, default="epoch"
        Whether `every` counts epochs or training batches. Entries of several looks within an epoch
        stand in its batches, those of the last one in the epoch too.
    budget : float or None, default=0.1
        Seconds that looks may take for each second of training; runs of less than a minute may
        spend what one of a minute may. The first look is made in any case; loading the reference's
        diagnoser, once in a process, is not counted. None sets no bound.
    max_samples : int or None, default=None
        Samples on which curvature is measured, the same at every look; None takes as many as the
        diagnoser does.
    layers : list of str or None, default=None
        Names, or patterns of names, of the layers whose measures are written; None writes all. A
        diagnosis is about all layers in any case.
    measures : list of str, default=("max_eigenvalue", "trace", "effective_dimension")
        Measures of the layers that are written: names that `raw_measures` returns, or of
        `hessdiag.features.LAYER_MEASURES`. `trajectory_` has all of them.
    diagnose : bool, default=True
        Whether to diagnose the net at each look.
    diagnoser : FitDiagnoser or None, default=None
        A fitted diagnoser; None takes that of the reference, see `Trajectory`. Clones of the
        callback share it.
    max_time : float or None, default=10
        Seconds that one look keeps within, see `Trajectory`.
    print_layers : bool, default=False
        Whether `PrintLog` prints the measures of layers too.

    Attributes
    ----------
    trajectory_ : Trajectory
        All looks since the net was initialized, with their examinations.

    See Also
    --------
    Trajectory : The same for any training loop.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> import hessdiag as hd
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4.0, dtype="float32")[:, None]
    >>> monitor = hd.SpectrumMonitor(every=2, diagnose=False, measures=["trace"])
    >>> net = NeuralNetRegressor(
    ...     torch.nn.Linear(4, 1), max_epochs=4, train_split=None, verbose=0, callbacks=[monitor]
    ... ).fit(X, y)
    >>> [row.get("spectrum_step") for row in net.history]
    [None, 2, None, 4]
    >>> round(net.history[-1, "spectrum/trace/module"], 6)
    4.0
    """

    def __init__(
        self,
        every: Literal["log"] | int = "log",
        unit: Literal["epoch", "step"] = "epoch",
        budget: float | None = 0.1,
        max_samples: int | None = None,
        layers: Sequence[str] | None = None,
        measures: Sequence[str] = ("max_eigenvalue", "trace", "effective_dimension"),
        diagnose: bool = True,
        diagnoser: FitDiagnoser | None = None,
        max_time: float | None = 10.0,
        print_layers: bool = False,
    ) -> None:
        self.every = every
        self.unit = unit
        self.budget = budget
        self.max_samples = max_samples
        self.layers = layers
        self.measures = measures
        self.diagnose = diagnose
        self.diagnoser = diagnoser
        self.max_time = max_time
        self.print_layers = print_layers

    def initialize(self) -> SpectrumMonitor:
        """Check what is asked for, and begin anew.

        Returns
        -------
        self : SpectrumMonitor
            The callback.

        Raises
        ------
        ValueError
            If a parameter is none of those it may be.
        """
        check_cadence(self.every, self.budget)
        check_measures(self.measures, LAYER_MEASURES)
        if self.unit not in ("epoch", "step"):
            raise ValueError(
                f"Expected unit='epoch' or 'step', found {self.unit!r}. Pass what `every` counts."
            )
        if isinstance(self.layers, (str, Mapping)):
            raise ValueError(
                f"Expected a list of names of layers, found {self.layers!r}. Pass a list of names "
                "or patterns; groups of layers are for hessdiag.Trajectory(layers=...)."
            )
        self.trajectory_ = Trajectory(
            diagnose=self.diagnose,
            diagnoser=self.diagnoser,
            max_samples=self.max_samples,
            max_time=self.max_time,
        )
        self.cadence_ = Cadence(self.every, self.budget)
        self.steps_ = self.epochs_of_fit_ = 0
        self.data_ = self.dataset_ = None
        self.entries_: dict[str, Any] = {}
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Load the diagnoser, and let the time run.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        X, y : object
            Not looked at: validation data may be among them.
        **kwargs : object
            Not used.
        """
        diagnoser = self.trajectory_.load()
        self.blank_ = blank_entries(diagnoser)
        self.data_, self.epochs_of_fit_ = None, 0
        self.cadence_.start()

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Note which data are trained on, and how many steps were made before.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        dataset_train : Dataset
            The training part.
        dataset_valid : Dataset or None
            Not looked at.
        **kwargs : object
            Not used.
        """
        self.dataset_ = dataset_train
        self.entries_ = dict(self.blank_)
        # A history that was loaded, or is continued, counts.
        self.steps_ = sum(row.get("train_batch_count", 0) for row in net.history)

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Look, where steps are counted and it is time.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        batch : object
            Not used.
        training : bool
            Whether the batch was one of training.
        **kwargs : object
            Not used.
        """
        if not training:
            return
        self.steps_ += 1
        if self.unit == "step" and self.cadence_.is_due(self.steps_):
            for name, value in self._look(net, self.steps_).items():
                net.history.record_batch(name, value)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Look, where it is time, and write down what was found in this epoch.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        dataset_train, dataset_valid : Dataset
            Not looked at; the training part was noted before.
        **kwargs : object
            Not used.
        """
        self.epochs_of_fit_ += 1
        # Who trains epoch by epoch, by partial_fit, has no last one.
        is_last = self.epochs_of_fit_ == net.max_epochs > 1
        count = len(net.history) if self.unit == "epoch" else self.steps_
        seen = bool(self.trajectory_.points) and self.trajectory_.points[-1].step == self.steps_
        if not seen and (self.unit == "epoch" or is_last) and self.cadence_.is_due(count, is_last):
            self._look(net, count)
        for name, value in self.entries_.items():
            net.history.record(name, value)
        if not self.print_layers:
            _hide(net, [name for name in self.entries_ if name.startswith(PREFIX)])

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Stop the time, and let go of the data.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net.
        X, y : object
            Not used.
        **kwargs : object
            Not used.
        """
        self.cadence_.stop()
        self.data_ = self.dataset_ = None

    def _look(self, net, count):
        """Examine the net as it is, and return the entries."""
        with self.cadence_.look(count):
            point = self.trajectory_.record_net(
                net, self._training_data, step=self.steps_, epoch=len(net.history)
            )
        entries = entries_of(point, self.measures, self.layers)
        self.entries_ |= entries
        return entries

    def _training_data(self):
        """The training part, read once for each call of fit."""
        if self.data_ is None:
            self.data_ = training_data(self.dataset_)
        return self.data_

    def __getstate__(self):
        """Leave out the data, and the clock."""
        state = dict(vars(self))
        for name in ("data_", "dataset_"):
            if name in state:
                state[name] = None
        return state

    def __sklearn_clone__(self):
        """Make a callback of the same parameters; a clone of the diagnoser would be unfitted."""
        return type(self)(**self.get_params(deep=False))


def _hide(net, names):
    """Leave entries out of what is printed."""
    for _, callback in net.callbacks_:
        if isinstance(callback, PrintLog) and hasattr(callback, "keys_ignored_"):
            callback.keys_ignored_.update(names)
