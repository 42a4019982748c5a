"""The three regimes of a data set, chosen from held-out losses of other networks alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hessdiag.labels import DELTA
from hessdiag.study.tables import REGIMES
from hessdiag.zoo import Recipe


@dataclass(frozen=True)
class Experiment:
    """One run of the study.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    regime : {"starved", "sound", "lavish"}
        What the pilot says of networks like this one.
    recipe : Recipe
        The network.
    contrast : float
        How clearly the pilot says so, in null losses: what widening (starved) or constraining
        (lavish) would gain; for a sound network, what it would gain by stopping earlier.
    """

    dataset: str
    regime: str
    recipe: Recipe
    contrast: float

    @property
    def name(self) -> str:
        """str : Data set and regime."""
        return f"{self.dataset}-{self.regime}"

    @property
    def is_sure(self) -> bool:
        """bool : Whether the contrast is finite and reaches 0.05; stays below it if sound."""
        return bool(np.isfinite(self.contrast)) and (self.contrast < DELTA) == (
            self.regime == "sound"
        )


def choose_regimes(dataset: str, recipes: Sequence[Recipe], curves: np.ndarray) -> list[Experiment]:
    """Choose starved, sound and lavish networks of one data set by held-out loss.

    With L the held-out loss at the end of training and B the lowest along it, each averaged over
    the pilot's seeds, in null losses:

    - sound is the width and weight decay of lowest L, neither the narrowest nor the widest;
    - starved is, among narrower ones of the same weight decay, the widest with
      ``L - L_sound >= 0.05``: what it lacks is width, as it is constrained in the same way;
    - lavish is, among wider ones without weight decay, the narrowest with
      ``L - min(L_sound, B) >= 0.05``.

    Where no width reaches 0.05, that of the largest difference is taken, and the contrast tells.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    recipes : list of Recipe
        The pilot's networks; at least three widths, and a weight decay of 0.
    curves : ndarray of shape (n_recipes, n_checkpoints)
        Their held-out losses along training, in null losses.

    Returns
    -------
    experiments : list of Experiment
        Of the order of `REGIMES`, with seed 0, which the pilot does not use.

    Raises
    ------
    ValueError
        If there are fewer than three widths.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.study import choose_regimes
    >>> from hessdiag.zoo import Recipe
    >>> widths = [2, 4, 8, 16]
    >>> recipes = [Recipe("wine", 80, 0.0, "mlp", 2, "relu", w, 0.0, seed=1) for w in widths]
    >>> curves = np.array([[0.9, 0.8], [0.6, 0.3], [0.4, 0.32], [0.3, 0.5]])
    >>> [(e.regime, e.recipe.width) for e in choose_regimes("wine", recipes, curves)]
    [('starved', 2), ('sound', 4), ('lavish', 16)]
    """
    curves = np.asarray(curves, dtype=float)
    widths = sorted({recipe.width for recipe in recipes})
    if len(widths) < 3:
        raise ValueError(
            f"Expected at least 3 widths in the pilot of {dataset}, found {widths}. Train more."
        )
    last, best = {}, {}
    for key in {(r.width, r.weight_decay) for r in recipes}:
        rows = [i for i, r in enumerate(recipes) if (r.width, r.weight_decay) == key]
        # A network that blew up is as bad as can be; it must not become the sound one.
        last[key] = np.nan_to_num(curves[rows, -1], nan=np.inf).mean()
        best[key] = np.nan_to_num(curves[rows], nan=np.inf).min(axis=1).mean()
    # Of equal losses the narrowest, without decay.
    sound = min((key for key in last if key[0] in widths[1:-1]), key=lambda k: (last[k], k))
    width, decay = sound
    # Where all in the middle blew up, differences are NaN, and nothing is sure.
    with np.errstate(invalid="ignore"):
        narrower = {w: last[w, decay] - last[sound] for w in widths if w < width}
        wider = {w: last[w, 0.0] - min(last[sound], best[w, 0.0]) for w in widths if w > width}
        falls = last[sound] - best[sound]
    starved = max(_clear(narrower), default=_largest(narrower))
    lavish = min(_clear(wider), default=_largest(wider))
    chosen = {
        "starved": (starved, decay, narrower[starved]),
        "sound": (width, decay, falls),
        "lavish": (lavish, 0.0, wider[lavish]),
    }
    experiments = []
    for regime in REGIMES:
        width, decay, contrast = chosen[regime]
        recipe = replace(recipes[0], width=width, weight_decay=decay, seed=0)
        experiments.append(Experiment(dataset, regime, recipe, float(contrast)))
    return experiments


def _clear(differences):
    """Widths whose difference is large enough, without those that blew up."""
    return [w for w, value in differences.items() if DELTA <= value < np.inf]


def _largest(differences):
    """Width of the largest difference that is finite, or else of any."""
    return max(differences, key=lambda w: (np.isfinite(differences[w]), differences[w], -w))
