"""Estimators with several nets or none, steps that cannot be repeated, splits that are lost."""

import numpy as np
import torch
from bad_inputs import Bad
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Subset, random_split

import hessdiag as hd

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = np.arange(24) % 3


class Plain(nn.Module):
    def __init__(self, width=3, n_outputs=3):
        super().__init__()
        self.layer = nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.layer(x.to(self.layer.weight.dtype))


def classes(width=3, **settings):
    settings = {"train_split": None, "max_epochs": 1, "verbose": 0} | settings
    return NeuralNetClassifier(Plain(width), criterion=nn.CrossEntropyLoss, **settings)


class OneRow(NeuralNetRegressor):
    def check_data(self, X, y):
        pass

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        y_true = torch.as_tensor(y_true).to(y_pred.dtype)
        return super().get_loss(y_pred[:, 0], y_true, *args, **kwargs)


class Resampling(BaseEstimator):
    """Draws samples in training, as imbalanced-learn does."""

    def fit(self, X, y=None):
        return self

    def fit_resample(self, X, y):
        return X[::2], y[::2]

    def transform(self, X):
        return X


class ByPlace(TransformerMixin, BaseEstimator):
    """A transformer that a net is in."""

    def __init__(self, net):
        self.net = net

    def fit(self, X, y):
        self.net_ = self.net.fit(X, y)
        return self

    def transform(self, X):
        return self.net_.predict_proba(X)


def noisy(X):
    return X + np.random.normal(size=X.shape).astype("float32")  # noqa: NPY002


