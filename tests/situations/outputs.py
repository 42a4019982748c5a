"""Nets that send several tensors, masks, and losses of distances: one of all, found or named."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from situations import classifier, spectra_by_differences
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn
from torch.nn import functional

RNG = np.random.default_rng(5)
N = 14
X, Y = RNG.normal(size=(N, 4)).astype("float32"), RNG.integers(0, 3, N)
NUMBERS = RNG.normal(size=(N, 1)).astype("float32")
SIGNS = np.where(RNG.random(N) < 0.5, -1.0, 1.0).astype("float32")


class Pair(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


@dataclass
class Record:
    logits: torch.Tensor
    hidden: torch.Tensor
    note: str = "a record"


class ModelOutput(dict):
    """A mapping whose entries are attributes too, as of well-known language models."""

    def __getattr__(self, name):
        return self[name]


class Several(nn.Module):
    """Sends logits and what its hidden layer sends, in a container."""

    def __init__(self, container, n_outputs=3):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, n_outputs)
        self.container = container

    def forward(self, x):
        hidden = torch.tanh(self.body(x))
        return self.container(self.head(hidden), hidden)


def as_tuple(logits, hidden):
    return logits, hidden


def reversed_list(logits, hidden):
    return [hidden, logits]


def as_dict(logits, hidden):
    return {"hidden": hidden, "logits": logits}


def as_model_output(logits, hidden):
    return ModelOutput(logits=logits, hidden_states=(hidden, hidden * 2), loss=None)


def nested(logits, hidden):
    return {"decoder": (hidden, {"logits": logits}), "cache": [hidden]}


def with_mask(logits, hidden):
    return logits, torch.full_like(hidden, -torch.inf)


def with_positions(logits, hidden):
    return torch.arange(len(logits)), logits


PICKED = {
    "tuple": (as_tuple, lambda sent: sent[0]),
    "list, the second": (reversed_list, lambda sent: sent[1]),
    "dict": (as_dict, lambda sent: sent["logits"]),
    "named tuple": (Pair, lambda sent: sent.logits),
    "dataclass": (Record, lambda sent: sent.logits),
    "model output": (as_model_output, lambda sent: sent.logits),
    "nested": (nested, lambda sent: sent["decoder"][1]["logits"]),
    "mask beside logits": (with_mask, lambda sent: sent[0]),
    "positions beside logits": (with_positions, lambda sent: sent[1]),
}


def picked(container, pick):
    """A net whose own loss picks the tensor."""

    class Picking(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return self.criterion_(pick(y_pred), y_true)

    def make():
        return classifier(Several(container), Picking), X, Y

    return spectra_by_differences("several outputs", make, of_picked(pick))


def of_picked(pick):
    def loss_of(module, X, y):
        sent = pick(module(torch.as_tensor(X).double()))
        return -sent.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()

    return loss_of


def named(container, pick, output):
    """A net whose criterion takes the tensor alone, which is named."""

    def make():
        return classifier(Several(container), NeuralNet, nn.CrossEntropyLoss), X, Y

    return spectra_by_differences("several outputs", make, of_picked(pick), output=output)


class Gauss(NeuralNet):
    """Likelihood of a mean and a variance, each a tensor."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.criterion_(y_pred[0], y_true, y_pred[1])


