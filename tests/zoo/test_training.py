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
from hessdiag.zoo._plain_epochs import PlainClassifier
from hessdiag.zoo._training import loss_and_error, make_net, recipe_split

CLASSES = {
    "mlp": Recipe("iris", 70, 0.0, "mlp", 1, "relu", 16, 0.0, n_steps=200),
    "residual_mlp": Recipe("iris", 70, 0.0, "residual_mlp", 1, "tanh", 16, 0.0, n_steps=200),
    "attention": Recipe("iris", 70, 0.0, "attention", 1, "gelu", 8, 0.0, n_steps=200),
    "cnn1d": Recipe("mnist1d", 1000, 0.0, "cnn1d", 2, "relu", 8, 0.0, n_steps=300),
    "cnn2d": Recipe("digits", 500, 0.0, "cnn2d", 2, "relu", 8, 0.0, n_steps=200),
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
        ({"family": "transformer"}, "family among mlp"),
        ({"optimizer": "lion"}, "optimizer among adamw, sgd"),
        ({"family": "cnn1d"}, "input_shape"),
        ({"activation": "sine"}, "activation"),
        ({"normalization": "group"}, "normalization"),
        ({"family": "attention", "normalization": "batch"}, "attention"),
    ],
)
def test_recipes_that_cannot_be_built(change, words):
    with pytest.raises(ValueError, match=words):
        train_recipe(replace(CLASSES["mlp"], **change))
