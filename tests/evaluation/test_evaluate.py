"""The evaluation is fair: no data set on both sides, no row that knows more than its name says."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from hessdiag.evaluation import evaluate_zoo, format_evaluation
from hessdiag.evaluation._gain_ceiling import CEILING_TITLES, gain_ceiling
from hessdiag.evaluation._rows import evaluation_rows, leading_columns_of_rows
from hessdiag.evaluation._search import default_candidates, search_classifier
from hessdiag.evaluation._studies import study_gains
from hessdiag.features import CONTEXT_MEASURES, SpectralFeatures
from hessdiag.labels import DIAGNOSES, label_gains

ROWS = [
    "dummy",
    "train_loss_sizes",
    "weights",
    "weightwatcher",
    "global_hessian",
    "rules",
    "validation",
    "hessdiag",
    "hessdiag_validation",
]
TREE = DecisionTreeClassifier(max_features=5, random_state=0)


def evaluate(zoo, estimator=TREE, n_folds=3, studies=False, protocols=None):
    return evaluate_zoo(zoo, estimator, n_folds=n_folds, studies=studies, protocols=protocols)


def main_rows(result):
    return result["protocols"]["leave_datasets_out"]["rows"]


class GroupWatcher(ClassifierMixin, BaseEstimator):
    """Takes the first column for the data set, and insists never to have met it."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.met_ = set(X[:, 0].tolist())
        return self

    def predict_proba(self, X):
        assert not set(X[:, 0].tolist()) & self.met_, "a data set is on both sides"
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_no_data_set_on_both_sides(made_up_zoo):
    zoo = made_up_zoo(270, 18)
    index = np.unique(zoo.groups, return_inverse=True)[1].astype(float)
    zoo.data = zoo.data.copy()
    zoo.data[:, 0] = index
    zoo.columns["train_loss"] = index * zoo.columns["null_loss"]
    for table, number in zip(zoo.tables, index, strict=True):
        table.context[next(iter(CONTEXT_MEASURES))] = float(number)
        table.network["log_trace"] = float(number)
    for family in ("weights__first__weights_mean", "weightwatcher__first__alpha"):
        zoo.rivals[family] = index
    result = evaluate(zoo, GroupWatcher())
    assert all(protocol["rows"] for protocol in result["protocols"].values())


def test_row_that_knows_the_label_scores_one_and_dummy_a_third(made_up_zoo):
    zoo = made_up_zoo()
    zoo.data = (zoo.target[:, None] == np.array(DIAGNOSES)).astype(float)
    rows = main_rows(evaluate(zoo, protocols=["leave_datasets_out"]))
    assert rows["hessdiag"]["balanced_accuracy"] == 1
    assert rows["hessdiag"]["interval"] == [1, 1]
    assert rows["hessdiag"]["log_loss"] < 1e-6
    assert rows["hessdiag"]["confusion"] == [[21, 0, 0], [0, 21, 0], [0, 0, 21]]
    assert rows["hessdiag"]["sure_labels"] == 1


def test_dummy_is_a_third_where_one_class_prevails(made_up_zoo):
    zoo = made_up_zoo()
    zoo.target = np.array(["well-fit"] * 45 + ["overfitting"] * 9 + ["underparameterized"] * 9)
    assert main_rows(evaluate(zoo, protocols=["leave_datasets_out"]))["dummy"][
        "balanced_accuracy"
    ] == pytest.approx(1 / 3)


def test_column_that_equals_the_label_only_where_it_is_asked_cannot_help(made_up_zoo):
    zoo = made_up_zoo(400, 18)
    columns = zoo.columns
    asked = {
        "teacher_student": columns["teacher_width"] > 0,
        "clean_to_noisy": columns["label_noise"] > 0,
    }
    label = np.searchsorted(DIAGNOSES, zoo.target.astype(str))
    noise = np.random.default_rng(0).integers(0, 3, (len(label), 8))
    for name, where in asked.items():
        leak = np.where(where, label, noise[:, 0])
        zoo.data = np.column_stack([leak, noise[:, 1:]]).astype(float)
        rows = evaluate(zoo, protocols=[name])["protocols"][name]["rows"]
        assert abs(rows["hessdiag"]["balanced_accuracy"] - 1 / 3) < 0.12, name
        # The detector works: the same column on both sides says everything.
        zoo.data = label[:, None].astype(float)
        rows = evaluate(zoo, protocols=[name])["protocols"][name]["rows"]
        assert rows["hessdiag"]["balanced_accuracy"] == 1


