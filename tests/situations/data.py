"""Data in every container that people have them in."""

from collections import UserDict

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from situations import case_by_differences, classifier, spectra_by_differences
from skorch import NeuralNetRegressor
from torch import nn
from torch.utils.data import Dataset, IterableDataset

import hessdiag as hd

RNG = np.random.default_rng(1)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = RNG.integers(0, 3, 12)
NUMBERS = RNG.normal(size=(12, 1)).astype("float32")
WORDS = RNG.integers(0, 6, (12, 4))
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))


class ByName(nn.Module):
    """Takes columns by name, as skorch passes those of a frame."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(2, 3), nn.Linear(3, 3)

    def forward(self, a, b):
        columns = torch.cat([a.reshape(len(a), -1), b.reshape(len(b), -1)], dim=1)
        return self.last(self.first(columns.to(self.first.weight.dtype)).tanh())


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(6, 3), nn.Linear(3, 3)

    def forward(self, input_ids, attention_mask):
        rows = self.table(input_ids).tanh() * attention_mask.unsqueeze(-1)
        return self.head(rows.mean(dim=1))


class Bags(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        torch.manual_seed(0)
        self.bag = nn.EmbeddingBag(6, 3, **settings)
        self.mix, self.head = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x, offsets=None, per_sample_weights=None):
        bags = self.bag(x, offsets, per_sample_weights)
        return self.head(self.mix(bags).tanh())


class Texts(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return WORDS[index, : 1 + index % 4], Y[index]


def flattened(samples):
    """Bags that follow each other, with the places where they begin."""
    sizes = [len(words) for words, _ in samples]
    words = {
        "x": torch.tensor(np.concatenate([words for words, _ in samples])),
        "offsets": torch.tensor(np.cumsum([0, *sizes[:-1]])),
    }
    return words, torch.tensor([y for _, y in samples])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(list(zip(X, Y)))


class Foreign:
    """A frame of another library, of which all that is known is that it becomes an array."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def to_numpy(self):
        return self.array


def cross_entropy(output, y):
    return (output.logsumexp(1) - output[torch.arange(len(y)), y]).mean()


def squared(output, y):
    return ((output - y) ** 2).mean()


def in_container(X, y, make=plain, arrays=None):
    """The situation that containers change nothing."""
    plain_X, plain_y = (globals()["X"], Y) if arrays is None else arrays
    bring = lambda: hd.NetworkCase(classifier(make()), X, y)  # noqa: E731
    return case_by_differences("containers", bring, plain_X, plain_y, cross_entropy)


def by_name(X):
    columns = FRAME["a"].to_numpy()[:, None], FRAME["b"].to_numpy()[:, None]
    return in_container(X, Y, ByName, (columns, Y))


def bags(**settings):
    """The situation of bags of one length, with torch's own bag as the oracle's forward pass."""

    def make():
        return classifier(Bags(**settings)), WORDS, Y

    return spectra_by_differences("embedding bags", make)


def bags_with_offsets(**settings):
    """The same for bags of several lengths, bag by bag in the oracle."""

    def make():
        collate = {f"iterator_{part}__collate_fn": flattened for part in ("train", "valid")}
        return classifier(Bags(**settings), **collate), Texts(), None

    def by_hand(module, X, y):
        reduce = {"mean": torch.mean, "sum": torch.sum}[settings.get("mode", "mean")]
        rows = [reduce(module.bag.weight[torch.tensor(words)], dim=0) for words, _ in Texts()]
        output = module.head(module.mix(torch.stack(rows)).tanh())
        return cross_entropy(output, torch.tensor(Y))

    return spectra_by_differences("embedding bags", make, by_hand)


def regressor():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    net = NeuralNetRegressor(module, train_split=None, verbose=0).initialize()
    return hd.NetworkCase(net, X, pd.DataFrame({"price": NUMBERS[:, 0]}))


MASK = np.ones((12, 4), dtype=int)
TOKENS = (WORDS, MASK), Y

SITUATIONS = {
    "list of rows": in_container(X.tolist(), Y.tolist()),
    "tuple of rows": in_container(tuple(map(tuple, X.tolist())), tuple(Y.tolist())),
    "sparse rows": in_container(sparse.csr_matrix(X), Y),
    "sparse columns": in_container(sparse.csc_matrix(X), Y),
    "sparse array": in_container(sparse.csr_array(X), Y),
    "sparse coordinates": in_container(sparse.coo_array(X), Y),
    "sparse tensor": in_container(torch.tensor(X).to_sparse(), Y),
    "matrix": in_container(X.view(np.matrix), Y),
    "array with a mask of nothing": in_container(np.ma.masked_array(X), Y),
    "bytes in another order": in_container(X.astype(">f4"), Y.astype(">i8")),
    "columns in reverse order": in_container(X[:, ::-1].copy()[:, ::-1], Y),
    "array of objects": in_container(X.astype(object), Y.astype(object)),
    "longest floats": in_container(X.astype(np.longdouble), Y),
    "tensor with a gradient": in_container(torch.tensor(X, requires_grad=True), torch.tensor(Y)),
    "frame of another library": in_container(Foreign(X), Foreign(Y)),
    "stream": in_container(Stream(), None),
    "targets in a series": in_container(X, pd.Series(Y, index=np.arange(12)[::-1])),
    "targets in categories": in_container(X, pd.Series(Y).astype("category")),
    "targets that may be missing": in_container(X, pd.Series(Y).astype("Int64")),
    "targets in a list of tensors": in_container(X, list(torch.tensor(Y))),
    "targets in a frame": case_by_differences("containers", regressor, X, NUMBERS, squared),
    "frame": by_name(FRAME),
    "frame with labels": by_name(FRAME.set_index(np.arange(12)[::-1])),
    "frame of values that may be missing": by_name(FRAME.convert_dtypes()),
    "dict of series": by_name({"a": FRAME["a"], "b": FRAME["b"]}),
    "dict of lists": by_name({"a": FRAME["a"].tolist(), "b": FRAME["b"].tolist()}),
    "dict of frames": by_name({"a": FRAME[["a"]], "b": FRAME[["b"]]}),
    "dict with a sparse matrix": by_name({"a": sparse.csr_matrix(FRAME[["a"]]), "b": FRAME["b"]}),
    "mapping that is no dict": by_name(UserDict(a=X[:, :1], b=X[:, 1:2])),
    "tokens": in_container(
        UserDict(input_ids=WORDS, attention_mask=MASK), Y, Tokens, arrays=TOKENS
    ),
    "tokens in lists": in_container(
        UserDict(input_ids=WORDS.tolist(), attention_mask=MASK.tolist()), Y, Tokens, arrays=TOKENS
    ),
    "bags, mean": bags(),
    "bags, sum without padding": bags(mode="sum", padding_idx=2),
    "bags, mean without padding": bags(padding_idx=2),
    "bags, maximum": bags(mode="max", padding_idx=2),
    "bags with offsets": bags_with_offsets(),
    "bags with offsets, sum": bags_with_offsets(mode="sum"),
}
