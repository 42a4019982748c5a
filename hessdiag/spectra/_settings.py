"""How spectra are to be computed: the keywords that all doors share, checked."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from hessdiag.curvature.network import available_memory


@dataclass(frozen=True)
class SpectrumSettings:
    """Checked keywords of spectra, traces and examinations.

    Parameters
    ----------
    curvature : {"hessian", "ggn"}, default="hessian"
        The matrix.
    method : {"auto", "exact", "lanczos"}, default="auto"
        How its spectrum is computed.
    n_lanczos_steps, n_probes : int, default=30, 3
        Steps and random starts of Lanczos quadrature.
    dense_limit, exact_limit : int, default=2500, 2500
        Largest sides of a Hessian, and of a matrix made of factors, that "auto" decomposes.
    seed : int, default=0
        Seed of all that is drawn.
    tolerance : float or None, default=None
        Share of the eigenvalue of largest size at which Lanczos stops early.
    max_memory : float or None, default=None
        Bytes to keep within.
    deadline : float or None, default=None
        Reading of `time.monotonic` after which Lanczos takes no more than a few steps.
    resolution : float, default=0.0
        Rounding of the net or of its loss, where these compute in a coarser precision than that of
        the matrices.

    Raises
    ------
    ValueError
        If a keyword is not what it may be.
    """

    curvature: str = "hessian"
    method: str = "auto"
    n_lanczos_steps: int = 30
    n_probes: int = 3
    dense_limit: int = 2500
    exact_limit: int = 2500
    seed: int = 0
    tolerance: float | None = None
    max_memory: float | None = None
    deadline: float | None = None
    resolution: float = 0.0

    def __post_init__(self):
        """Check every keyword against what it may be."""
        _check_choice("curvature", self.curvature, ("hessian", "ggn"))
        _check_choice("method", self.method, ("auto", "exact", "lanczos"))
        for name in ("n_lanczos_steps", "n_probes"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(
                    f"Expected {name} to be an integer from 1 on, found {value!r}. Pass 1 or more."
                )
        if self.tolerance is not None and not _is_positive(self.tolerance):
            raise ValueError(
                f"Expected tolerance to be None or a positive number, found {self.tolerance!r}. "
                "Pass None to go without."
            )
        if self.max_memory is not None and not _is_positive(self.max_memory):
            raise ValueError(
                "Expected max_memory to be None or a positive number of bytes, found "
                f"{self.max_memory!r}. Pass None to go without a bound."
            )

    def memory_limit(self) -> float:
        """Return the bytes that an exact spectrum may take: `max_memory`, or half of what is free.

        Returns
        -------
        float
            Bytes.
        """
        return available_memory() if self.max_memory is None else float(self.max_memory)

    @property
    def n_products(self) -> int:
        """Products with a layer's matrix that Lanczos takes, at most."""
        return self.n_probes * self.n_lanczos_steps


def check_counts(**counts: Any) -> None:
    """Check keywords that are None or whole numbers from 1 on.

    Parameters
    ----------
    **counts : int or None
        The keywords.

    Raises
    ------
    ValueError
        If one is something else.
    """
    for name, value in counts.items():
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and not (whole and int(value) >= 1):
            raise ValueError(
                f"Expected {name} to be None or an integer from 1 on, found {value!r}. Pass None "
                "to take all."
            )


def check_time(max_time: float | None) -> None:
    """Check a budget of time.

    Parameters
    ----------
    max_time : float or None
        Seconds; None sets no bound.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if max_time is not None and not _is_positive(max_time):
        raise ValueError(
            f"Expected max_time to be None or a positive number of seconds, found {max_time!r}. "
            "Pass None to go without a bound."
        )


def _is_positive(value):
    """Say whether something is a number above zero."""
    return isinstance(value, Real) and not isinstance(value, bool) and value > 0


def _check_choice(name, value, allowed):
    """Check a keyword against the values it may take."""
    if value not in allowed:
        listed = ", ".join(repr(a) for a in allowed)
        raise ValueError(
            f"Expected {name} to be one of {listed}, found {value!r}. Pass one of these."
        )
