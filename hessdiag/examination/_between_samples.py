"""What a net predicts between its samples, beside what a wide one forecasts there."""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from hessdiag.curvature.network import sample_indices, take, tensors_of
from hessdiag.examination._task import Task
from hessdiag.examination._wide_forecasts import (
    COMPARISONS,
    DEPTHS,
    TEMPERS,
    WideForecasts,
    compare_classes,
    compare_numbers,
    entropy_of,
    log_softmax,
    to_probabilities,
)
from hessdiag.examination._wide_kernel import RIDGES
from hessdiag.examination._wide_layers import (
    inner_products,
    received_by_layers,
    rows_of,
    squared_lengths,
)

# Samples that the wide layer learns from: three eigen-decompositions of this side, a second or so.
MOST_SAMPLES = 1000
# Where targets have many numbers, samples are so many that these are no more than MOST_TARGETS, but
# at least LEAST_SAMPLES; a quarter of these where targets have more than VERY_MANY numbers each.
MOST_TARGETS, LEAST_SAMPLES, VERY_MANY = 200_000, 200, 10_000
N_NEIGHBOURS = 5
# Inputs between samples, per sample and place.
N_DRAWS = 2

#: Where the net is evaluated; see `between_samples_statistics`.
PLACES_BETWEEN = ("midpoint", "crossover", "shift", "far_midpoint", "far_crossover")

#: Statistics of each place besides `COMPARISONS`.
ALONE = ("spread", "bend", "unsureness")

#: Of the samples themselves.
OF_SAMPLES = ("forecast_loss", "forecast_log10_ridge", "forecast_depth")

#: Names of the statistics of a net between its samples.
BETWEEN_STATISTICS = (
    *(f"sample_{name}" for name in COMPARISONS),
    *OF_SAMPLES,
    *(f"{place}_{name}" for place in PLACES_BETWEEN for name in ALONE),
    *(
        f"{place}_{name}{by}"
        for place in PLACES_BETWEEN
        for name in COMPARISONS
        for by in ("", "_by_all")
    ),
)


def between_samples_statistics(problem, random_state=None, max_samples=None):
    """Return the statistics of a net between its samples: `BETWEEN_STATISTICS`.

    New inputs are made of pairs of samples, x and z, and the net's predictions there are compared
    with forecasts by kernel regression on all samples but the pair (``..._by_all``: on all):

    - ``midpoint``: the mean of x and one of its five nearest neighbours z;
    - ``crossover``: each number of x or of such a z, by a coin;
    - ``shift``: x plus 0.7 times the difference of two of its neighbours; left out is x alone;
    - ``far_midpoint``, ``far_crossover``: as the first two, with any other sample as z;
    - ``sample``: the samples themselves, each forecast by all others.

    What cannot be averaged, such as tokens, is crossed over instead. ``spread`` is ``mean |P - mean
    Y|^2`` and ``bend`` is ``mean |P - (P(x) + P(z)) / 2|^2``, both over the variance of the
    targets; ``unsureness`` is the mean entropy of the net's probabilities over that of the
    classes. ``forecast_loss`` is the loss of the forecasts for samples left out.

    Without outputs for each sample, targets beside them or plain inputs there are none: {}.
    What is not defined, or where the net fails on such inputs, is NaN.
    """
    if problem.output_values is None or problem.X is None or problem.n_samples < 2 * N_NEIGHBOURS:
        return {}
    most = samples_between(problem, max_samples)
    indices = sample_indices(problem.n_samples, most, random_state)
    part = problem if indices is None else problem.restrict(indices)
    task = Task(part)
    if task.kind == "unknown" or not _are_tensors(part.X, part.n_samples):
        return {}
    between = _Between(part, task, problem.samples.largest_chunk)
    rng = np.random.default_rng(random_state if isinstance(random_state, int) else 0)
    return between.statistics(rng) if between.is_sound else {}


