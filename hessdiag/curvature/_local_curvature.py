"""All layers' curvature of one net on one data set: the meeting point of everything in this package."""

from __future__ import annotations

import torch

from hessdiag.curvature._blocks import select_blocks
from hessdiag.curvature._capture import capture_factors, forward_order
from hessdiag.curvature._checks import check_data, check_net, check_parameters
from hessdiag.curvature._data import concatenate, load_chunks, sample_indices, take
from hessdiag.curvature._factors import DenseFactor, OuterFactor
from hessdiag.curvature._hessian_products import HessianProducts
from hessdiag.curvature._links import IDENTITY, find_link
from hessdiag.curvature._outputs import NotSeparableError, flatten_outputs, output_curvature
from hessdiag.curvature._working_copy import WorkingCopy

__all__ = ["LocalCurvature"]


class LocalCurvature:
    """Layers, outputs and data of a net, ready for factors, Gauss-Newton and Hessian products.

    Build it inside ``untouched_surroundings()``. `outputs` is None where the scalar is no function
    of each sample's outputs alone; `why_whole` then says why, and only Hessian products are to be had.
    """

    def __init__(
        self,
        net,
        X,
        y,
        layers=None,
        scalar="loss",
        max_samples=None,
        batch_size=None,
        random_state=None,
        device=None,
        dtype=None,
        max_gram_size=None,
    ):
        check_net(net)
        check_data(net, X, y)
        check_parameters(net)
        if isinstance(scalar, str) and scalar != "loss" or not isinstance(scalar, str) and not (
            callable(scalar)
        ):
            raise ValueError(
                f"Expected scalar='loss' or a callable (output, y) -> 0-d tensor, found {scalar!r}."
            )
        self.working_copy = WorkingCopy(net, device=device, dtype=dtype)
        indices = None
        if max_samples is not None:
            indices = sample_indices(len(net.get_dataset(X, y)), max_samples, random_state)
        self.scalar = scalar
        self.link = IDENTITY
        self._hold(load_chunks(self.working_copy, X, y, indices, batch_size))
        self._look(layers)

    def _hold(self, chunks):
        """Take these chunks as the data."""
        self.chunks = chunks
        self.n_samples = sum(chunk.n_samples for chunk in chunks)
        self._offsets = [0]
        for chunk in chunks:
            self._offsets.append(self._offsets[-1] + chunk.n_samples)
        self.y = concatenate([chunk.y for chunk in chunks])
        self.X = concatenate([chunk.X for chunk in chunks])

    def _look(self, layers):
        """Run the net forward; find outputs, layers, loss, and whether samples are separate."""
        torch.manual_seed(0)
        collected, order = [], []
        for chunk in self.chunks:
            outputs, called = forward_order(self.working_copy, chunk)
            collected.append(outputs)
            order += [name for name in called if name not in order]
        self.blocks = select_blocks(self.working_copy, order, layers)
        self.outputs, self.why_whole = None, None
        self._check_deterministic(collected[0])
        try:
            self.outputs = self._decompose(collected)
        except NotSeparableError as error:
            self.why_whole = str(error)
            value = self._whole_scalar()
            if not isinstance(value, torch.Tensor) or value.ndim:
                raise ValueError(_not_scalar(value)) from None
            self.loss = float(value.detach())
        else:
            self.loss = self.outputs.loss

    def _decompose(self, collected):
        """Differentiate the scalar twice in the outputs alone, or say why that is not enough."""
        if not all(isinstance(outputs, torch.Tensor) for outputs in collected):
            raise NotSeparableError("the module returns more than one tensor")
        outputs = concatenate(collected)
        if outputs is None or outputs.ndim == 0 or len(outputs) != self.n_samples:
            raise NotSeparableError("the outputs do not have one row per sample")
        self._check_uncoupled(collected[0])
        if self.scalar == "loss":
            criterion = getattr(self.working_copy.net, "criterion_", None)
            takes_log = hasattr(self.working_copy.net, "classes_inferred_") or _takes_log(
                self.working_copy.net
            )
            self.link = find_link(criterion, outputs, takes_log)
        self._check_no_direct_path(outputs)
        self.output_shape = outputs.shape
        leaf = self.link.forward(outputs.detach().double())
        try:
            with self.working_copy.criterion_in(torch.float64):
                return output_curvature(lambda z: self._scalar(self.link.inverse(z)), leaf)
        except (RuntimeError, TypeError):
            leaf = self.link.forward(outputs.detach())
            return output_curvature(
                lambda z: self._scalar(self.link.inverse(z).to(outputs.dtype)), leaf
            )

    def _scalar(self, outputs):
        """Evaluate the scalar on given outputs of all samples."""
        y = _match_floats(self.y, outputs) if outputs is not None else self.y
        return self._evaluate(outputs, y, self.X)

    def _evaluate(self, outputs, y, X):
        """Evaluate the loss or the callable; say what is wrong where it cannot be evaluated."""
        try:
            if self.scalar == "loss":
                return self.working_copy.loss(outputs, y, X)
            return self.scalar(outputs, y)
        except Exception as error:
            raise type(error)(*error.args) if _is_ours(error) else _criterion_error(
                self, outputs, y, error
            ) from error

    def _whole_scalar(self):
        """Evaluate the scalar on all samples at once, as a function of the parameters."""
        if self.X is None or self.y is None:
            raise ValueError(
                "Expected batches that can be joined, found batches of different shapes, and a "
                f"scalar that needs all samples at once ({self.why_whole}). Pass batch_size=None."
            )
        return self._evaluate(self.working_copy(self.X), self.y, self.X)

    def _check_no_direct_path(self, outputs):
        """Refuse to treat a scalar that sees the parameters past the outputs as one of outputs."""
        value = self._scalar(outputs.detach())
        if not isinstance(value, torch.Tensor) or value.ndim:
            raise ValueError(_not_scalar(value))
        if value.requires_grad:
            parameters = list(self.working_copy.parameters())
            parameters = [p for p in parameters if p.requires_grad]
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
            if any(g is not None for g in gradients):
                raise NotSeparableError("the loss depends on parameters directly")

    def _check_uncoupled(self, outputs):
        """Compare the first samples on their own with the same samples in their chunk."""
        chunk = self.chunks[0]
        if chunk.n_samples < 2:
            return
        n = min(2, chunk.n_samples - 1)
        try:
            with torch.no_grad():
                alone = self.working_copy(take(chunk.X, slice(0, n)))
        except (TypeError, RuntimeError, ValueError):
            raise NotSeparableError("the net cannot be run on single samples") from None
        if alone.shape != outputs[:n].shape:
            raise NotSeparableError("the outputs of one sample depend on the others")
        tolerance = 1e-8 if outputs.dtype == torch.float64 else 1e-3
        if (alone - outputs[:n]).norm() > tolerance * (1e-30 + outputs.norm()):
            raise NotSeparableError("the outputs of one sample depend on the others")

    def _check_deterministic(self, outputs):
        """Run the first chunk again; name what made the difference where there is one."""
        with torch.no_grad():
            again = self.working_copy(self.chunks[0].X)
        first = [t for t in _flat(outputs) if t.is_floating_point()]
        second = [t for t in _flat(again) if t.is_floating_point()]
        if all(torch.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True) for a, b in zip(first, second)):
            return
        raise ValueError(
            "Expected the same outputs from two forward passes in evaluation mode, found "
            f"different ones; the first layer that differs is {self._name_culprit()}. Make it "
            "respect module.eval(), for example dropout(x, training=self.training)."
        )

    def _name_culprit(self):
        """Find the first module that sends something different on equal input."""
        seen = [[], []]
        names = {id(m): n or type(m).__name__ for n, m in self.working_copy.modules_by_name().items()}
        for run in seen:
            handles = [
                module.register_forward_hook(
                    lambda m, args, out, run=run: run.append(
                        (names[id(m)], type(m).__name__, [t.clone() for t in _flat(out)])
                    )
                )
                for module in self.working_copy.modules()
                if module is not self.working_copy
            ]
            with torch.no_grad():
                self.working_copy(self.chunks[0].X)
            for handle in handles:
                handle.remove()
        for (name, kind, a), (_, _, b) in zip(*seen):
            if any(not torch.equal(s, t) for s, t in zip(a, b)):
                return f"{name!r} ({kind})"
        return "outside of all modules (the net's infer)"

    def outputs_of(self, X):
        """Map inputs to outputs (n, D) in the coordinates that are examined."""
        return flatten_outputs(self.link.forward(self.working_copy(X)))

    @property
    def n_outputs(self):
        """Count the outputs per sample."""
        return self.outputs.outputs.shape[1]

    def factors(self, weighted=False):
        """Build every block's Jacobian factor; `weighted` applies the output factors B' to it."""
        parts = {block.name: [] for block in self.blocks}
        for chunk, start in zip(self.chunks, self._offsets):
            weights = None
            if weighted:
                weights = self.outputs.factors[start : start + chunk.n_samples]
            built, _ = capture_factors(
                self.working_copy, chunk, self.blocks, self.outputs_of, weights
            )
            for name, factor in built.items():
                parts[name].append(factor)
        return {name: _join(pieces) for name, pieces in parts.items()}

    def residual_products(self):
        """Return products with sum_n r_n . d2 z_n, the part of the Hessian beyond Gauss-Newton."""
        scalars = []
        for chunk, start in zip(self.chunks, self._offsets):
            residuals = self.outputs.residuals[start : start + chunk.n_samples]
            residuals = residuals.to(self.working_copy.dtype)
            scalars.append(
                lambda X=chunk.X, r=residuals: (self.outputs_of(X) * r).sum()
            )
        return HessianProducts(scalars, self.blocks)

    def whole_products(self):
        """Return products with the Hessian of the scalar on all samples at once."""
        return HessianProducts([self._whole_scalar], self.blocks)


