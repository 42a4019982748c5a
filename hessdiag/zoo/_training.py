"""Train one recipe with skorch, and record what its held-out losses were along the way."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch.nn.functional import cross_entropy, mse_loss

from hessdiag.resumable import fit_to_the_end
from hessdiag.zoo._augmentation import make_augmentation
from hessdiag.zoo._batches import TensorBatches, count_batches
from hessdiag.zoo._plain_epochs import PlainClassifier, PlainRegressor
from hessdiag.zoo._pretraining import PRETRAININGS, Pretrained
from hessdiag.zoo._schedule import CosineSchedule
from hessdiag.zoo.networks import FAMILIES, SHAPED_FAMILIES
from hessdiag.zoo.tasks import load_dataset, split_dataset

if TYPE_CHECKING:
    from skorch import NeuralNetClassifier, NeuralNetRegressor

    from hessdiag.zoo._recipes import Recipe
    from hessdiag.zoo.tasks import Split

# Shares of the training run after which the held-out loss is taken: log-steps, as most of what
# happens to it happens early.
CHECKPOINTS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)

# What training longer means: these multiples of a run's steps. Runs of more than `LONG_RUN` steps
# go on to the first alone, as they cost the most and gain the least.
LONGER = (2, 4)
LONG_RUN = 800

# A network that does worse than this many null losses on its own training data has not learned
# from it but blown up.
DIVERGED = 3.0


@dataclass(frozen=True)
class TrainingRecord:
    """What one training run left behind, besides the parameters.

    Parameters
    ----------
    status : {"ok", "diverged"}
        Whether all losses stayed finite and that on the training data below 3 null losses.
    null_loss : float
        Loss of knowing nothing: ln C for C classes, 1 (the variance) for regression; the unit of
        gains.
    test_losses : tuple of float
        Held-out loss at each of `CHECKPOINTS`; for labels only.
    train_loss, train_error, valid_loss, valid_error, test_error : float
        At the end of training, as from `loss_and_error`.
    n_train, n_features, n_classes : int
        Sizes of the task; `n_classes` counts the targets of a regression.
    kind : {"classification", "regression"}, default="classification"
        What is predicted.
    form : {"tabular", "series", "image", "tokens"}, default="tabular"
        Form of the samples.
    parent : str, default=""
        The real set, or the family of generated ones, that the task belongs to.
    teacher_width : int, default=-1
        Hidden units of the teacher network that made the targets; -1 where none did.
    longer_losses : tuple of float, default=()
        Held-out loss of the same run after twice the steps, and after four times; empty where that
        was not measured, and without the second where only the first was.
    train_losses : tuple of float, default=()
        Training loss, in evaluation mode, at each of `CHECKPOINTS`; empty in records from before.
    """

    status: str
    null_loss: float
    test_losses: tuple
    train_loss: float
    train_error: float
    valid_loss: float
    valid_error: float
    test_error: float
    n_train: int
    n_features: int
    n_classes: int
    kind: str = "classification"
    form: str = "tabular"
    parent: str = ""
    teacher_width: int = -1
    longer_losses: tuple = ()
    train_losses: tuple = ()


class LossCurve(Callback):
    """Record the loss on some samples at `CHECKPOINTS` of the run.

    Parameters
    ----------
    X, y : ndarray
        The samples.
    n_epochs : int
        Length of the run.
    """

    def __init__(self, X, y, n_epochs):
        self.X = X
        self.y = y
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        """Prepare the epochs to look at; early ones of a short run may coincide."""
        self.epochs_ = [max(1, round(share * self.n_epochs)) for share in CHECKPOINTS]
        self.losses_ = {}

    def on_epoch_end(self, net, **kwargs):
        """Take the loss if this epoch is a checkpoint."""
        epoch = len(net.history)
        if epoch in self.epochs_:
            self.losses_[epoch] = loss_and_error(net, self.X, self.y)[0]

    def curve(self):
        """Return the losses in the order of `CHECKPOINTS`."""
        return tuple(self.losses_[epoch] for epoch in self.epochs_)


def recipe_split(recipe: Recipe) -> Split:
    """Return the data of a recipe, as its network met them.

    Parameters
    ----------
    recipe : Recipe
        The recipe.

    Returns
    -------
    split : Split
        Training, validation and test parts.
    """
    dataset = load_dataset(recipe.dataset)
    return split_dataset(dataset, recipe.n_train, recipe.label_noise, recipe.split_seed)


def make_net(
    recipe: Recipe, split: Split, callbacks: Sequence[Any] | None = None
) -> NeuralNetClassifier | NeuralNetRegressor:
    """Return the unfitted skorch net of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    split : Split
        Its data, as from `recipe_split`: they say sizes and kind of the task.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training run.

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        Cross-entropy on logits or mean squared error, without a validation split of its own.

    Raises
    ------
    ValueError
        If the recipe's family, optimizer, schedule, pretraining or augmentation is not known, or
        the family or the augmentation does not suit the data.
    """
    for name, known in (
        ("family", FAMILIES),
        ("optimizer", _OPTIMIZERS),
        ("schedule", ("constant", "cosine")),
        ("pretraining", PRETRAININGS),
    ):
        if (found := getattr(recipe, name)) not in known:
            raise ValueError(
                f"Expected {name} among {', '.join(known)}, found {found!r} in {recipe}. "
                "Change the recipe."
            )
    shape = {"module__input_shape": split.shape} if recipe.family in SHAPED_FAMILIES else {}
    if split.kind == "classification":
        net_class, criterion = PlainClassifier, torch.nn.CrossEntropyLoss
        special: dict[str, Any] = {
            "classes": np.arange(split.n_classes),
            "callbacks__valid_acc": None,
        }
    else:
        net_class, criterion, special = PlainRegressor, torch.nn.MSELoss, {}
    optimizer, options = _OPTIMIZERS[recipe.optimizer]
    augment = make_augmentation(recipe.augmentation, split.form, split.shape)
    if augment is not None:
        options = options | {"iterator_train__augment": augment}
    n_epochs = _count_epochs(recipe, split)
    if recipe.schedule == "cosine":
        n_steps = n_epochs * count_batches(len(split.y_train), recipe.batch_size)
        callbacks = [("schedule", CosineSchedule(n_steps)), *(callbacks or [])]
    if recipe.pretraining != "none":
        if split.form == "tokens":
            raise ValueError(
                f"Expected pretraining 'none' for tokens, found {recipe.pretraining!r} in "
                f"{recipe}. Change the recipe: bodies of tokens have nothing to learn from."
            )
        callbacks = [("pretrained", Pretrained(recipe, split)), *(callbacks or [])]
    return net_class(
        FAMILIES[recipe.family],
        module__n_inputs=split.X_train.shape[1],
        module__n_outputs=split.n_classes,
        module__width=recipe.width,
        module__depth=recipe.depth,
        module__activation=recipe.activation,
        module__normalization=recipe.normalization,
        module__dropout=recipe.dropout,
        **shape,
        criterion=criterion,
        optimizer=optimizer,
        optimizer__lr=recipe.learning_rate,
        optimizer__weight_decay=recipe.weight_decay,
        **options,
        max_epochs=n_epochs,
        batch_size=recipe.batch_size,
        iterator_train=TensorBatches,
        iterator_train__shuffle=True,
        iterator_valid=TensorBatches,
        iterator_valid__batch_size=-1,
        train_split=None,
        callbacks=callbacks,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__print_log=None,
        verbose=0,
        **special,
    )


def train_recipe(
    recipe: Recipe, longer: Sequence[int] = ()
) -> tuple[NeuralNetClassifier | NeuralNetRegressor, TrainingRecord]:
    """Train the network of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe; the same recipe gives the same network on the same machine.
    longer : sequence of int, default=()
        Multiples of the recipe's steps, ascending, after which to measure what training longer
        does to the held-out loss. At a constant learning rate the run itself goes on; a schedule
        that has come to its end is stretched, and the run begun anew. The network is the same.
        Not done for one that diverged.

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        The fitted net, after the steps of the recipe.
    record : TrainingRecord
        Its losses.
    """
    dataset = load_dataset(recipe.dataset)
    split = recipe_split(recipe)
    with torch.random.fork_rng(devices=[]), one_thread():
        n_epochs = _count_epochs(recipe, split)
        curve = LossCurve(split.X_test, split.y_test, n_epochs)
        training = LossCurve(split.X_train, split.y_train, n_epochs)
        net = _fit(recipe, split, [("held_out", curve), ("training", training)])
        net.set_params(callbacks=None)
        after = torch.get_rng_state()
        train_loss, train_error = loss_and_error(net, split.X_train, split.y_train)
        valid_loss, valid_error = loss_and_error(net, split.X_valid, split.y_valid)
        test_error = loss_and_error(net, split.X_test, split.y_test)[1]
        test_losses = curve.curve()
        finite = np.isfinite([train_loss, valid_loss, *test_losses]).all()
        ok = finite and train_loss < DIVERGED * split.null_loss
        longer_losses = ()
        if ok and longer:
            torch.set_rng_state(after)
            longer_losses = _train_longer(net, recipe, split, longer)
    record = TrainingRecord(
        status="ok" if ok else "diverged",
        null_loss=split.null_loss,
        test_losses=test_losses,
        train_loss=train_loss,
        train_error=train_error,
        valid_loss=valid_loss,
        valid_error=valid_error,
        test_error=test_error,
        n_train=len(split.y_train),
        n_features=split.X_train.shape[1],
        n_classes=split.n_classes,
        kind=split.kind,
        form=split.form,
        parent=dataset.parent,
        teacher_width=-1 if dataset.teacher_width is None else dataset.teacher_width,
        longer_losses=longer_losses,
        train_losses=training.curve(),
    )
    return net, record


def _fit(recipe, split, callbacks=None):
    """Return the fitted net of a recipe; torch's global generator is left where the run ends."""
    torch.manual_seed(recipe.seed)
    return fit_to_the_end(make_net(recipe, split, callbacks), split.X_train, split.y_train)


