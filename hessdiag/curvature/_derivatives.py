"""A scalar's first and second derivatives in some entries, held against finite differences."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hessdiag.curvature.network import Block, casts, tensors_of
from hessdiag.curvature.products import KeptDerivatives

# Entries of each layer's parameters that are looked at.
MOST_ENTRIES = 4096
# How far from where the net is derivatives are checked, relative to the size of each layer's
# parameters.
NEARBY = 1e-4
# Moves that change next to nothing but rounding, where that is measured.
SMALL = (5e-4, 1e-3, 2e-3)


@dataclass(frozen=True)
class Tolerances:
    """What differences may be off by, and how they are taken.

    Parameters
    ----------
    steps : tuple of float
        Relative to the size of each layer's parameters: small, so that next to no unit passes a
        kink, and others where the first meets one all the same.
    of_slope, of_typical : float
        Relative to a slope along a direction, and to what one of its size is as a rule.
    of_product, of_gradient : float
        Relative to a product, and to the gradient, of which differences have the rounding.
    of_same, of_again : float
        Of products taken in another way, and of gradients taken again.
    rounding : float
        Of derivatives, relative to how far outputs reach the parameters.
    stretch : float
        How much further than on average a layer of small effect may be moved.
    """

    steps: tuple[float, ...]
    of_slope: float
    of_typical: float
    of_product: float
    of_gradient: float
    of_same: float
    of_again: float
    rounding: float
    stretch: float


# In float64 from end to end, and where a net computes in a precision of its own.
STRICT = Tolerances((1e-7, 1e-8, 1e-6), 1e-2, 1e-3, 1e-3, 1e-6, 1e-7, 1e-6, 1e-14, 100.0)
LENIENT = Tolerances((1e-2, 3e-2), 0.1, 0.1, 0.1, 0.01, 0.02, 0.02, 1e-5, 3.0)


class _Entries:
    """Some entries of every parameter of a block, drawn at random, and directions in them."""

    def __init__(self, block, fixed, generator):
        self.name, self.places, self.sizes = block.name, [], []
        squares = sum(float(p.detach().double().square().sum()) for p in block.parameters)
        self.unit = (squares / block.n_params) ** 0.5 or 1.0
        share = min(1.0, MOST_ENTRIES / block.n_params)
        for p in block.parameters:
            n = max(1, int(share * p.numel()))
            index = torch.randperm(p.numel(), generator=generator)[:n]
            places = torch.unravel_index(index.to(p.device), p.shape)
            if id(p) in fixed:
                moves = ~torch.isin(places[0], fixed[id(p)].to(p.device))
                places = tuple(axis[moves] for axis in places)
            self.places.append(places)
            self.sizes.append(len(places[0]) if places else 1)

    def direction(self, generator, device):
        """Draw a direction in the entries."""
        v = torch.randn(sum(self.sizes), generator=generator, dtype=torch.float64)
        return self.unit * v.to(device)


class Derivatives:
    """A scalar on a few samples, its gradient, and its Hessian's products, in one precision.

    Vectors are of the entries drawn, of one layer after the other, and in float64.

    Parameters
    ----------
    evaluate : callable
        Returns the scalar (0-d tensor), as a function of the parameters.
    send : callable
        Returns the outputs that the scalar is a function of.
    blocks : sequence of Block
        The layers.
    fixed : dict of int to Tensor
        Rows without a gradient, by id of their parameter.
    name : str
        What is differentiated.
    dtype : torch.dtype
        Precision that is due.
    strict : bool, default=True
        Whether no more than the rounding of float64 is allowed for.
    precision : torch.dtype, default=torch.float64
        The coarsest precision on the way, where `strict` is not set: of differences in a half
        precision nothing is left, which moves as small as those that are tried do not show.
    """

    def __init__(
        self,
        evaluate: Callable[[], torch.Tensor],
        send: Callable[[], Any],
        blocks: Sequence[Block],
        fixed: Mapping[int, torch.Tensor],
        name: str,
        dtype: torch.dtype,
        strict: bool = True,
        precision: torch.dtype = torch.float64,
    ) -> None:
        self.evaluate, self.send, self.name = evaluate, send, name
        self.dtype, self.strict = dtype, strict
        self.tolerances = STRICT if strict else LENIENT
        is_half = torch.finfo(precision).bits < 32
        self.rounding = torch.finfo(precision).eps if is_half else STRICT.rounding
        self.parameters = [p for block in blocks for p in block.parameters]
        generator = torch.Generator().manual_seed(0)
        self.entries = [_Entries(block, fixed, generator) for block in blocks]
        self.places = [places for entries in self.entries for places in entries.places]
        self.counts = [n for entries in self.entries for n in entries.sizes]
        self.sizes = [sum(entries.sizes) for entries in self.entries]
        device = self.parameters[0].device
        self.v, self.u = (
            torch.cat([entries.direction(generator, device) for entries in self.entries])
            for _ in range(2)
        )

    def check(self) -> bool:
        """Check all there is; say whether records with kept derivatives agree with plain ones.

        Raises a ValueError where derivatives are none.
        """
        with self.nearby():
            self.check_repeatable()
            self.check_first()
            self.multiply()
            self.check_second()
            self.check_symmetry()
            return self.records_agree()

    def runs(self) -> bool:
        """Say whether the net and its loss are computed in this precision, from end to end."""
        try:
            value = self.evaluate()
        except Exception:
            return False
        return value.dtype == self.dtype and not casts(value)

    @contextlib.contextmanager
    def nearby(self) -> Iterator[None]:
        """Move a little away from where the net is, so that it sits on no kink; and come back.

        Whether derivatives are right does not depend on the place, but at zero weights, on black
        images or where a loss of absolute errors is zero, there may be none.
        """
        generator = torch.Generator().manual_seed(1)
        device = self.parameters[0].device
        moves = torch.cat([entries.direction(generator, device) for entries in self.entries])
        for size in (NEARBY, -NEARBY, 0.0):
            kept = self._move(size * moves)
            # A loss may be defined on one side alone, as that of probabilities at 0 and 1.
            if size == 0 or self._is_defined():
                break
            self._put_back(kept)
        try:
            yield
        finally:
            self._put_back(kept)

    @functools.cached_property
    def reach(self) -> float:
        """Size of the derivatives of the outputs: what their rounding comes to."""
        sent = [t for t in tensors_of(self.send()) if t.requires_grad]
        if not sent:
            return 0.0
        sent = [torch.view_as_real(t) if t.is_complex() else t for t in sent]
        signs = [torch.randn_like(t).sign() / t.numel() ** 0.5 for t in sent]
        gradient = torch.autograd.grad(sent, self.parameters, signs, allow_unused=True)
        return float(self._taken(gradient).norm())

    def _gradient(self, create_graph=False):
        """Return the scalar, and its gradient parameter by parameter."""
        value = self.evaluate()
        gradient = [None] * len(self.parameters)
        if value.requires_grad:
            gradient = torch.autograd.grad(
                value, self.parameters, create_graph=create_graph, allow_unused=True
            )
        return float(value.detach()), gradient

    def _taken(self, tensors):
        """Take the drawn entries of one tensor per parameter; None stands for zeros."""
        pieces = []
        for tensor, places, n in zip(tensors, self.places, self.counts):
            if tensor is None:
                pieces.append(self.parameters[0].new_zeros(n, dtype=torch.float64))
                continue
            tensor = tensor.detach()
            tensor = tensor.to_dense() if tensor.is_sparse else tensor
            pieces.append(tensor[places].reshape(-1).double())
        return torch.cat(pieces)

    def _is_defined(self):
        """Say whether the scalar can be evaluated, and is a finite number."""
        try:
            return math.isfinite(self._loss())
        except Exception:
            return False

    def check_repeatable(self) -> None:
        """Check that loss and gradient are the same again."""
        (loss, self.gradient), (other, again) = (
            (value, self._taken(gradient))
            for value, gradient in (self._gradient(), self._gradient())
        )
        differs = abs(loss - other) > 1e-6 * abs(loss)
        moved = float((self.gradient - again).norm())
        if (
            differs
            or moved
            > self.tolerances.of_again * float(self.gradient.norm())
            + self.tolerances.rounding * self.reach
        ):
            raise ValueError(
                f"Expected the same loss and gradient from two evaluations of {self.name} "
                f"on the same samples, found losses {loss:.6g} and {other:.6g}. Take what is "
                "random, or what counts calls, out of the criterion or the net."
            )

    def check_first(self) -> None:
        """Check the gradient against differences of the scalar.

        Layers of small effect are moved further, so that each has its say in the one number.
        """
        v = self._evened(self.v)
        expected, here = float(self.gradient @ v), self._loss()
        typical, noise, found = float((self.gradient * v).norm()), self._noise(self._loss, here), []
        for step in self.tolerances.steps:
            up, down = (self._moved(sign * step, self._loss, v) for sign in (1, -1))
            if up is None or down is None:
                return
            rounding = self.rounding / step * (max(abs(up), abs(down)) + self.reach)
            rounding += float(noise) / step
            bound = self.tolerances.of_slope * abs(expected) + rounding
            bound += self.tolerances.of_typical * typical
            found.append((up - down) / (2 * step))
            # Where the slopes to both sides differ there is a kink, and no one derivative.
            mismatch = abs(found[-1] - expected)
            if not mismatch > bound or abs(up - 2 * here + down) / step > mismatch:
                return
        raise ValueError(
            f"Expected the derivative of {self.name}, found that autograd's gradient is not "
            f"one: along a random direction {expected:.3g} where differences give {found[0]:.3g}. "
            "A straight-through estimator, torch.no_grad() or detach() on the way, a reversed or "
            "clipped gradient or a custom backward is at work: there is no Hessian. Replace it by "
            "the function whose curvature is wanted."
        )

    def _evened(self, v):
        """Scale a direction in every layer so that all change the scalar by about as much."""
        parts = v.split(self.sizes)
        effects = [
            float((g * part).norm()) for g, part in zip(self.gradient.split(self.sizes), parts)
        ]
        typical = sum(e**2 for e in effects) ** 0.5 / max(1, len(effects)) ** 0.5
        return torch.cat(
            [
                min(self.tolerances.stretch, typical / effect) * part if effect > 0 else part
                for effect, part in zip(effects, parts)
            ]
        )

    def _noise(self, evaluate, here):
        """Measure how much a value moves by rounding; nothing where that is known.

        A net that computes in a precision of its own does not say which.
        """
        if self.strict:
            return torch.zeros_like(self.v) if isinstance(here, torch.Tensor) else 0.0
        most = abs(here) * 0.0
        for size in SMALL:
            up, down = (self._moved(sign * size, evaluate) for sign in (1, -1))
            if up is None or down is None:
                continue
            shaking = abs(up - 2 * here + down)
            most = torch.maximum(most, shaking) if torch.is_tensor(most) else max(most, shaking)
        # Three times over, as the largest of a few is not the largest there is.
        return 3 * most

    def _loss(self):
        """Evaluate the scalar alone."""
        with torch.no_grad():
            return float(self.evaluate())

    def _slope(self):
        """Evaluate the gradient in the drawn entries."""
        return self._taken(self._gradient()[1])

    def _moved(self, step, evaluate, v=None):
        """Evaluate at parameters moved along v, which come back exactly; None where that fails."""
        kept = self._move(step * (self.v if v is None else v))
        try:
            return evaluate()
        except Exception:
            # As where the loss is defined on one side alone.
            return None
        finally:
            self._put_back(kept)

    def _move(self, vector):
        """Add a vector to the drawn entries; return what they were."""
        kept = [p.data[places].clone() for p, places in zip(self.parameters, self.places)]
        for p, places, part in zip(self.parameters, self.places, vector.split(self.counts)):
            p.data[places] += part.reshape(p.data[places].shape).to(p.dtype)
        return kept

    def _put_back(self, kept):
        """Let the drawn entries be what they were."""
        for p, places, values in zip(self.parameters, self.places, kept):
            p.data[places] = values

    def multiply(self) -> None:
        """Take the products with v and u, by plain double backward."""
        self.product, self.other = self._products(contextlib.nullcontext())

    def check_second(self) -> None:
        """Check the Hessian against differences of gradients, layer by layer."""
        names = [entries.name for entries in self.entries]
        right, wrong = set(), {}
        noise = self._noise(self._slope, self.gradient)
        for step in self.tolerances.steps:
            up, down = (self._moved(sign * step, self._slope) for sign in (1, -1))
            if up is None or down is None:
                return
            for name, agrees, has_kink in self._compared(up, down, step, noise):
                if agrees:
                    right.add(name)
                elif not has_kink:
                    wrong[name] = True
            if right.issuperset(names):
                return
        wrong = [name for name in wrong if name not in right]
        if not wrong:
            return
        raise ValueError(
            f"Expected a second derivative that is one, found in layer {wrong[0]!r} that the "
            "product with the Hessian is not the difference of gradients. An operation there has "
            "no derivative of its backward pass, or a wrong one (once_differentiable, a custom "
            "autograd.Function, torch.no_grad() or detach() in a backward pass). Write it with "
            "plain functions of torch, or leave out with layers=[...] what depends on it."
        )

    def _compared(self, up, down, step, noise):
        """Yield every layer's name, whether its differences agree, and whether there is a kink.

        At a kink the slopes to both sides differ, and there is no one derivative.
        """
        vectors = (self.product, (up - down) / (2 * step), (up - 2 * self.gradient + down) / step)
        parts = [x.split(self.sizes) for x in (*vectors, self.gradient, noise)]
        for entries, found, expected, bend, gradient, shaking in zip(self.entries, *parts):
            bound = self.tolerances.of_product * float(expected.norm())
            bound += self.tolerances.of_gradient * float(gradient.norm())
            bound += (self.rounding * self.reach + float(shaking.norm())) / step
            has_kink = not float(bend.norm()) <= float((found - expected).norm())
            yield entries.name, _agrees(found, expected, bound), has_kink

    def check_symmetry(self) -> None:
        """Check that u . H v is v . H u."""
        one, two = float(self.u @ self.product), float(self.v @ self.other)
        size = float(self.u.norm() * self.product.norm() + self.v.norm() * self.other.norm())
        rounding = self.tolerances.rounding * self.reach * float(self.u.norm() + self.v.norm())
        if abs(one - two) > self.tolerances.of_again * size + rounding:
            raise ValueError(
                f"Expected a symmetric Hessian of {self.name}, found u'Hv = {one:.6g} and "
                f"v'Hu = {two:.6g}. An operation of the net has a wrong second derivative."
            )

    def records_agree(self) -> bool:
        """Say whether products by kept derivatives are those of plain double backward."""
        try:
            images = self._products(KeptDerivatives())
        except RuntimeError:
            # As where a forward pass differentiates: such products are taken plainly anyway.
            return True
        for found, expected in zip(images, (self.product, self.other)):
            if not _agrees(
                found, expected, self.tolerances.of_same * float(expected.norm()) + self._floor()
            ):
                return False
        return True

    def _floor(self):
        """Size of a product that may be mere rounding."""
        return self.tolerances.rounding * self.reach + 1e-9 * float(self.gradient.norm()) + 1e-300

    def _products(self, recording):
        """Return H v and H u in the drawn entries, by double backward of what was recorded."""
        with recording:
            value = self.evaluate()
        if not value.requires_grad:
            return torch.zeros_like(self.v), torch.zeros_like(self.u)
        gradient = torch.autograd.grad(value, self.parameters, create_graph=True, allow_unused=True)
        used = [i for i, g in enumerate(gradient) if g is not None and g.requires_grad]
        images = []
        for vector in (self.v, self.u):
            if not used:
                images.append(torch.zeros_like(vector))
                continue
            parts, weights = vector.split(self.counts), []
            for i in used:
                weights.append(torch.zeros(gradient[i].shape).to(self.parameters[i]))
                place = weights[-1][self.places[i]]
                weights[-1][self.places[i]] = parts[i].reshape(place.shape).to(place.dtype)
            image = torch.autograd.grad(
                [gradient[i] for i in used],
                self.parameters,
                weights,
                retain_graph=True,
                allow_unused=True,
            )
            images.append(self._taken(image))
            del image, weights
        return images


def _agrees(found, expected, bound):
    """Compare two products; what is not finite is no fault of the derivatives."""
    if not (torch.isfinite(found).all() and torch.isfinite(expected).all()):
        return True
    return float((found - expected).norm()) <= bound
