"""What a net is for: its kind of task, targets as numbers, error, best constant output."""

from __future__ import annotations

import math

import torch
from skorch import NeuralNetBinaryClassifier
from torch import nn
from torch.nn import functional

from hessdiag.examination._loss_reading import LossReading

# Torch's own losses of each kind, and the functions that they call, as one's own may do.
BINARY = {
    nn.BCEWithLogitsLoss: "binary_cross_entropy_with_logits",
    nn.BCELoss: "binary_cross_entropy",
    nn.SoftMarginLoss: "soft_margin_loss",
    nn.MultiLabelSoftMarginLoss: "multilabel_soft_margin_loss",
}
CLASSES = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.NLLLoss: "nll_loss",
    nn.MultiMarginLoss: "multi_margin_loss",
}
NUMBERS = {
    nn.MSELoss: "mse_loss",
    nn.L1Loss: "l1_loss",
    nn.SmoothL1Loss: "smooth_l1_loss",
    nn.HuberLoss: "huber_loss",
    nn.PoissonNLLLoss: "poisson_nll_loss",
}

# Where inputs and targets of losses of yes and no turn from the one to the other.
TURNS = {
    "binary_cross_entropy_with_logits": (0.0, 0.5),
    "binary_cross_entropy": (0.5, 0.5),
    "soft_margin_loss": (0.0, 0.0),
    "multilabel_soft_margin_loss": (0.0, 0.5),
}
# Losses that compare numbers as they are.
PLAIN_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
# How far the sums of shares may be from 1.
OF_SUMS = 0.01


