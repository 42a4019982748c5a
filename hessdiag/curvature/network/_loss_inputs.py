"""What a loss is given, function by function: what does not suit it is refused by name."""

from __future__ import annotations

import inspect
import math

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# How far sums of probabilities may be from 1.
OF_SUMS = 0.01
# Arithmetic that stretches one operand to the shape of the other.
_ARITHMETIC = frozenset(
    name
    for stem in ("sub", "add", "mul", "div", "truediv", "pow")
    for name in (stem, f"__{stem}__", f"__r{stem}__", f"r{stem}")
)
_ELEMENTWISE = {
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "poisson_nll_loss": "PoissonNLLLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "soft_margin_loss": "SoftMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "kl_div": "KLDivLoss",
}
_SIGNS = {
    "soft_margin_loss": "SoftMarginLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "cosine_embedding_loss": "CosineEmbeddingLoss",
    "margin_ranking_loss": "MarginRankingLoss",
}
_SHARES = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
)
_CLASSES = ("cross_entropy", "nll_loss", "multi_margin_loss")
_OTHERS = ("ctc_loss", "multilabel_margin_loss", "triplet_margin_loss")
#: Functions of torch.nn.functional that are known by name.
KNOWN = frozenset((*_ELEMENTWISE, *_SIGNS, *_CLASSES, *_OTHERS))


class LossInputError(ValueError):
    """What a loss is given does not suit it."""


class LossInputs(TorchFunctionMode):
    """Look at what functions are given while a loss is evaluated, and refuse what does not suit.

    `functions` collects the names of those losses of torch that were called, and `ignore_index` the
    class that they leave out, None where none was called that leaves out any.

    Parameters
    ----------
    outputs : Tensor or None
        Outputs of the net, which take derivatives; None where it sends several tensors.
    y : object
        Targets.
    """

    def __init__(self, outputs: object, y: object) -> None:
        super().__init__()
        self.outputs = outputs if isinstance(outputs, torch.Tensor) else None
        self.y = y if isinstance(y, torch.Tensor) else None
        self.functions: list[str] = []
        self.ignore_index: int | None = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Look at one call, then let it go on."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in KNOWN and func is getattr(functional, name, None):
            given = inspect.signature(func).bind(*args, **kwargs)
            given.apply_defaults()
            self._look(name, given.arguments)
        elif name in _ARITHMETIC and len(args) == 2:
            self._look_at_arithmetic(*args)
        return func(*args, **kwargs)

    def _look(self, name, given):
        """Check what one loss of torch is given."""
        self.functions.append(name)
        target = given.get("target", given.get("targets"))
        if name in _ELEMENTWISE:
            _check_shapes(_ELEMENTWISE[name], given["input"], target)
        if name in _CLASSES:
            self._check_classes(name, given["input"], target, given)
        if name in _SIGNS:
            _check_signs(_SIGNS[name], target)
        if name in _SHARES:
            _check_shares(_ELEMENTWISE[name], target)
        if name == "binary_cross_entropy":
            _check_probabilities(given["input"])
        if name == "poisson_nll_loss":
            _check_counts(target)
        if name == "kl_div":
            _check_divergence(given["input"], target, given["log_target"])
        if name == "ctc_loss":
            _check_logarithms("CTCLoss", given["log_probs"], -1)

    def _look_at_arithmetic(self, first, second):
        """Refuse outputs that are stretched to the shape of the targets by plain arithmetic."""
        if self.outputs is None or self.y is None:
            return
        if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
            return
        for outputs, targets in ((first, second), (second, first)):
            if (
                outputs.requires_grad
                and not targets.requires_grad
                and outputs.shape == self.outputs.shape
                and targets.shape == self.y.shape
                and _is_astray(outputs.shape, targets.shape)
            ):
                _refuse_stretch("the loss", outputs, targets)

    def _check_classes(self, name, outputs, target, given):
        """Check class indices or probabilities, and that likelihoods are ones."""
        label = {"cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss"}.get(
            name, "MultiMarginLoss"
        )
        ignored = given.get("ignore_index")
        if name == "nll_loss" and outputs.ndim:
            self._check_likelihoods(outputs)
        if ignored is not None and not target.is_floating_point():
            self.ignore_index = int(ignored)
        if outputs.ndim == 0 or target.numel() == 0:
            return
        n_classes = outputs.shape[1] if outputs.ndim > 1 else outputs.shape[0]
        if target.is_floating_point():
            if name == "cross_entropy" and target.shape == outputs.shape:
                _check_mixtures(target)
            return
        outside = (target < 0) | (target >= n_classes)
        if ignored is not None:
            outside &= target != ignored
        if outside.any():
            found = torch.unique(target[outside]).tolist()
            listed = ", ".join(str(value) for value in found[:3]) + ("..." if found[3:] else "")
            raise LossInputError(
                f"Expected class indices from 0 to {n_classes - 1}, as the net has {n_classes} "
                f"outputs, found targets of {listed} ({int(outside.sum())} of {target.numel()}). "
                f"Encode y as in training, let the net have an output for each class, or name what "
                "is left out with criterion__ignore_index."
            )
        if ignored is not None and bool((target == ignored).all()):
            raise LossInputError(
                f"Expected at least one target that counts, found that {label} ignores all "
                f"{target.numel()} (ignore_index={ignored}). Pass samples with targets."
            )
        weight = given.get("weight")
        if weight is not None and given.get("reduction", "mean") == "mean":
            counted = target if ignored is None else target[target != ignored]
            if counted.numel() and not bool(weight.to(counted.device)[counted].any()):
                raise LossInputError(
                    f"Expected class weights of which some are not zero for the given targets, "
                    f"found that all {counted.numel()} have weight zero in {label}. Pass samples "
                    "of classes that count, or other weights."
                )

    def _check_likelihoods(self, outputs):
        """Refuse what `NLLLoss` would take for logarithms of probabilities."""
        sent = self.outputs
        if sent is None or (sent.shape == outputs.shape and torch.equal(sent, outputs)):
            _check_logarithms("NLLLoss", outputs, 1 if outputs.ndim > 1 else 0)
            return
        found = outputs.detach().double().exp()
        sums = found.sum(dim=1 if found.ndim > 1 else 0)
        if bool(((sums - 1).abs() <= OF_SUMS).all()):
            return
        raise LossInputError(
            "Expected probabilities as outputs, of which skorch's NeuralNetClassifier takes the "
            f"logarithm for NLLLoss, found outputs {_span(sent)} that do not sum to 1. End the "
            "module in Softmax(dim=1), or pass criterion=torch.nn.CrossEntropyLoss for a net that "
            "ends in logits."
        )


