"""The evaluation is fair: no data set on both sides, no row that knows more than its name says."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from hessdiag.evaluation import evaluate_zoo, format_evaluation
from hessdiag.evaluation._gain_ceiling import CEILING_TITLES, gain_ceiling
from hessdiag.evaluation._left_out import predict_left_out
from hessdiag.evaluation._rows import (
    CURVATURE,
    FORECASTS,
    evaluation_rows,
    leading_columns_of_rows,
    training_curve_row,
)
from hessdiag.evaluation._search import default_candidates, search_classifier
from hessdiag.evaluation._studies import gain_figures
from hessdiag.features import (
    CONTEXT_MEASURES,
    DIAGNOSTIC_FAMILIES,
    FAMILY_OF,
    SpectralFeatures,
)
from hessdiag.labels import DIAGNOSES, label_gains

ROWS = [
    "dummy",
    "train_loss_sizes",
    "weights",
    "weightwatcher",
    "global_hessian",
    "rules",
    "validation",
    "curvature",
    "forecasts",
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
    assert set(leading) == {"forecasts", "hessdiag", "hessdiag_validation"}
    for name, columns in leading.items():
        chosen = {"families": FORECASTS} if name == "forecasts" else {}
        families = SpectralFeatures(**chosen).get_feature_families_out()
        assert columns.shape == tables[name].shape[1:]
        np.testing.assert_array_equal(columns[: len(families)], families == "between")
        assert not columns[len(families) :].any()


def test_forecasts_and_the_rest_make_up_what_diagnoses_are_made_from(made_up_zoo):
    zoo, changed = made_up_zoo(), made_up_zoo()
    assert sorted([*CURVATURE, *FORECASTS]) == sorted(DIAGNOSTIC_FAMILIES)
    for table in changed.tables:
        for values in (table.measures, table.network):
            values |= {name: values[name] + 1 for name in values if FAMILY_OF[name] in FORECASTS}
    before, after = evaluation_rows(zoo), evaluation_rows(changed)
    np.testing.assert_array_equal(before["curvature"], after["curvature"])
    assert (before["forecasts"] != after["forecasts"]).mean() > 0.8  # trends stay
    width = before["curvature"].shape[1] + before["forecasts"].shape[1]
    assert width == before["hessdiag"].shape[1]


def test_parts_of_the_first_protocol_are_answered_by_its_models(made_up_zoo):
    zoo = made_up_zoo(300, 18)
    names = ["leave_datasets_out", "images", "undertrained"]
    together = evaluate(zoo, protocols=names)["protocols"]
    for name in names:
        alone = evaluate(zoo, protocols=[name])["protocols"]
        assert alone == {name: together[name]}
    image = zoo.columns["form"] == "image"
    assert together["images"]["n_networks"] == image.sum()
    assert together["images"]["n_datasets"] == len(set(zoo.groups[image]))
    assert together["images"]["n_folds"] <= 3
    # Networks of the two parts of a division, weighted by class, are those of the whole.
    confusion = np.array(together["leave_datasets_out"]["rows"]["hessdiag"]["confusion"])
    own = np.array(together["images"]["rows"]["hessdiag"]["confusion"])
    assert own.sum() == image.sum()
    assert (own <= confusion).all()


@pytest.mark.slow
def test_json_has_the_promised_shape(made_up_zoo):
    result = json.loads(json.dumps(evaluate(made_up_zoo(300, 18)), allow_nan=False))
    assert list(result["protocols"]) == [
        "leave_datasets_out",
        "mlps_on_tables",
        "other_families",
        "images",
        "series",
        "tokens",
        "sgd",
        "undertrained",
        "leave_family_out",
        "leave_kin_out",
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
    for words in (
        "only alignment",
        "Learning curve",
        "Spearman",
        "teacher_student",
        "Advice of four",
    ):
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
    columns["gain_longer"] = np.where(index % 2, gains[:, 0] + gains[:, 1], np.nan)

    def figures(table):
        return gain_figures(predict_left_out(table, columns, target, zoo.groups, splits), columns)

    known, blind = figures(gains), figures(rng.normal(size=(400, 3)))
    assert list(known) == list(columns)
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


def test_training_curves_where_the_table_has_them(made_up_zoo):
    zoo = made_up_zoo()
    assert training_curve_row(zoo) is None
    earlier = zoo.columns["train_loss"] * np.where(np.arange(63) % 2, 1.5, 1.0)
    zoo.columns["train_loss_earlier"] = earlier
    found = training_curve_row(zoo)
    np.testing.assert_allclose(found[:, -1], np.where(np.arange(63) % 2, 1 / 3, 0.0))
    fall = (earlier - zoo.columns["train_loss"]) / zoo.columns["null_loss"]
    np.testing.assert_allclose(found[:, -2], fall)
    np.testing.assert_array_equal(found[:, :-2], evaluation_rows(zoo)["train_loss_sizes"])
    zoo.columns["train_loss_earlier"] = np.full(63, np.nan)
    assert training_curve_row(zoo) is None


@pytest.mark.slow
def test_advice_of_four_is_part_of_the_studies(made_up_zoo):
    zoo = made_up_zoo(300, 18)
    rng = np.random.default_rng(0)
    columns = zoo.columns
    zoo.target = label_gains(columns["gain_widening"], columns["gain_constraining"]).astype(object)
    for name in ("gain_longer", "gain_fourfold", "gain_narrowing", "gain_decay", "gain_stopping"):
        columns[name] = rng.normal(size=300)
    for table in zoo.tables:
        table.context["loss_over_null_loss"] = 0.5
    columns["train_loss_earlier"] = columns["train_loss"] + 0.1
    result = evaluate(zoo, studies=True, protocols=["leave_datasets_out"])
    studies = json.loads(json.dumps(result, allow_nan=False))["studies"]
    rows = studies["advice"]["rows"]
    assert {"chance", "most_common", "rules", "training_curve", "validation", "hessdiag"} <= set(
        rows
    )
    assert studies["advice"]["n_networks"] == 300
    # Of random numbers nothing is told.
    assert all(row["balanced"] < 0.4 for row in rows.values())
    assert set(studies["gains"]["hessdiag"]) >= {"gain_longer"}
    text = format_evaluation(result)
    assert "training curve + training loss + sizes" in text


def test_errors_of_each_part_that_is_left_out(made_up_zoo):
    zoo = made_up_zoo(300, 18)
    names = ["leave_family_out", "images"]
    protocols = evaluate(zoo, default_candidates()["kernel"], protocols=names)["protocols"]
    for name in names:
        found = protocols[name]
        assert set(found["errors"]) == set(found["rows"]["hessdiag"]["parts"])
        sizes = [own["n_networks"] for own in found["errors"].values()]
        assert sum(sizes) == found["n_networks"]
        wrong = sum(own["wrong"] * own["n_networks"] for own in found["errors"].values())
        confusion = np.array(found["rows"]["hessdiag"]["confusion"])
        assert wrong == pytest.approx(confusion.sum() - np.trace(confusion))
        for own in found["errors"].values():
            assert 0 <= own["domain"]["auroc"] <= 1  # noise, but of every network
            assert own["outside"] <= 1
    text = format_evaluation({"protocols": protocols, "label_reliability": None,
                              "n_networks": 300, "n_datasets": 18, "n_tasks": 37})  # fmt: skip
    assert text.count("wrong answers told by") == 2


def test_unknown_protocol(made_up_zoo):
    with pytest.raises(ValueError, match="leave_family_out"):
        evaluate(made_up_zoo(), protocols=["leave_family_in"])


@pytest.mark.parametrize("n_folds", [1, 10])
def test_more_folds_than_data_sets(n_folds, made_up_zoo):
    with pytest.raises(ValueError, match=r"data sets \(9\)"):
        evaluate_zoo(made_up_zoo(), n_folds=n_folds)