def _train_longer(net, recipe, split, multiples):
    """Return the held-out loss of a run that has just ended after multiples of its steps."""
    losses = []
    going_on, done = copy.deepcopy(net), 1
    for multiple in multiples:
        if recipe.schedule == "constant":
            epochs = (multiple - done) * net.max_epochs
            going_on.fit_loop(split.X_train, split.y_train, epochs=epochs)
            done = multiple
        else:
            going_on = _fit(replace(recipe, n_steps=multiple * recipe.n_steps), split)
        losses.append(loss_and_error(going_on, split.X_test, split.y_test)[0])
    return tuple(losses)


def _count_epochs(recipe, split):
    """Number of epochs of a recipe's run."""
    return math.ceil(recipe.n_steps / count_batches(len(split.y_train), recipe.batch_size))


def longer_multiples(recipe):
    """Multiples of a recipe's steps after which training longer is measured."""
    return LONGER if recipe.n_steps <= LONG_RUN else LONGER[:1]


def loss_and_error(
    net: NeuralNetClassifier | NeuralNetRegressor, X: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """Return loss and error in evaluation mode.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        A fitted net with logits or predictions as outputs.
    X : ndarray of shape (n_samples, n_features)
        Samples.
    y : ndarray of int64 of shape (n_samples,) or of float32 of shape (n_samples, n_targets)
        Class indices, or targets.

    Returns
    -------
    loss : float
        Mean cross-entropy, or mean squared error over samples and targets.
    error : float
        Share of misclassified samples; for regression the share of the targets' variance over
        these samples that is left unexplained, as in an examination's context: 1 for the mean,
        more for worse.
    """
    module = net.module_
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            # In chunks, whose activations stay in the processor's cache.
            chunks = torch.as_tensor(X).split(256)
            outputs = torch.cat([module(chunk) for chunk in chunks])
    finally:
        module.train(was_training)
    target = torch.as_tensor(y)
    if target.is_floating_point():
        spread = ((target - target.mean(dim=0)) ** 2).sum().item()
        rest = ((outputs - target) ** 2).sum().item()
        # Targets without any spread leave nothing to explain.
        return mse_loss(outputs, target).item(), rest / spread if spread > 0 else float(rest > 0)
    error = (outputs.argmax(1) != target).double().mean()
    return cross_entropy(outputs, target).item(), error.item()


# Fused steps take half the time of the default ones at these sizes.
_OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "adamw": (torch.optim.AdamW, {"optimizer__fused": True}),
    "sgd": (torch.optim.SGD, {"optimizer__fused": True, "optimizer__momentum": 0.9}),
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Sum in the same order whatever the number of threads: networks are small anyway.

    Yields
    ------
    None
        One thread as long as the context is open.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
