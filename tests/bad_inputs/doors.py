"""Modules, losses and loaders that cannot be taken, each refused by name."""

from functools import partial

import numpy as np
import torch
from bad_inputs import Bad
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import hessdiag as hd

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = RNG.integers(0, 3, 12)
DATA = TensorDataset(torch.tensor(X), torch.tensor(Y))
ENTROPY = nn.CrossEntropyLoss()


def classes():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, a, b):
        return self.left(a) + self.right(b)


class Augmented(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return X[index] + np.random.normal(size=3).astype("float32"), Y[index]  # noqa: NPY002


class SometimesFlipped(Dataset):
    """One sample in twelve is turned, every second time."""

    def __init__(self):
        self.calls = 0

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.calls += index == 7
        return X[index] * (-1.0) ** (self.calls % 2 if index == 7 else 0), Y[index]


class NoisyStream(IterableDataset):
    def __iter__(self):
        return ((x + torch.randn(3), y) for x, y in DATA)


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield DATA[0]


class Triples(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return X[index], X[index], Y[index]


class Records(Triples):
    def __getitem__(self, index):
        return {"x": X[index], "label": Y[index]}


class Pages(Records):
    def __getitem__(self, index):
        return {"x": X[index], "z": X[index], "label": Y[index]}


class InputsAlone(Triples):
    def __getitem__(self, index):
        return X[index]


class Named(Triples):
    def __getitem__(self, index):
        return X[index], "abc"[Y[index]]


def jittered(samples):
    inputs, targets = torch.utils.data.default_collate(samples)
    return inputs + 0.1 * torch.rand(len(inputs), 1), targets


def centred(samples):
    """Take the batch's mean of every sample."""
    inputs, targets = torch.utils.data.default_collate(samples)
    return inputs - inputs.mean(0), targets


def mixed(samples):
    """Mix every sample with the one that follows it in the batch."""
    inputs, targets = torch.utils.data.default_collate(samples)
    return 0.7 * inputs + 0.3 * inputs.roll(1, 0), targets


def of_next(samples):
    """Give every sample the target of the one that follows it."""
    inputs, targets = torch.utils.data.default_collate(samples)
    return inputs, targets.roll(1, 0)


class Stream(torch.utils.data.IterableDataset):
    """Samples one after the other."""

    def __iter__(self):
        return iter(DATA)


def few(samples):
    inputs, targets = zip(*samples)
    return torch.tensor(np.concatenate(inputs)), torch.tensor(targets)


class DrawsFew(torch.utils.data.Sampler):
    def __init__(self):
        pass

    def __iter__(self):
        return iter(torch.randperm(12)[:6].tolist())

    def __len__(self):
        return 6


def quietly(make):
    """Make something without drawing from torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        return make()


def module(words, module=classes, X=X, y=Y, error=ValueError, **settings):
    settings = {"loss": ENTROPY} | settings
    make = module if not isinstance(module, nn.Module) and callable(module) else lambda: module
    bring = lambda: hd.NetworkCase.from_module(quietly(make), X, y, **settings)  # noqa: E731
    return Bad(bring, error, words)


def loader(words, batches, module=classes, error=ValueError, **settings):
    settings = {"loss": ENTROPY} | settings
    bring = lambda: hd.NetworkCase.from_loader(quietly(module), batches(), **settings)  # noqa: E731
    return Bad(bring, error, words)


def net(words, make, X, y, error=ValueError):
    """What is wrong is found at each door to the engine."""
    return Bad(lambda: hd.layer_spectra(quietly(make), X, y), error, words)


def likelihood(ending=None, **settings):
    made = classes() if ending is None else nn.Sequential(classes(), ending)
    return NeuralNetClassifier(made, train_split=None, verbose=0, **settings).initialize()


def with_collate(collate):
    return likelihood(criterion=nn.CrossEntropyLoss, iterator_valid__collate_fn=collate)


def trimmed():
    found = likelihood(nn.Softmax(dim=1)).fit(X, Y)
    found.trim_for_prediction()
    return found


entropy = partial(likelihood, criterion=nn.CrossEntropyLoss)


BAD = {
    # Modules
    "module, a class": module(("the class Linear",), lambda: nn.Linear, error=TypeError),
    "module, a function": module(("function",), lambda: functional.relu, error=TypeError),
    "module, a net": module(
        ("NeuralNetClassifier", "NetworkCase(net, X, y)"), entropy, error=TypeError
    ),
    "module, a dict of weights": module(
        ("OrderedDict",), lambda: classes().state_dict(), error=TypeError
    ),
    "module without parameters": module(("trainable parameters", "ReLU"), nn.ReLU),
    "module, all frozen": module(("requires_grad",), lambda: classes().requires_grad_(False)),
    "module of unknown shape": module(("lazy", "batch"), lambda: nn.LazyLinear(3)),
    "module without numbers": module(("meta",), lambda: nn.Linear(3, 3, device="meta")),
    "module on its own": Bad(
        lambda: hd.NetworkCase(quietly(classes), X, Y),
        TypeError,
        ("Sequential", "from_module", "loss="),
    ),
    "module at the engine": net(("from_module",), classes, X, Y, TypeError),
    "net trimmed for prediction": net(("trimmed", "from_module"), trimmed, X, Y),
    # Losses
    "no loss": module(("loss", "none"), loss=None, error=TypeError),
    "loss in a word": module(("'cross_entropy'",), loss="cross_entropy", error=TypeError),
    "loss, a number": module(("int",), loss=3, error=TypeError),
    "loss, an optimizer": module(
        ("SGD",), loss=torch.optim.SGD([torch.zeros(1)], lr=1.0), error=TypeError
    ),
    "loss, a class of something else": module(("type",), loss=dict, error=TypeError),
    "loss that is not reduced": module(("0-d",), loss=nn.CrossEntropyLoss(reduction="none")),
    "loss of arguments in another order": module(
        ("targets",), loss=lambda y, output: functional.cross_entropy(output, y)
    ),
    "loss, a number of Python": module(("0-d", "float"), loss=lambda output, y: 1.0),
    "likelihood of logits": module(("NLLLoss", "CrossEntropyLoss"), loss=nn.NLLLoss()),
    "likelihood of probabilities": module(
        ("NLLLoss", "logarithm"),
        lambda: nn.Sequential(classes(), nn.Softmax(dim=1)),
        loss=functional.nll_loss,
    ),
    "likelihood of logits, in skorch": net(("CrossEntropyLoss", "oftmax"), likelihood, X, Y),
    "likelihood of logarithms, in skorch": net(
        ("probabilities",), partial(likelihood, nn.LogSoftmax(dim=1)), X, Y
    ),
    "likelihood of sigmoids, in skorch": net(("sum to",), partial(likelihood, nn.Sigmoid()), X, Y),
    "weights of other classes": module(("targets",), loss=nn.CrossEntropyLoss(torch.ones(4))),
    # Data of modules
    "module, X too narrow": module(("X", "(12, 2)"), X=X[:, :2]),
    "module, no y": module(("targets y", "None"), y=None),
    "module, words": module(("words", "'a'"), y=["a", "b", "c"] * 4),
    "module, floats for classes": module(("int64",), y=Y.astype("float32")),
    "module, classes out of range": module(("outputs", "Expected"), y=Y + 1),
    "module, too many inputs": module(("a, b", "3 arrays"), Two, (X, X, X)),
    "module, a name it does not have": module(("names", "'c'"), Two, {"a": X, "c": X}),
    "module, a missing input": module(("missing",), Two, {"a": X}),
    "module, a loader": module(("from_loader",), X=DataLoader(DATA), y=None, error=TypeError),
    # Draws that are not the same
    "augmented data set": module(("Augmented", "random"), X=Augmented(), y=None),
    "data set that turns one sample": module(("SometimesFlipped",), X=SometimesFlipped(), y=None),
    "augmented subset": module(
        ("second time",), X=torch.utils.data.Subset(Augmented(), range(8)), y=None
    ),
    "augmented data set beside another": module(
        ("second time",), X=torch.utils.data.ConcatDataset([Augmented(), Augmented()]), y=None
    ),
    "augmented stream": module(("NoisyStream",), X=NoisyStream(), y=None),
    "augmented data set of a net": net(("Augmented",), entropy, Augmented(), None),
    "augmented stream of a net": net(("NoisyStream",), entropy, NoisyStream(), None),
    "augmented by collating": net(("second time",), partial(with_collate, jittered), X, Y),
    "loader, augmented": loader(("Augmented",), lambda: DataLoader(Augmented(), 5, shuffle=True)),
    "loader, augmented by collating": loader(
        ("second time",), lambda: DataLoader(DATA, 5, collate_fn=jittered)
    ),
    **{
        f"loader that lets samples mix, {collate.__name__}, {len_} at once": loader(
            (collate.__name__, "batches"),
            lambda collate=collate, len_=len_: DataLoader(
                DATA, len_, shuffle=True, collate_fn=collate
            ),
        )
        for collate in (centred, mixed, of_next)
        for len_ in (4, 99)
    },
    "stream that lets samples mix": loader(
        ("centred", "batches"), lambda: DataLoader(Stream(), 4, collate_fn=centred)
    ),
    "loader, augmented stream": loader(("NoisyStream",), lambda: DataLoader(NoisyStream(), 5)),
    "loader that chooses samples": loader(
        ("DrawsFew",), lambda: DataLoader(DATA, 4, sampler=DrawsFew())
    ),
    # Loaders
    "loader, a data set": loader(("TensorDataset", "DataLoader("), lambda: DATA, error=TypeError),
    "loader, an array": loader(("ndarray", "from_module"), lambda: X, error=TypeError),
    "loader, a number": loader(("int",), lambda: 3, error=TypeError),
    "loader, empty": loader(("at least one batch",), list),
    "loader, read to its end": loader(("at least one batch",), lambda: iter(())),
    "loader of inputs alone": loader(("Tensor", "unpack"), lambda: DataLoader(X, 5)),
    "loader of three parts": loader(("3 parts", "unpack"), lambda: DataLoader(Triples(), 5)),
    "loader of dicts with other names": loader(
        ("'x', 'z', 'label'", "unpack"), lambda: DataLoader(Pages(), 5)
    ),
    "loader without targets": loader(("None", "unpack"), lambda: [(X, None)]),
    "loader, unpacked to one": loader(
        ("(X, y)", "Tensor"), lambda: DataLoader(DATA, 5), unpack=lambda batch: batch[0]
    ),
    "loader of several lengths": loader(
        ("Pad",), lambda: [(torch.ones(2, 3), torch.zeros(2).long()), (torch.ones(2, 4), Y[:2])]
    ),
    "loader without a row per sample": loader(
        ("one row per sample", "36"), lambda: DataLoader(DATA, 12, collate_fn=few)
    ),
    # Data sets of nets
    "data set of three parts": net(("3 parts", "from_loader"), entropy, Triples(), None),
    "data set of dicts": net(("'x', 'label'", "pairs"), entropy, Records(), None),
    "data set of inputs alone": net(("Tensor", "pairs"), entropy, InputsAlone(), None),
    "data set with words": net(("numbers in y", "Encode"), entropy, Named(), None),
}
