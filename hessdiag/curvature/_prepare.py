"""From a fitted net and its data to a problem that is ready for curvature; all faults show here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet, NeuralNetClassifier

from hessdiag.curvature._checked_samples import LEAST_SAMPLES
from hessdiag.curvature._chunk_size import chosen_chunk_size, first_chunk_size
from hessdiag.curvature._coupling import check_uncoupled_net
from hessdiag.curvature._derivative_check import with_checked_derivatives
from hessdiag.curvature._local_curvature import LocalCurvature
from hessdiag.curvature._output_function import OutputFunction
from hessdiag.curvature.containers import plain_containers
from hessdiag.curvature.network import (
    IDENTITY,
    NotSeparableError,
    OutputHessiansTooLargeError,
    Samples,
    Scalar,
    WorkingCopy,
    check_copy,
    check_data,
    check_deterministic,
    check_differentiable,
    check_left_alone,
    check_net,
    check_parameters,
    check_uncoupled_scalar,
    coarsest_precision,
    concatenate,
    draw_seed,
    explain_failure,
    find_link,
    flatten_outputs,
    load_chunks,
    match_floats,
    original_runs,
    run_and_note,
    sample_indices,
    second_derivatives_named,
    select_blocks,
    send_one,
    take,
    tensors_of,
    under_autocast,
)
from hessdiag.curvature.products import LayerScalars

if TYPE_CHECKING:
    import numpy as np

# Samples of which a half is looked at by itself, and by how much the loss of some may differ from
# its share of that of all: weights that follow from a batch's own classes change a little.
LEAST_HALVED, ALIKE = 4, 0.3


def prepare(
    net: NeuralNet,
    X: Any,
    y: Any,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    scalar: str | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    max_memory: float | None = None,
    output: str | int | None = None,
) -> LocalCurvature:
    """Copy a net, load its data, run it once, and check all that can be wrong with either.

    Prepare and use a problem inside ``untouched_surroundings()``.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; it is not changed.
    X, y : as the net's ``fit`` takes them
        Data.
    layers : None, str, sequence of str or dict, default=None
        Names or patterns of the layers, or a dict of block name to names of parameters.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        The net's own loss, a function of its outputs, or functions of the layers' own outputs.
    max_samples : int or None, default=None
        Samples to draw; None takes all.
    batch_size : int or None, default=None
        Samples that pass through the net at once; None takes as many as fit.
    random_state : None, int, RandomState or Generator, default=None
        Seed of that draw.
    device : torch.device, str or None, default=None
        Where to compute; None stays where the net is.
    dtype : torch.dtype, {"float32", "float64"} or None, default=None
        Precision; None takes the net's own, but never a half precision.
    max_memory : float or None, default=None
        Bytes to keep within, as far as chunks of samples can do that.
    output : str, int or None, default=None
        The tensor that the loss is taken of, where the net sends several; None finds it.

    Returns
    -------
    LocalCurvature
        The problem.

    Raises
    ------
    TypeError
        If `net` is no skorch net.
    ValueError
        If the net is not fitted or not finite, the data do not suit it, its outputs differ from one
        forward pass to the next, or a keyword is not what it may be.
    """
    check_net(net)
    X, y = plain_containers(X, y)
    check_data(net, X, y)
    copy = WorkingCopy(net, device=device, dtype=dtype)
    try:
        return _prepared(
            net,
            copy,
            X,
            y,
            layers,
            scalar,
            max_samples,
            batch_size,
            random_state,
            max_memory,
            output,
        )
    except BaseException:
        copy.reset()
        raise


def _prepared(
    net, copy, X, y, layers, scalar, max_samples, batch_size, random_state, max_memory, output
):
    """Check all that takes running the copy, and return the problem."""
    scalar = LayerScalars(copy, scalar) if isinstance(scalar, Mapping) else Scalar(copy, scalar)
    indices = None
    if max_samples is not None:
        n_samples = len(net.get_dataset(X, y))
        indices = sample_indices(n_samples, max_samples, draw_seed(random_state))
    first_size = first_chunk_size(batch_size, max_memory)
    samples = Samples(load_chunks(copy, X, y, indices, first_size))
    # After the data: what is not finite there is no fault of the training.
    check_parameters(net)
    torch.manual_seed(0)
    try:
        collected, order, widths, entries = _run_turned(copy, samples)
    except ValueError as error:
        _check_runs_as_it_is(net, copy, samples.chunks[0], error)
        raise
    check_deterministic(copy, samples.chunks[0], collected[0])
    whole = not isinstance(scalar, LayerScalars)
    precision, own_rounding = _check_copy_on_few(net, copy, samples.chunks[0], whole)
    collected, why_several = _collected_of_one(copy, scalar, samples, collected, output)
    blocks = select_blocks(copy, order, layers)
    if isinstance(scalar, LayerScalars):
        scalar.match(blocks)
    function, why_whole, seen = None, None, None
    try:
        function = _function_of_outputs(
            copy, scalar, blocks, samples, collected, why_several, precision
        )
        with second_derivatives_named():
            function.precision, gradient = check_uncoupled_scalar(function, function.values)
            _check_same_of_some(function, gradient)
    except NotSeparableError as error:
        why_whole = str(error)
        if function is not None:
            function.couples = True
        _check_whole(copy, scalar, samples, why_whole)
        if function is None and not isinstance(scalar, LayerScalars):
            seen = _seen_outputs(copy, scalar, samples, collected)
    else:
        why_whole = None if function.hessians_fit else OutputHessiansTooLargeError.reason
    problem = LocalCurvature(
        working_copy=copy,
        scalar=scalar,
        blocks=blocks,
        widths=widths,
        entries=entries,
        samples=samples,
        output_function=function,
        why_whole=why_whole,
        first_chunk=samples.largest_chunk,
        may_cut=batch_size is None,
        seen=seen,
        precision=precision,
        own_rounding=own_rounding,
    )
    problem = with_checked_derivatives(problem)
    if batch_size is not None:
        return problem
    size = chosen_chunk_size(problem, max_memory)
    if size is None or (size == problem.n_samples and len(samples.chunks) == 1):
        return problem
    return problem.cut(size)


def _run_turned(working_copy, samples):
    """Run all chunks; where how weights lie in memory is in the way, as a module's own do."""
    try:
        return _run_all(working_copy, samples)
    except ValueError:
        if not working_copy.straighten():
            raise
        return _run_all(working_copy, samples)


