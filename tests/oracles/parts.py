"""The parts of a problem one by one, made by hand, and dense derivatives to compare them with."""

from types import SimpleNamespace

import torch
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from hessdiag.curvature.network import WorkingCopy, flatten_outputs, load_chunks, select_blocks


def copy_of(module, dtype="float64", net_class=NeuralNet, **settings):
    """Return the working copy of a module that is wrapped as a net."""
    settings.setdefault("criterion", nn.MSELoss)
    net = net_class(module, train_split=None, verbose=0, **settings).initialize()
    return WorkingCopy(net, dtype=dtype)


def classifier_of(module, **settings):
    """Return an initialized classifier by cross-entropy."""
    settings.setdefault("criterion", nn.CrossEntropyLoss)
    return NeuralNetClassifier(module, train_split=None, verbose=0, **settings).initialize()


def parts_of(module, X, y=None, layers=None, batch_size=None):
    """Return a module's working copy in float64, chunks of data, layers as registered, outputs."""
    copy = copy_of(module)
    chunks = load_chunks(copy, X, torch.zeros(len(X)) if y is None else y, batch_size=batch_size)
    blocks = select_blocks(copy, list(copy.modules_by_name()), layers)
    return SimpleNamespace(
        copy=copy,
        chunks=chunks,
        blocks=blocks,
        outputs_of=lambda x: flatten_outputs(copy(x)),
    )


def jacobians_of(parts):
    """Return {block: dense Jacobian (N, D, p)} by `torch.func.jacrev`, all samples at once."""
    X = torch.cat([chunk.X for chunk in parts.chunks])
    return {b.name: _by_block(parts, b, torch.func.jacrev, X) for b in parts.blocks}


def _by_block(parts, block, differentiate, X):
    """Differentiate the outputs in one block's parameters, tied ones under all their names."""
    names = {}
    for name, parameter in parts.copy.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)

    def outputs(values):
        swapped = {name: v for p, v in zip(block.parameters, values) for name in names[id(p)]}
        return flatten_outputs(
            torch.func.functional_call(parts.copy, swapped, (X,), tie_weights=False)
        )

    values = tuple(p.detach() for p in block.parameters)
    return torch.cat([j.flatten(2) for j in differentiate(outputs)(values)], dim=2).detach()


def joint_hessian(value, blocks):
    """Return {(row, column): dense Hessian (p, q)} of a 0-d tensor, entry by entry."""
    parameters = [p for block in blocks for p in block.parameters]
    gradients = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
    flat = torch.cat([_filled(g, p) for g, p in zip(gradients, parameters)])
    rows = []
    for entry in flat:
        row = [None] * len(parameters)
        if entry.requires_grad:
            row = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([_filled(r, p) for r, p in zip(row, parameters)]))
    sizes, names = [block.n_params for block in blocks], [block.name for block in blocks]
    strips = torch.stack(rows).detach().split(sizes)
    return {
        (a, b): part
        for a, strip in zip(names, strips)
        for b, part in zip(names, strip.split(sizes, 1))
    }


def _filled(tensor, parameter):
    """Flatten a derivative, that of what is not used being zero."""
    return (torch.zeros_like(parameter) if tensor is None else tensor).reshape(-1)
