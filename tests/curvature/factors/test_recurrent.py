"""Recurrent layers and attention by what their weights multiply, against samples one by one."""

import pytest
import torch
from parts import parts_of
from torch import nn

from hessdiag.curvature.factors import (
    JointFactor,
    OuterFactor,
    _capture,
    capture_factors,
    join_factors,
    rows_of,
    squared_row_norms,
)
from hessdiag.curvature.factors._per_sample import _looped

N, T = 5, 4


class Recurrent(nn.Module):
    def __init__(self, kind=nn.GRU, state=False, **settings):
        super().__init__()
        settings = {"batch_first": True} | settings
        self.rnn, self.state = kind(3, 2, **settings), state
        self.batch_first = settings["batch_first"]

    def forward(self, x):
        x = x if self.batch_first else x.transpose(0, 1)
        hx = None
        if self.state:
            n = len(x) if self.batch_first else x.shape[1]
            layers = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1)
            hx = 0.3 * x.new_ones(layers, n, 2)
            hx = (hx, -hx) if isinstance(self.rnn, nn.LSTM) else hx
        sent, last = self.rnn(x, hx)
        last = last[1] if isinstance(last, tuple) else last
        sent = sent if self.batch_first else sent.transpose(0, 1)
        return torch.cat([sent.sin().sum(1), last[-1].cos()], dim=1)


class Twice(nn.Module):
    """One recurrent layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 3, batch_first=True)

    def forward(self, x):
        return self.rnn(torch.sin(self.rnn(x)[0]))[0][:, -1]


class Attending(nn.Module):
    def __init__(self, batch_first=True, steps=None, **settings):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=batch_first, **settings)
        self.enter, self.batch_first = nn.Linear(3, 4), batch_first

    def forward(self, x):
        x = self.enter(x)
        x = x if self.batch_first else x.transpose(0, 1)
        sent = self.attention(x, x, x, need_weights=False)[0]
        return sent.sin().sum(1 if self.batch_first else 0)


MODULES = {
    "rnn": lambda: Recurrent(nn.RNN),
    "rectified": lambda: Recurrent(nn.RNN, nonlinearity="relu"),
    "gru": Recurrent,
    "gru from a state": lambda: Recurrent(state=True),
    "gru in two layers": lambda: Recurrent(num_layers=2, dropout=0.4),
    "gru in both directions": lambda: Recurrent(bidirectional=True),
    "gru without biases": lambda: Recurrent(bias=False),
    "gru, steps first": lambda: Recurrent(batch_first=False),
    "lstm": lambda: Recurrent(nn.LSTM),
    "lstm from a state, both directions, two layers": lambda: Recurrent(
        nn.LSTM, state=True, num_layers=2, bidirectional=True
    ),
    "called twice": Twice,
    "attention": Attending,
    "attention, steps first": lambda: Attending(batch_first=False),
    "attention without biases": lambda: Attending(bias=False),
}


def captured(module, n_steps=T, monkeypatch=None):
    """Return factors by rules alone, and dense Jacobians one sample after the other."""
    torch.manual_seed(0)
    module = module()
    parts = parts_of(module, torch.randn(N, n_steps, 3))
    if monkeypatch is not None:
        monkeypatch.setattr(_capture, "per_sample_factor", None)  # no other way is taken
    found = capture_factors(parts.copy, parts.chunks[0], parts.blocks, parts.outputs_of, N)
    expected = {b.name: _looped(parts.chunks[0], b, parts.outputs_of) for b in parts.blocks}
    return found, expected


@pytest.mark.parametrize("n_steps", [T, N])  # as many steps as samples, too
@pytest.mark.parametrize("name", MODULES)
def test_against_samples_one_by_one(name, n_steps, monkeypatch):
    found, expected = captured(MODULES[name], n_steps, monkeypatch)
    assert found.keys() == expected.keys()
    for block, factor in found.items():
        torch.testing.assert_close(factor.dense(), expected[block], rtol=1e-9, atol=1e-11)


def test_projections(monkeypatch):
    import warnings

    with warnings.catch_warnings():
        # oneDNN does not know them.
        warnings.simplefilter("ignore")
        found, expected = captured(lambda: Recurrent(nn.LSTM, proj_size=1), T, monkeypatch)
    torch.testing.assert_close(found["rnn"].dense(), expected["rnn"], rtol=1e-9, atol=1e-11)


def test_packed_series_go_sample_by_sample():
    class Packed(Recurrent):
        def forward(self, x):
            lengths = torch.full((len(x),), x.shape[1])
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.rnn(packed)[1][-1]

    found, expected = captured(Packed)
    torch.testing.assert_close(found["rnn"].dense(), expected["rnn"], rtol=1e-9, atol=1e-11)


def test_a_part_of_the_parameters(monkeypatch):
    monkeypatch.setattr(_capture, "per_sample_factor", None)
    torch.manual_seed(0)
    names = ["rnn.bias_hh_l0", "rnn.weight_ih_l0"]
    parts = parts_of(Recurrent(), torch.randn(N, T, 3), layers={"some": names})
    found = capture_factors(parts.copy, parts.chunks[0], parts.blocks, parts.outputs_of, N)
    expected = _looped(parts.chunks[0], parts.blocks[0], parts.outputs_of)
    torch.testing.assert_close(found["some"].dense(), expected, rtol=1e-9, atol=1e-11)


def joint(n=N):
    generator = torch.Generator().manual_seed(n)

    def randn(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = OuterFactor(randn(n, 1, T, 3), randn(n, 2, 1, T, 4), ("weight", "bias"))
    return JointFactor([weights, OuterFactor(randn(n, 1, 1, 2), randn(n, 2, 1, 1, 5), ("weight",))])


def test_factors_side_by_side():
    factor, J = joint(), joint().dense()
    rows = J.reshape(-1, factor.n_params)
    close = torch.testing.assert_close
    close(factor.gram(), rows @ rows.T)
    v, u = torch.randn(3, factor.n_params).double(), torch.randn(3, N, 2).double()
    close(factor.matvec(v), torch.einsum("ncp,kp->knc", J, v))
    close(factor.rmatvec(u), torch.einsum("ncp,knc->kp", J, u))
    close(factor.gauss_newton(v), v @ rows.T @ rows)
    close(factor.condensed().dense(), J)
    close(squared_row_norms(factor), J.square().sum(2))
    close(rows_of(factor, slice(1, 3)).dense(), J[1:3])
    weights = torch.randn(N, 2, 1).double()
    close(factor.weighted(weights).dense(), torch.einsum("ncp,ncr->nrp", J, weights))
    close(join_factors([factor, joint(3)]).dense(), torch.cat([J, joint(3).dense()]))
    close(JointFactor.added([factor, factor]).dense(), 2 * J)
    assert factor.is_finite
    factor.parts[0].sweeps[0, 0] = torch.nan
    assert not factor.is_finite
