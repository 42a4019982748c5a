"""Advice in a net's own parameters: what `set_params` takes to do it."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from sklearn.base import clone

# As measured on the zoo: from none to what the strongest decay there is, for each kind of decay.
_DECAY_FROM_NONE = 0.1
_L2_FROM_NONE = 1e-3
_TENFOLD = 10

# The share of the epochs that is left where a net is to stop earlier.
_STOP_SHARE = 0.2


def changed_settings(net: Any, change: dict[str, Any]) -> dict[str, Any]:
    """Say a change in parameters of a net.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net, fitted or not; it is not changed.
    change : dict
        As in `hessdiag.diagnosis.Recommendation`: ``width_factor``, ``weight_decay``,
        ``stop_earlier`` or ``train_longer``; empty for none.

    Returns
    -------
    settings : dict of str to object
        Keywords for ``net.set_params``. Weight decay becomes tenfold. From none, AdamW gets a decay
        of 0.1; Adam, whose own `weight_decay` is an L2 penalty that its step sizes distort, is
        replaced by AdamW; other optimizers get an L2 penalty of 0.001. Stopping earlier leaves a
        fifth of the epochs. A width is a whole number that the net gives to its module, and that
        scales what is inside of it while inputs, outputs and depth stay; that is tried out.

    Raises
    ------
    ValueError
        If no parameter of the net does this, or the change is not known.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from hessdiag.cases import changed_settings
    >>> net = NeuralNetClassifier(torch.nn.Linear, optimizer=torch.optim.AdamW, max_epochs=200)
    >>> changed_settings(net, {"stop_earlier": True})
    {'max_epochs': 40}
    >>> changed_settings(net, {"weight_decay": "increase"})
    {'optimizer__weight_decay': 0.1}
    """
    if not change:
        return {}
    if "weight_decay" in change:
        return _more_decay(net)
    if "train_longer" in change:
        return {"max_epochs": round(change["train_longer"] * _epochs(net))}
    if "stop_earlier" in change:
        epochs = _epochs(net)
        if epochs < 2:
            raise ValueError(
                f"Expected a net of several epochs, to stop earlier, found {epochs}. Take fewer "
                "steps within the epoch, or fewer samples."
            )
        return {"max_epochs": max(1, math.ceil(_STOP_SHARE * epochs))}
    if "width_factor" in change:
        return _other_width(net, change["width_factor"])
    raise ValueError(
        f"Expected one of width_factor, weight_decay, stop_earlier and train_longer, found "
        f"{', '.join(map(str, change))}. Take the change of a report's recommendation."
    )


def changed_net(net: Any, change: dict[str, Any]) -> Any:
    """Make an unfitted copy of a net with a change made.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net; it is not changed.
    change : dict
        As for `changed_settings`.

    Returns
    -------
    changed : skorch.NeuralNet
        An unfitted clone.

    Raises
    ------
    ValueError
        As for `changed_settings`.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from hessdiag.cases import changed_net
    >>> net = NeuralNetClassifier(torch.nn.Linear, max_epochs=10)
    >>> changed_net(net, {"train_longer": 4}).max_epochs
    40
    """
    settings = changed_settings(net, change)
    return clone(net).set_params(**settings)


def _epochs(net):
    """Epochs of the last training, or those it is set to."""
    trained = len(getattr(net, "history_", None) or ())
    return trained or net.max_epochs


def _more_decay(net):
    """Tenfold, or from none what suits the optimizer; of all groups that have one."""
    kind = net.optimizer
    own = net.get_params_for("optimizer")
    named = {key: value for key, value in own.items() if key != "weight_decay"}
    default = inspect.signature(kind).parameters
    if "weight_decay" not in default:
        raise ValueError(
            f"Expected an optimizer with weight_decay, found {kind.__name__}. Use AdamW."
        )
    decoupled = issubclass(kind, torch.optim.AdamW) or named.get("decoupled_weight_decay", False)
    now = own.get("weight_decay", default["weight_decay"].default)
    if any(f"param_groups[{i}]" in key for i in range(9) for key in named) or "param_groups" in own:
        raise ValueError(
            "Expected one weight decay for all parameters, found groups of parameters. Multiply "
            "the weight_decay of each group by ten."
        )
    if now > 0:
        return {"optimizer__weight_decay": float(f"{_TENFOLD * now:.6g}")}
    if issubclass(kind, torch.optim.Adam) and not decoupled:
        return {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": _DECAY_FROM_NONE}
    return {"optimizer__weight_decay": _DECAY_FROM_NONE if decoupled else _L2_FROM_NONE}


def _other_width(net, factor):
    """The parameters of the module that scale its insides by this factor, found by trying."""
    none = ValueError(
        f"Expected a net whose width is a parameter of its module, found "
        f"{getattr(net.module, '__name__', type(net.module).__name__)}. Multiply the width of its "
        f"hidden layers by {factor:g} where the module is defined, or make the width a keyword of "
        "its class."
    )
    if not inspect.isclass(net.module):
        raise none
    given = net.get_params_for("module")
    try:
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(net.module).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        before = _shapes(net.module, given)
        for name, value in (defaults | given).items():
            scaled = _scaled(value, factor)
            if scaled is None or scaled == value:
                continue
            after = _shapes(net.module, given | {name: scaled})
            if _is_wider(before, after, factor > 1):
                return {f"module__{name}": scaled}
    except (TypeError, ValueError, RuntimeError) as error:
        raise none from error
    raise none


def _scaled(value, factor):
    """A whole number, or a sequence of such, times a factor; None for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(1, round(value * factor))
    if isinstance(value, (tuple, list)) and value:
        scaled = [_scaled(item, factor) if isinstance(item, int) else None for item in value]
        return None if None in scaled else type(value)(scaled)
    return None


def _shapes(module, keywords):
    """Shapes of a module's parameters; no values are drawn, so that no random state moves."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return {name: tuple(p.shape) for name, p in module(**keywords).named_parameters()}


def _is_wider(before, after, grows):
    """Whether the same layers have more (or fewer) units inside, with inputs and outputs alike."""
    if list(before) != list(after) or before == after:
        return False
    pairs = list(zip(before.values(), after.values(), strict=True))
    if any(len(old) != len(new) for old, new in pairs):
        return False
    (first, wider_first), (last, wider_last) = pairs[0], pairs[-1]
    ordered = all(
        (b >= a) if grows else (b <= a) for old, new in pairs for a, b in zip(old, new, strict=True)
    )
    return ordered and first[1:] == wider_first[1:] and last[:1] == wider_last[:1]
