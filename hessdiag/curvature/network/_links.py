"""Outputs in their natural coordinates: logits, where a net ends in probabilities.

A net that ends in a softmax (skorch's way with ``NLLLoss``) or a sigmoid (``BCELoss``) has the
same local Hessian as one that ends in logits, but its generalized Gauss-Newton matrix would treat
the softmax as part of the network. With z = log p the loss is that of the logits again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


class Link:
    """An invertible map from the net's outputs to the coordinates that are examined.

    Parameters
    ----------
    name : str
        What to call it.
    forward : callable
        From the net's outputs to these coordinates.
    inverse : callable
        From these coordinates to the net's outputs.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[[torch.Tensor], torch.Tensor],
        inverse: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self.name = name
        self.forward = forward
        self.inverse = inverse


#: The link that leaves outputs as they are.
IDENTITY = Link("identity", lambda outputs: outputs, lambda outputs: outputs)
LOG = Link(
    "log",
    lambda p: torch.log(p + torch.finfo(p.dtype).tiny),
    lambda z: torch.softmax(z, dim=1),
)
LOG_SOFTMAX = Link("log_softmax", lambda z: z, lambda z: torch.log_softmax(z, dim=1))
LOGIT = Link("logit", lambda p: torch.log(p) - torch.log1p(-p), torch.sigmoid)


def find_link(criterion: object, outputs: torch.Tensor, takes_log: bool) -> Link:
    """Choose the link that belongs to a criterion, where the outputs are what it expects.

    Parameters
    ----------
    criterion : torch.nn.Module or None
        The net's criterion.
    outputs : Tensor of shape (N, ...)
        Outputs of the net.
    takes_log : bool
        Whether skorch takes the logarithm of outputs before `NLLLoss` sees them.

    Returns
    -------
    Link
        Maps outputs to the coordinates that are examined, and back; the identity where the outputs
        are not what the criterion expects.
    """
    outputs = outputs.detach().double()
    link = IDENTITY
    if isinstance(criterion, torch.nn.NLLLoss) and outputs.ndim >= 2:
        probabilities = outputs if takes_log else outputs.exp()
        sums = probabilities.sum(dim=1)
        if bool((probabilities >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all()):
            link = LOG if takes_log else LOG_SOFTMAX
    elif isinstance(criterion, torch.nn.BCELoss) and bool(((outputs > 0) & (outputs < 1)).all()):
        link = LOGIT
    if link is IDENTITY or bool(torch.isfinite(link.forward(outputs)).all()):
        return link
    return IDENTITY