def test_only_named_rows_look_at_validation(made_up_zoo):
    zoo, scrambled = made_up_zoo(), made_up_zoo()
    rng = np.random.default_rng(1)
    for name in ("valid_loss", "valid_error"):
        scrambled.columns[name] = rng.permutation(scrambled.columns[name])
    before, after = evaluation_rows(zoo), evaluation_rows(scrambled)
    assert list(before) == [name for name in ROWS if name not in ("dummy", "rules")]
    for name, table in before.items():
        same = np.array_equal(table, after[name])
        assert same != (name in ("validation", "hessdiag_validation")), name
    # What only the test set tells is not even there.
    for name in ("gain_widening", "gain_constraining", "unsure"):
        del zoo.columns[name]
    for name, table in evaluation_rows(zoo).items():
        np.testing.assert_array_equal(table, before[name])


def test_the_family_that_leads_does_so_in_both_rows_that_know_it(made_up_zoo):
    tables = evaluation_rows(made_up_zoo())
    leading = leading_columns_of_rows(tables)
    assert set(leading) == {"hessdiag", "hessdiag_validation"}
    families = SpectralFeatures().get_feature_families_out()
    for name, columns in leading.items():
        assert columns.shape == tables[name].shape[1:]
        np.testing.assert_array_equal(columns[: len(families)], families == "between")
        assert not columns[len(families) :].any()


@pytest.mark.slow
def test_json_has_the_promised_shape(made_up_zoo):
    result = json.loads(json.dumps(evaluate(made_up_zoo(300, 18)), allow_nan=False))
    assert list(result["protocols"]) == [
        "leave_datasets_out",
        "leave_family_out",
        "leave_activation_out",
        "shallow_to_deep",
        "narrow_to_wide",
        "clean_to_noisy",
        "tabular_to_image",
        "classification_to_regression",
        "balanced_to_rare",
        "teacher_student",
    ]
    for name, protocol in result["protocols"].items():
        assert list(protocol["rows"]) == ROWS, name
        for scores in protocol["rows"].values():
            for figure in ("balanced_accuracy", "macro_f1", "log_loss", "ece", "surer_half"):
                assert isinstance(scores[figure], float)
            assert set(scores["recall"]) == set(DIAGNOSES)
            low, high = scores["interval"]
            assert 0 <= low <= high <= 1
    assert result["label_reliability"] == 0.8
    assert result["n_networks"] == 300
    assert result["n_datasets"] == 18
    assert result["n_tasks"] == 37


def test_teacher_is_known(made_up_zoo):
    zoo = made_up_zoo(300, 18)
    narrower = zoo.columns["width"] < 8  # the made-up teacher's width
    zoo.target = np.where(narrower, "underparameterized", zoo.target).astype(object)
    zoo.data = narrower[:, None].astype(float)
    taught = zoo.columns["teacher_width"] > 0
    protocol = evaluate(zoo, protocols=["teacher_student"])["protocols"]["teacher_student"]
    found = protocol["rows"]["hessdiag"]["teacher"]
    assert found["narrower_called_underparameterized"] == 1
    assert found["n_narrower"] == (narrower & taught).sum()
    assert found["n_others"] == (~narrower & taught).sum()
    labelled = protocol["teacher_of_labels"]
    expected = (zoo.target[taught & ~narrower] != "underparameterized").mean()
    assert labelled["others_not_called_so"] == pytest.approx(expected)
    # One generator made all: its tasks are resampled, as there is no other data set.
    zoo.columns["parent"][taught] = "teacher"
    noise = np.random.default_rng(0).random((300, 1))
    zoo.data = np.where(noise < 0.5, noise, zoo.data)
    protocol = evaluate(zoo, protocols=["teacher_student"])["protocols"]["teacher_student"]
    low, high = protocol["rows"]["hessdiag"]["interval"]
    assert protocol["n_datasets"] == 1
    assert low < high


@pytest.mark.slow
def test_evaluation_is_reproducible_and_printed(made_up_zoo):
    zoo = made_up_zoo()
    first, second = (evaluate(zoo, studies=True) for _ in range(2))
    assert first == second
    text = format_evaluation(first)
    for words in ("63 networks, 9 data sets", "training loss + sizes", "0.800", "not answered"):
        assert words in text
    for words in ("only alignment", "Learning curve", "Spearman", "teacher_student"):
        assert words in text
    studies = first["studies"]
    ablation = studies["ablation"]
    assert ablation["all"] == main_rows(first)["hessdiag"]["balanced_accuracy"]
    # Of 9 data sets 6 are left to learn from.
    assert [number for number, _ in studies["learning_curve"]["n_datasets"]["hessdiag"]] == [5, 6]
    assert studies["learning_curve"]["n_networks"]["hessdiag"][-1][0] == 42


