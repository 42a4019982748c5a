"""How spectra are to be computed: the keywords that the public functions share, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessdiag.curvature.network import available_memory

__all__ = ["SpectrumSettings"]


@dataclass(frozen=True)
class SpectrumSettings:
    """Checked keywords of `layer_spectra`, `examine` and `plan_spectra`."""

    curvature: str = "hessian"
    method: str = "auto"
    n_lanczos_steps: int = 30
    n_probes: int = 3
    dense_limit: int = 2500
    exact_limit: int = 2500
    random_state: object = None
    tolerance: float | None = None
    max_memory: float | None = None

    def __post_init__(self):
        """Check every keyword against what it may be."""
        _check_choice("curvature", self.curvature, ("hessian", "ggn"))
        _check_choice("method", self.method, ("auto", "exact", "lanczos"))
        for name in ("n_lanczos_steps", "n_probes"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"Expected {name} to be an integer from 1 on, found {value!r}.")
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(
                f"Expected tolerance to be None or a positive number, found {self.tolerance!r}."
            )
        if self.max_memory is not None and not self.max_memory > 0:
            raise ValueError(
                "Expected max_memory to be None or a positive number of bytes, found "
                f"{self.max_memory!r}."
            )

    def memory_limit(self):
        """Bytes that an exact spectrum may take: `max_memory`, or half of what is available."""
        return available_memory() if self.max_memory is None else float(self.max_memory)

    @property
    def n_products(self):
        """Products with a layer's matrix that Lanczos takes, at most."""
        return self.n_probes * self.n_lanczos_steps

    @property
    def seed(self):
        """Seed for torch; a RandomState is drawn from."""
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        if hasattr(self.random_state, "randint"):
            return int(self.random_state.randint(2**31 - 1))
        return int(self.random_state.integers(2**31 - 1))


def _check_choice(name, value, allowed):
    """Check a keyword against the values it may take."""
    if value not in allowed:
        listed = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"Expected {name} to be one of {listed}, found {value!r}.")
