"""What only a stranger's net does: it is left as it was, seen through, or refused by name."""

import copy
import threading

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians
from situations import classifier
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn
from torch.nn import functional

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4)).astype("float32"), RNG.integers(0, 3, 24)
STEPS = RNG.normal(size=(24, 5, 4)).astype("float32")
#: What a hook and a forward pass of this file fill.
SEEN: list = []


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.o = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.o(torch.tanh(self.a(x)))


class Clipping(Two):
    def forward(self, x):
        for p in self.parameters():
            p.data.clamp_(-0.2, 0.2)
        return super().forward(x)


class Freezing(Two):
    def forward(self, x):
        self.a.requires_grad_(self.training)
        return super().forward(x)


class Noting(Two):
    def forward(self, x):
        SEEN.append(torch.tanh(self.a(x)))
        return self.o(SEEN[-1])


class Itself(nn.Linear):
    def __deepcopy__(self, memo):
        return self


def state_of(module):
    return [(p.detach().clone(), p.requires_grad, p.dtype) for p in module.parameters()]


@pytest.mark.parametrize("make", [Clipping, Freezing, Noting])
def test_nets_that_change_themselves_are_left_as_they_were(make):
    net = classifier(make())
    before, sent = state_of(net.module_), list(SEEN)
    hd.layer_spectra(net, X, Y)
    hd.examine(net, X, Y)
    for (p, trained, dtype), (kept, was_trained, was) in zip(state_of(net.module_), before):
        torch.testing.assert_close(p, kept, rtol=0, atol=0)
        assert (trained, dtype) == (was_trained, was)
    assert sent == SEEN


def test_a_copy_that_is_the_original_is_refused():
    module = Two()
    module.a = Itself(4, 3)
    net = classifier(module)
    net.module_.train()
    with pytest.raises(ValueError, match=r"copy\.deepcopy returns 'a' itself"):
        hd.layer_spectra(net, X, Y, dtype="float64")
    assert net.module_.training
    assert net.module_.a.weight.dtype == torch.float32


def test_a_net_that_cannot_be_copied_is_refused_by_name():
    module = Two()
    module.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"copy.deepcopy can copy.*lock.*__deepcopy__"):
        hd.layer_spectra(classifier(module), X, Y)


def test_activations_that_are_kept_anywhere_are_no_obstacle():
    module = Two()
    expected = hd.layer_spectra(classifier(copy.deepcopy(module)), X, Y)
    sent = torch.tanh(module.a(torch.as_tensor(X)))
    module.kept = {"h": [sent], "pair": (sent, {"again": sent})}
    for name, spectrum in hd.layer_spectra(classifier(module), X, Y).items():
        np.testing.assert_allclose(spectrum.nodes, expected[name].nodes)


def test_backward_hooks_of_the_user_are_not_called():
    calls, module = [], Two()
    module.a.register_full_backward_hook(lambda *args: calls.append(1))
    hd.layer_spectra(classifier(module), X, Y)
    assert calls == []


class Viewing(nn.Module):
    """Sees a weight in another shape, as only one that lies row by row can be seen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.b, self.o = nn.Linear(4, 64), nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, x):
        return self.o(torch.tanh(self.enter(x) @ self.b.weight.view(-1).view(64, 64)))


def test_weights_may_be_viewed():
    assert hd.layer_traces(classifier(Viewing()), X, Y, n_probes=2)["o"].trace > 0


class Mixing(Two):
    """Samples know of others: all before, some neighbours, their place in the batch."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        h = torch.tanh(self.a(x))
        if self.how == "sums":
            h = h.cumsum(0)
        elif self.how == "later neighbours":
            h = torch.cat([h[:4], h[4:] + h[4:].roll(1, 0)]) if len(h) > 4 else h
        else:
            h = h * torch.linspace(0, 1, 100)[: len(h), None].to(h)
        return self.o(h)


@pytest.mark.parametrize("how", ["sums", "later neighbours", "places"])
def test_samples_that_are_mixed_have_no_gauss_newton_matrix(how):
    net = classifier(Mixing(how))
    with untouched_surroundings():
        problem = prepare(net, X, Y)
    assert not problem.is_separable
    with pytest.raises(ValueError, match="depend on the others"):
        hd.layer_spectra(net, X, Y, curvature="ggn")
    assert "statistics_missing" in hd.examine(net, X, Y).context