def _check_runs_as_it_is(net, working_copy, chunk, error):
    """Say so where a net does not run in another precision than its own."""
    cause = error.__cause__
    plain = WorkingCopy(net, device=working_copy.device)
    X = match_floats(chunk.X, plain.dtype)
    runs = plain.dtype != working_copy.dtype
    try:
        plain(X)
    except Exception:
        runs = False
    if not runs:
        message = explain_failure(net, working_copy, chunk.X, cause)
        if message is None or not original_runs(net, chunk.X):
            return
        raise ValueError(message) from error
    check_copy(net, plain, X)
    imposed, remedy = under_autocast(plain, X), "Pass dtype=None to follow the net"
    if imposed is not None:
        cause = f"{cause}; it has a precision of its own, {imposed} under torch.autocast"
        remedy = "Take torch.autocast and casts out of forward"
    raise ValueError(
        f"Expected a net that computes in {working_copy.dtype}, found that it runs in "
        f"{plain.dtype} alone: {cause}. {remedy}."
    ) from error


def _check_copy_on_few(net, working_copy, chunk, whole):
    """Compare the copy with its original on the first samples, where these can be run alone.

    Return the coarsest precision that outputs go through, and by how much rounding moves those of
    the original.
    """
    X = take(chunk.X, slice(0, min(2, chunk.n_samples)))
    try:
        with torch.no_grad():
            working_copy(X)
    except (TypeError, RuntimeError, ValueError, IndexError):
        X = chunk.X
    check_left_alone(net, working_copy, X)
    check_differentiable(working_copy, X, whole)
    own_rounding = check_copy(net, working_copy, X)
    precision, _ = coarsest_precision(working_copy.dtype, lambda: working_copy(X))
    return precision, own_rounding


def _run_all(working_copy, samples):
    """Run all chunks; return their outputs, names in call order, widths and entries by name."""
    collected, order, widths, entries = [], [], {}, {}
    for chunk in samples.chunks:
        try:
            outputs, called, sent_widths, sent = run_and_note(working_copy, chunk)
        except Exception as error:
            given = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(chunk.X))
            remedy = "Pass X as to the net's own predict."
            if isinstance(chunk.X, dict) and isinstance(error, TypeError):
                remedy = (
                    "Columns of a frame, and entries of a dict, go to forward as arguments of "
                    "these names: pass X.to_numpy() where the net was fitted on an array."
                )
            raise ValueError(
                f"Expected X that the net can take, found a batch of {given or type(chunk.X)}: "
                f"{type(error).__name__}: {error}. {remedy}"
            ) from error
        collected.append(outputs)
        order += [name for name in called if name not in widths]
        widths.update(sent_widths)
        entries.update(sent)
    return collected, order, widths, entries


