"""Containers of data that skorch would misread or torch cannot take."""

import numpy as np
import pandas as pd
import torch
from bad_inputs import Bad
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, Dataset

import hessdiag as hd

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = RNG.integers(0, 3, 12)
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
SHUFFLED = FRAME.sample(frac=1.0, random_state=0)


class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, a, b):
        return self.layer(torch.cat([a, b], dim=1))


class Bags(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(6, 3), nn.Linear(3, 3)

    def forward(self, x, offsets):
        return self.head(self.bag(x, offsets))


class Words(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return np.arange(1 + index % 4), Y[index]


def flattened(samples):
    sizes = [len(words) for words, _ in samples]
    words = {
        "x": torch.tensor(np.concatenate([words for words, _ in samples])),
        "offsets": torch.tensor(np.cumsum([0, *sizes[:-1]])),
    }
    return words, torch.tensor([y for _, y in samples])


def net(module=None, **settings):
    made = nn.Linear(3, 3) if module is None else module
    found = NeuralNetClassifier(
        made, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, **settings
    )
    return found.initialize()


NETS = {
    "array": net(),
    "columns": net(ByName()),
    "bags": net(Bags(), iterator_valid__collate_fn=flattened),
}


def bad(words, X=X, y=Y, of="array", error=(ValueError, TypeError)):
    def bring():
        hd.layer_spectra(NETS[of], X, y)

    return Bad(bring, error, words, lambda: [NETS[of]])


def columns(words, X):
    return bad(words, X, of="columns")


def cut_bags():
    hd.layer_spectra(NETS["bags"], Words(), batch_size=5)


MASKED = np.ma.masked_less(X, 0.0)
RECORDS = np.zeros(12, dtype=[("a", "f4"), ("b", "f4")])

BAD = {
    "rows of several lengths": bad(("rows of one length", "Pad"), [*X[:11].tolist(), [1.0]]),
    "as many rows as columns": bad(("numpy.array(X)",), X[:3].tolist(), Y[:3]),
    "list of samples as arrays": bad(("numpy.stack",), list(X)),
    "list of samples as tensors": bad(("numpy.stack",), list(torch.tensor(X))),
    "list of dicts": bad(("dict of arrays", "12 dicts"), [{"a": 1.0}] * 12),
    "list of words": bad(("words", "'ant'"), ["ant"] * 12),
    "list of rows of words": bad(("numbers in X",), [["ant", "bee"]] * 12),
    "array of words": bad(("numbers in X", "U3"), np.array([["ant", "bee"]] * 12)),
    "array of objects": bad(("objects", "None"), np.array([[1.0, None]] * 12, dtype=object)),
    "array of arrays": bad(
        ("objects", "length"), np.array([np.ones(k) for k in range(1, 13)], dtype=object)
    ),
    "array of dates": bad(("datetime64",), np.array(["2020-01-01"] * 12, dtype="M8[D]")),
    "array of durations": bad(("timedelta64",), np.zeros((12, 3), dtype="m8[s]")),
    "array of records": bad(("'a', 'b'",), RECORDS),
    "array with gaps": bad(("masked", str(int(MASKED.mask.sum()))), MASKED),
    "targets with gaps": bad(("masked", "y"), y=np.ma.masked_equal(Y, 1)),
    "generator": bad(("generator",), (row for row in X)),
    "map": bad(("map",), map(list, X)),
    "set": bad(("set",), {1.0, 2.0}),
    "function": bad(("function",), lambda: X),
    "number": bad(("float",), 3.0),
    "number for targets": bad(("int", "y"), y=3),
    "number in a dict": columns(("X['b']", "float"), {"a": X[:, :1], "b": 0.5}),
    "nothing": bad(("inputs X", "None"), None),
    "nested tensor": bad(
        ("nested", "padded"),
        torch.nested.nested_tensor(list(torch.ones(12, 3)), layout=torch.jagged),
    ),
    "tensor without numbers": bad(("meta",), torch.ones(12, 3, device="meta")),
    "word": bad(("str",), "data.csv"),
    "loader": bad(("DataLoader", "from_loader"), DataLoader(X)),
    "loader of targets": bad(("DataLoader", "y"), y=DataLoader(Y)),
    "frame for a net of arrays": bad(("X.to_numpy()", "'a'"), FRAME),
    "frame with a column too many": columns(("'c'",), FRAME.assign(c=1.0)),
    "frame with a column too few": columns(("'b'",), FRAME[["a"]]),
    "frame with words": columns(("'b'", "object", "pipeline"), FRAME.assign(b="red")),
    "frame with categories": columns(
        ("'b'",), FRAME.assign(b=pd.Categorical(["red", "green"] * 6))
    ),
    "frame with dates": columns(("'b'", "datetime64"), FRAME.assign(b=pd.Timestamp(0))),
    "frame with a name twice": columns(
        ("'a', 'b'", "more than once"), pd.concat([FRAME, FRAME], axis=1)
    ),
    "frame with numbers for names": columns(("names",), FRAME.rename(columns={"a": 0, "b": 1})),
    "frame with what is missing": columns(
        ("finite data", "X"), FRAME.convert_dtypes().mask(FRAME["a"] > 0)
    ),
    "dict of series with labels": columns(
        ("'a'", "label", "to_numpy"), {"a": SHUFFLED["a"], "b": FRAME["b"]}
    ),
    "dict of several lengths": columns(("same length",), {"a": X[:, :1], "b": X[:5, :1]}),
    "dict of rows of several lengths": columns(
        ("rows of one length", "X['a']"), {"a": [[1.0], [1.0, 2.0]] * 6, "b": X[:, :1]}
    ),
    "dict of words": columns(("X['a']", "'red'"), {"a": ["red"] * 12, "b": X[:, :1]}),
    "targets in words": bad(("numeric targets", "LabelEncoder"), y=np.array(["a", "b"] * 6)),
    "targets in categories of words": bad(
        ("numeric targets",), y=pd.Series(["a", "b"] * 6, dtype="category")
    ),
    "targets in objects": bad(("numeric targets",), y=pd.Series(["a", "b"] * 6, dtype=object)),
    "targets that are missing": bad(
        ("finite data", "y"), y=pd.Series(Y, dtype="Int64").where(Y > 0)
    ),
    "targets None": bad(("objects", "None"), y=np.array([0, None] * 6, dtype=object)),
    "offsets of bags in two batches": Bad(cut_bags, ValueError, ("offsets", "batch_size=None")),
    "offsets of bags in a dict": bad(
        ("same length",), {"x": np.arange(24), "offsets": np.arange(0, 24, 2)}
    ),
}
