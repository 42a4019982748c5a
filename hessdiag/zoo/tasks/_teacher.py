"""Teacher-student tasks: targets from a random network of known width, so that the capacity which
is needed is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
    task_seed,
)

N_SAMPLES = 6000
ACTIVATIONS = {"relu": lambda values: np.maximum(values, 0.0), "tanh": np.tanh}


@dataclass(frozen=True, eq=False)
class Teacher:
    """A random network with one hidden layer.

    Parameters
    ----------
    hidden_weight : ndarray of shape (width, n_features)
        Weights of the hidden units, of norm 1.5 each.
    hidden_bias : ndarray of shape (width,)
        Biases of the hidden units.
    output_weight : ndarray of shape (n_outputs, width)
        Weights of the outputs.
    output_bias : ndarray of shape (n_outputs,)
        Biases of the outputs, which center them.
    activation : {"relu", "tanh"}
        Activation of the hidden units.
    """

    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
    activation: str

    def hidden(self, X):
        """Return the activations of the hidden units, of shape (n_samples, width)."""
        return ACTIVATIONS[self.activation](X @ self.hidden_weight.T + self.hidden_bias)

    def outputs(self, X):
        """Return the outputs, of shape (n_samples, n_outputs)."""
        return self.hidden(X) @ self.output_weight.T + self.output_bias


def draw_teacher(rng, n_features, width, n_outputs, activation):
    """Return a random teacher whose outputs have mean zero and variance one over Gaussian inputs.

    Weights of the outputs have magnitudes between 0.75 and 1.25 and random signs: no hidden unit is
    idle, so that a student needs as many.
    """
    hidden_weight = rng.standard_normal((width, n_features))
    hidden_weight *= 1.5 / np.linalg.norm(hidden_weight, axis=1, keepdims=True)
    hidden_bias = 0.5 * rng.standard_normal(width)
    output_weight = rng.choice([-1.0, 1.0], (n_outputs, width)) * rng.uniform(
        0.75, 1.25, (n_outputs, width)
    )
    teacher = Teacher(hidden_weight, hidden_bias, output_weight, np.zeros(n_outputs), activation)
    outputs = teacher.outputs(rng.standard_normal((20_000, n_features)))
    scale = outputs.std(axis=0)
    return replace(
        teacher,
        output_weight=output_weight / scale[:, None],
        output_bias=-outputs.mean(axis=0) / scale,
    )


def make_teacher_task(
    name, parent, width, n_features, n_outputs, rule, noise=0.0, activation="relu"
):
    """Return Gaussian inputs and what a teacher says of them.

    The rule is "argmax", "sampled" (from the softmax of three times the outputs) or "noisy" (the
    outputs plus Gaussian noise of the given variance, where their own is 1). For "argmax",
    ``noise`` is the share of labels drawn anew at random.
    """
    rng = np.random.default_rng(task_seed(name))
    teacher = draw_teacher(rng, n_features, width, n_outputs, activation)
    X = rng.standard_normal((N_SAMPLES, n_features))
    outputs = teacher.outputs(X)
    if rule == "noisy":
        values = outputs + np.sqrt(noise) * rng.standard_normal(outputs.shape)
        dataset = make_regression_dataset(name, parent, X, values)
    else:
        if rule == "sampled":
            outputs = 3.0 * outputs + rng.gumbel(size=outputs.shape)
        labels = outputs.argmax(axis=1)
        anew = rng.random(N_SAMPLES) < noise
        labels[anew] = rng.integers(0, n_outputs, anew.sum())
        dataset = make_classification_dataset(name, parent, X, labels)
    return replace(dataset, teacher_width=width)


#: Arguments of each teacher: width, n_features, n_outputs, rule, noise, activation.
TEACHERS = [
    (2, 10, 2, "argmax", 0.0, "relu"),
    (2, 20, 3, "sampled", 0.0, "tanh"),
    (2, 10, 1, "noisy", 0.1, "relu"),
    (2, 20, 1, "noisy", 0.5, "tanh"),
    (4, 10, 3, "sampled", 0.0, "relu"),
    (4, 15, 4, "argmax", 0.1, "tanh"),
    (4, 10, 1, "noisy", 0.2, "tanh"),
    (4, 20, 2, "noisy", 0.1, "relu"),
    (8, 10, 5, "argmax", 0.0, "relu"),
    (8, 15, 2, "sampled", 0.0, "tanh"),
    (8, 10, 1, "noisy", 0.05, "relu"),
    (8, 20, 3, "noisy", 0.3, "tanh"),
    (16, 10, 4, "sampled", 0.0, "relu"),
    (16, 15, 3, "argmax", 0.1, "relu"),
    (16, 10, 1, "noisy", 0.1, "relu"),
    (16, 15, 1, "noisy", 0.05, "tanh"),
]

TEACHER_TASKS = {
    f"teacher-{width}-{activation}-{rule}-{n_features}": Task(
        "teacher_student",
        make_teacher_task,
        {
            "width": width,
            "n_features": n_features,
            "n_outputs": n_outputs,
            "rule": rule,
            "noise": noise,
            "activation": activation,
        },
        real=False,
    )
    for width, n_features, n_outputs, rule, noise, activation in TEACHERS
}