def _collected_of_one(working_copy, scalar, samples, collected, output):
    """Return what the net sends once it sends one tensor alone, and why it does not."""
    if not isinstance(scalar, LayerScalars):
        return send_one(working_copy, scalar, samples, collected, output)
    if output is not None:
        raise ValueError(
            "Expected output to stay None where scalar is a mapping of layers' own functions, "
            f"found output={output!r}. Leave it out: each function is given its layer's output."
        )
    return collected, None


def _function_of_outputs(working_copy, scalar, blocks, samples, collected, why_several, precision):
    """Return the scalar as an `OutputFunction`, or raise `NotSeparableError` with the reason."""
    if isinstance(scalar, LayerScalars):
        raise NotSeparableError("each layer has a function of its own output")
    if not all(isinstance(outputs, torch.Tensor) for outputs in collected):
        raise NotSeparableError(why_several or "the module returns more than one tensor")
    if any(outputs.is_complex() for outputs in collected):
        raise NotSeparableError("the outputs are complex numbers")
    outputs = concatenate(collected)
    if outputs is None or samples.y is None or outputs.ndim == 0:
        raise NotSeparableError("the batches cannot be joined")
    value = scalar.check(outputs, samples.y, samples.X)
    if len(outputs) != samples.n_samples:
        raise NotSeparableError("the outputs do not have one row per sample")
    if value.requires_grad and _reaches_parameters(value, blocks):
        raise NotSeparableError("the loss depends on parameters directly")
    check_uncoupled_net(working_copy, samples.chunks[0], collected[0], precision)
    _check_taken_of_few(scalar, samples, outputs)
    return _linked(working_copy, scalar, samples, outputs)


def _linked(working_copy, scalar, samples, outputs, couples=False):
    """Return the scalar as a function of outputs in the coordinates that are examined."""
    link = IDENTITY
    if scalar.is_loss:
        takes_log = isinstance(working_copy.net, NeuralNetClassifier)
        link = find_link(scalar.criterion, outputs, takes_log)
    values = link.forward(outputs.detach().double())
    return OutputFunction(working_copy, scalar, link, values, samples, couples)


def _seen_outputs(working_copy, scalar, samples, collected):
    """Return the scalar as a function of outputs that are no function of each sample alone.

    Errors are known of them nevertheless. None where there is no row per sample.
    """
    if not all(isinstance(sent, torch.Tensor) and not sent.is_complex() for sent in collected):
        return None
    outputs = concatenate(collected)
    if outputs is None or outputs.ndim == 0 or len(outputs) != samples.n_samples:
        return None
    return _linked(working_copy, scalar, samples, outputs, couples=True)


def _reaches_parameters(value, blocks):
    """Say whether a loss of detached outputs still depends on parameters of layers."""
    parameters = [p for block in blocks for p in block.parameters]
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return any(gradient is not None for gradient in gradients)


def _check_taken_of_few(scalar, samples, outputs):
    """Check that the scalar can be taken of a few samples, as those are that work is done on."""
    few = slice(0, min(LEAST_SAMPLES, samples.n_samples))
    try:
        X = None if samples.X is None else take(samples.X, few)
        with torch.no_grad():
            scalar(outputs[few].detach(), take(samples.y, few), X)
    except Exception:
        raise NotSeparableError("the loss cannot be taken of a few samples alone") from None


def _check_same_of_some(function, gradient):
    """Check that the scalar of some samples is a part of that of all, but for a factor.

    So it is not where a loss has weights of its own for samples, by their place in a batch.
    """
    n = function.samples.n_samples
    if n < LEAST_HALVED:
        return
    some = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: n // 2]
    some = some.to(gradient.device)
    found = function.take(function.samples.take(some), some).products.residuals
    expected = flatten_outputs(gradient)[some]
    # By the largest, as squares may be too large or small for float64.
    found, expected = (t / t.abs().max().clamp(min=1e-300) for t in (found, expected))
    factor = (found * expected).sum() / expected.square().sum().clamp(min=1e-300)
    if bool((found - factor * expected).norm() > ALIKE * found.norm()):
        raise NotSeparableError(
            "the loss weighs samples by their place in a batch, or by what else is in it"
        )


def _check_whole(working_copy, scalar, samples, reason):
    """Check that the scalar can be taken of all samples at once, as a function of parameters."""
    if samples.X is None or samples.y is None:
        raise ValueError(
            "Expected batches that can be joined, found batches of different shapes, and a "
            f"scalar that needs all samples at once ({reason}). Pass batch_size=None."
        ) from None
    if not isinstance(scalar, LayerScalars):
        with torch.no_grad():
            scalar.check(working_copy(samples.X), samples.y, samples.X)
