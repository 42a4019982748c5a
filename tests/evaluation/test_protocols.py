"""No protocol learns from a data set that it asks about, whatever the zoo is like."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.evaluation._protocols import DEEP, KIN, MIN_TEST, MIN_TRAIN, make_protocols
from hessdiag.labels import DIAGNOSES
from hessdiag.zoo.networks import FAMILIES

NAMES = [
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


#: Who is asked about where only a part of the first protocol's networks is.
PARTS = {
    "mlps_on_tables": lambda c: np.isin(c["family"], KIN["MLPs"]) & (c["form"] == "tabular"),
    "other_families": lambda c: ~np.isin(c["family"], KIN["MLPs"]),
    "images": lambda c: c["form"] == "image",
    "series": lambda c: c["form"] == "series",
    "tokens": lambda c: c["form"] == "tokens",
    "sgd": lambda c: c["optimizer"] == "sgd",
    "undertrained": lambda c: c["n_steps"] <= 60,
}


def kin_of(family):
    """Kin of one architecture."""
    return next((name for name, members in KIN.items() if family in members), family)


def lay_out(columns, seed, n_folds=4):
    rng = np.random.default_rng([seed, 1])  # not the columns' own
    target = rng.choice(DIAGNOSES, len(columns["parent"]))
    protocols = make_protocols(columns, target, columns["parent"], n_folds, seed)
    return {protocol.name: protocol for protocol in protocols}


def assert_fair(protocol, columns):
    asked = np.concatenate([test for _, test in protocol.splits])
    assert len(asked) == len(set(asked.tolist())), "a network is asked about twice"
    for train, test in protocol.splits:
        parents = columns["parent"]
        assert not set(parents[train]) & set(parents[test]), "a data set is on both sides"
        held_back = {
            "leave_family_out": lambda i: columns["family"][i],
            "leave_kin_out": lambda i: np.array([kin_of(f) for f in columns["family"][i]]),
            "leave_activation_out": lambda i: columns["activation"][i],
            "shallow_to_deep": lambda i: columns["depth"][i] >= DEEP,
            "clean_to_noisy": lambda i: columns["label_noise"][i] > 0,
            "tabular_to_image": lambda i: columns["form"][i] != "tabular",
            "classification_to_regression": lambda i: columns["kind"][i] == "regression",
            "balanced_to_rare": lambda i: columns["dataset"][i] == "banana-rare",
            "teacher_student": lambda i: columns["teacher_width"][i] > 0,
        }.get(protocol.name)
        if held_back is not None:
            assert not set(held_back(train).tolist()) & set(held_back(test).tolist())
    if protocol.name == "leave_datasets_out":
        assert sorted(asked.tolist()) == list(range(len(columns["parent"])))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_networks=st.integers(30, 400),
    n_parents=st.integers(4, 30),
    mixed=st.booleans(),
)
def test_no_parent_on_both_sides(seed, n_networks, n_parents, mixed, made_up_columns):
    rng = np.random.default_rng(seed)
    columns = made_up_columns(n_networks, n_parents, rng)
    if mixed:  # forms and kinds within one parent
        for name in ("form", "kind", "teacher_width"):
            columns[name] = rng.permutation(columns[name])
    protocols = lay_out(columns, seed)
    assert list(protocols) == NAMES
    first = {train.tobytes(): test for train, test in protocols["leave_datasets_out"].splits}
    for name, who in PARTS.items():
        asked = who(columns)
        for train, test in protocols[name].splits:
            # Asked by the very models of the first protocol, which learn from all forms.
            assert set(test) <= set(first[train.tobytes()][asked[first[train.tobytes()]]])
        if protocols[name].splits:
            found = np.concatenate([test for _, test in protocols[name].splits])
            np.testing.assert_array_equal(np.sort(found), np.flatnonzero(asked))
            assert protocols[name].n_folds <= protocols["leave_datasets_out"].n_folds
    for protocol in protocols.values():
        if protocol.splits:
            assert_fair(protocol, columns)
            if protocol.name != "leave_datasets_out":
                assert min(len(train) for train, _ in protocol.splits) >= MIN_TRAIN
                assert sum(len(test) for _, test in protocol.splits) >= MIN_TEST
        else:
            assert protocol.reason


def test_large_zoo_answers_everything(made_up_columns):
    columns = made_up_columns(900, 30, np.random.default_rng(0))
    protocols = lay_out(columns, 0, n_folds=7)
    assert all(protocol.splits and not protocol.reason for protocol in protocols.values())
    assert set(protocols["leave_family_out"].parts) == set(columns["family"])
    assert set(protocols["leave_kin_out"].parts) == {"MLPs", "convolutions", "recurrent"}
    for part, (_, test) in zip(protocols["images"].parts, protocols["images"].splits, strict=True):
        assert set(columns["family"][test]) == {part}
    # What only some data sets have is asked about all at once; the rest is folded.
    assert len(protocols["tabular_to_image"].splits) == 1
    assert len(protocols["shallow_to_deep"].splits) == 3
    ((_, asked),) = protocols["teacher_student"].splits
    np.testing.assert_array_equal(asked, np.flatnonzero(columns["teacher_width"] > 0))


def test_wide_is_relative_to_the_family(made_up_columns):
    columns = made_up_columns(600, 20, np.random.default_rng(1))
    narrow_family = columns["family"] == "cnn2d"
    columns["width"] = np.where(narrow_family, columns["width"] // 2, columns["width"])
    for train, test in lay_out(columns, 1)["narrow_to_wide"].splits:
        for family in ("mlp", "cnn2d"):
            widths = [
                columns["width"][side][columns["family"][side] == family] for side in (train, test)
            ]
            assert widths[0].max() < widths[1].min()


def test_poor_zoo_says_why(made_up_columns):
    columns = made_up_columns(60, 6, np.random.default_rng(2))
    columns["kind"][:] = "classification"
    columns["family"][:] = "mlp"
    protocols = lay_out(columns, 2)
    assert "0 networks to ask about" in protocols["classification_to_regression"].reason
    assert "mlp: 0 networks" in protocols["leave_family_out"].reason
    assert "0 networks to ask about" in protocols["other_families"].reason
    assert protocols["other_families"].splits == ()


def test_every_family_of_the_zoo_has_kin_or_stands_alone_by_choice():
    known = [member for members in KIN.values() for member in members]
    assert len(known) == len(set(known))
    assert set(known) <= set(FAMILIES)
    assert set(FAMILIES) - set(known) == {"mixer"}