def quietly(fit):
    """Fit something without drawing from torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        return fit()


def within(words, make, X=X, y=Y, given=None, error=ValueError):
    """A fitted estimator is refused."""
    bring = lambda: hd.NetworkCase(quietly(lambda: make().fit(X, y)), *(given or (X, y)))  # noqa: E731
    return Bad(bring, error, words)


def unfitted(words, estimator):
    return Bad(lambda: hd.NetworkCase(estimator, X, Y), ValueError, words)


def held(words, train_split, given=None, fitted=None, **settings):
    """A net whose split cannot be found again is refused."""

    def bring():
        data = fitted or (X, Y)
        net = quietly(lambda: classes(train_split=train_split, **settings).fit(*data))
        return hd.NetworkCase(net, *(given or (X, Y)))

    return Bad(bring, ValueError, (*words, "held_back='keep'"))


def forgotten():
    net = quietly(lambda: classes(train_split=ValidSplit(4)).fit(X, Y))
    net.train_split = None
    return hd.NetworkCase(net, X, Y)


def by_itself(dataset, y=None):
    """Two data sets of their own, which do not tell where their samples are from."""
    return dataset_of(X[:18], Y[:18]), dataset_of(X[18:], Y[18:])


def dataset_of(X, y):
    return torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))


def of_other_samples(dataset, y=None):
    if len(dataset) != 24:
        raise KeyError("customer 17")
    return Subset(dataset, range(18)), Subset(dataset, range(18, 24))


FITTED = classes().fit(X, Y)
TWO = [("one", classes()), ("two", make_pipeline(StandardScaler(), classes()))]

BAD = {
    "pipeline without a net": within(
        ("Pipeline",),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        error=TypeError,
    ),
    "estimator without a net": within(("LogisticRegression",), LogisticRegression, error=TypeError),
    "pipeline, not fitted": unfitted(
        ("Pipeline", "fit"), make_pipeline(StandardScaler(), classes())
    ),
    "pipeline, its net alone fitted": unfitted(
        ("fit",), make_pipeline(StandardScaler(), classes().fit(X, Y))
    ),
    "search, not fitted": unfitted(("GridSearchCV", "refit"), GridSearchCV(classes(), {"lr": [1]})),
    "search that keeps no net": within(
        ("refit=True",), lambda: GridSearchCV(classes(), {"lr": [0.1, 0.2]}, cv=2, refit=False)
    ),
    "pipeline, X too narrow": within(
        ("2 features", "3 features"),
        lambda: make_pipeline(StandardScaler(), classes()),
        given=(X[:, :2], Y),
    ),
    "pipeline, no X": within(
        ("found None",), lambda: make_pipeline(StandardScaler(), classes()), given=(None, Y)
    ),
    "pipeline, y too short": within(
        ("same length",), lambda: make_pipeline(StandardScaler(), classes()), given=(X, Y[:5])
    ),
    "pipeline that draws": within(
        ("functiontransformer", "random"),
        lambda: make_pipeline(FunctionTransformer(noisy), classes()),
    ),
    "pipeline that resamples": within(
        ("'resampling'", "fit_resample"), lambda: make_pipeline(Resampling(), classes())
    ),
    "pipeline that encodes by targets": within(
        ("TargetEncoder", "fit_transform"),
        lambda: make_pipeline(TargetEncoder(target_type="continuous", cv=2), classes()),
        X=np.arange(72).reshape(24, 3) % 4,
    ),
    "pipeline that encodes columns by targets": within(
        ("TargetEncoder", "'columntransformer'"),
        lambda: make_pipeline(
            ColumnTransformer([("e", TargetEncoder(target_type="continuous", cv=2), [0])]),
            classes(1),
        ),
        X=np.arange(72).reshape(24, 3) % 4,
    ),
    "pipeline with a net amid": within(
        ("not its last step", "named_steps['byplace']"),
        lambda: make_pipeline(ByPlace(classes()), LogisticRegression()),
    ),
    "vote of two": within(
        ("2 nets", "model.estimators_[1]", "model.le_.transform(y)"), lambda: VotingClassifier(TWO)
    ),
    "vote, on other words": within(
        ("unseen labels", "VotingClassifier"),
        lambda: VotingClassifier(TWO[:1]),
        y=np.array(["ant", "bee", "cat"])[Y],
        given=(X, np.array(["ant", "dog", "cat"])[Y]),
    ),
    "vote, no targets": within(
        ("None", "VotingClassifier"), lambda: VotingClassifier(TWO[:1]), given=(X, None)
    ),
    "transformed targets, of words": within(
        ("TransformedTargetRegressor",),
        lambda: TransformedTargetRegressor(OneRow(Plain(3, 1), train_split=None, verbose=0)),
        y=X[:, 0],
        given=(X, np.array(["ant", "bee", "cat"])[Y]),
    ),
    "stack of two": within(
        ("2 nets", "StackingClassifier"),
        lambda: StackingClassifier(TWO, LogisticRegression(), cv=2),
    ),
    "stack, a net on top": within(
        ("final_estimator_", "made itself"),
        lambda: StackingClassifier([("line", LogisticRegression())], classes(), cv=2),
    ),
    "stack of nets fitted before": within(
        ("StackingClassifier",),
        lambda: StackingClassifier([("net", FITTED)], LogisticRegression(), cv="prefit"),
    ),
    "bags": within(("3 nets", "estimators_samples_[i]"), lambda: BaggingClassifier(classes(), 3)),
    "many bags": within(
        ("6 nets", "and 2 more"),
        lambda: BaggingRegressor(OneRow(Plain(3, 1), train_split=None, verbose=0), 6),
        y=X[:, 0].astype("float32"),
    ),
    "one bag": within(("estimators_samples_",), lambda: BaggingClassifier(classes(), 1)),
    "calibrated": within(("2 nets", "fold i"), lambda: CalibratedClassifierCV(classes(), cv=2)),
    "one against the rest": within(
        ("3 nets", "label_binarizer_"), lambda: OneVsRestClassifier(classes())
    ),
    "one against one": within(("3 nets", "pair"), lambda: OneVsOneClassifier(classes())),
    "several targets": within(
        ("2 nets", "y[:, i]"),
        lambda: MultiOutputClassifier(classes()),
        y=np.column_stack([Y, Y]),
    ),
    "held back, what no one knows": Bad(
        lambda: hd.NetworkCase(quietly(lambda: classes().fit(X, Y)), X, Y, held_back=0.2),
        ValueError,
        ("held_back", "0.2"),
    ),
    "split without a seed": held(("random", "6 samples"), ValidSplit(0.25)),
    "split by a generator": held(
        ("random",), ValidSplit(0.25, random_state=np.random.RandomState(0))
    ),
    "split of scikit-learn without a seed": held(("random",), ValidSplit(ShuffleSplit(1))),
    "split of torch without a seed": held(
        ("random",), lambda dataset, y=None: random_split(dataset, [18, 6])
    ),
    "split, and a part is given": held(("12 samples given",), ValidSplit(4), (X[:12], Y[:12])),
    "split, and more is given": held(
        ("48 samples given",), ValidSplit(4), (np.concatenate([X, X]), np.concatenate([Y, Y]))
    ),
    "split, and y is left out": held(
        ("passing a suitable y",),
        ValidSplit(4, stratified=True),
        (dataset_of(X, Y), None),
        (dataset_of(X, Y), Y),
    ),
    "split that fails": held(("KeyError", "customer 17"), of_other_samples, (X[:20], Y[:20])),
    "split into other data sets": held(("does not tell",), by_itself),
    "split that is gone": Bad(forgotten, ValueError, ("no train_split", "held_back='keep'")),
}