class LossCalls(TorchFunctionMode):
    """Note what torch's own losses are given while a loss is evaluated.

    `seen` lists their names, inputs and targets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Note one call, then let it go on."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in KNOWN and func is getattr(functional, name, None):
            given = inspect.signature(func).bind(*args, **kwargs).arguments
            found, target = given.get("input"), given.get("target")
            if isinstance(found, torch.Tensor) and isinstance(target, torch.Tensor):
                self.seen.append((name, found.detach(), target.detach()))
        return func(*args, **kwargs)


def _check_shapes(label, outputs, target):
    """Refuse targets of another shape than the outputs, which would be stretched in silence."""
    if not isinstance(target, torch.Tensor) or outputs.shape == target.shape:
        return
    if outputs.ndim and target.ndim:
        _refuse_stretch(label, outputs, target)


def _is_astray(outputs, targets):
    """Say whether targets of a shape meet outputs of other samples, or stretch the outputs."""
    if outputs == targets or 1 in (outputs.numel(), targets.numel()):
        return False
    try:
        together = torch.broadcast_shapes(outputs, targets)
    except RuntimeError:
        return False
    return together != outputs or len(targets) < len(outputs)


def _refuse_stretch(label, outputs, targets):
    """Refuse outputs and targets of which one is stretched to the shape of the other."""
    shape, found = tuple(outputs.shape), tuple(targets.shape)
    try:
        together = f", which it stretches to {tuple(torch.broadcast_shapes(shape, found))}"
    except RuntimeError:
        together = ""
    hint = f"Pass y of shape {shape}"
    if targets.numel() == outputs.numel() and outputs.ndim:
        rest = "".join(f", {n}" for n in shape[1:])
        hint += f", such as y.reshape(-1{rest})"
    elif targets.ndim > 1 and targets.shape[0] == outputs.shape[0]:
        hint += f", or let the net have {math.prod(found[1:])} outputs"
    raise LossInputError(
        f"Expected targets in the shape of the outputs for {label}, found outputs {shape} with "
        f"targets {found}{together}. {hint}."
    )


def _check_signs(label, target):
    """Refuse targets other than -1 and 1."""
    if not bool((target.abs() == 1).all()):
        raise LossInputError(
            f"Expected targets -1 and 1 for {label}, found targets {_span(target)}. Pass 2 * y - 1 "
            "where y is 0 and 1."
        )


def _check_shares(label, target):
    """Refuse targets outside of 0 to 1."""
    if not bool(((target >= 0) & (target <= 1)).all()):
        raise LossInputError(
            f"Expected targets from 0 to 1 for {label}, found targets {_span(target)}. Encode no "
            "as 0 and yes as 1; for -1 and 1 that is (y + 1) / 2."
        )


def _check_probabilities(outputs):
    """Refuse outputs of a net that are no probabilities."""
    if not bool(((outputs >= 0) & (outputs <= 1)).all()) and bool(torch.isfinite(outputs).all()):
        raise LossInputError(
            f"Expected outputs from 0 to 1 for BCELoss, found outputs {_span(outputs)}. End the "
            "module in Sigmoid(), or pass criterion=torch.nn.BCEWithLogitsLoss."
        )


def _check_counts(target):
    """Refuse targets that are no counts."""
    if bool((target < 0).any()):
        raise LossInputError(
            f"Expected targets from 0 on for PoissonNLLLoss, found targets {_span(target)}. Pass "
            "counts, or choose a loss for numbers of both signs, such as MSELoss."
        )


def _check_mixtures(target):
    """Refuse class probabilities that are none; a row of zeros leaves a sample out."""
    sums = target.sum(dim=1 if target.ndim > 1 else 0)
    fit = ((sums - 1).abs() <= OF_SUMS) | (sums == 0)
    if not (bool((target >= 0).all()) and bool(fit.all())):
        raise LossInputError(
            "Expected class probabilities that sum to 1 for each sample, or class indices as "
            f"int64, found targets {_span(target)} that sum to {float(sums.min()):.3g} up to "
            f"{float(sums.max()):.3g}. Divide them by their sum; for several labels of one sample "
            "train with BCEWithLogitsLoss."
        )


def _check_divergence(outputs, target, log_target):
    """Refuse what `KLDivLoss` would take for logarithms of probabilities, and for probabilities."""
    _check_logarithms("KLDivLoss", outputs, None)
    if not log_target and bool((target < 0).any()):
        raise LossInputError(
            f"Expected probabilities as targets of KLDivLoss, found targets {_span(target)}. Pass "
            "shares from 0 to 1, or log_target=True where they are logarithms."
        )


def _check_logarithms(label, outputs, axis):
    """Refuse what is no logarithm of probabilities along an axis; along any where that is None."""
    found = outputs.detach().double().exp()
    axes = [axis] if axis is not None else list(range(found.ndim)) or [0]
    sums = [found.sum(dim=a) for a in axes] if found.ndim else [found]
    if any(bool(((s - 1).abs() <= OF_SUMS).all()) for s in sums):
        return
    if axis is None and bool((outputs <= 0).all()):
        return  # of some classes, or of every label by itself
    worst = sums[0] if axis is not None else sums[-1]
    raise LossInputError(
        f"Expected logarithms of probabilities for {label}, found outputs {_span(outputs)} whose "
        f"exponentials sum to {float(worst.min()):.3g} up to {float(worst.max()):.3g} and not to "
        "1. End the module in LogSoftmax(dim=1), or choose CrossEntropyLoss for a net that ends in "
        "logits."
    )


def _span(tensor):
    """Say from where to where numbers go."""
    tensor = tensor.detach()
    low, high = tensor.min().item(), tensor.max().item()
    return f"from {low:.3g} to {high:.3g}"