def test_studied_gains_and_their_intervals(made_up_zoo):
    zoo = made_up_zoo(400, 16)
    rng = np.random.default_rng(0)
    gains = 0.1 * rng.normal(size=(400, 2)) ** 3
    columns = {"gain_widening": gains[:, 0], "gain_constraining": gains[:, 1]}
    target = label_gains(*gains.T)
    index = np.unique(zoo.groups, return_inverse=True)[1]
    splits = [(np.flatnonzero(index % 4 != k), np.flatnonzero(index % 4 == k)) for k in range(4)]
    known = study_gains(gains, columns, target, zoo.groups, splits)
    blind = study_gains(rng.normal(size=(400, 3)), columns, target, zoo.groups, splits)
    for name in columns:
        assert known[name]["spearman"] > 0.9
        assert abs(blind[name]["spearman"]) < 0.2
        assert 0.82 < blind[name]["coverage"] < 0.97


def test_no_row_knows_what_was_measured_on_held_out_data(made_up_zoo):
    zoo = made_up_zoo()
    before = evaluation_rows(zoo)
    for name in ("test_loss", "gain_widening", "gain_constraining"):
        zoo.columns[name] = zoo.columns[name] + 1.0
    after = evaluation_rows(zoo)
    assert list(before) == list(after)
    for row, table in before.items():
        np.testing.assert_array_equal(table, after[row])


@pytest.mark.slow
def test_ceiling_of_gains_tells_what_the_held_out_loss_and_the_recipe_add(made_up_zoo):
    zoo = made_up_zoo(300, 15)
    zoo.columns["gain_constraining"] = zoo.columns["test_loss"] ** 3
    zoo.columns["gain_widening"] = zoo.columns["weight_decay"] ** 3
    index = np.unique(zoo.groups, return_inverse=True)[1]
    splits = [(np.flatnonzero(index % 3 != k), np.flatnonzero(index % 3 == k)) for k in range(3)]
    ceiling = gain_ceiling(zoo, splits)
    assert list(ceiling) == list(CEILING_TITLES)
    for name, gains in ceiling.items():
        assert (gains["gain_constraining"] > 0.8) == ("test_loss" in name)
        assert (gains["gain_widening"] > 0.8) == ("recipe" in name)


def test_tiny_zoo_leaves_out_what_it_cannot_answer(made_up_zoo):
    zoo = made_up_zoo(12, 3)
    zoo.target[:] = "overfitting"
    zoo.target[zoo.groups == "set-1"] = "well-fit"
    result = evaluate(zoo, studies=True)
    json.dumps(result, allow_nan=False)
    assert None in result["studies"]["ablation"].values()
    assert "Spearman" in format_evaluation(result)


def test_search_takes_what_is_right_on_unseen_data_sets():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 20)
    target = np.array(DIAGNOSES)[rng.integers(0, 3, 240)]
    table = (target[:, None] == np.array(DIAGNOSES)).astype(float)

    class Memory(DecisionTreeClassifier):
        """Right on what it has seen, blind elsewhere."""

        def predict(self, X):
            return np.full(len(X), DIAGNOSES[0])

    candidates = {"memory": Memory(), "tree": TREE, "dummy": DummyClassifier()}
    fitted, name = search_classifier(candidates, table, target, groups)
    assert name == "tree"
    assert (fitted.predict(table) == target).all()
    # One candidate, or one data set, leaves nothing to choose by.
    assert search_classifier({"only": TREE}, table, target, groups)[1] == "only"
    assert search_classifier(candidates, table, target, np.zeros(240))[1] == "memory"


def test_candidates_take_gaps():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(60, 4))
    table[rng.random((60, 4)) < 0.3] = np.nan
    table[:, 3] = np.nan
    target = np.resize(DIAGNOSES, 60)
    for candidate in default_candidates().values():
        probabilities = candidate.fit(table, target).predict_proba(table)
        assert np.isfinite(probabilities).all()


def test_diagnosis_missing_from_a_fold_gets_no_probability(made_up_zoo):
    zoo = made_up_zoo()
    zoo.target = np.where(zoo.groups == "set-0", "well-fit", zoo.target).astype(object)
    zoo.target[(zoo.groups != "set-0") & (zoo.target == "well-fit")] = "overfitting"
    assert (
        main_rows(evaluate(zoo, n_folds=9, protocols=["leave_datasets_out"]))["hessdiag"]["recall"][
            "well-fit"
        ]
        == 0
    )


def test_unknown_protocol(made_up_zoo):
    with pytest.raises(ValueError, match="leave_family_out"):
        evaluate(made_up_zoo(), protocols=["leave_family_in"])


@pytest.mark.parametrize("n_folds", [1, 10])
def test_more_folds_than_data_sets(n_folds, made_up_zoo):
    with pytest.raises(ValueError, match=r"data sets \(9\)"):
        evaluate_zoo(made_up_zoo(), n_folds=n_folds)
