"""Functions of layers' own outputs: what each layer's parameters do to what that layer sends.

Each layer is run once more on its own, with what it received in one forward pass of the net; its
function of what it then sends is differentiated in its own parameters. So the layers' Hessians know
nothing of each other, and hold no more of the net's graph than the layer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network import (
    Block,
    WorkingCopy,
    hooked,
    is_irregular,
    match_floats,
    matches,
    owner_of,
    tensors_of,
)
from hessdiag.curvature.products._hessian_products import HessianProducts

if TYPE_CHECKING:
    from hessdiag.curvature.products._problem import Problem


class LayerScalars:
    """One function (output, y) -> 0-d tensor for each layer, by its name or a pattern.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    functions : mapping of str to callable
        Functions (output, y) -> 0-d tensor, by names or patterns of layers.

    Raises
    ------
    ValueError
        If the mapping is empty, or holds something else.
    """

    is_loss, criterion = False, None
    name = "a function of each layer's own output"

    def __init__(
        self, working_copy: WorkingCopy, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.working_copy = working_copy
        self.functions = {name: working_copy.bound(f) for name, f in dict(functions).items()}
        if not self.functions:
            raise ValueError(
                "Expected a function of its own output for every layer, found an empty mapping as "
                "scalar. Pass {layer name or pattern: callable (output, y) -> 0-d tensor}."
            )
        for pattern, function in self.functions.items():
            if not isinstance(pattern, str) or not callable(function):
                raise ValueError(
                    "Expected scalar as a mapping of layer names or patterns to callables "
                    f"(output, y) -> 0-d tensor, found {pattern!r}: {function!r}. Pass such a "
                    "mapping."
                )

    def match(self, blocks: Sequence[Block]) -> None:
        """Choose every block's function: by its name, or by the first pattern that matches.

        Parameters
        ----------
        blocks : sequence of Block
            The layers.

        Raises
        ------
        ValueError
            If a name or pattern matches none of them, or one is left without a function.
        """
        names = [block.name for block in blocks]
        listed = ", ".join(names)
        for pattern in self.functions:
            if not any(matches(name, pattern) for name in names):
                raise ValueError(
                    f"Expected layer names or patterns that match in scalar, found {pattern!r}, "
                    f"which matches none of the layers examined: {listed}. Use one of these names, "
                    "or a pattern such as '*'."
                )
        self.chosen = {}
        for name in names:
            fitting = [p for p in self.functions if matches(name, p)]
            if fitting:
                self.chosen[name] = self.functions[name if name in fitting else fitting[0]]
        missing = [name for name in names if name not in self.chosen]
        if missing:
            raise ValueError(
                "Expected a function of its own output for every layer examined, found none in "
                f"scalar for {', '.join(missing)}. Name them, add the pattern '*' for all others, "
                "or leave them out with layers=[...]."
            )

    def products(self, problem: Problem, blocks: Sequence[Block]) -> LayerProducts:
        """Return products with every block's Hessian of its function, from one forward pass.

        Parameters
        ----------
        problem : LocalCurvature
            What is to be computed with.
        blocks : sequence of Block
            The layers.

        Returns
        -------
        LayerProducts
            Its method ``products`` multiplies {name: vectors (k, p)}.

        Raises
        ------
        ValueError
            If a layer has no output of its own, or its function fails.
        """
        owners = {block.name: self._module_of(block, problem.widths) for block in blocks}
        calls = _record_calls(self.working_copy, owners.values(), problem.X)
        scalars = {}
        for block in blocks:
            module = owners[block.name]
            scalar = _LayerScalar(
                block.name, module, calls[id(module)], self.chosen[block.name], problem
            )
            scalar.check()
            scalars[block.name] = scalar
        named = {block.name: block for block in blocks}
        return LayerProducts(named, scalars, problem.keeps_derivatives)

    def _module_of(self, block, called):
        """Find the module whose output counts as a block's: the smallest called that holds it."""
        modules = self.working_copy.modules_by_name()
        owners = [owner_of(name).split(".") for name in block.parameter_names]
        common = []
        for parts in zip(*owners):
            if len(set(parts)) > 1:
                break
            common.append(parts[0])
        while common and ".".join(common) not in called:
            common.pop()
        name = ".".join(common)
        if name not in modules or name not in called:
            raise ValueError(
                f"Expected a layer with an output of its own, found that no one module holds all "
                f"parameters of {block.name!r} and is called in the forward pass. Leave it out "
                "with layers=[...], or pass one function of the net's output as scalar."
            )
        return modules[name]


