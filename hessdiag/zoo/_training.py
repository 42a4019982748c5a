"""Train one recipe with skorch, and record what its held-out losses were along the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch.nn.functional import cross_entropy

from hessdiag.zoo._datasets import load_dataset, split_dataset
from hessdiag.zoo._networks import MLP, TensorBatches

# Shares of the training run after which the held-out loss is taken: log-steps, as most of what
# happens to it happens early.
CHECKPOINTS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)


@dataclass(frozen=True)
class TrainingRecord:
    """What one training run left behind, besides the parameters.

    Parameters
    ----------
    status : {"ok", "diverged"}
        Whether all losses stayed finite.
    null_loss : float
        Loss of the uniform guess, ln C: the unit of gains.
    test_losses : tuple of float
        Held-out loss at each of `CHECKPOINTS`; for labels only.
    train_loss, train_error, valid_loss, valid_error, test_error : float
        At the end of training.
    n_train, n_features, n_classes : int
        Sizes of the task.
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


class HeldOutLoss(Callback):
    """Record the held-out loss at `CHECKPOINTS` of the run.

    Parameters
    ----------
    X, y : ndarray
        Held-out samples.
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


def recipe_split(recipe):
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


def make_net(recipe, n_features, n_classes, callbacks=None):
    """Return the unfitted skorch net of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    n_features, n_classes : int
        Sizes of the task.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training run.

    Returns
    -------
    net : skorch.NeuralNetClassifier
        Cross-entropy on logits, AdamW, no validation split of its own.
    """
    n_batches = -(-_n_train(recipe) // recipe.batch_size)
    return NeuralNetClassifier(
        MLP,
        module__n_inputs=n_features,
        module__n_outputs=n_classes,
        module__width=recipe.width,
        module__depth=recipe.depth,
        module__activation=recipe.activation,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__lr=recipe.learning_rate,
        optimizer__weight_decay=recipe.weight_decay,
        max_epochs=math.ceil(recipe.n_steps / n_batches),
        batch_size=recipe.batch_size,
        iterator_train=TensorBatches,
        iterator_train__shuffle=True,
        iterator_valid=TensorBatches,
        iterator_valid__batch_size=-1,
        train_split=None,
        classes=np.arange(n_classes),
        callbacks=callbacks,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__valid_acc=None,
        callbacks__print_log=None,
        verbose=0,
    )


def train_recipe(recipe):
    """Train the network of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe; the same recipe gives the same network on the same machine.

    Returns
    -------
    net : skorch.NeuralNetClassifier
        The fitted net.
    record : TrainingRecord
        Its losses.
    """
    split = recipe_split(recipe)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        net = make_net(recipe, split.X_train.shape[1], split.n_classes)
        curve = HeldOutLoss(split.X_test, split.y_test, net.max_epochs)
        net.set_params(callbacks=[("held_out", curve)])
        net.fit(split.X_train, split.y_train)
    train_loss, train_error = loss_and_error(net, split.X_train, split.y_train)
    valid_loss, valid_error = loss_and_error(net, split.X_valid, split.y_valid)
    test_losses = curve.curve()
    net.set_params(callbacks=None)
    finite = np.isfinite([train_loss, valid_loss, *test_losses]).all()
    record = TrainingRecord(
        status="ok" if finite else "diverged",
        null_loss=float(np.log(split.n_classes)),
        test_losses=test_losses,
        train_loss=train_loss,
        train_error=train_error,
        valid_loss=valid_loss,
        valid_error=valid_error,
        test_error=loss_and_error(net, split.X_test, split.y_test)[1],
        n_train=len(split.y_train),
        n_features=split.X_train.shape[1],
        n_classes=split.n_classes,
    )
    return net, record


def loss_and_error(net, X, y):
    """Return mean cross-entropy and share of misclassified samples.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier
        A fitted net with logits as outputs.
    X : ndarray of shape (n_samples, n_features)
        Samples.
    y : ndarray of int64 of shape (n_samples,)
        Class indices.

    Returns
    -------
    loss, error : float
        Means over the samples.
    """
    module = net.module_
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            logits = module(torch.as_tensor(X))
    finally:
        module.train(was_training)
    target = torch.as_tensor(y)
    error = (logits.argmax(1) != target).double().mean()
    return cross_entropy(logits, target).item(), error.item()


def _n_train(recipe):
    """Training samples that a recipe really gets."""
    return min(recipe.n_train, len(load_dataset(recipe.dataset).target) // 2)
