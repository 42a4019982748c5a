"""Which of several tensors a loss is taken of, and what the loss finds around it."""

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from torch import nn

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network._sent_outputs import SentOutput, leaves_of, named_tensors

A, B, C = torch.ones(4, 2), torch.arange(4), torch.tensor(3.0)
TREE = {"logits": A, "hidden": (B, [C]), "loss": None}


def test_tensors_are_named_by_their_paths():
    assert list(named_tensors(TREE)) == ["logits", "hidden.0", "hidden.1.0"]
    assert list(named_tensors((A, {"b": B}))) == ["0", "1.b"]
    assert list(named_tensors(A)) == ["0"]
    assert named_tensors("text") == {}


def test_the_loss_finds_a_tensor_where_it_stands_and_nothing_to_read_elsewhere():
    sent = SentOutput("logits", TREE, 4)
    assert sent.pick(TREE) is A
    some = torch.zeros(2, 2)
    around = sent.around(some)
    assert around["logits"] is some
    assert around["loss"] is None
    assert around["hidden"][0].shape == (2,)
    assert around["hidden"][0].dtype == torch.int64
    assert around["hidden"][1][0].isnan()
    alone = SentOutput("logits")
    assert alone.pick(TREE) is A
    assert alone.around(some) is some


def test_leaves_take_derivatives_and_may_be_worked_on_in_place():
    leaves = leaves_of(TREE)
    assert [t.requires_grad for t in named_tensors(leaves).values()] == [True, False, True]
    leaves["logits"].mul_(2)
    assert torch.equal(A, torch.ones(4, 2))


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        return {"a": self.one(x), "b": self.two(x)}


def problem_of(loss, y=None, **settings):
    class Net(NeuralNet):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return loss(y_pred, y_true)

    torch.manual_seed(0)
    net = Net(Several(), criterion=nn.MSELoss, train_split=None, verbose=0).initialize()
    X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    return prepare(net, X, np.zeros((6, 2), "float32") if y is None else y, **settings)


def squares(name):
    return lambda sent, y: (sent[name] - y).square().mean()


@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_tensor_with_a_derivative_is_found(batch_size):
    problem = problem_of(squares("b"), batch_size=batch_size)
    assert problem.is_separable
    assert problem.working_copy.sent.name == "b"
    assert problem.output_values.shape == (6, 2)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (lambda sent, y: sum(t.square().mean() for t in sent.values()), "('a', 'b')"),
        (
            lambda sent, y: (sent["a"] + 0 * sent["b"].detach()).square().mean(),
            "reads more than 'a'",
        ),
    ],
)
def test_a_loss_of_several_is_taken_as_it_is(loss, reason):
    problem = problem_of(loss)
    assert not problem.is_separable
    assert reason in problem.why_whole


def test_callables_are_given_all_that_the_net_sends():
    problem = problem_of(squares("b"), scalar=squares("a"))
    assert problem.working_copy.sent.name == "a"


def test_cases_carry_the_name_of_the_output():
    torch.manual_seed(0)
    net = NeuralNet(Several, criterion=nn.MSELoss, train_split=None, verbose=0).initialize()
    X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")
    case, other = (hd.NetworkCase(net, X, y, output=name) for name in ("a", "b"))
    assert case.digest() != other.digest()
    (examination,) = hd.LayerSpectra().fit_transform([case])
    assert examination.settings["output"] == "a"
    sent = net.module_(torch.as_tensor(X))["a"].detach().numpy()
    loss = np.square(sent - y).mean()
    assert examination.context["loss"] == pytest.approx(loss)
    assert examination["two"].spectrum.trace == 0
    found = hd.examine(net, X, y, output="a").context
    assert found | {"seconds_forecast": None} == examination.context | {"seconds_forecast": None}


def test_modules_come_in_with_the_name_of_the_output():
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")
    module = Several()
    case = hd.NetworkCase.from_module(module, X, y, loss=nn.MSELoss(), output="b")
    (examination,) = hd.LayerSpectra().fit_transform([case])
    sent = module(torch.as_tensor(X))["b"].detach().numpy()
    assert examination.context["loss"] == pytest.approx(np.square(sent - y).mean())
    with pytest.raises(ValueError, match="output='a'"):
        hd.NetworkCase.from_module(module, X, y, loss=nn.MSELoss())


def test_saved_cases_know_their_output(tmp_path):
    torch.manual_seed(0)
    net = NeuralNet(Several, criterion=nn.MSELoss, train_split=None, verbose=0).initialize()
    X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    case = hd.NetworkCase(net, X, np.zeros((6, 2), "float32"), output="b")
    hd.save_case(case, tmp_path / "case")
    loaded = hd.load_case(tmp_path / "case", trusted=[Several])
    assert loaded.output == "b"
    assert loaded.digest() == case.digest()
