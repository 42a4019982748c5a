"""Any module, with its data or its loader, and the loss that it was trained with."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from situations import case_by_differences
from torch import nn
from torch.nn import functional
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import hessdiag as hd

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype("float32")
OTHER = RNG.normal(size=(12, 3)).astype("float32")
Y = RNG.integers(0, 3, 12)
LABELS = (Y > 0).astype("float32")[:, None]
NUMBERS = RNG.normal(size=(12, 1)).astype("float32")
WORDS = RNG.integers(0, 6, (12, 4))
LENGTHS = RNG.integers(1, 5, 12)
WEIGHTS = torch.tensor([0.2, 1.0, 3.0])
DATA = TensorDataset(torch.tensor(X), torch.tensor(Y))


def classes(module_class=None, ending=nn.Identity):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), ending())


def numbers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))


class Noisy(nn.Module):
    """In training mode it would send something else."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)])
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        first, norm, last = self.layers
        return last(self.drop(torch.tanh(norm(first(x)))))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, a, b):
        return self.left(a) * self.right(b).tanh()


class Answering(nn.Module):
    """Would take targets, as models of transformers do."""

    def __init__(self):
        super().__init__()
        self.layers = classes()

    def forward(self, x, labels=None):
        assert labels is None
        return self.layers(x)


class AnyInput(Answering):
    def forward(self, *args, **inputs):
        (x,) = args or inputs.values()
        return self.layers(x)


class Reading(nn.Module):
    """Words of which those after the end are zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(6, 3), nn.Linear(3, 3)

    def forward(self, input_ids, attention_mask):
        rows = self.table(input_ids).tanh() * attention_mask.unsqueeze(-1)
        return self.head(rows.sum(dim=1))


MASK = (np.arange(4) < LENGTHS[:, None]).astype(int)
READ = np.where(MASK > 0, WORDS, 0)


class Texts(Dataset):
    """Texts of their own lengths, which are padded batch by batch."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.tensor(WORDS[index, : LENGTHS[index]]), Y[index]


def padded(samples):
    ids = nn.utils.rnn.pad_sequence([words for words, _ in samples], batch_first=True)
    lengths = torch.tensor([len(words) for words, _ in samples])
    mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
    return {"input_ids": ids, "attention_mask": mask}, torch.tensor([y for _, y in samples])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(DATA)


class FewAtATime:
    """A loader of one's own, which goes through the data in another order each time."""

    def __iter__(self):
        for places in torch.randperm(12).split(5):
            yield DATA[places]


def mine(output, y):
    return (output.logsumexp(1) - output[torch.arange(len(y)), y]).mean()


def weighted(output, y):
    log_p = output.log_softmax(1)[torch.arange(len(y)), y]
    return -(WEIGHTS[y] * log_p).sum() / WEIGHTS[y].sum()


def binary(output, y):
    return (functional.softplus(output) - y * output).mean()


def squared(output, y):
    return ((output - y) ** 2).mean()


def module(make, X, y, loss, by_hand, arrays=None):
    """The situation that a module comes in with its data."""
    plain_X, plain_y = (X, y) if arrays is None else arrays
    bring = lambda: hd.NetworkCase.from_module(make(), X, y, loss=loss)  # noqa: E731
    return case_by_differences("module", bring, plain_X, plain_y, by_hand)


def loader(make, batches, by_hand=mine, X=X, y=Y, loss=None, **settings):
    """The situation that a module comes in with a loader."""

    def bring():
        criterion = nn.CrossEntropyLoss() if loss is None else loss
        return hd.NetworkCase.from_loader(make(), batches(), loss=criterion, **settings)

    return case_by_differences("loader", bring, X, y, by_hand)


log_classes = partial(classes, ending=partial(nn.LogSoftmax, dim=1))
KEPT = np.arange(12)[3:9]

