"""The result of examining one case: frozen, numbers only, free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hessdiag.spectra import Spectrum


@dataclass(frozen=True, eq=False)
class LayerExamination:
    """What was found out about one layer, or about the whole net.

    Parameters
    ----------
    name : str
        Name of the layer, as in ``named_modules``; ``"network"`` for the whole net.
    kind : str
        Class of the layer's module, such as ``"Linear"``.
    n_params : int
        Number of trainable parameters.
    n_outputs : int
        Width of the layer's own output (features or channels).
    spectrum : Spectrum
        Spectrum of the local Hessian; of the Gauss-Newton matrix for the whole net.
    ggn_spectrum : Spectrum or None
        Exact spectrum of the local Gauss-Newton matrix; the same object as `spectrum` where the two
        coincide, None where the loss is not a function of each sample's outputs.
    statistics : dict of str to float
        What needs more than the spectrum, see `hessdiag.examination.gram_statistics`; also
        ``weight_norm`` (Euclidean norm of the parameters) and ``gn_gap`` (see `Spectrum`).

    See Also
    --------
    Examination : All layers of one net.

    Examples
    --------
    >>> from hessdiag.examination import LayerExamination
    >>> from hessdiag.spectra import Spectrum
    >>> spectrum = Spectrum.from_eigenvalues([1.0, 2.0])
    >>> LayerExamination("0", "Linear", 2, 1, spectrum, spectrum, {}).n_params
    2
    """

    name: str
    kind: str
    n_params: int
    n_outputs: int
    spectrum: Spectrum
    ggn_spectrum: Spectrum | None
    statistics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        """Freeze the statistics."""
        _freeze(self, "statistics")

    def __reduce__(self):
        """Pickle as the constructor's arguments."""
        arguments = (
            self.name,
            self.kind,
            self.n_params,
            self.n_outputs,
            self.spectrum,
            self.ggn_spectrum,
            dict(self.statistics),
        )
        return type(self), arguments


@dataclass(frozen=True, eq=False)
class Examination:
    """What was found out about one net on one data set.

    Parameters
    ----------
    name : str or None
        Name of the case.
    digest : str or None
        Digest of net and data, see `hessdiag.cases.NetworkCase.digest`; None where there is none.
    layers : tuple of LayerExamination
        The layers, in forward order.
    network : LayerExamination
        The whole net.
    context : dict of str to float or str
        What a user would know without curvature: ``n_samples``, ``n_samples_examined``,
        ``n_samples_ignored`` (where the loss leaves out some), ``n_outputs``, ``n_params``,
        ``n_layers``, ``n_inputs`` (where X is a table), ``loss`` (mean over the given samples),
        ``error`` (share of wrong classes, or squared error over that of the mean), ``null_loss``
        (loss of the best constant output), ``task`` ("classification", "binary", "regression" or
        "unknown"), ``criterion``, ``statistics_missing`` (why layers have no statistics, where they
        have none), ``n_output_columns`` (random columns that stand for each sample's outputs, where
        these are too many), ``seconds_forecast`` (what was expected, where more than two),
        ``left_out`` (what was left out to keep within the time), ``seconds_taken`` (where it took
        longer than it was given nevertheless), ``rounding`` (how far rounding moves outputs or
        derivatives, where that is more than a thousandth of them). What is not known is NaN.
    settings : dict
        Keywords that the examination was made with.

    See Also
    --------
    hessdiag.examination.examine : Makes examinations.

    Examples
    --------
    >>> from hessdiag.examination import Examination, LayerExamination
    >>> from hessdiag.spectra import Spectrum
    >>> spectrum = Spectrum.from_eigenvalues([1.0, 2.0])
    >>> layer = LayerExamination("0", "Linear", 2, 1, spectrum, spectrum, {})
    >>> network = LayerExamination("network", "Linear", 2, 1, spectrum, spectrum, {})
    >>> Examination("tiny", "00", (layer,), network, {"loss": 0.5}, {}).layer_names
    ('0',)
    """

    name: str | None
    digest: str | None
    layers: tuple[LayerExamination, ...]
    network: LayerExamination
    context: Mapping[str, float | str] = field(default_factory=dict)
    settings: Mapping = field(default_factory=dict)

    def __post_init__(self):
        """Freeze context and settings."""
        object.__setattr__(self, "layers", tuple(self.layers))
        _freeze(self, "context")
        _freeze(self, "settings")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers in forward order."""
        return tuple(layer.name for layer in self.layers)

    def __getitem__(self, name):
        """Return the layer of this name, or the whole net for ``"network"``."""
        for layer in (*self.layers, self.network):
            if layer.name == name:
                return layer
        raise KeyError(
            f"Expected the name of a layer, found {name!r}. Choose one of "
            f"{', '.join(self.layer_names)} and network."
        )

    def __reduce__(self):
        """Pickle as the constructor's arguments."""
        arguments = (
            self.name,
            self.digest,
            self.layers,
            self.network,
            dict(self.context),
            dict(self.settings),
        )
        return type(self), arguments


def _freeze(instance, attribute):
    """Replace a dict by a read-only view of a copy of it."""
    value = MappingProxyType(dict(getattr(instance, attribute)))
    object.__setattr__(instance, attribute, value)
