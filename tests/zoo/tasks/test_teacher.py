"""Teacher-student tasks: the targets are the teacher's, who needs every one of its units."""

import numpy as np
import pytest

from hessdiag.zoo import load_dataset
from hessdiag.zoo.tasks._dataset import task_seed
from hessdiag.zoo.tasks._teacher import TEACHER_TASKS, TEACHERS, draw_teacher

pytest.importorskip("pandas")


def tasks(rule):
    """Names of the tasks of one rule."""
    return [name for name, task in TEACHER_TASKS.items() if task.arguments["rule"] == rule]


def teacher_and_samples(name):
    """The teacher of a task, drawn again, and the samples it was asked about."""
    keep = ("n_features", "width", "n_outputs", "activation")
    arguments = {key: TEACHER_TASKS[name].arguments[key] for key in keep}
    teacher = draw_teacher(np.random.default_rng(task_seed(name)), **arguments)
    dataset = load_dataset(name)
    assert dataset.teacher_width == len(teacher.hidden_weight) == arguments["width"]
    assert dataset.frame.shape[1] == arguments["n_features"]
    assert dataset.n_outputs == arguments["n_outputs"]
    return teacher, dataset.frame.to_numpy(), dataset.target


def test_teachers_cover_widths_and_rules():
    assert len(TEACHER_TASKS) == len(TEACHERS) >= 10
    assert {row[0] for row in TEACHERS} == {2, 4, 8, 16}
    assert {task.parent for task in TEACHER_TASKS.values()} == {"teacher_student"}
    assert min(len(tasks(rule)) for rule in ("argmax", "sampled", "noisy")) >= 4


def residual_variance(features, target):
    """Variance that least squares on some features leaves of each target."""
    design = np.column_stack([features, np.ones(len(features))])
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return residual.var(axis=0)


@pytest.mark.parametrize("name", tasks("noisy"))
def test_least_squares_on_the_hidden_units_leaves_only_the_noise(name):
    teacher, X, target = teacher_and_samples(name)
    noise = TEACHER_TASKS[name].arguments["noise"]
    hidden = teacher.hidden(X)
    np.testing.assert_allclose(target.var(axis=0), 1 + noise, rtol=0.1)
    left = residual_variance(hidden, target)
    np.testing.assert_allclose(left, noise, rtol=4 * np.sqrt(2 / 6000))
    # Each unit is in use: without it more is left than chance would leave, by an F test.
    for unit in range(hidden.shape[1]):
        without = residual_variance(np.delete(hidden, unit, axis=1), target)
        assert (6000 * (without / left - 1) > 16).all()


@pytest.mark.parametrize("name", tasks("argmax"))
def test_labels_are_the_largest_output_but_for_those_drawn_anew(name):
    teacher, X, target = teacher_and_samples(name)
    noise, n_classes = (TEACHER_TASKS[name].arguments[key] for key in ("noise", "n_outputs"))
    share = noise * (1 - 1 / n_classes)
    wrong = (teacher.outputs(X).argmax(axis=1) != target).mean()
    assert wrong == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 6000))


@pytest.mark.parametrize("name", tasks("sampled"))
def test_sampled_labels_follow_the_softmax(name):
    teacher, X, target = teacher_and_samples(name)
    scores = 3 * teacher.outputs(X)
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
    entropy = -(np.exp(scores) * scores).sum(axis=1)
    surprise = -scores[np.arange(len(X)), target] - entropy
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(X))
    indicator = np.eye(scores.shape[1])[target] - np.exp(scores)
    assert np.abs(indicator.mean(axis=0)).max() < 4 * 0.5 / np.sqrt(len(X))


def test_outputs_are_centered_and_scaled_on_fresh_inputs():
    rng = np.random.default_rng(0)
    teacher = draw_teacher(rng, 12, 8, 3, "tanh")
    outputs = teacher.outputs(rng.standard_normal((50_000, 12)))
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(outputs.std(axis=0), 1, atol=0.03)
    hidden = np.tanh(np.ones((1, 12)) @ teacher.hidden_weight.T + teacher.hidden_bias)
    np.testing.assert_allclose(teacher.hidden(np.ones((1, 12))), hidden)