SITUATIONS = {
    "module, loss as instance": module(classes, X, Y, nn.CrossEntropyLoss(), mine),
    "module, loss as class": module(classes, X, Y, nn.CrossEntropyLoss, mine),
    "module, loss as function": module(classes, X, Y, functional.cross_entropy, mine),
    "module, loss of one's own": module(classes, X, Y, mine, mine),
    "module, class weights": module(classes, X, Y, nn.CrossEntropyLoss(WEIGHTS), weighted),
    "module, class weights in a partial": module(
        classes, X, Y, partial(functional.cross_entropy, weight=WEIGHTS), weighted
    ),
    "module, summed loss": module(
        classes, X, Y, nn.CrossEntropyLoss(reduction="sum"), lambda z, y: 12 * mine(z, y)
    ),
    "module, log-probabilities": module(log_classes, X, Y, nn.NLLLoss(), mine),
    "module, yes or no as bool": module(
        numbers, X, LABELS > 0, nn.BCEWithLogitsLoss(), binary, (X, LABELS)
    ),
    "module, yes or no as integers": module(
        numbers, X, LABELS.astype(int), functional.binary_cross_entropy_with_logits, binary
    ),
    "module, squared error": module(numbers, X, NUMBERS, nn.MSELoss(), squared),
    "module in training mode": module(lambda: Noisy().train(), X, Y, nn.CrossEntropyLoss(), mine),
    "module, compiled": module(
        lambda: torch.compile(classes(), backend="eager"), X, Y, nn.CrossEntropyLoss(), mine
    ),
    "module, in parallel": module(
        lambda: nn.DataParallel(classes()), X, Y, nn.CrossEntropyLoss(), mine
    ),
    "module, inputs in a tuple": module(Two, (X, OTHER), Y, nn.CrossEntropyLoss(), mine),
    "module, inputs in a list": module(
        Two, [X, OTHER], Y, nn.CrossEntropyLoss(), mine, ((X, OTHER), Y)
    ),
    "module, inputs by name": module(
        Two, {"b": OTHER, "a": X}, Y, nn.CrossEntropyLoss(), mine, ((X, OTHER), Y)
    ),
    "module, lists": module(classes, X.tolist(), Y.tolist(), nn.CrossEntropyLoss(), mine, (X, Y)),
    "module, frame": module(
        classes,
        pd.DataFrame(X, index=np.arange(12)[::-1]),
        pd.Series(Y),
        nn.CrossEntropyLoss(),
        mine,
        (X, Y),
    ),
    "module, other precisions": module(
        classes, X.astype("float64"), Y.astype("int16"), nn.CrossEntropyLoss(), mine, (X, Y)
    ),
    "module, data set": module(classes, DATA, None, nn.CrossEntropyLoss(), mine, (X, Y)),
    "module, stream": module(classes, Stream(), None, nn.CrossEntropyLoss(), mine, (X, Y)),
    "loader that shuffles and drops": loader(
        classes, lambda: DataLoader(DATA, 5, shuffle=True, drop_last=True)
    ),
    "loader with a short batch": loader(classes, lambda: DataLoader(DATA, 5)),
    "loader of a subset": loader(
        classes,
        lambda: DataLoader(DATA, 5, sampler=SubsetRandomSampler(KEPT)),
        X=X[KEPT],
        y=Y[KEPT],
    ),
    "loader with a sampler of batches": loader(
        classes,
        lambda: DataLoader(DATA, batch_sampler=BatchSampler(RandomSampler(DATA), 5, True)),
    ),
    "loader with lists of places": loader(
        classes,
        lambda: DataLoader(DATA, batch_sampler=[[3, 4], [8, 5, 7, 6]]),
        X=X[KEPT],
        y=Y[KEPT],
    ),
    "loader with weights": loader(
        classes,
        lambda: DataLoader(
            DATA, 4, sampler=WeightedRandomSampler(np.isin(np.arange(12), KEPT) * 1.0, 30)
        ),
        X=X[KEPT],
        y=Y[KEPT],
    ),
    "loader with replacement": loader(
        classes,
        lambda: DataLoader(DATA, 4, sampler=RandomSampler(DATA, replacement=True, num_samples=7)),
    ),
    "loader of a stream": loader(classes, lambda: DataLoader(Stream(), 5)),
    "loader of batches in a list": loader(classes, lambda: [DATA[:7], DATA[7:]]),
    "loader that is read once": loader(classes, lambda: iter([DATA[:7], DATA[7:]])),
    "loader of one's own": loader(classes, FewAtATime),
    "loader of arrays": loader(classes, lambda: [(X[:7], Y[:7]), (X[7:], Y[7:])]),
    "loader, inputs in a row": loader(
        Two, lambda: DataLoader(TensorDataset(*map(torch.tensor, (X, OTHER, Y))), 5), X=(X, OTHER)
    ),
    "loader, dicts": loader(
        Two,
        lambda: [{"b": OTHER[s], "label": Y[s], "a": X[s]} for s in (slice(0, 7), slice(7, 12))],
        X=(X, OTHER),
    ),
    "loader, dicts with labels that forward takes": loader(
        Answering,
        lambda: [{"x": X[s], "labels": Y[s]} for s in (slice(0, 7), slice(7, 12))],
    ),
    "loader, dicts of one input by another name": loader(
        classes,
        lambda: [{"image": X[s], "label": Y[s]} for s in (slice(0, 7), slice(7, 12))],
    ),
    "loader, dicts for any input": loader(
        AnyInput,
        lambda: [{"x": X[s], "target": Y[s]} for s in (slice(0, 7), slice(7, 12))],
        X=X,
    ),
    "loader, unpacked": loader(
        classes,
        lambda: [{"image": X, "label": Y, "path": "here"}],
        unpack=lambda batch: (batch["image"], batch["label"]),
    ),
    "loader that pads each batch": loader(
        Reading, lambda: DataLoader(Texts(), 2, shuffle=True, collate_fn=padded), X=(READ, MASK)
    ),
}