class LayerProducts:
    """Products with the Hessians of several layers, each of a function of its own.

    It has what spectra are computed with of `HessianProducts`.

    Parameters
    ----------
    blocks : mapping of str to Block
        The layers, by name.
    scalars : mapping of str to object
        Their functions, as `LayerScalars` makes them.
    keeps_derivatives : bool, default=True
        Whether smooth functions are recorded with derivatives that are kept.
    """

    # Layers share nothing.
    records_anew = False

    def __init__(
        self,
        blocks: Mapping[str, Block],
        scalars: Mapping[str, _LayerScalar],
        keeps_derivatives: bool = True,
    ) -> None:
        self.blocks = blocks
        self.scalars = scalars
        self.keeps_derivatives = keeps_derivatives
        self._kept: dict[str, HessianProducts] = {}

    def products(self, vectors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return {name: H v} for {name: v of shape (k, p)}.

        Parameters
        ----------
        vectors : mapping of str to Tensor of shape (k, p)
            Vectors in the parameters of some blocks, by name.

        Returns
        -------
        dict of str to Tensor of shape (k, p)
            Their images.
        """
        images = {}
        for name, v in vectors.items():
            if name not in self._kept:
                self._kept[name] = self._of(name)
            images[name] = self._kept[name].products({name: v})[name]
        return images

    def dense(self, name: str, batch_size: int = 64) -> torch.Tensor:
        """Return the Hessian (p, p) of one block, some columns at once.

        Parameters
        ----------
        name : str
            The block.
        batch_size : int, default=64
            Columns that are taken at once.

        Returns
        -------
        Tensor of shape (p, p)
            The matrix, made symmetric.
        """
        return self._of(name).dense(name, batch_size)

    def _of(self, name):
        """Set up products with one block's Hessian."""
        return HessianProducts(
            self.scalars[name].shares(), [self.blocks[name]], self.keeps_derivatives
        )


class _LayerScalar:
    """The function of one layer's output, summed over the layer's calls."""

    def __init__(self, name, module, calls, function, problem):
        self.name = name
        self.module = module
        self.calls = calls
        self.function = function
        self.y = problem.y
        self.n_samples = problem.n_samples
        self.offsets = problem.offsets

    def check(self):
        """Evaluate once, and check that the result is one number."""
        with torch.no_grad():
            value = self.whole()
        if not isinstance(value, torch.Tensor) or value.ndim:
            found = (
                f"a tensor of shape {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else f"an object of type {type(value).__name__}"
            )
            raise ValueError(
                f"Expected a function that is one number (a 0-d tensor) for layer {self.name!r}, "
                f"found {found}. Reduce it, for example by .mean() or .sum()."
            )

    def whole(self):
        """Evaluate on all samples at once."""
        return sum(self._evaluate(output) for output in self.sent())

    def sent(self):
        """List what the layer sends, call by call."""
        return [self.module(*args, **kwargs) for args, kwargs in self.calls]

    def shares(self):
        """List scalars whose Hessians add up to that of the whole: by chunks where that is so."""
        if len(self.offsets) <= 2:
            return [self.whole]
        with torch.no_grad():
            sent = self.sent()
        if not all(self._is_separable(output) for output in sent):
            return [self.whole]
        rows = [slice(i, j) for i, j in zip(self.offsets, self.offsets[1:])]
        if not all(self._runs_alone(output, rows) for output in zip(self.calls, sent)):
            return [self.whole]
        return [lambda part=part: self._share(part, sent) for part in rows]

    def _evaluate(self, output):
        """Apply the function; say what it was given where it fails."""
        targets = match_floats(self.y, tensors_of(output)[0].dtype)
        try:
            return self.function(output, targets)
        except Exception as error:
            given = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(output))
            targets = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(self.y))
            raise ValueError(
                f"Expected a function that can take the output of layer {self.name!r}, found "
                f"outputs {given} with targets {targets or type(self.y).__name__}: "
                f"{type(error).__name__}: {error}. Mend the function given as scalar."
            ) from error

    def _share(self, part, sent):
        """Evaluate as a function of what is sent for some samples, all others held fixed."""
        total = 0.0
        for (args, kwargs), output in zip(self.calls, sent):
            live = self._run_part(args, kwargs, part)
            total = total + self._evaluate(
                torch.cat([output[: part.start], live, output[part.stop :]])
            )
        return total

    def _run_part(self, args, kwargs, part):
        """Run the layer on some samples."""
        return self.module(
            *_rows(args, part, self.n_samples), **_rows(kwargs, part, self.n_samples)
        )

    def _runs_alone(self, call_and_output, rows):
        """Say whether what the layer sends for some samples does not depend on the others."""
        (args, kwargs), output = call_and_output
        tolerance = 1e-8 if output.dtype == torch.float64 else 1e-3
        with torch.no_grad():
            for part in rows:
                try:
                    alone = self._run_part(args, kwargs, part)
                except (TypeError, RuntimeError, ValueError, IndexError):
                    return False
                if not isinstance(alone, torch.Tensor) or alone.shape != output[part].shape:
                    return False
                if (alone - output[part]).norm() > tolerance * (1e-30 + alone.norm()):
                    return False
        return True

    def _is_separable(self, output):
        """Say whether the function's second derivatives between chunks vanish."""
        if not isinstance(output, torch.Tensor) or len(output) != self.n_samples:
            return False
        leaf = output.detach().clone().requires_grad_(True)
        value = self._evaluate(leaf)
        if not value.requires_grad:
            return True
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        if not gradient.requires_grad:
            return True
        probe = torch.randn(leaf.shape, dtype=leaf.dtype, device=leaf.device)
        (full,) = torch.autograd.grad(gradient, leaf, probe, retain_graph=True)
        difference = 0.0
        for start, stop in zip(self.offsets, self.offsets[1:]):
            part = torch.zeros_like(probe)
            part[start:stop] = probe[start:stop]
            (own,) = torch.autograd.grad(gradient, leaf, part, retain_graph=True)
            difference += float((own[start:stop] - full[start:stop]).square().sum())
        tolerance = 1e-9 if leaf.dtype == torch.float64 else 1e-5
        return difference**0.5 <= tolerance * (1e-30 + float(full.norm()))


def _record_calls(working_copy, modules, X):
    """Run the net once; return {id of module: list of (args, kwargs) it was called with}."""
    calls = {}

    def record(module, args, kwargs):
        if is_irregular((args, kwargs)):
            raise ValueError(
                "Expected layers that are called with whole batches, found that a "
                f"{type(module).__name__} is called within torch.func (vmap, grad, jvp), or with a "
                "nested tensor. Pass as scalar one function of the net's output, not a mapping."
            )
        # Copies: what was received may be worked on in place later.
        calls.setdefault(id(module), []).append((_copied(args), _copied(kwargs)))

    with hooked(modules, before=record), torch.no_grad():
        working_copy(X)
    return calls


def _copied(tree):
    """Copy the tensors of a tree."""
    return _mapped(tree, lambda tensor: tensor.detach().clone())


def _rows(tree, part, n_samples):
    """Take some rows of those tensors of a tree that have one per sample."""
    return _mapped(
        tree, lambda tensor: tensor[part] if tensor.ndim and len(tensor) == n_samples else tensor
    )


def _mapped(tree, function):
    """Apply a function to all tensors of nested mappings, lists and tuples."""
    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: _mapped(value, function) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_mapped(value, function) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(_mapped(value, function) for value in tree)
    return tree