def samples_between(problem, max_samples=None):
    """Count the samples that the net is looked at between."""
    least = LEAST_SAMPLES if problem.n_outputs <= VERY_MANY else LEAST_SAMPLES // 4
    size = max(least, MOST_TARGETS // max(1, problem.n_outputs))
    most = min(MOST_SAMPLES, size, problem.n_samples)
    return most if max_samples is None else min(most, max(2 * N_NEIGHBOURS, max_samples))


def between_samples_work(problem, kind, n):
    """Count multiplications and logarithms of comparing n samples; list sides of decompositions."""
    d, places = problem.n_outputs, len(PLACES_BETWEEN)
    multiplications = (len(DEPTHS) * (len(RIDGES) + 1) + places * N_DRAWS) * n**2 * d
    logarithms = 0
    if kind == "classification" and problem.output_values.ndim == 2:
        logarithms = (2 * places * N_DRAWS + 1) * (len(TEMPERS) + 2) * n * d
    return multiplications, logarithms, len(DEPTHS) * [n]


class _Between:
    """A net's samples, its outputs for them, and the forecasts of a wide layer."""

    def __init__(self, problem, task, chunk_size):
        self.problem, self.task, self.chunk_size = problem, task, chunk_size
        self.n_samples = problem.n_samples
        self.received, self.outputs = self._run(problem.X)
        self.products = inner_products(self.received, self.received)
        targets = task.values.cpu().numpy()
        classes = task.kind == "classification" and len(task.shape) == 2
        self.kind = "classes" if classes else "numbers"
        if task.kind == "binary" and targets.shape[1] == 1:
            # Two classes, no and yes.
            self.kind = "yes or no"
            yes = (targets > 0.5 * targets.max()).astype(float)
            targets = np.hstack([1.0 - yes, yes])
        self.targets = targets

    @property
    def is_sound(self):
        """Say whether there is something to compare with."""
        arrays = (self.products, self.targets, self.outputs)
        varies = np.ptp(self.targets, axis=0).any()
        return self.products is not None and varies and all(np.isfinite(a).all() for a in arrays)

    def statistics(self, rng):
        """Evaluate the net at all places."""
        self.forecasts = forecasts = WideForecasts(self.products, self.targets)
        self.unit = entropy_of(forecasts.mean) if self.kind != "numbers" else forecasts.variance
        self.attainable = self._loss_left_out()
        found = _named("sample_", "", self._compare(self.outputs, forecasts.left_out))
        found |= {
            "forecast_loss": self.attainable,
            "forecast_log10_ridge": forecasts.log10_ridge,
            "forecast_depth": float(forecasts.depth),
        }
        first = np.tile(np.arange(self.n_samples), N_DRAWS)
        near = _neighbours(self.products)
        for place in PLACES_BETWEEN:
            # Outputs far from the samples may overflow, which makes numbers of that place NaN; and
            # some nets fail on inputs unlike any sample, which leaves it out.
            with np.errstate(all="ignore"), contextlib.suppress(Exception):
                found |= self._at(place, first, near, rng)
        return {name: float(found.get(name, np.nan)) for name in BETWEEN_STATISTICS}

    def _loss_left_out(self):
        """Loss of the forecasts for samples left out, in units of the best constant's."""
        left_out = self.forecasts.left_out
        if self.kind == "numbers":
            centred = self.targets - self.forecasts.mean
            return np.square(centred - left_out).sum() / (len(left_out) * self.unit)
        likely = to_probabilities(left_out, self.forecasts.mean)
        return -(self.targets * np.log(likely)).sum() / (len(left_out) * self.unit)

    def _at(self, place, first, near, rng):
        """Evaluate the net at one kind of place."""
        drawn = near[first, rng.integers(near.shape[1], size=len(first))]
        if place.startswith("far"):
            drawn = (first + rng.integers(1, self.n_samples, size=len(first))) % self.n_samples
        other = near[first, rng.integers(near.shape[1], size=len(first))]
        second = first if place == "shift" else drawn
        outputs, products, lengths = [], [], []
        for rows in np.split(np.arange(len(first)), N_DRAWS):
            trees = [take(self.problem.X, torch.as_tensor(i[rows])) for i in (first, drawn, other)]
            received, given = self._run(_mixed(place, trees, rng))
            outputs.append(given)
            products.append(inner_products(received, self.received))
            lengths.append(squared_lengths(received))
        outputs = np.concatenate(outputs)
        by_all, without = self.forecasts.at(
            np.concatenate(products), np.concatenate(lengths), np.column_stack([first, second])
        )
        found = self._alone(outputs, first, second)
        found = {f"{place}_{name}": value for name, value in found.items()}
        found |= _named(f"{place}_", "", self._compare(outputs, without))
        return found | _named(f"{place}_", "_by_all", self._compare(outputs, by_all))

    def _run(self, X):
        """Run the net; return what its first layer received, and its outputs (n, D)."""
        n_samples, rows, outputs = len(tensors_of(X)[0]), [], []
        for start in range(0, n_samples, self.chunk_size):
            part = take(X, slice(start, start + self.chunk_size))
            with received_by_layers(self.problem) as received, torch.no_grad():
                sent = self.problem.outputs_of(part)
            names = [b.name for b in self.problem.blocks if b.name in received]
            rows.append(rows_of(received[names[0]] if names else None, len(sent)))
            outputs.append(sent.detach().double().cpu().numpy())
        known = all(part is not None and part.shape[1:] == rows[0].shape[1:] for part in rows)
        return torch.cat(rows) if known else None, np.concatenate(outputs)

    def _predictions(self, outputs):
        """Outputs in the coordinates of the targets."""
        if self.kind == "yes or no":
            return np.exp(log_softmax(self._logits(outputs)))
        return self.task.predictions(torch.as_tensor(outputs)).numpy()

    def _logits(self, outputs):
        """Outputs as logarithms of probabilities, up to a constant in each row."""
        if self.kind == "classes":
            return outputs
        if self.task.threshold == 0:
            return np.hstack([np.zeros_like(outputs), outputs])
        clipped = np.clip(outputs, 1e-12, 1.0 - 1e-12)
        return np.log(np.hstack([1.0 - clipped, clipped]))

    def _compare(self, outputs, forecasts):
        """Compare the net's predictions with forecasts."""
        known = (self.forecasts.mean, self.forecasts.variance, self.attainable)
        if self.kind == "numbers":
            return compare_numbers(self._predictions(outputs), forecasts, *known)
        return compare_classes(self._logits(outputs), forecasts, *known)

    def _alone(self, outputs, first, second):
        """Statistics of the net's predictions by themselves."""
        here, there = self._predictions(outputs), self._predictions(self.outputs)
        unit = self.forecasts.variance * len(here)
        unsureness = np.nan
        if self.kind != "numbers":
            logarithms = np.log(np.maximum(here, 1e-300))
            unsureness = -(here * logarithms).sum() / (len(here) * self.unit)
        return {
            "spread": np.square(here - self.forecasts.mean).sum() / unit,
            "bend": np.square(here - 0.5 * (there[first] + there[second])).sum() / unit,
            "unsureness": unsureness,
        }


def _named(before, after, found):
    """Found numbers under longer names."""
    return {f"{before}{name}{after}": value for name, value in found.items()}


def _are_tensors(tree, n_samples):
    """Say whether a tree holds nothing but tensors with a row per sample."""
    if isinstance(tree, dict):
        return all(_are_tensors(value, n_samples) for value in tree.values())
    if isinstance(tree, (list, tuple)) and not hasattr(tree, "_fields"):
        return all(_are_tensors(value, n_samples) for value in tree)
    return isinstance(tree, torch.Tensor) and tree.ndim > 0 and len(tree) == n_samples


def _neighbours(products):
    """Indices of each sample's nearest other samples (N, k)."""
    lengths = np.diag(products)
    distances = lengths[:, None] + lengths - 2.0 * products
    np.fill_diagonal(distances, np.inf)
    k = min(N_NEIGHBOURS, len(products) - 1)
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def _mixed(place, trees, rng):
    """New inputs from trees of samples: the first, the one drawn for it, another neighbour."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: _mixed(place, [tree[key] for tree in trees], rng) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(_mixed(place, list(parts), rng) for parts in zip(*trees, strict=True))
    first, drawn, other = trees
    if place.endswith("crossover") or not (first.is_floating_point() or first.is_complex()):
        coins = torch.as_tensor(rng.random(tuple(first.shape)) < 0.5, device=first.device)
        return torch.where(coins, first, drawn)
    return first + 0.7 * (other - drawn) if place == "shift" else 0.5 * (first + drawn)
