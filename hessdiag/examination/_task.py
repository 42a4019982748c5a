"""What a net is for: its kind of task, targets as numbers, error, best constant output."""

from __future__ import annotations

import torch
from skorch import NeuralNetBinaryClassifier
from torch import nn
from torch.nn import functional

BINARY = (nn.BCEWithLogitsLoss, nn.BCELoss, nn.SoftMarginLoss, nn.MultiLabelSoftMarginLoss)


class Task:
    """Targets, predictions and errors of a problem whose loss is a function of outputs.

    `kind` is "classification" (class indices or probabilities), "binary" (one or more yes/no
    outputs) or "regression".
    """

    def __init__(self, problem):
        self.shape = problem.output_values.shape
        self.y = problem.y
        self.criterion = problem.scalar.criterion
        self.threshold = _threshold(problem)
        self.kind = self._find_kind(problem.working_copy.net)
        self.values = self._numeric_targets()

    def _find_kind(self, net):
        """Decide by criterion, targets and shape of the outputs."""
        if isinstance(net, NeuralNetBinaryClassifier) or isinstance(self.criterion, BINARY):
            return "binary"
        y = self.y
        if isinstance(self.criterion, (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)):
            return "classification"
        indices = isinstance(y, torch.Tensor) and not y.is_floating_point()
        several = len(self.shape) >= 2 and self.shape[1] > 1
        if indices and several and y.ndim == len(self.shape) - 1:
            return "classification"
        return "regression"

    def _numeric_targets(self):
        """Write the targets as numbers (N, D) beside the outputs; None where that is not known."""
        y = self.y
        if not isinstance(y, torch.Tensor):
            return None
        if self.kind == "classification" and not y.is_floating_point():
            if len(self.shape) < 2 or y.numel() == 0:
                return None
            ignored = y < 0  # as ignore_index
            hot = functional.one_hot(y.clamp(min=0).long(), self.shape[1])
            hot = hot.to(torch.float64).movedim(-1, 1)
            values = hot * (~ignored).unsqueeze(1)
        else:
            values = y.to(torch.float64)
        n_outputs = 1
        for size in self.shape[1:]:
            n_outputs *= size
        if values.numel() != self.shape[0] * n_outputs:
            return None
        return values.reshape(self.shape[0], n_outputs)

    def centred_targets(self):
        """Return the targets minus their mean over samples (N, D)."""
        return self.values - self.values.mean(dim=0)

    def errors(self, outputs):
        """Return every sample's error (N,) at outputs (N, D) in the coordinates examined."""
        if self.kind == "classification":
            predicted = outputs.reshape(self.shape).argmax(dim=1)
            y = self.y
            if y.is_floating_point():
                y = y.reshape(self.shape).argmax(dim=1)
            wrong = (predicted != y).to(torch.float64)
            return wrong.reshape(len(wrong), -1).mean(dim=1)
        if self.kind == "binary":
            wrong = (outputs > self.threshold) != (self.values > 0.5 * self.values.max())
            return wrong.to(torch.float64).mean(dim=1)
        predicted = outputs
        if isinstance(self.criterion, nn.PoissonNLLLoss) and self.criterion.log_input:
            predicted = outputs.exp()
        total = ((self.values - self.values.mean(dim=0)) ** 2).sum(dim=1).mean()
        return ((predicted - self.values) ** 2).sum(dim=1) / total

    def in_target_space(self, outputs):
        """Return targets and predictions (N, D), probabilities for classes, at outputs (N, D)."""
        if self.kind == "binary":
            return (self.values > 0.5 * self.values.max()).double(), self.predictions(outputs)
        return self.values, self.predictions(outputs)

    def predictions(self, outputs):
        """Return predictions (n, D), probabilities for classes, at outputs (n, D) of any inputs."""
        if self.kind == "classification":
            predicted = outputs.reshape(len(outputs), *self.shape[1:]).softmax(dim=1)
            return predicted.reshape(len(outputs), -1)
        if self.kind == "binary":
            return outputs.sigmoid() if self.threshold == 0 else outputs
        if isinstance(self.criterion, nn.PoissonNLLLoss) and self.criterion.log_input:
            return outputs.exp()
        return outputs

    def constant_start(self):
        """Guess the best constant output (D,), in the coordinates examined."""
        if self.values is None:
            return None
        mean = self.values.mean(dim=0)
        if self.kind == "classification":
            return torch.log(mean.clamp(min=1e-12))
        if self.kind == "binary":
            share = mean.clamp(min=1e-12, max=1 - 1e-12)
            return torch.log(share / (1 - share)) if self.threshold == 0 else share
        if isinstance(self.criterion, nn.PoissonNLLLoss) and self.criterion.log_input:
            return torch.log(mean.clamp(min=1e-12))
        return mean


def null_loss(scalar_at, start, n_samples):
    """Minimize the loss over constant outputs (D,), from a guess."""
    constant = start.clone().requires_grad_(True)

    def loss():
        return scalar_at(constant.expand(n_samples, -1))

    value = loss()
    (gradient,) = torch.autograd.grad(value, constant)
    best = float(value.detach())
    if gradient.norm() <= 1e-9 * (1 + abs(best)):
        return best
    optimizer = torch.optim.LBFGS(
        [constant], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        found = float(loss())
    return min(best, found) if found == found else best


def _threshold(problem):
    """Choose the output above which a yes is predicted."""
    criterion = problem.scalar.criterion
    if isinstance(criterion, nn.BCELoss) and problem.output_function.link.name == "identity":
        return 0.5
    return 0.0