def _join(pieces):
    """Join the factors of all chunks."""
    if len(pieces) == 1:
        return pieces[0]
    kind = type(pieces[0])
    if kind is OuterFactor and all(type(piece) is kind for piece in pieces):
        return OuterFactor.concatenate(pieces)
    return DenseFactor.concatenate([DenseFactor(piece.dense()) for piece in pieces])


def _takes_log(net):
    """Say whether the net's get_loss takes the logarithm of what the module returns."""
    from skorch import NeuralNetClassifier

    return isinstance(net, NeuralNetClassifier)


def _match_floats(y, outputs):
    """Bring floating targets to the dtype of the outputs."""
    if isinstance(y, torch.Tensor) and y.is_floating_point():
        return y.to(outputs.dtype)
    if isinstance(y, dict):
        return {key: _match_floats(value, outputs) for key, value in y.items()}
    if isinstance(y, (list, tuple)):
        return type(y)(_match_floats(value, outputs) for value in y)
    return y


def _flat(tree):
    """List the tensors of an output, whatever its nesting."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [t for value in tree.values() for t in _flat(value)]
    if isinstance(tree, (list, tuple)):
        return [t for value in tree for t in _flat(value)]
    return []


def _not_scalar(value):
    """Say that the loss is not one number."""
    found = (
        f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, torch.Tensor)
        else f"an object of type {type(value).__name__}"
    )
    return (
        f"Expected a loss that is one number (a 0-d tensor), found {found}. Reduce it, for example "
        "with criterion__reduction='mean'."
    )


def _is_ours(error):
    """Say whether an error already tells what to do."""
    return isinstance(error, NotSeparableError)


def _criterion_error(problem, outputs, y, error):
    """Wrap the criterion's own error with what it was given."""
    criterion = getattr(problem.working_copy.net, "criterion_", None)
    name = type(criterion).__name__ if problem.scalar == "loss" else "scalar"
    given = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in _flat(outputs))
    targets = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in _flat(y)) or type(y).__name__
    return ValueError(
        f"Expected targets that {name} can take, found outputs {given} with targets {targets}: "
        f"{error}. Class indices are due as int64, class probabilities and regression targets as "
        "floats in the shape of the outputs."
    )
