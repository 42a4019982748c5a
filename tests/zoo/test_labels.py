"""Labels follow the rule: a twin that reads the rule literally finds the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.zoo import choose_networks, label_networks, label_reliability
from hessdiag.zoo._training import CHECKPOINTS

pd = pytest.importorskip("pandas")

NULL_LOSS = 2.0
GAINS = ("widening", "constraining", "narrowing", "decay", "stopping", "fourfold")


def make_records(losses, seeds=3, grids=1, status=None):
    """Records of grids x widths x decays x seeds with the given held-out curves."""
    rows = []
    for grid in range(grids):
        for width in (2, 8, 32):
            for decay in (0.0, 1.0):
                for seed in range(seeds):
                    key = (grid, width, decay, seed)
                    curve = list(losses(*key))
                    curve = curve[:1] * (len(CHECKPOINTS) - len(curve)) + curve
                    rows.append(
                        {
                            "id": "-".join(map(str, key)),
                            "grid": f"g{grid}",
                            "config": f"g{grid}-{width}-{decay}",
                            "width": width,
                            "weight_decay": decay,
                            "seed": seed,
                            "null_loss": NULL_LOSS,
                            "status": (status or {}).get(key, "ok"),
                            "test_losses": tuple(curve),
                        }
                    )
    return pd.DataFrame(rows)


def twin(records, delta=0.05):
    """Gains and diagnosis of each configuration, by loops."""
    result = {}
    for row in records.to_dict("records"):
        grid = [r for r in records.to_dict("records") if r["grid"] == row["grid"]]

        def mean(width, decay, at=-1, grid=grid):
            found = [
                r["test_losses"][at]
                for r in grid
                if r["width"] == width and r["weight_decay"] == decay
            ]
            return sum(found) / len(found)

        width, decay = row["width"], row["weight_decay"]
        own = mean(width, decay)
        widths = sorted({r["width"] for r in grid})
        decays = sorted({r["weight_decay"] for r in grid})
        wider = [mean(w, d) for w in widths for d in decays if w > width]
        narrower = [mean(w, d) for w in widths for d in decays if w < width]
        stiffer = [mean(width, d) for d in decays if d > decay]
        earlier = [mean(width, decay, at) for at in range(len(row["test_losses"]) - 1)]
        if not wider:
            result[row["config"]] = (*[np.nan] * 6, "")
            continue
        quarter = sorted((w for w in widths if w < width), key=lambda w: abs(np.log(4 * w / width)))
        fourfold = min((w for w in widths if w > width), key=lambda w: abs(np.log(w / 4 / width)))
        up, down, *single = (
            (own - min(losses)) / NULL_LOSS if losses else np.nan
            for losses in (
                wider,
                [*narrower, *stiffer, *earlier],
                [mean(quarter[0], decay)] if quarter else [],
                [mean(width, max(decays))] if decay < max(decays) else [],
                [mean(width, decay, CHECKPOINTS.index(0.2))],
                [mean(fourfold, decay)],
            )
        )
        if up < delta and down < delta:
            name = "well-fit"
        else:
            name = "underparameterized" if up > down else "overfitting"
        result[row["config"]] = (up, down, *single, name)
    return result


def configurations(records):
    """Labels by width and weight decay, for records of one grid."""
    labelled = label_networks(records).drop_duplicates("config")
    return labelled.set_index(["width", "weight_decay"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.02, 0.2, 1.0]))
def test_brute_force_twin(seed, spread):
    rng = np.random.default_rng(seed)
    records = make_records(lambda *_: 1 + spread * rng.normal(size=7), grids=2)
    labelled = label_networks(records)
    expected = twin(records)
    for row in labelled.to_dict("records"):
        *gains, name = expected[row["config"]]
        for column, gain in zip(GAINS, gains, strict=True):
            np.testing.assert_allclose(row[f"gain_{column}"], gain, atol=1e-12)
        assert row["diagnosis"] == name


def test_hand_made_table():
    # Held-out loss falls from width 2 to 8 and rises to 32; the last checkpoint is the best.
    final = {2: 1.6, 8: 0.6, 32: 1.0}
    records = make_records(
        lambda grid, width, decay, seed: [2.0, 1.8, final[width] + 0.01 * seed], seeds=3
    )
    labelled = configurations(records)
    assert labelled["diagnosis"].tolist() == [
        "underparameterized",
        "underparameterized",
        "well-fit",
        "well-fit",
        "",
        "",
    ]
    np.testing.assert_allclose(labelled.loc[(2, 0.0), "gain_widening"], (1.6 - 0.6) / NULL_LOSS)
    np.testing.assert_allclose(labelled.loc[(8, 0.0), "gain_widening"], (0.6 - 1.0) / NULL_LOSS)
    # Seeds move all networks alike, so the paired error is nothing.
    np.testing.assert_allclose(labelled.loc[(2, 0.0), "se_widening"], 0, atol=1e-12)
    assert not labelled.loc[(2, 0.0), "unsure"]


def test_earlier_checkpoint_and_more_decay_constrain():
    early = make_records(lambda g, width, decay, s: [0.5, 1.0])
    assert set(label_networks(early)["diagnosis"]) == {"overfitting", ""}
    decay = make_records(lambda g, width, decay, s: [1.5, 1.0 if decay == 0 else 0.5])
    labels = configurations(decay)
    assert labels.loc[(8, 0.0), "diagnosis"] == "overfitting"
    assert labels.loc[(8, 1.0), "diagnosis"] == "well-fit"


def test_standard_error_is_that_of_the_paired_difference():
    rng = np.random.default_rng(0)
    curves = {}
    records = make_records(
        lambda *key: curves.setdefault(key, 1 + 0.3 * rng.normal(size=2)), seeds=5
    )
    labels = configurations(records)
    own = np.array([curves[0, 8, 0.0, seed][-1] for seed in range(5)])
    wider = [np.array([curves[0, 32, d, seed][-1] for seed in range(5)]) for d in (0.0, 1.0)]
    gains = (own - min(wider, key=np.mean)) / NULL_LOSS
    row = labels.loc[(8, 0.0)]
    np.testing.assert_allclose(row["gain_widening"], gains.mean())
    np.testing.assert_allclose(row["se_widening"], gains.std(ddof=1) / np.sqrt(5))
    assert row["n_seeds"] == 5


def test_wider_with_other_decay_counts():
    # Widening alone does harm; widening with more decay helps most.
    final = {(8, 0.0): 1.0, (8, 1.0): 0.9, (32, 0.0): 1.4, (32, 1.0): 0.6}
    records = make_records(lambda g, w, d, s: [1.5, final.get((w, d), 1.5)])
    row = configurations(records).loc[(8, 0.0)]
    np.testing.assert_allclose(row["gain_widening"], 0.4 / NULL_LOSS)
    np.testing.assert_allclose(row["gain_constraining"], 0.1 / NULL_LOSS)
    np.testing.assert_allclose(row["gain_decay"], 0.1 / NULL_LOSS)
    np.testing.assert_allclose(row["gain_narrowing"], -0.5 / NULL_LOSS)
    np.testing.assert_allclose(row["gain_stopping"], -0.5 / NULL_LOSS)
    assert row["diagnosis"] == "underparameterized"


def test_widest_diverged_and_single_seeds_stay_empty(small_zoo):
    labelled = label_networks(small_zoo.store.records_frame())
    assert set(labelled.loc[labelled["width"] == 16, "diagnosis"]) == {""}
    assert "" not in set(labelled.loc[labelled["width"] < 16, "diagnosis"])

    records = make_records(lambda *_: [1.0, 1.0], status={(0, 8, 0.0, 1): "diverged"})
    labels = configurations(records)
    assert labels.loc[(8, 0.0), "diagnosis"] == ""
    assert labels.loc[(2, 0.0), "diagnosis"] == "well-fit"
    assert set(label_networks(make_records(lambda *_: [1.0, 1.0], seeds=1))["diagnosis"]) == {""}


def test_order_of_rows_does_not_matter(small_zoo):
    records = small_zoo.store.records_frame()
    shuffled = records.sample(frac=1, random_state=0)
    columns = ["id", "diagnosis", "gain_widening", "se_constraining", "unsure"]
    left = label_networks(records)[columns].sort_values("id", ignore_index=True)
    right = label_networks(shuffled)[columns].sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(left, right)


def test_reliability_of_equal_and_of_random_seeds():
    curve = {2: 1.6, 8: 0.6, 32: 1.0}
    equal = make_records(lambda g, width, d, s: [0.3 * (width == 2), curve[width]], 4, grids=3)
    assert label_reliability(equal) == 1
    rng = np.random.default_rng(0)
    random = make_records(lambda *_: rng.normal(size=3), 4, grids=40)
    assert label_reliability(random) < 0.7


def test_one_seed_of_each_labelled_configuration_is_chosen(small_zoo):
    labelled = label_networks(small_zoo.store.records_frame())
    chosen = choose_networks(labelled)
    assert (chosen["diagnosis"] != "").all()
    assert chosen["config"].is_unique
    assert set(chosen["config"]) == set(labelled.loc[labelled["diagnosis"] != "", "config"])
    assert choose_networks(labelled.sample(frac=1, random_state=1))["id"].isin(chosen["id"]).all()
    assert small_zoo.store.examined_ids() == set(chosen["id"])


def test_gain_of_training_longer():
    records = make_records(lambda g, width, decay, seed: [1.5, 1.0 + 0.1 * seed])
    assert label_networks(records)["gain_longer"].isna().all()
    plain = configurations(records)
    # After twice the steps 0.8, 0.9, 1.2; after four times 0.5, 1.2, 1.0: the latter in the mean.
    later = [(0.8, 0.5), (0.9, 1.2), (1.2, 1.0)]
    records["longer_losses"] = [
        () if (row.width, row.weight_decay, row.seed) == (2, 1, 1) else later[row.seed]
        for row in records.itertuples()
    ]
    labels = configurations(records)
    differences = np.array([1.0 - 0.5, 1.1 - 1.2, 1.2 - 1.0]) / NULL_LOSS
    row = labels.loc[(2, 0.0)]
    np.testing.assert_allclose(row["gain_longer"], differences.mean())
    np.testing.assert_allclose(row["se_longer"], differences.std(ddof=1) / np.sqrt(3))
    assert np.isnan(labels.loc[(2, 1.0), "gain_longer"])
    assert np.isnan(labels.loc[(32, 0.0), "gain_longer"])  # not labelled
    # It moves no diagnosis and no other gain.
    others = [name for name in plain if not name.endswith("longer")]
    pd.testing.assert_frame_equal(labels[others], plain[others])


def test_a_run_that_blows_up_later_counts_by_what_it_was_before():
    records = make_records(lambda *_: [1.5, 1.0])
    records["longer_losses"] = [(0.6, np.nan)] * len(records)
    np.testing.assert_allclose(configurations(records).loc[(2, 0.0), "gain_longer"], 0.2)
    records["longer_losses"] = [(np.inf, np.nan)] * len(records)
    assert np.isnan(configurations(records).loc[(2, 0.0), "gain_longer"])
