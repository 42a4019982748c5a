"""Outputs in their natural coordinates: logits, where a net ends in probabilities.

A net that ends in a softmax (skorch's way with ``NLLLoss``) or a sigmoid (``BCELoss``) has the
same local Hessian as one that ends in logits, but its generalized Gauss-Newton matrix would treat
the softmax as part of the network. With z = log p the loss is that of the logits again.
"""

from __future__ import annotations

import torch
from skorch import NeuralNet, NeuralNetClassifier


class Link:
    """An invertible map from the net's outputs to the coordinates that are examined."""

    def __init__(self, name, forward, inverse):
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


def find_link(criterion, outputs, takes_log):
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


def check_likelihood(net, outputs):
    """Check that a negative log-likelihood is taken of probabilities, and not of logits.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net; where it takes its loss in a way of its own, nothing is checked.
    outputs : Tensor, or dict, list or tuple of Tensor
        What it sends.

    Raises
    ------
    ValueError
        If `NLLLoss` is taken of something else, of which it is the loss of nothing.
    """
    criterion, get_loss = getattr(net, "criterion_", None), type(net).get_loss
    if not isinstance(criterion, torch.nn.NLLLoss) or not isinstance(outputs, torch.Tensor):
        return
    takes_log = get_loss is NeuralNetClassifier.get_loss
    if outputs.ndim < 2 or not (takes_log or get_loss is NeuralNet.get_loss):
        return
    outputs = outputs.detach().double()
    probabilities = outputs if takes_log else outputs.exp()
    sums = probabilities.sum(dim=1)
    if not bool(torch.isfinite(outputs).all()) or (
        bool((probabilities >= 0).all()) and bool(((sums - 1).abs() < 1e-2).all())
    ):
        return
    lowest, highest = float(sums.min()), float(sums.max())
    if takes_log:
        raise ValueError(
            "Expected probabilities, of which NeuralNetClassifier takes the logarithm for NLLLoss, "
            f"found outputs from {float(outputs.min()):.3g} to {float(outputs.max()):.3g} that sum "
            f"to {lowest:.3g} to {highest:.3g} over classes. Of a module that returns logits the "
            "criterion is torch.nn.CrossEntropyLoss; otherwise end it in a softmax."
        )
    raise ValueError(
        "Expected logarithms of probabilities for NLLLoss, found outputs whose exponentials sum to "
        f"{lowest:.3g} to {highest:.3g} over classes. Of a module that returns logits the loss is "
        "torch.nn.CrossEntropyLoss; of one that returns probabilities, NLLLoss of their logarithm."
    )
