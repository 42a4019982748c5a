"""Modules and loaders: the net is built around the very module, which stays as it is."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

import hessdiag as hd
from hessdiag.testing import state_changes, surroundings_state

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4)).astype("float32")
Y = RNG.integers(0, 3, 20)
DATA = TensorDataset(torch.tensor(X), torch.tensor(Y))


def make_module():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 3))


def test_the_module_is_taken_as_it_is():
    module = make_module().train()
    module(torch.tensor(X)).sum().backward()
    module[1].eval()
    hook = module[0].register_forward_hook(lambda *args: None)
    state = copy.deepcopy(module.state_dict())
    parts = [id(p) for p in module.parameters()]
    gradients = [p.grad.clone() for p in module.parameters()]
    surroundings = surroundings_state(numpy_generator=False)
    case = hd.NetworkCase.from_module(module, X, Y, loss=nn.CrossEntropyLoss())
    hd.LayerSpectra().transform([case])
    assert case.net.module_ is module
    assert case.net.module is module
    assert [id(p) for p in module.parameters()] == parts
    assert [m.training for m in module.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), gradients))
    assert list(module[0]._forward_hooks) == [hook.id]
    assert state_changes(surroundings, surroundings_state(numpy_generator=False)) == []


def test_the_loss_is_taken_as_it_is():
    loss = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1)
    case = hd.NetworkCase.from_module(make_module(), X, Y, loss=loss)
    assert case.net.criterion_ is loss
    context = hd.examine(case.net, case.X, case.y).context
    expected = loss(case.net.module_.eval()(torch.tensor(X)), torch.tensor(Y))
    assert context["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
    assert context["task"] == "classification"


def test_a_function_of_torch_is_known_as_the_class_that_it_is():
    found = [
        hd.examine(case.net, case.X, case.y).context
        for loss in (nn.CrossEntropyLoss(), nn.functional.cross_entropy)
        for case in [hd.NetworkCase.from_module(make_module(), X, Y, loss=loss)]
    ]
    assert found[0] == found[1]


def test_a_function_gives_its_name():
    def entropy(output, y):
        return nn.functional.cross_entropy(output, y)

    case = hd.NetworkCase.from_module(make_module(), X, Y, loss=entropy)
    assert hd.examine(case.net, case.X, case.y).context["criterion"] == "entropy"


def test_a_loader_gives_the_case_of_its_data():
    module = make_module()
    loader = DataLoader(DATA, 7, shuffle=True, drop_last=True)
    cases = [
        hd.NetworkCase.from_loader(module, loader, loss=nn.CrossEntropyLoss()),
        hd.NetworkCase.from_module(module, DATA[:][0], DATA[:][1], loss=nn.CrossEntropyLoss()),
    ]
    assert torch.equal(cases[0].X, cases[1].X)
    assert cases[0].digest() == cases[1].digest()
    assert len(hd.LayerSpectra().transform(cases)) == 2


def test_a_loader_does_not_draw_from_the_global_generators():
    surroundings = surroundings_state(numpy_generator=False)
    hd.NetworkCase.from_loader(
        make_module(), DataLoader(DATA, 7, shuffle=True), loss=nn.CrossEntropyLoss()
    )
    assert state_changes(surroundings, surroundings_state(numpy_generator=False)) == []


@pytest.mark.slow
def test_what_a_loader_does_to_samples_is_noted(reference_diagnoser):
    loader = DataLoader(DATA, 7, sampler=WeightedRandomSampler(np.ones(20), 9))
    case = hd.NetworkCase.from_loader(make_module(), loader, loss=nn.CrossEntropyLoss())
    assert case.notes == ("The loader draws samples by weights; each is examined once.",)
    report = reference_diagnoser.explain(case)
    assert report.notes[0] == case.notes[0]


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (DistributedSampler(DATA, 2, 0), ("DistributedSampler", "10 of 20 samples", "epoch")),
        (SubsetRandomSampler([3, 4, 11]), ("SubsetRandomSampler", "3 of 20 samples")),
        (SequentialSampler(range(7)), ("7 of 20 samples",)),
        (WeightedRandomSampler(np.arange(20) % 2, 9), ("by weights", "10 of 20")),
    ],
)
def test_parts_of_a_data_set_are_noted(sampler, words):
    case = hd.NetworkCase.from_loader(
        make_module(), DataLoader(DATA, 7, sampler=sampler), loss=nn.CrossEntropyLoss()
    )
    (note,) = case.notes
    assert all(word in note for word in words)
    assert len(case.X) == int(note.partition(" of ")[0].rpartition(" ")[2])


def collated(change):
    def collate(samples):
        x, y = default_collate(samples)
        return change(x), y

    return collate


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 2 * x,
        lambda x: x / x.norm(dim=1, keepdim=True),
        # Rounds in another way, batch by batch.
        lambda x: x @ torch.linalg.qr(torch.ones(4, 4) + torch.eye(4))[0],
    ],
)
def test_what_is_done_to_each_sample_by_itself_is_no_fault(change):
    collate = collated(change)
    for size in (7, 64):
        loader = DataLoader(DATA, size, shuffle=True, collate_fn=collate)
        case = hd.NetworkCase.from_loader(make_module(), loader, loss=nn.CrossEntropyLoss())
        torch.testing.assert_close(case.X, change(DATA.tensors[0]))
        assert torch.equal(case.y, DATA.tensors[1])


def test_samples_may_be_sorted_within_their_batches():
    def collate(samples):
        return default_collate(sorted(samples, key=lambda sample: float(sample[0][0])))

    case = hd.NetworkCase.from_loader(
        make_module(), DataLoader(DATA, 7, collate_fn=collate), loss=nn.CrossEntropyLoss()
    )
    assert sorted(case.X[:, 0].tolist()) == sorted(DATA.tensors[0][:, 0].tolist())


class Augmented(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return X[index] + torch.randn(4).numpy(), Y[index]


def test_one_data_set_that_changes_does_not_stop_a_list():
    module = make_module()
    good = hd.NetworkCase.from_module(module, X, Y, loss=nn.CrossEntropyLoss(), name="good")
    changing = hd.NetworkCase(good.net, Augmented(), name="changing")
    with pytest.warns(Warning, match=r"changing.*Augmented"):
        found = hd.LayerSpectra(on_error="warn").transform([changing, good])
    assert found[1].name == "good"
    assert found[1].layers


def test_targets_for_functions_of_ones_own_stay_as_they_are():
    def loss(output, y):
        assert y.dtype is torch.int16
        return nn.functional.cross_entropy(output, y.long())

    case = hd.NetworkCase.from_module(make_module(), X, Y.astype("int16"), loss=loss)
    assert case.y.dtype == "int16"
