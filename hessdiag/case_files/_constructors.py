"""What a module was called with, as far as it still says so."""

from __future__ import annotations

import inspect

import torch
from torch import nn


def constructor_arguments(module, name):
    """Return keyword arguments that make a module of the same form.

    Whether they do is for the caller to see: a module may keep something else under the name of an
    argument.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    name : str
        What messages call it.

    Returns
    -------
    arguments : dict
        By name.

    Raises
    ------
    ValueError
        If an argument without a default is not kept under its name.
    """
    for kind, read in _KNOWN.items():
        if type(module) is kind:
            return read(module)
    arguments = {}
    of_torch = type(module).__module__.startswith("torch.nn.")
    for parameter in list(inspect.signature(type(module).__init__).parameters.values())[1:]:
        key = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if of_torch and (key in ("device", "dtype") or key.startswith("_")):
            continue
        if key == "bias" and isinstance(parameter.default, bool):
            arguments[key] = getattr(module, "bias", None) is not None
        elif hasattr(module, key):
            arguments[key] = getattr(module, key)
        elif parameter.default is parameter.empty:
            raise ValueError(
                f"Expected a module that says what it was made with, found no attribute {key!r} on "
                f"{name} ({type(module).__name__}). Keep each argument as an attribute of its "
                "name, or pass the class to skorch, and its arguments as module__..."
            )
    return arguments


def _recurrent(*more):
    """How recurrent layers keep their arguments."""
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout")
    names += ("bidirectional", *more)
    return lambda module: {name: getattr(module, name) for name in names}


def _attention(module):
    """How attention keeps its arguments."""
    names = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
    return {name: getattr(module, name) for name in names} | {
        "bias": module.in_proj_bias is not None,
        "add_bias_kv": module.bias_k is not None,
    }


def _transformer_layer(module):
    """How the layers of transformers keep their arguments: in their parts."""
    functions = {torch.nn.functional.gelu: "gelu", torch.nn.functional.relu: "relu"}
    return {
        "d_model": module.self_attn.embed_dim,
        "nhead": module.self_attn.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": functions.get(module.activation, module.activation),
        "layer_norm_eps": module.norm1.eps,
        "batch_first": module.self_attn.batch_first,
        "norm_first": module.norm_first,
        "bias": module.linear1.bias is not None,
    }


def _transformer(module):
    """How stacks of such layers keep their arguments."""
    found = {
        "encoder_layer": module.layers[0],
        "num_layers": module.num_layers,
        "norm": module.norm,
    }
    for name in ("enable_nested_tensor", "mask_check"):
        if hasattr(module, name):
            found[name] = getattr(module, name)
    return found


def _decoder(module):
    """How stacks of decoders keep theirs."""
    return {
        "decoder_layer": module.layers[0],
        "num_layers": module.num_layers,
        "norm": module.norm,
    }


_KNOWN = {
    nn.RNN: _recurrent("nonlinearity"),
    nn.GRU: _recurrent(),
    nn.LSTM: _recurrent("proj_size"),
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoderLayer: _transformer_layer,
    nn.TransformerDecoderLayer: _transformer_layer,
    nn.TransformerEncoder: _transformer,
    nn.TransformerDecoder: _decoder,
}