class StepsFirst(nn.Module):
    """A recurrent layer whose first axis is taken for steps where it is samples."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.r, self.o = nn.RNN(4, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.o(self.r(x)[0][:, -1])


def test_a_recurrent_layer_along_the_wrong_axis():
    found = hd.examine(classifier(StepsFirst()), STEPS, Y)
    assert "statistics_missing" in found.context
    assert np.isfinite(found["r"].spectrum.trace)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5])
def test_draws_in_evaluation_mode_are_refused(rate):
    class Skipping(Two):
        def forward(self, x):
            h = torch.tanh(self.a(x))
            return self.o(h if torch.rand(1) < rate else 2 * h)

    with pytest.raises(ValueError, match=r"module\.eval\(\)"):
        hd.layer_spectra(classifier(Skipping()), X, Y)


def test_draws_of_a_loss_are_refused():
    def rarely(outputs, targets):
        loss = functional.cross_entropy(outputs, targets)
        return 2 * loss if torch.rand(1) < 0.01 else loss

    with pytest.raises(ValueError, match="loss that draws no random numbers, found that rarely"):
        hd.layer_spectra(classifier(Two()), X, Y, scalar=rarely)


@pytest.mark.parametrize("sampler", [list(range(10)), torch.utils.data.SubsetRandomSampler([1, 2])])
def test_iterators_over_a_part_of_the_samples_are_refused(sampler):
    net = NeuralNetClassifier(
        Two(),
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        iterator_valid__sampler=sampler,
    ).initialize()
    with pytest.raises(ValueError, match="goes through all 24 samples"):
        hd.layer_spectra(net, X, Y)


class Experts(nn.Module):
    """Sends every sample to one of some experts, most of them to the first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)) for _ in range(4)
        )

    def forward(self, x):
        place = (x[:, 0] > 0.7).long() + (x[:, 1] > 0.7).long() * 2
        sent = torch.stack([expert(x) for expert in self.experts], dim=1)
        return sent[torch.arange(len(x)), place]


def test_experts_that_few_samples_see_are_not_called_exact():
    net = classifier(Experts())
    exact = hd.layer_spectra(net, X, Y, dtype="float64")
    for name, trace in hd.layer_traces(net, X, Y, dtype="float64", n_probes=200).items():
        bound = 5 * trace.trace_error if trace.trace_error else 1e-9
        assert abs(trace.trace - exact[name].trace) <= bound


def test_a_net_whose_code_ends_the_process_is_skipped():
    class Leaving(Two):
        def forward(self, x):
            raise SystemExit(0)

    good, bad = classifier(Two()), classifier(Leaving())
    cases = [hd.NetworkCase(net, X, Y) for net in (good, bad)]
    with pytest.warns(hd.features.SkippedCaseWarning, match="SystemExit: 0"):
        found = hd.LayerSpectra(on_error="warn").fit_transform(cases)
    assert isinstance(found[1], hd.features.SkippedCase)


class ByPlace(nn.CrossEntropyLoss):
    """Weighs samples by their place in the batch, as weights do that a loss keeps."""

    weights = torch.linspace(0.0, 4.0, 24) ** 2

    def forward(self, outputs, y):
        losses = functional.cross_entropy(outputs, y, reduction="none")
        return (self.weights[: len(y)].to(losses) * losses).mean()


class Balanced(nn.CrossEntropyLoss):
    """Weighs classes by how often they occur in the batch."""

    def forward(self, outputs, y):
        counts = functional.one_hot(y, 3).sum(dim=0).clamp(min=1)
        return functional.cross_entropy(outputs, y, weight=(len(y) / counts).to(outputs))


def test_a_loss_that_weighs_samples_by_their_place_is_seen_through():
    net = classifier(Two(), criterion=ByPlace)
    found = hd.examine(net, X, Y)
    assert "by their place in a batch" in found.context["statistics_missing"]
    for name, matrix in dense_hessians(net, X, Y).items():
        expected = np.linalg.eigvalsh(matrix)
        size = np.abs(expected).max()
        np.testing.assert_allclose(found[name].spectrum.eigenvalues(), expected, atol=1e-7 * size)
    assert "statistics_missing" not in hd.examine(classifier(Two()), X, Y).context


def test_a_loss_that_cannot_be_taken_apart_is_named():
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        losses = functional.cross_entropy(y_pred, y_true[:, 0].long(), reduction="none")
        return (y_true[:, 1] * losses).sum() / y_true[:, 1].sum()

    weighed = np.column_stack([Y, RNG.exponential(size=24)]).astype("float32")
    net = classifier(Two(), type("Weighed", (NeuralNet,), {"get_loss": get_loss}))
    for one, y, reason in (
        (net, weighed, "is of each sample alone"),
        (classifier(Two(), criterion=Balanced), Y, "is of each sample alone"),
    ):
        found = hd.examine(one, X, y)
        assert reason in found.context["statistics_missing"]
        assert found["a"].ggn_spectrum.trace > 0
