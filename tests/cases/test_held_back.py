"""What a net held back from training is left out, and said."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn

import hessdiag as hd
from hessdiag.testing import state_changes, surroundings_state

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4)).astype("float32")
Y = np.arange(30) % 3
HELD = np.arange(30) < 6


class Wide(nn.Module):
    """Takes an array, or its columns by name."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x=None, **columns):
        x = torch.cat(list(columns.values()), dim=1) if x is None else x
        return self.layer(x)


def fitted(X=X, y=Y, **settings):
    settings = {"train_split": ValidSplit(5), "max_epochs": 2, "verbose": 0} | settings
    return NeuralNetClassifier(Wide(), criterion=nn.CrossEntropyLoss, **settings).fit(X, y)


@pytest.mark.slow
def test_it_is_left_out_and_said(reference_diagnoser):
    case = hd.NetworkCase(fitted(), X, Y, name="mine")
    np.testing.assert_array_equal(case.X, X[~HELD])
    np.testing.assert_array_equal(case.y, Y[~HELD])
    assert case.n_held_back == 6
    assert "24 samples and 6 held back" in repr(case)
    report = reference_diagnoser.explain(case)
    assert "6 of 30 samples" in report.notes[0]
    assert report.examination.context["n_samples"] == 24


def test_the_default_of_skorch_is_found():
    net = NeuralNetClassifier(Wide(), criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0).fit(
        X, Y
    )
    train, _ = net.get_split_datasets(X, Y)
    for y in (Y, Y.tolist(), pd.Series(Y), torch.tensor(Y)):
        case = hd.NetworkCase(net, X, y)
        np.testing.assert_array_equal(case.X, X[np.sort(train.indices)])


def test_all_can_be_kept():
    case = hd.NetworkCase(fitted(), X, Y, held_back="keep")
    assert case.X is X
    assert case.n_held_back == 0
    assert "none was left out of the 30" in case.notes[0]


def reloaded(tmp_path, **settings):
    """A net that was saved and loaded, which has no history but by a file of its own."""
    fitted().save_params(f_params=tmp_path / "params.pt", f_history=tmp_path / "history.json")
    settings = {"train_split": ValidSplit(5), "verbose": 0} | settings
    net = NeuralNetClassifier(Wide(), criterion=nn.CrossEntropyLoss, **settings).initialize()
    net.load_params(f_params=tmp_path / "params.pt")
    return net


def test_nothing_is_left_out_where_nothing_was_held_back():
    case = hd.NetworkCase(fitted(train_split=None), X, Y)
    assert case.X is X
    assert case.notes == ()


def test_what_cannot_be_known_is_said(tmp_path):
    for net in (reloaded(tmp_path), fitted(max_epochs=0)):
        case = hd.NetworkCase(net, X, Y)
        assert case.X is X
        assert case.n_held_back == 0
        assert "cannot be known" in case.notes[0]
        assert hd.NetworkCase(net, X, Y, held_back="keep").notes == ()
    other = Dataset(X[:5], Y[:5])
    for split in (None, predefined_split(other)):
        assert hd.NetworkCase(reloaded(tmp_path, train_split=split), X, Y).notes == ()
    # With its history, it is known again.
    net = reloaded(tmp_path)
    net.load_params(f_history=tmp_path / "history.json")
    assert hd.NetworkCase(net, X, Y).n_held_back == 6
    # As of a history whose batches were left out.
    net.history_ = History({k: v for k, v in row.items() if k != "batches"} for row in net.history_)
    for row in net.history_:
        row["batches"] = []
    assert "cannot be known" in hd.NetworkCase(net, X, Y).notes[0]


def test_the_part_that_was_trained_on_stays_whole():
    case = hd.NetworkCase(fitted(), X[~HELD], Y[~HELD])
    assert len(case.X) == 24
    assert case.n_held_back == 0
    assert case.notes == ()


def test_a_last_batch_that_was_dropped_counts():
    net = fitted(iterator_train__drop_last=True, batch_size=7)
    assert len(hd.NetworkCase(net, X[~HELD], Y[~HELD]).X) == 24
    assert len(hd.NetworkCase(net, X, Y).X) == 24


@pytest.mark.parametrize(
    ("X", "rows"),
    [
        (torch.tensor(X), lambda found: found.numpy()),
        (X.tolist(), np.asarray),
        (sparse.csr_matrix(X), lambda found: found.toarray()),
        (pd.DataFrame(X, columns=list("abcd")), lambda found: found.to_numpy()),
        ({"x": X}, lambda found: found["x"]),
        (Dataset(X, Y), lambda found: np.stack([found[i][0] for i in range(len(found))])),
    ],
    ids=["tensor", "list", "sparse", "frame", "dict", "dataset"],
)
@pytest.mark.parametrize("y", [Y, torch.tensor(Y), Y.tolist(), pd.Series(Y)])
def test_data_in_any_container_are_cut(X, rows, y):
    case = hd.NetworkCase(fitted(), X, y)
    np.testing.assert_allclose(
        rows(case.X), rows(X)[~HELD] if not isinstance(X, list) else np.asarray(X)[~HELD]
    )
    np.testing.assert_array_equal(np.asarray(case.y), Y[~HELD])


def test_nothing_of_the_net_changes():
    class Counting(ValidSplit):
        calls = 0

        def __call__(self, *args, **kwargs):
            self.calls += 1
            return super().__call__(*args, **kwargs)

    net = fitted(train_split=Counting(5))
    before = set(vars(net))
    surroundings = surroundings_state(numpy_generator=False)
    hd.NetworkCase(net, X, Y)
    assert net.train_split.calls == 1
    assert set(vars(net)) == before
    assert state_changes(surroundings, surroundings_state(numpy_generator=False)) == []


def test_a_case_is_not_cut_twice():
    case = hd.NetworkCase(fitted(), X, Y, name="mine")
    renamed = replace(case, name="yours")
    assert len(renamed.X) == 24
    travelled = pickle.loads(pickle.dumps(case))
    assert travelled.n_held_back == 6
    assert travelled.notes == case.notes
    assert len(travelled.X) == 24
    assert travelled.digest() == case.digest()
