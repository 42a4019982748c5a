"""What a loss takes outputs for, as it shows at outputs that are made up to try it.

An error is known where a loss compares the outputs themselves with the targets: as numbers, as
switches about a threshold, or as classes of which the largest is meant. It is not known where a
loss has weights of its own in between, compares directions or distances, or reads other targets.
"""

from __future__ import annotations

import math

import torch

from hessdiag.curvature.network import LossCalls

# How far outputs are moved away from targets, in standard deviations: a little, or across a margin
# within which a loss may be flat.
NUDGES = (1e-3, 0.5)
# A rise below this share of that along a random direction is none.
LEAST_RISE = 1e-3
# Rounding of losses that are evaluated in single precision.
SAME = 1e-5
# Rows of made-up outputs that are looked at, at least, and the most draws that make them up.
LEAST_ROWS, MOST_DRAWS = 64, 16
# How far from a threshold switches are tried: far where a loss is defined there, as differences of
# outputs may matter to it alone, and may do so evenly near by.
MARGINS, FAR_MARGINS = {0.0: (0.25,), 0.5: (0.25, 0.45)}, (2.0, 30.0)


class LossReading:
    """A loss of outputs (N, D), tried at outputs that are made up.

    Parameters
    ----------
    function : OutputFunction
        The loss, as a function of the outputs in the coordinates examined.
    y : object
        Targets.
    """

    def __init__(self, function, y):
        self.function, self.y = function, y
        self.shape, self.device = function.values.shape, function.values.device

    def takes_numbers(self, values, losses):
        """Say whether targets (N, D) are what outputs should be.

        `losses` are functions of torch that compare numbers as they are.
        """
        z = self._made_up(0)
        if any(_are_close(x, z) and _are_close(t, values) for x, t in self._calls(losses, z)):
            return True
        return any(self._is_least_at(values, nudge) for nudge in NUDGES)

    def takes_switches(self, yes, values, threshold, losses):
        """Say whether an output above a threshold is a yes for one of torch's own losses.

        `losses` maps its functions to where inputs and targets turn from no to yes.
        """
        z = self._made_up(0) if threshold else 2 * self._made_up(0) - 1
        for name, (turn, target_turn) in losses.items():
            for x, t in self._calls((name,), z):
                if x.numel() != z.numel() or t.numel() != values.numel():
                    continue
                same = (x.reshape(-1) > turn) == (z.reshape(-1) > threshold)
                meant = _are_close(t, values) or bool(
                    ((t.reshape(-1) > target_turn) == yes.reshape(-1)).all()
                )
                if meant and bool(same.all()):
                    return True
        return False

    def threshold_of_switches(self, yes):
        """Return the output about which a yes and a no are alike but for a weight, None where none.

        So it is where a loss is a sum of functions of each output by itself.
        """
        if not (yes.any() and not yes.all()):
            return None
        return next((at for at in MARGINS if self._turns_at(at, yes)), None)

    def takes_classes(self, shares, losses):
        """Say whether the largest output of a sample is the class that is predicted.

        `shares` (N, C, ...) are one for the class that is due, or shares of several; `losses` are
        functions of torch that compare classes.
        """
        draws = min(MOST_DRAWS, -(-LEAST_ROWS // max(1, len(shares))))
        all_plain = True
        for draw in range(draws):
            z = self._made_up(draw)
            calls = self._calls(losses, z)
            if not calls and draw == 0:
                return self._needs_no_order() and self._pulls(shares) and self._splits(shares)
            found = [(_order_kept(x, z, shares), t) for x, t in calls]
            if not any(order for order, _ in found):
                return False
            plain = any(order == "all" and _are_same_targets(t, self.y) for order, t in found)
            all_plain = all_plain and plain
            if any(_are_close(x, z) for x, _ in calls):
                break
        return all_plain or self._pulls(shares)

    def silent(self):
        """Say of which rows (N, ...) of outputs beside classes the loss takes no notice."""
        gradient = self._gradient(self._made_up(0))
        if gradient is None:
            return None
        return ~gradient.reshape(self.shape).any(dim=1)

    def _made_up(self, draw):
        """Draw outputs from 0 to 1, which are probabilities as well."""
        generator = torch.Generator().manual_seed(draw)
        z = torch.rand(self.shape, generator=generator, dtype=torch.float64)
        return z.to(self.device)

    def _calls(self, names, outputs):
        """List inputs and targets of the functions of torch that the loss calls at outputs."""
        with torch.no_grad(), LossCalls() as calls:
            try:
                self.function(outputs.reshape(len(outputs), -1))
            except Exception:
                return []
        return [(x.double(), t) for name, x, t in calls.seen if name in names]

    def _loss(self, outputs):
        """Evaluate at outputs; NaN where that fails."""
        try:
            with torch.no_grad():
                return float(self.function(outputs))
        except Exception:
            return math.nan

    def _gradient(self, outputs):
        """Differentiate at outputs: (N, D); None where nothing comes back."""
        outputs = outputs.reshape(len(outputs), -1).detach().requires_grad_(True)
        try:
            (gradient,) = torch.autograd.grad(self.function(outputs), outputs, allow_unused=True)
        except Exception:
            return None
        return gradient

    def _is_least_at(self, values, nudge):
        """Say whether a loss rises in whatever direction outputs move away from the targets."""
        spread = float(values.std(correction=0)) or float(values.abs().max()) or 1.0
        here, rises = self._loss(values), []
        for direction in _directions(values):
            size = float(direction.square().mean().sqrt())
            if size > 0:
                step = nudge * spread / size * direction
                rises.append(min(self._loss(values + s * step) - here for s in (1, -1)))
        if not all(math.isfinite(rise) for rise in rises):
            return False
        return rises[0] > 0 and all(rise > LEAST_RISE * rises[0] for rise in rises)

    def _turns_at(self, at, yes):
        """Say whether outputs on either side of a value are right for a yes and for a no alike."""
        signs = torch.where(yes, 1.0, -1.0).double()
        centre = torch.full_like(signs, at)
        here = self._gradient(centre)
        if here is None or not bool((torch.isfinite(here) & (here * signs < 0)).all()):
            return False
        generator = torch.Generator().manual_seed(0)
        some = torch.rand(signs.shape, generator=generator).to(signs.device) < 0.5
        for margin in MARGINS[at] + FAR_MARGINS:
            ways = (1.0, -1.0, torch.where(some, 1.0, -1.0))
            slopes = [self._gradient(centre + way * margin * signs) for way in ways]
            if any(slope is None or not torch.isfinite(slope).all() for slope in slopes):
                if margin in FAR_MARGINS:
                    break
                return False
            right, wrong, mixed = (slope / here for slope in slopes)
            expected = torch.where(some, right.mean(), wrong.mean())
            bound = SAME * max(1.0, float(wrong.abs().max()))
            for found, due in ((right, right.mean()), (wrong, wrong.mean()), (mixed, expected)):
                if bool(((found - due).abs() > bound).any()):
                    return False
        return True

    def _needs_no_order(self):
        """Say whether classes that are not due are alike, where the loss has weights of its own."""
        zeros = torch.zeros(self.shape, dtype=torch.float64, device=self.device)
        value = self.function(zeros.reshape(len(zeros), -1))
        if not value.requires_grad:
            return True
        gradient = self._gradient(zeros)
        if gradient is None:
            return False
        gradient = gradient.reshape(self.shape).movedim(1, -1)
        ordered = gradient.sort(dim=-1).values[..., 1:]  # the first is the class that is due
        bound = SAME * float(gradient.abs().max())
        return bool(((ordered - ordered[..., :1]).abs() <= bound).all())

    def _pulls(self, shares):
        """Say whether equal outputs are best changed in the output of each sample's class."""
        zeros = torch.zeros(self.shape, dtype=torch.float64, device=self.device)
        gradient = self._gradient(zeros)
        if gradient is None or not gradient.any() or gradient.isnan().any():
            return False
        gradient = gradient.reshape(self.shape)
        due = shares == shares.amax(dim=1, keepdim=True)
        worst = gradient.masked_fill(~due, -math.inf).amax(dim=1)
        others = gradient.masked_fill(due, math.inf).amin(dim=1)
        return bool(((worst < others) | ~gradient.any(dim=1)).all())

    def _splits(self, shares):
        """Say whether, of two classes with equal outputs, the one that is due is to be larger."""
        due = shares.argmax(dim=1, keepdim=True)
        strictly = False
        for draw, start in enumerate((self.function.values, self._made_up(0), self._made_up(1))):
            generator = torch.Generator().manual_seed(draw)
            ahead = torch.randint(1, self.shape[1], due.shape, generator=generator)
            other = (due + ahead.to(due.device)) % self.shape[1]
            start = start.reshape(self.shape)
            gradient = self._gradient(start.scatter(1, other, start.gather(1, due)))
            if gradient is None:
                return False
            if not torch.isfinite(gradient).all():
                continue
            gradient = gradient.reshape(self.shape)
            lead = gradient.gather(1, other) - gradient.gather(1, due)
            if bool((lead < -1e-9 * gradient.abs().amax(dim=1, keepdim=True)).any()):
                return False
            strictly = strictly or bool((lead > 0).any())
        return strictly


def _directions(values):
    """List ways (N, D) to move away from targets: at random, and as losses may be blind to."""
    n, d = values.shape
    generator = torch.Generator().manual_seed(0)

    def signs(*shape):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64).sign()
        return drawn.to(values.device)

    ones, by_sample, by_output = torch.ones_like(values), signs(n, 1), signs(1, d)
    shifts = [ones, ones * by_sample, ones * by_output]
    centred = values - values.mean(dim=0)
    return [signs(n, d), *shifts, *(values * shift for shift in shifts), centred]


def _are_close(first, second):
    """Say whether two tensors hold the same numbers, whatever their shapes."""
    if not isinstance(first, torch.Tensor) or first.numel() != second.numel():
        return False
    first, second = first.reshape(-1).double(), second.reshape(-1).double()
    return bool(((first - second).abs() <= SAME * (1e-300 + second.abs().max())).all())


def _are_same_targets(target, y):
    """Say whether a loss of torch is given the targets as they are."""
    if not isinstance(target, torch.Tensor) or target.is_floating_point() != y.is_floating_point():
        return False
    return _are_close(target, y)


def _rows(tensor):
    """Write outputs (N, C, ...) as rows of classes."""
    if tensor.ndim < 2:
        return tensor.reshape(1, -1)
    return tensor.movedim(1, -1).reshape(-1, tensor.shape[1])


def _order_kept(x, z, shares):
    """Say how far inputs of a loss have the order of the outputs in each row of classes.

    "all" where it is that of the outputs; "margin" where it is so but for the class that is due,
    of which a margin may be taken; None where it is another.
    """
    if x.shape == z.shape and _are_close(x, z):
        return "all"
    inputs, outputs = _rows(x), _rows(z)
    if inputs.shape != outputs.shape:
        return None
    if _ascend(inputs, outputs):
        return "all"
    ranked = [rows[rows[:, 0].argsort()] for rows in (inputs, outputs)]
    if _are_close(*ranked):
        return "all"  # rows in another order
    due = _rows(shares).argmax(dim=1, keepdim=True)
    if outputs.shape[1] > 2:
        aside = (rows.scatter(1, due, math.inf) for rows in (inputs, outputs))
        return "margin" if _ascend(*aside) else None
    rest = (rows.gather(1, 1 - due).T for rows in (inputs, outputs))
    return "margin" if _ascend(*rest) else None


def _ascend(inputs, outputs):
    """Say whether inputs rise along with the outputs in each row; infinite ones come last."""
    ordered = inputs.gather(1, outputs.argsort(dim=1))
    rise = ordered.diff(dim=1)
    return bool((rise > 0).all())
