"""LayerSpectra: networks to examinations, in parallel, each computed once."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Self

import joblib
import torch
from joblib import Memory
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from hessdiag.cases import NetworkCase, check_case
from hessdiag.curvature.network import OwnPrecisionError, TooCoarseError
from hessdiag.digests import NotDigestibleError, value_digest
from hessdiag.examination import Examination
from hessdiag.features._check_list import check_list
from hessdiag.features._kept_examinations import examine, keep, kept
from hessdiag.features._layer_table import LayerTable
from hessdiag.features._skipped_case import SkippedCase, SkippedCaseWarning
from hessdiag.version import __version__

# What keys of cases begin with whose content nobody can know.
_NAMELESS = "nameless "
# Seconds.
DEFAULT_MAX_TIME = 60.0


class LayerSpectra(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Examine networks: the local spectra of all their layers, and what follows from them.

    A case is examined once for each content and setting: within a process the results are kept by
    a digest of the network, its loss, its data and the settings; with `memory` they are kept on
    disk, across processes and sessions. What holds an object that cannot be digested is examined
    each time.

    Parameters
    ----------
    layers : list of str, dict or None, default=None
        Layers to examine; see `hessdiag.layer_spectra`.
    curvature : {"hessian", "ggn", "auto"}, default="hessian"
        The matrix whose spectrum is taken: the Hessian, the Gauss-Newton matrix, or ("auto") the
        latter where the loss has one, and the Hessian elsewhere. Diagnoses ask for no more than
        "auto" gives, which takes a fraction of the time where activations are smooth.
    method : {"auto", "exact", "lanczos"}, default="auto"
        How spectra are computed.
    n_lanczos_steps : int, default=30
        Lanczos steps for layers that are too large for an exact spectrum.
    n_probes : int, default=3
        Random start vectors for the same.
    max_samples : int or None, default=None
        Samples to examine; None takes all that `max_gram_size` admits.
    max_gram_size : int, default=1000
        Largest side of a Gram matrix, samples times rank of the output Hessian: time grows with
        its cube. Samples are drawn at random to keep it.
    dtype : str or None, default="float64"
        Precision of the examination; None follows the network, where its own has the digits for it
        and its data, and is float64 elsewhere.
    device : str or None, default=None
        Device of the examination; None follows the network.
    random_state : int, default=0
        Seed of the drawn samples and probes. An integer, as results are kept by content.
    memory : str, joblib.Memory or None, default=None
        Folder where examinations are kept.
    n_jobs : int or None, default=None
        Worker processes, as in joblib; None means 1 unless in a `joblib.parallel_config` context.
    on_error : {"raise", "warn"}, default="raise"
        What to do with a case that cannot be examined: raise its error, or warn and put a
        `SkippedCase` in its place, which becomes a row of NaN.
    verbose : int, default=0
        Verbosity of the parallel run, as in joblib.
    batch_size : int or None, default=None
        Samples that pass through a net at once; results do not depend on it. See
        `hessdiag.layer_spectra`.
    tolerance : float or None, default=None
        Error of the largest eigenvalue, relative to it, at which Lanczos may stop early; see
        `hessdiag.layer_spectra`.
    max_memory : float or None, default=None
        Bytes that the examination of one case keeps within, beside what is taken already; see
        `hessdiag.layer_spectra`. Each worker process has as many of its own.
    max_time : float or None, default=60
        Seconds that the examination of one case keeps within, see `hessdiag.examination.examine`:
        what is left out for it is said. None sets no bound; then results do not depend on how fast
        the machine is.

    See Also
    --------
    SpectralFeatures : Turns examinations into a table.
    hessdiag.layer_spectra : The spectra of one network.

    Examples
    --------
    >>> from hessdiag import LayerSpectra
    >>> from hessdiag.testing import make_case
    >>> examination = LayerSpectra().fit_transform([make_case()])[0]
    >>> [layer.name for layer in examination.layers]
    ['hidden_0', 'head']
    """

    _parameter_constraints = {  # noqa: RUF012
        "layers": [list, tuple, dict, None],
        "curvature": [StrOptions({"hessian", "ggn", "auto"})],
        "method": [StrOptions({"auto", "exact", "lanczos"})],
        "n_lanczos_steps": [Interval(Integral, 1, None, closed="left")],
        "n_probes": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left"), None],
        "max_gram_size": [Interval(Integral, 2, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "device": [str, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "memory": [str, HasMethods(["cache"]), None],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "on_error": [StrOptions({"raise", "warn"})],
        "verbose": [Interval(Real, 0, None, closed="left"), "boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "tolerance": [Interval(Real, 0, None, closed="neither"), None],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "max_time": [Interval(Real, 0, None, closed="right"), None],
    }

    def __init__(
        self,
        layers: Sequence[str] | Mapping[str, Any] | None = None,
        curvature: Literal["hessian", "ggn", "auto"] = "hessian",
        method: Literal["auto", "exact", "lanczos"] = "auto",
        n_lanczos_steps: int = 30,
        n_probes: int = 3,
        max_samples: int | None = None,
        max_gram_size: int = 1000,
        dtype: str | None = "float64",
        device: str | None = None,
        random_state: int = 0,
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        on_error: Literal["raise", "warn"] = "raise",
        verbose: int = 0,
        batch_size: int | None = None,
        tolerance: float | None = None,
        max_memory: float | None = None,
        max_time: float | None = DEFAULT_MAX_TIME,
    ) -> None:
        self.layers = layers
        self.curvature = curvature
        self.method = method
        self.n_lanczos_steps = n_lanczos_steps
        self.n_probes = n_probes
        self.max_samples = max_samples
        self.max_gram_size = max_gram_size
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose
        self.batch_size = batch_size
        self.tolerance = tolerance
        self.max_memory = max_memory
        self.max_time = max_time

    def __sklearn_tags__(self):
        """Declare that the input is a list of objects, and that nothing is learned."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags

    def set_output(self, *, transform: Any = None) -> Self:
        """Accept the call that pipelines pass on; the output is always a list.

        Parameters
        ----------
        transform : ignored
            Present for pipelines.

        Returns
        -------
        self : LayerSpectra
            The transformer.
        """
        return self

    def get_feature_names_out(self, input_features: Any = None) -> list[str]:
        """Return the one name of what comes out: examinations.

        Parameters
        ----------
        input_features : ignored
            Present for pipelines.

        Returns
        -------
        names : list of str
            ``["examination"]``.
        """
        return ["examination"]

    def fit(
        self, X: Sequence[NetworkCase | Examination | LayerTable | SkippedCase], y: Any = None
    ) -> Self:
        """Check the parameters and the cases; nothing is learned.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self : LayerSpectra
            The transformer.
        """
        self._validate_params()
        _check_cases(X)
        return self

    def transform(
        self, X: Sequence[NetworkCase | Examination | LayerTable | SkippedCase]
    ) -> list[Examination | LayerTable | SkippedCase]:
        """Examine each case.

        Parameters
        ----------
        X : list of NetworkCase
            The networks. What is already examined passes through.

        Returns
        -------
        examinations : list of Examination
            In the order of the cases; with ``on_error="warn"`` a `SkippedCase` stands where a case
            could not be examined.

        Raises
        ------
        ValueError, TypeError
            If a case cannot be examined and `on_error` is ``"raise"``. All cases are checked
            before the first is examined.
        """
        self._validate_params()
        _check_cases(X)
        results: list[Any] = list(X)
        keys: dict[int, str] = {}
        todo: dict[str, tuple[NetworkCase, str | None]] = {}
        outcomes: dict[str, Any] = {}
        for index, case in enumerate(X):
            if not isinstance(case, NetworkCase):
                continue
            try:
                keys[index] = self._enter(case, index, todo, outcomes, len(X) > 1)
            except Exception as error:
                results[index] = self._skip(case, index, error)
        workers = joblib.Parallel(n_jobs=self.n_jobs, verbose=self.verbose)
        settings = self._settings()
        found = workers(
            joblib.delayed(_examine_safely)(
                case,
                key,
                settings | {"digest": digest},
                None if _is_nameless(key) else self.memory,
            )
            for key, (case, digest) in todo.items()
        )
        outcomes |= dict(zip(todo, found, strict=True))
        for index, key in keys.items():
            outcome = outcomes[key]
            if isinstance(outcome, Exception):
                results[index] = self._skip(X[index], index, outcome)
                continue
            results[index] = outcome
            if not _is_nameless(key):
                keep(key, outcome)
        return results

    def _enter(self, case, index, todo, outcomes, several):
        """Return the key of a case, and see that it has an outcome or is to be examined.

        The same content may come several times in a list, or be kept: it is digested to know that,
        but checked and examined once. What has no digest is examined each time. One case alone is
        checked by its examination.
        """
        digest = self._digest(case)
        key = self._key(case, digest, index)
        if (found := kept(key)) is not None:
            outcomes[key] = found
        elif key not in todo and key not in outcomes:
            try:
                if several:
                    self._check(case)
                todo[key] = case, digest
            except Exception as error:
                outcomes[key] = error
        if isinstance(outcomes.get(key), Exception):
            raise outcomes[key]
        return key

    def _check(self, case):
        """Check a case before long work starts."""
        check_case(case, layers=self.layers, batch_size=self.batch_size, max_memory=self.max_memory)

    def _settings(self):
        """Keywords of `examine`: what the result depends on besides the case."""
        names = (
            "layers",
            "curvature",
            "method",
            "n_lanczos_steps",
            "n_probes",
            "max_samples",
            "max_gram_size",
            "dtype",
            "device",
            "random_state",
            "max_time",
        )
        settings = {name: getattr(self, name) for name in names}
        optional = {name: getattr(self, name) for name in ("batch_size", "tolerance", "max_memory")}
        return settings | {name: value for name, value in optional.items() if value is not None}

    def _digest(self, case):
        """Digest of a case's content, or None where that cannot be known.

        A case whose data cannot be read is checked, to know what is wrong.
        """
        try:
            return case.digest()
        except NotDigestibleError:
            return None
        except Exception:
            self._check(case)
            raise

    def _key(self, case, digest, index):
        """Digest of the case's name, its content and the settings."""
        settings = {
            name: int(value) if isinstance(value, Integral) else value
            for name, value in self._settings().items()
            # What is kept under the default is as it was before there was a bound.
            if name != "max_time" or value != DEFAULT_MAX_TIME
        }
        try:
            if digest is None:
                raise NotDigestibleError
            text = json.dumps([case.name, settings], sort_keys=True, default=value_digest)
        except (NotDigestibleError, TypeError):
            return _NAMELESS + str(index)
        return hashlib.blake2b((digest + text).encode(), digest_size=16).hexdigest()

    def _skip(self, case, index, error):
        """Raise, or warn and return the placeholder."""
        label = f"Case {index}" + (f" ({case.name})" if case.name else "")
        if self.on_error == "raise":
            error.add_note(f"{label} could not be examined; on_error='warn' would skip it.")
            raise error
        warnings.warn(
            f"{label} was skipped: {type(error).__name__}: {error}",
            SkippedCaseWarning,
            stacklevel=3,
        )
        return SkippedCase(case.name, f"{type(error).__name__}: {error}")


def _is_nameless(key):
    """Say whether a key stands for a case without a digest, of which nothing is kept."""
    return key.startswith(_NAMELESS)


def _check_cases(X):
    """Refuse anything but a non-empty list of cases; examined ones pass through."""
    accepted = (NetworkCase, Examination, LayerTable, SkippedCase)
    check_list(X, accepted, "network cases", "NetworkCase(net, X, y)")


def _examine_safely(case, key, settings, memory):
    """Examine in a worker; an error is a result, so that the other cases are kept."""
    try:
        if memory is None:
            return _examine_case(key, case, settings)
        store = Memory(memory, verbose=0) if isinstance(memory, str) else memory
        # What another release has found may not be what this one finds.
        key = f"{key} by {__version__} with torch {torch.__version__}"
        return store.cache(_examine_case, ignore=["case", "settings"])(key, case, settings)
    except Exception as error:
        return error


def _examine_case(key, case, settings):
    """Examine; `key` stands for the content of the other two where results are kept on disk."""
    if case.output is not None:
        settings = settings | {"output": case.output}
    try:
        return examine(case.net, case.X, case.y, name=case.name, **settings)
    except (OwnPrecisionError, TooCoarseError):
        if settings["dtype"] is not None:
            raise
        settings = settings | {"dtype": "float64"}
        return examine(case.net, case.X, case.y, name=case.name, **settings)