class Task:
    """Targets, predictions and errors of a problem whose loss is a function of outputs.

    `kind` is "classification" (class indices or probabilities), "binary" (one or more yes/no
    outputs), "regression", or "unknown" where nothing tells what a right output is. Targets that
    the loss leaves out are no errors: `counted` (N, ...) says which count, None where all do.
    """

    def __init__(self, problem, function=None):
        self.function = problem.output_function if function is None else function
        self.shape = self.function.values.shape
        self.y = problem.y
        self._functions = set(problem.scalar.functions)
        self.criterion = self._criterion_in_use(problem.scalar.criterion)
        self.threshold = self._find_threshold()
        self.kind = self._find_kind(problem.working_copy.net)
        self.counted = None
        if self.kind == "classification":
            self.counted = self._find_counted(problem.scalar.ignore_index)
        self.values = self._numeric_targets()
        if self.values is None:
            self.kind = "unknown"
        elif problem.scalar.is_loss:
            self.kind = self._as_read(LossReading(self.function, self.y))

    def _criterion_in_use(self, criterion):
        """Return the criterion if it is one of torch's own, and the net's loss does call it."""
        for kind, function in (BINARY | CLASSES | NUMBERS).items():
            if isinstance(criterion, kind) and function in self._functions:
                return criterion
        return None

    def _find_threshold(self):
        """Choose the output above which a yes is predicted."""
        probable = isinstance(self.criterion, nn.BCELoss) or (
            "binary_cross_entropy" in self._functions
        )
        return 0.5 if probable and self.function.link.name == "identity" else 0.0

    def _find_counted(self, ignored):
        """Say which targets count: not those of the class that the loss leaves out."""
        y = self.y
        if not isinstance(y, torch.Tensor) or y.numel() == 0:
            return None
        if y.is_floating_point():
            counted = y.sum(dim=1) > 0 if y.ndim > 1 and y.shape == self.shape else None
        elif y.is_complex() or y.dtype == torch.bool:
            counted = None
        else:
            # Negative ones are no class, whatever leaves them out.
            counted = y >= 0
            if ignored is not None:
                counted &= y != ignored
        return None if counted is None or bool(counted.all()) else counted

    def _find_kind(self, net):
        """Decide by criterion, targets and shape of the outputs."""
        if isinstance(net, NeuralNetBinaryClassifier) or isinstance(self.criterion, tuple(BINARY)):
            return "binary"
        if isinstance(self.criterion, tuple(CLASSES)):
            return "classification"
        if isinstance(self.criterion, tuple(NUMBERS)):
            return "regression"
        if self._calls_only(BINARY):
            return "binary"
        y = self.y
        indices = isinstance(y, torch.Tensor) and not y.is_floating_point()
        several = len(self.shape) >= 2 and self.shape[1] > 1
        if indices and several and y.ndim == len(self.shape) - 1:
            return "classification"
        if self._calls_only(CLASSES):
            return "classification"
        return "regression"

    def _numeric_targets(self):
        """Write the targets as numbers (N, D) beside the outputs; None where that is not known."""
        y = self.y
        if not isinstance(y, torch.Tensor) or y.is_complex():
            return None
        if self.kind == "classification" and not y.is_floating_point():
            if len(self.shape) < 2 or y.numel() == 0:
                return None
            counted = torch.ones_like(y, dtype=torch.bool) if self.counted is None else self.counted
            classes = torch.where(counted, y, 0).long()
            if int(classes.max()) >= self.shape[1]:
                return None
            hot = functional.one_hot(classes, self.shape[1])
            hot = hot.to(torch.float64).movedim(-1, 1)
            values = hot * counted.unsqueeze(1)
        else:
            values = y.to(torch.float64)
        n_outputs = math.prod(self.shape[1:])
        if values.numel() != self.shape[0] * n_outputs:
            return None
        return values.reshape(self.shape[0], n_outputs)

    def _calls_only(self, losses):
        """Say whether the loss calls some of torch's own losses, and no others."""
        return bool(self._functions) and self._functions <= set(losses.values())

    def _as_read(self, reading):
        """Return the kind that a loss does take outputs and targets for; "unknown" if none."""
        if self.kind == "classification":
            return self._classes_as_read(reading)
        values, yes = self.values, self._is_yes()
        if self.kind == "binary":
            if reading.takes_switches(yes, values, self.threshold, TURNS):
                return "binary"
        else:
            losses = PLAIN_NUMBERS
            if isinstance(self.criterion, nn.PoissonNLLLoss):
                losses = ("poisson_nll_loss",)
            if reading.takes_numbers(values, losses):
                return "regression"
        switches = set(torch.unique(values).tolist())
        if switches in ({0.0, 1.0}, {-1.0, 1.0}):
            threshold = reading.threshold_of_switches(yes)
            if threshold is not None:
                self.threshold = threshold
                return "binary"
        y = self.y
        if y.is_floating_point() and y.shape == self.shape and len(self.shape) > 1:
            return self._classes_as_read(reading)
        return "unknown"

    def _classes_as_read(self, reading):
        """Return "classification" if a loss means the largest output; else "unknown"."""
        shares = self.values.reshape(self.shape)
        if self.y.is_floating_point():
            sums = shares.sum(dim=1)
            fit = (bool((shares >= 0).all()), ((sums - 1).abs() <= OF_SUMS) | (sums == 0))
            if self.shape[1] < 2 or not (fit[0] and bool(fit[1].all())):
                return "unknown"
        if not reading.takes_classes(shares, tuple(CLASSES.values())):
            return "unknown"
        if self.criterion is None and not self.y.is_floating_point():
            self._leave_out(reading.silent())
        return "classification"

    def _leave_out(self, silent):
        """Count no targets of classes that a loss of one's own takes no notice of."""
        if silent is None or not silent.any():
            return
        classes = [c for c in torch.unique(self.y[silent]).tolist() if silent[self.y == c].all()]
        noticed = ~torch.isin(self.y, torch.tensor(classes, device=self.y.device))
        if classes and noticed.any():
            self.counted = noticed if self.counted is None else self.counted & noticed
            self.values = self._numeric_targets()

    def _is_yes(self):
        """Say which of the numbers (N, D) are a yes: above half, or above zero where no is -1."""
        return self.values > (0.0 if bool((self.values < 0).any()) else 0.5)

    @property
    def varies(self):
        """Say whether there is anything to tell apart: more than one kind of target."""
        values = self._counted_rows()
        return bool((values != values[:1]).any())

    def _counted_rows(self):
        """Targets of the samples (n, D) of which some count."""
        return self.values if self.counted is None else self.values[self.counts_by_sample() > 0]

    def counts_by_sample(self):
        """Count the targets of each sample (N,) that the loss does not leave out."""
        return self.counted.reshape(len(self.counted), -1).sum(dim=1)

    def _mask(self):
        """Ones and zeros (N, D): which of the numbers count; None where all do."""
        if self.counted is None:
            return None
        mask = self.counted.unsqueeze(1).expand(self.shape)
        return mask.reshape(self.shape[0], -1).to(torch.float64)

    def _mean(self):
        """Mean of the targets that count (D,)."""
        mask = self._mask()
        if mask is None:
            return self.values.mean(dim=0)
        return (self.values * mask).sum(dim=0) / mask.sum(dim=0).clamp(min=1)

    def centred_targets(self):
        """Return the targets minus their mean over samples (N, D); zero where they are left out."""
        centred, mask = self.values - self._mean(), self._mask()
        return centred if mask is None else centred * mask

    def errors(self, outputs):
        """Return every sample's error (N,) at outputs (N, D) in the coordinates examined.

        Their mean is the share of wrong ones among the targets that count, or the squared error
        over that of the mean. NaN where nothing tells what a right output is.
        """
        if self.kind == "unknown":
            return torch.full((len(outputs),), math.nan, dtype=torch.float64)
        if self.kind == "classification":
            return self._shares_wrong(outputs.reshape(self.shape))
        if self.kind == "binary":
            wrong = (outputs > self.threshold) != self._is_yes()
            return wrong.to(torch.float64).mean(dim=1)
        predicted = self._counts(outputs)
        total = ((self.values - self.values.mean(dim=0)) ** 2).sum(dim=1).mean()
        squares = ((predicted - self.values) ** 2).sum(dim=1)
        return squares / total if total > 0 else torch.full_like(squares, math.nan)

    def _shares_wrong(self, outputs):
        """Return the share of each sample's targets that is another class than the largest."""
        y = self.y
        if y.is_floating_point():
            y = y.reshape(self.shape).argmax(dim=1)
        wrong = (outputs.argmax(dim=1) != y).to(torch.float64)
        if self.counted is None:
            return wrong.reshape(len(wrong), -1).mean(dim=1)
        counted = self.counted.to(torch.float64)
        wrong = (wrong * counted).reshape(len(wrong), -1).sum(dim=1)
        return wrong * (len(wrong) / counted.sum())

    def _counts(self, outputs):
        """Turn outputs into numbers beside the targets, where the net sends logarithms of them."""
        logarithms = isinstance(self.criterion, nn.PoissonNLLLoss) and self.criterion.log_input
        return outputs.exp() if logarithms else outputs

    def in_target_space(self, outputs):
        """Return targets and predictions (N, D), probabilities for classes, at outputs (N, D)."""
        predictions, mask = self.predictions(outputs), self._mask()
        if self.kind == "binary":
            return self._is_yes().double(), predictions
        return self.values, predictions if mask is None else predictions * mask

    def predictions(self, outputs):
        """Return predictions (n, D), probabilities for classes, at outputs (n, D) of any inputs."""
        if self.kind == "classification":
            predicted = outputs.reshape(len(outputs), *self.shape[1:]).softmax(dim=1)
            return predicted.reshape(len(outputs), -1)
        if self.kind == "binary":
            return outputs.sigmoid() if self.threshold == 0 else outputs
        return self._counts(outputs)

    def constant_start(self):
        """Guess the best constant output (D,), in the coordinates examined."""
        if self.values is None:
            return None
        mean = self._mean()
        if self.kind == "classification":
            return torch.log(mean.clamp(min=1e-12))
        if self.kind == "binary":
            share = mean.clamp(min=1e-12, max=1 - 1e-12)
            return torch.log(share / (1 - share)) if self.threshold == 0 else share
        if isinstance(self.criterion, nn.PoissonNLLLoss) and self.criterion.log_input:
            return torch.log(mean.clamp(min=1e-12))
        return mean
