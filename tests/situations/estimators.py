"""Nets within pipelines, searches and ensembles, and what they held back from training."""

import numpy as np
import pandas as pd
import torch
from situations import case_by_differences
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import TensorDataset, random_split

import hessdiag as hd

RNG = np.random.default_rng(3)
X = RNG.normal(2.0, 3.0, size=(20, 3)).astype("float32")
Y = np.arange(20) % 3
WORDS = np.array(["ant", "bee", "cat"])[(Y + 1) % 3]
NUMBERS = RNG.normal(50.0, 9.0, size=20)
COLOURS = np.array(["red", "green"])[np.arange(20) % 2]
FRAME = pd.DataFrame({"size": X[:, 0], "colour": COLOURS})

SCALED = (X - X.mean(0, dtype="float64")) / X.std(0, dtype="float64")
STANDARD = (NUMBERS - NUMBERS.mean()) / NUMBERS.std()


class Narrow(nn.Module):
    """Takes what scalers send, which is of twice the precision, and sends one number a sample."""

    def __init__(self, width=3, n_outputs=3):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(width, 3), nn.Linear(3, n_outputs)

    def forward(self, x):
        output = self.last(self.first(x.to(self.first.weight.dtype)).tanh())
        return output[:, 0] if output.shape[1] == 1 else output


class OneRow(NeuralNetRegressor):
    """Takes targets in one row, as estimators of scikit-learn pass them on."""

    def check_data(self, X, y):
        pass

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred, y_true.to(y_pred.dtype), *args, **kwargs)


def classes(width=3, **settings):
    settings = {"train_split": None, "max_epochs": 2, "verbose": 0} | settings
    return NeuralNetClassifier(Narrow(width), criterion=nn.CrossEntropyLoss, **settings)


def numbers():
    return OneRow(Narrow(3, 1), train_split=None, max_epochs=2, verbose=0, lr=0.01)


def cross_entropy(output, y):
    return (output.logsumexp(1) - output[torch.arange(len(y)), y]).mean()


def squared(output, y):
    return ((output - y) ** 2).mean()


def within(make, got, X=X, y=Y, loss=cross_entropy):
    """The situation that a net within an estimator is examined on what it got."""
    bring = lambda: hd.NetworkCase(make().fit(X, y), X, y)  # noqa: E731
    return case_by_differences("estimators", bring, *got, loss)


def split(train_split, left, given=(X, Y), fitted=(X, Y)):
    """The situation that a net is examined on the part that its split leaves."""

    def bring():
        net = classes(train_split=train_split).fit(*fitted)
        return hd.NetworkCase(net, *given)

    return case_by_differences("held back", bring, X[left], Y[left], cross_entropy)


def search(**settings):
    grid = {"last__lr": [0.01, 0.1]}
    pipeline = Pipeline([("scale", StandardScaler()), ("last", classes())])
    return GridSearchCV(pipeline, grid, cv=2, **settings)


def of_columns():
    columns = ColumnTransformer(
        [("number", StandardScaler(), ["size"]), ("word", OneHotEncoder(), ["colour"])]
    )
    return make_pipeline(columns, classes())


def every_fifth(dataset, y=None):
    places = np.arange(len(dataset))
    held = places % 5 == 0
    return (
        torch.utils.data.Subset(dataset, places[~held]),
        torch.utils.data.Subset(dataset, places[held]),
    )


def drawn(dataset, y=None):
    return random_split(dataset, [15, 5], generator=torch.Generator().manual_seed(1))


SEEDED = np.sort(np.asarray(drawn(X)[0].indices))
FIFTHS = np.arange(20) % 5 > 0
HOT = np.column_stack([SCALED[:, 0], COLOURS == "green", COLOURS == "red"]).astype(float)
# The first of four folds in a row, and of four that hold the classes in equal parts.
QUARTER = np.arange(20) >= 5

SITUATIONS = {
    "pipeline": within(lambda: make_pipeline(StandardScaler(), classes()), (SCALED, Y)),
    "pipeline in a pipeline": within(
        lambda: make_pipeline(StandardScaler(), make_pipeline(FunctionTransformer(), classes())),
        (SCALED, Y),
    ),
    "pipeline before a net": within(
        lambda: make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, classes()),
        (SCALED, Y),
    ),
    "pipeline of a net alone": within(lambda: make_pipeline(classes()), (X, Y)),
    "pipeline of columns": within(of_columns, (HOT, Y), X=FRAME),
    "pipeline with sparse output": within(
        lambda: make_pipeline(OneHotEncoder(), classes(2)),
        (HOT[:, 1:], Y),
        X=FRAME[["colour"]],
    ),
    "search": within(search, (SCALED, Y)),
    "search in a pipeline": within(
        lambda: make_pipeline(StandardScaler(), GridSearchCV(classes(), {"lr": [0.01, 0.1]}, cv=2)),
        (SCALED, Y),
    ),
    "transformed targets": within(
        lambda: TransformedTargetRegressor(numbers(), transformer=StandardScaler()),
        (X, STANDARD),
        y=NUMBERS,
        loss=squared,
    ),
    "targets by a function": within(
        lambda: TransformedTargetRegressor(numbers(), func=np.log, inverse_func=np.exp),
        (X, np.log(NUMBERS)),
        y=NUMBERS,
        loss=squared,
    ),
    "vote, with words": within(
        lambda: VotingClassifier([("net", classes()), ("line", LogisticRegression())]),
        (X, (Y + 1) % 3),
        y=WORDS,
    ),
    "vote of numbers": within(
        lambda: VotingRegressor([("net", numbers()), ("line", LinearRegression())]),
        (X, NUMBERS),
        y=NUMBERS,
        loss=squared,
    ),
    "stack, with words": within(
        lambda: StackingClassifier(
            [("net", make_pipeline(StandardScaler(), classes()))], LogisticRegression(), cv=2
        ),
        (SCALED, (Y + 1) % 3),
        y=WORDS,
    ),
    "stack of numbers": within(
        lambda: StackingRegressor([("net", numbers())], LinearRegression(), cv=2),
        (X, NUMBERS),
        y=NUMBERS,
        loss=squared,
    ),
    "split of skorch, in folds": split(ValidSplit(4), QUARTER),
    "split of scikit-learn": split(ValidSplit(KFold(4)), QUARTER),
    "split, of a data set": split(
        ValidSplit(4),
        QUARTER,
        given=(Dataset(X, Y),),
        fitted=(TensorDataset(torch.tensor(X), torch.tensor(Y)), None),
    ),
    "split of one's own": split(every_fifth, FIFTHS),
    "split drawn with a seed": split(drawn, SEEDED),
    "split, and the rest alone is given": split(every_fifth, FIFTHS, given=(X[FIFTHS], Y[FIFTHS])),
    "split, and lists are given": split(every_fifth, FIFTHS, given=(X.tolist(), Y.tolist())),
    "split given beforehand": split(predefined_split(Dataset(X[:4], Y[:4])), np.full(20, True)),
    "split within a pipeline": case_by_differences(
        "held back",
        lambda: hd.NetworkCase(
            make_pipeline(StandardScaler(), classes(train_split=ValidSplit(4))).fit(X, Y), X, Y
        ),
        SCALED[QUARTER],
        Y[QUARTER],
        cross_entropy,
    ),
}
