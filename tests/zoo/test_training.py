"""Training a recipe: the same network each time, better than chance, honest about failure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring

from hessdiag import LayerSpectra
from hessdiag.features import layer_table
from hessdiag.zoo import MLP, Recipe, TensorBatches, ZooStore, train_recipe
from hessdiag.zoo._augmentation import make_augmentation
from hessdiag.zoo._plain_epochs import PlainClassifier
from hessdiag.zoo._training import CHECKPOINTS, loss_and_error, make_net, recipe_split

CLASSES = {
    "mlp": Recipe("iris", 70, 0.0, "mlp", 1, "relu", 16, 0.0, n_steps=200),
    "residual_mlp": Recipe("iris", 70, 0.0, "residual_mlp", 1, "tanh", 16, 0.0, n_steps=200),
    "attention": Recipe("iris", 70, 0.0, "attention", 1, "gelu", 8, 0.0, n_steps=200),
    "cnn1d": Recipe("mnist1d", 1000, 0.0, "cnn1d", 2, "relu", 8, 0.0, n_steps=300),
    "cnn2d": Recipe("digits", 500, 0.0, "cnn2d", 2, "relu", 8, 0.0, n_steps=200),
}
# Others whose heads are trained on bodies, and which of these has a task for them.
BODIES = {
    "cnn1d_global": "cnn1d",
    "cnn2d_global": "cnn2d",
    "resnet1d": "cnn1d",
    "resnet": "cnn2d",
    "gru": "cnn1d",
    "lstm": "cnn2d",
    "transformer": "cnn2d",
    "mixer": "cnn1d",
}
VALUES = {
    "mlp": Recipe("diabetes", 200, 0.0, "mlp", 1, "relu", 4, 0.1, n_steps=200),
    "residual_mlp": Recipe("diabetes", 200, 0.0, "residual_mlp", 1, "relu", 4, 0.1, n_steps=200),
    "attention": Recipe("diabetes", 200, 0.0, "attention", 1, "relu", 4, 0.1, n_steps=200),
    "cnn2d": Recipe("china-next-pixel", 300, 0.0, "cnn2d", 1, "relu", 4, 0.1, n_steps=200),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", CLASSES)
def test_each_family_learns_and_comes_back_from_disk(family, tmp_path):
    recipe = replace(CLASSES[family], normalization="none" if family == "mlp" else "layer")
    net, record = train_recipe(recipe)
    assert record.status == "ok"
    chance = 1 - 1 / record.n_classes
    assert record.test_error < 0.8 * chance
    assert record.test_losses[-1] < 0.95 * record.null_loss
    store = ZooStore(tmp_path)
    store.save_network(recipe, net, record)
    assert store.load_record(recipe.id) == (recipe, record)
    examine_and_compare(store.load_case(recipe.id), record)


@pytest.mark.parametrize("family", VALUES)
def test_each_family_learns_regression(family, tmp_path):
    recipe = replace(VALUES[family], label_noise=0.25)
    net, record = train_recipe(recipe)
    assert (record.status, record.kind, record.null_loss) == ("ok", "regression", 1.0)
    assert record.test_error < 0.9
    store = ZooStore(tmp_path)
    store.save_network(recipe, net, record)
    examine_and_compare(store.load_case(recipe.id), record)


def examine_and_compare(case, record):
    """Examine a network, and find its record's error in the examination's context."""
    examination = LayerSpectra(max_gram_size=60, n_lanczos_steps=5, n_probes=1).transform([case])[0]
    context = layer_table(examination).context
    np.testing.assert_allclose(context["error"], record.train_error, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("normalization", "dropout", "optimizer"),
    [("batch", 0.0, "adamw"), ("layer", 0.3, "sgd"), ("batch", 0.1, "sgd")],
)
def test_options_change_the_network_and_are_repeatable(normalization, dropout, optimizer):
    recipe = replace(
        CLASSES["mlp"],
        n_train=65,  # two batches of 32 leave one sample over
        normalization=normalization,
        dropout=dropout,
        optimizer=optimizer,
        learning_rate=0.03,
    )
    first, record = train_recipe(recipe)
    second, again = train_recipe(recipe)
    assert record == again
    assert record.status == "ok"
    states = first.module_.state_dict(), second.module_.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert record.test_losses != train_recipe(replace(recipe, dropout=0.2))[1].test_losses


def test_same_recipe_same_network(small_recipes):
    recipe = small_recipes[0]
    state = torch.get_rng_state()
    first, record = train_recipe(recipe)
    torch.rand(3)
    np.random.default_rng().random()
    second, again = train_recipe(recipe)
    assert record == again
    for left, right in zip(first.module_.parameters(), second.module_.parameters(), strict=True):
        assert torch.equal(left, right)
    torch.set_rng_state(state)
    train_recipe(recipe)
    assert torch.equal(state, torch.get_rng_state())


def test_record_is_what_the_network_does(small_recipes):
    recipe = small_recipes[-1]
    net, record = train_recipe(recipe)
    split = recipe_split(recipe)
    for part, loss, error in [
        ("train", record.train_loss, record.train_error),
        ("valid", record.valid_loss, record.valid_error),
        ("test", record.test_losses[-1], record.test_error),
    ]:
        X, y = getattr(split, f"X_{part}"), getattr(split, f"y_{part}")
        logits = net.module_(torch.as_tensor(X)).detach().double().numpy()
        log_sum = np.log(np.exp(logits).sum(axis=1))
        expected = (log_sum - logits[np.arange(len(y)), y]).mean()
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        np.testing.assert_allclose(error, (logits.argmax(axis=1) != y).mean())
    np.testing.assert_allclose(record.null_loss, np.log(split.n_classes))
    assert len(record.test_losses) == 7


def test_threads_do_not_change_the_network():
    recipe = replace(CLASSES["mlp"], width=216, batch_size=128, n_steps=50)
    threads = torch.get_num_threads()
    records = []
    for number in (1, 2):
        torch.set_num_threads(number)
        try:
            records.append(train_recipe(recipe)[1])
            assert torch.get_num_threads() == number
        finally:
            torch.set_num_threads(threads)
    assert records[0] == records[1]


def test_diverged_is_recorded():
    wild = replace(VALUES["mlp"], optimizer="sgd", learning_rate=30.0, weight_decay=0.0)
    _, record = train_recipe(wild)
    assert record.status == "diverged"
    assert not np.isfinite(record.train_loss) or record.train_loss > 3


def test_plain_epochs_take_the_steps_that_skorch_takes():
    split = recipe_split(CLASSES["mlp"])
    options = {
        "module__n_inputs": 4,
        "module__n_outputs": 3,
        "module__dropout": 0.2,
        "module__normalization": "batch",
        "criterion": torch.nn.CrossEntropyLoss,
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "lr": 0.1,
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "batch_size": 16,
        "max_epochs": 5,
        "train_split": None,
        "classes": np.arange(3),
        "verbose": 0,
    }
    nets = []
    for net_class in (NeuralNetClassifier, PlainClassifier):
        torch.manual_seed(0)
        nets.append(net_class(MLP, callbacks__train_loss=None, **options))
        nets[-1].fit(split.X_train, split.y_train)
    for left, right in zip(*(net.module_.state_dict().values() for net in nets), strict=True):
        assert torch.equal(left, right)
    # Where there is a validation set, skorch looks at it as ever.
    torch.manual_seed(0)
    scorer = EpochScoring("accuracy", lower_is_better=False)
    watched = PlainClassifier(
        MLP,
        **options | {"train_split": lambda dataset, y=None: (dataset, dataset)},
        callbacks__train_loss=None,
        callbacks=[scorer],
    )
    watched.fit(split.X_train, split.y_train)
    assert watched.history[-1, "accuracy"] > 0.5


def test_last_single_sample_joins_the_batch_before():
    data = type("Data", (), {"X": np.arange(9.0)[:, None], "y": np.arange(9)})
    for size, expected in [(4, [4, 5]), (3, [3, 3, 3]), (7, [7, 2]), (-1, [9]), (20, [9]), (1, 9)]:
        batches = TensorBatches(data, batch_size=size)
        sizes = [len(X) for X, _ in batches]
        assert len(batches) == len(sizes)
        assert sizes == expected or sizes == [1] * expected
        assert torch.cat([y for _, y in batches]).tolist() == list(range(9))
    shuffled = torch.cat([y for _, y in TensorBatches(data, batch_size=4, shuffle=True)])
    assert sorted(shuffled.tolist()) == list(range(9))


def test_loss_and_error_of_values():
    recipe = VALUES["mlp"]
    split = recipe_split(recipe)
    net = make_net(recipe, split).initialize()
    X, y = split.X_test, split.y_test
    outputs = net.module_(torch.as_tensor(X)).detach().numpy()
    loss, error = loss_and_error(net, X, y)
    np.testing.assert_allclose(loss, ((outputs - y) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(error, ((outputs - y) ** 2).mean() / y.var(), rtol=1e-5)
    np.testing.assert_allclose(loss_and_error(net, X[:5], np.ones((5, 1), np.float32))[1], 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "boltzmann"}, "family among mlp"),
        ({"optimizer": "lion"}, "optimizer among adamw, sgd"),
        ({"family": "cnn1d"}, "input_shape"),
        ({"activation": "sine"}, "activation"),
        ({"normalization": "group"}, "normalization"),
        ({"family": "attention", "normalization": "batch"}, "attention"),
        ({"pretraining": "head"}, "pretraining among none, frozen, tuned"),
        ({"schedule": "linear"}, "schedule among constant, cosine"),
        ({"augmentation": "flip"}, "none, jitter for samples of form 'tabular', found 'flip'"),
    ],
)
def test_recipes_that_cannot_be_built(change, words):
    with pytest.raises(ValueError, match=words):
        train_recipe(replace(CLASSES["mlp"], **change))


def trained_on(recipe, multiple):
    """The network of a recipe of so many times the steps."""
    return train_recipe(replace(recipe, n_steps=multiple * recipe.n_steps))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_training_longer_is_the_run_that_goes_on(schedule):
    # Dropout and augmentation draw numbers, batch norm and AdamW remember; all of it goes on.
    recipe = replace(
        CLASSES["mlp"], n_train=64, n_steps=40, dropout=0.2, normalization="batch", width=8
    )
    recipe = replace(recipe, augmentation="jitter", schedule=schedule)
    net, record = train_recipe(recipe, longer=(2, 4))
    plain, before = train_recipe(recipe)
    assert before == replace(record, longer_losses=())
    states = [n.module_.state_dict() for n in (net, plain)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    twice, fourfold = (trained_on(recipe, multiple)[1] for multiple in (2, 4))
    assert record.longer_losses == (twice.test_losses[-1], fourfold.test_losses[-1])
    assert len(set(record.longer_losses) | {record.test_losses[-1]}) == 3
    assert train_recipe(recipe, longer=(2,))[1].longer_losses == record.longer_losses[:1]


def test_losses_along_the_way_are_those_of_shorter_runs():
    recipe = replace(CLASSES["mlp"], n_train=64, n_steps=40, dropout=0.2, width=8)
    record = train_recipe(recipe)[1]
    assert record.train_losses[-1] == record.train_loss
    shorter = train_recipe(replace(recipe, n_steps=24))[1]  # 12 of 20 epochs
    place = CHECKPOINTS.index(0.6)
    assert record.train_losses[place] == shorter.train_loss
    assert record.test_losses[place] == shorter.test_losses[-1]


def test_diverged_networks_are_not_trained_longer():
    wild = replace(VALUES["mlp"], optimizer="sgd", learning_rate=30.0, weight_decay=0.0)
    assert train_recipe(wild, longer=(2, 4))[1].longer_losses == ()


def test_cosine_takes_the_steps_of_the_formula():
    recipe = replace(CLASSES["mlp"], n_train=64, n_steps=6, optimizer="sgd", learning_rate=0.1)
    recipe = replace(recipe, schedule="cosine")
    split = recipe_split(recipe)
    torch.manual_seed(recipe.seed)
    net = make_net(recipe, split).initialize()
    module = net.module_
    velocity = [torch.zeros_like(p) for p in module.parameters()]
    step = 0
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        make_net(recipe, split).initialize()
        for _ in range(3):
            data = type("Data", (), {"X": split.X_train, "y": split.y_train})
            for X, y in TensorBatches(data, batch_size=32, shuffle=True):
                rate = 0.1 * 0.5 * (1 + np.cos(np.pi * step / 6))
                loss = torch.nn.functional.cross_entropy(module(X), y)
                gradients = torch.autograd.grad(loss, list(module.parameters()))
                with torch.no_grad():
                    for p, v, g in zip(module.parameters(), velocity, gradients, strict=True):
                        v.mul_(0.9).add_(g)
                        p.sub_(rate * v)
                step += 1
    assert step == 6
    fitted, _ = train_recipe(recipe)
    for left, right in zip(fitted.module_.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_augmented_samples_are_of_the_kind_that_is_promised():
    torch.manual_seed(0)
    image = torch.arange(2 * 3 * 8 * 8.0).reshape(2, -1)
    flip = make_augmentation("flip", "image", (3, 8, 8))
    either = torch.stack([image.reshape(2, 3, 8, 8), image.reshape(2, 3, 8, 8).flip(-1)])
    seen = set()
    for _ in range(20):
        found = flip(image).reshape(2, 3, 8, 8)
        which = [(found[i] == either[:, i]).flatten(1).all(1).nonzero().item() for i in (0, 1)]
        seen |= set(enumerate(which))
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}
    shift = make_augmentation("shift", "series", (1, 16))
    series = torch.arange(16.0).repeat(200, 1)
    offsets = shift(series) - series
    inside = offsets[:, 2:-2]
    assert (inside == inside[:, :1]).all()
    assert set(inside[:, 0].tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert shift(series).min() >= 0
    assert shift(series).max() <= 15
    swap = make_augmentation("swap", "tokens", (30100, 20))
    tokens = torch.arange(20.0).repeat(300, 1) + 100 * torch.arange(300.0)[:, None]
    swapped = swap(tokens)
    assert (swapped // 100 == tokens // 100).all()
    assert 0.07 < (swapped != tokens).double().mean() < 0.12
    noise = make_augmentation("jitter", "tabular", None)(torch.zeros(500, 20))
    assert 0.19 < noise.std() < 0.21
    assert make_augmentation("none", "tabular", None) is None


@pytest.mark.slow
@pytest.mark.parametrize("family", [*CLASSES, *BODIES])
def test_heads_on_bodies_that_were_trained_before(family, tmp_path):
    if family in CLASSES:
        recipe = replace(CLASSES[family], n_train=70, n_steps=30, width=4, normalization="layer")
    else:
        base = replace(CLASSES[BODIES[family]], family=family, depth=1, normalization="layer")
        gated = {"activation": "tanh"} if family in ("gru", "lstm") else {}
        recipe = replace(base, n_train=70, n_steps=30, width=4, **gated)
    recipe = replace(recipe, pretraining="frozen")
    net, record = train_recipe(recipe, longer=(2,))
    assert train_recipe(recipe, longer=(2,))[1] == record
    # Whatever the labels, the body is the same; it is not that of a network trained from nothing.
    others = [
        train_recipe(replace(recipe, label_noise=0.5))[0],
        train_recipe(replace(recipe, pretraining="tuned"))[0],
        train_recipe(replace(recipe, pretraining="none"))[0],
    ]
    for name, parameter in net.module_.named_parameters():
        assert parameter.requires_grad == name.startswith("head.")
        same = [torch.equal(parameter, dict(o.module_.named_parameters())[name]) for o in others]
        assert same == [not name.startswith("head."), False, False], name
    store = ZooStore(tmp_path)
    store.save_network(recipe, net, record)
    case = store.load_case(recipe.id)
    names = layer_table(LayerSpectra(n_lanczos_steps=5, n_probes=1).transform([case])[0]).layers
    assert names == ("head",)


def test_what_was_asked_before_can_be_told():
    from hessdiag.zoo._pretraining import _make_samples

    torch.manual_seed(0)
    X, y = _make_samples("image", (2, 9, 9), 162)
    assert set(y.tolist()) == set(range(9))
    images = X.reshape(-1, 2, 9, 9)
    along = [(images * images.roll(1, axis)).mean(dim=(1, 2, 3)) for axis in (2, 3)]
    for axis, values in enumerate(along):
        level = y // 3 if axis == 0 else y % 3
        means = [values[level == number].mean().item() for number in range(3)]
        assert means == sorted(means)
        assert means[0] < 0.1 < 0.4 < means[1]


def test_tokens_are_altered_in_training_and_have_no_bodies():
    recipe = replace(CLASSES["cnn1d"], family="textcnn", depth=1, pretraining="tuned")
    split = replace(recipe_split(recipe), form="tokens", shape=(9, 40))
    with pytest.raises(ValueError, match="pretraining 'none' for tokens"):
        make_net(recipe, split)
    ids = np.random.default_rng(0).integers(0, 9, split.X_train.shape).astype(np.float32)
    split = replace(split, X_train=ids)
    recipe = replace(recipe, pretraining="none", augmentation="swap", n_steps=40)
    net = make_net(recipe, split).fit(ids, split.y_train)
    assert np.isfinite(loss_and_error(net, ids, split.y_train)[0])