class MeanAndVariance(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        sent = self.head(torch.tanh(self.body(x)))
        return sent[:, :1], sent[:, 1:].exp()


def gaussian(module, X, y):
    mean, variance = module(torch.as_tensor(X).double())
    y = torch.as_tensor(y).double()
    return 0.5 * (variance.log() + (y - mean) ** 2 / variance).mean()


class Weighed(NeuralNetClassifier):
    """Both tensors count: one by derivatives, the other as weights of the samples."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        losses = functional.cross_entropy(y_pred[0], y_true, reduction="none")
        return (losses * y_pred[1].detach().square().sum(1)).mean()


class Fixed(Several):
    """What the second tensor says depends on the input alone."""

    def forward(self, x):
        return super().forward(x)[0], x


def weighed(module, X, y):
    logits, given = module(torch.as_tensor(X).double())
    losses = functional.cross_entropy(logits, torch.as_tensor(y), reduction="none")
    return (losses * given.square().sum(1)).mean()


class Autoencoder(nn.Module):
    """A variational autoencoder that sends the mean of its latent in evaluation mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(2, 4)

    def forward(self, x):
        mean, spread = self.encode(x).chunk(2, dim=1)
        latent = mean + torch.randn_like(mean) * (spread / 2).exp() if self.training else mean
        return self.decode(latent), mean, spread


class Evidence(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return bound(*y_pred, y_true)


def bound(decoded, mean, spread, y):
    squares = (decoded - y).square().sum(1)
    return (squares - 0.5 * (1 + spread - mean.square() - spread.exp()).sum(1)).mean()


class Masked(nn.Module):
    """Attention over places with a mask of minus infinity in a buffer."""

    def __init__(self, trained=False):
        super().__init__()
        torch.manual_seed(0)
        self.score, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        mask = torch.triu(torch.full((4, 4), -torch.inf), 1)
        if trained:
            self.mask = nn.Parameter(mask, requires_grad=False)
        else:
            self.register_buffer("mask", mask)

    def forward(self, x):
        shares = torch.softmax(self.score(x)[:, None, :] + self.mask, dim=-1)
        return self.head((shares @ x[:, :, None])[..., 0])


def of_classes(module, X, y):
    z = module(torch.as_tensor(X).double())
    return -z.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()


class Distance(nn.Module):
    """Sends the distance of what two halves of the input are mapped to."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(2, 3)

    def forward(self, x):
        return (self.body(x[:, :2]) - self.body(x[:, 2:])).square().sum(1).sqrt()


class Twins(Distance):
    """Sends both halves' images."""

    def forward(self, x):
        return self.body(x[:, :2]), self.body(x[:, 2:])


class Both(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.criterion_(*y_pred, y_true)


class Anchored(NeuralNet):
    """Triplets: the output beside those of the samples before and after."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.criterion_(y_pred, y_pred.roll(1, 0), y_pred.roll(2, 0))


def hinged(module, X, y):
    d, y = module(torch.as_tensor(X).double()), torch.as_tensor(y)
    return torch.where(y > 0, d, (1.0 - d).clamp(min=0)).mean()


def cosines(module, X, y):
    a, b = module(torch.as_tensor(X).double())
    c, y = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)), torch.as_tensor(y)
    return torch.where(y > 0, 1 - c, c.clamp(min=0)).mean()


def triplets(module, X, y):
    z = module(torch.as_tensor(X).double())
    near, far = ((z - z.roll(k, 0) + 1e-6).norm(dim=1) for k in (1, 2))
    return (near - far + 1.0).clamp(min=0).mean()


class Ordinal(nn.Module):
    """Conditional probabilities of the next rank, as of CORN: K - 1 outputs for K ranks."""

    def forward(self, outputs, y):
        total, count = 0.0, 0
        for rank in range(outputs.shape[1]):
            rows = y >= rank
            beyond = (y[rows] > rank).to(outputs.dtype)
            z = outputs[rows, rank]
            total = (
                total
                - (
                    functional.logsigmoid(z) * beyond + functional.logsigmoid(-z) * (1 - beyond)
                ).sum()
            )
            count += int(rows.sum())
        return total / count


def ordinal(module, X, y):
    z, y = module(torch.as_tensor(X).double()), torch.as_tensor(y)
    terms = [
        ((1 + (-z[n, k] if y[n] > k else z[n, k]).exp()).log())
        for n in range(len(y))
        for k in range(z.shape[1])
        if y[n] >= k
    ]
    return torch.stack(terms).mean()


def body(n_outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, n_outputs))


def of(make_net, loss_of, y=Y, kind="several outputs", **settings):
    return spectra_by_differences(kind, lambda: (make_net(), X, y), loss_of, **settings)


SITUATIONS = {
    **{f"loss of one of several, {name}": picked(*both) for name, both in PICKED.items()},
    "output named by its key": named(as_dict, PICKED["dict"][1], "logits"),
    "output named by its place": named(reversed_list, PICKED["list, the second"][1], 1),
    "output named by an attribute": named(Pair, PICKED["named tuple"][1], "logits"),
    "output named by its path": named(nested, PICKED["nested"][1], "decoder.1.logits"),
    "mean and variance": of(
        lambda: classifier(MeanAndVariance(), Gauss, nn.GaussianNLLLoss), gaussian, NUMBERS
    ),
    "tensor that is read but has no derivative": of(
        lambda: classifier(Fixed(as_tuple), Weighed), weighed
    ),
    "variational autoencoder": of(
        lambda: classifier(Autoencoder(), Evidence, nn.MSELoss),
        lambda module, X, y: bound(*module(torch.as_tensor(X).double()), torch.as_tensor(y)),
        X,
    ),
    "infinite mask in a buffer": of(lambda: classifier(Masked()), of_classes, kind="masks"),
    "infinite mask in a frozen parameter": of(
        lambda: classifier(Masked(trained=True)), of_classes, kind="masks"
    ),
    "distances, hinged": of(
        lambda: classifier(Distance(), NeuralNet, nn.HingeEmbeddingLoss), hinged, SIGNS, "losses"
    ),
    "cosines of twins": of(
        lambda: classifier(Twins(), Both, nn.CosineEmbeddingLoss), cosines, SIGNS, "losses"
    ),
    "triplets": of(
        lambda: classifier(body(2), Anchored, nn.TripletMarginLoss), triplets, kind="losses"
    ),
    "ordinal ranks": of(lambda: classifier(body(2), NeuralNet, Ordinal), ordinal, kind="losses"),
    "ignored class 255": of(
        lambda: classifier(body(3), criterion__ignore_index=255),
        lambda module, X, y: of_classes(module, X[y < 255], y[y < 255]),
        np.where(Y == 1, 255, Y),
        "losses",
    ),
}
