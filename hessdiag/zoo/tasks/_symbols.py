"""Tasks of sequences of symbols: real ones, code, and generated; those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import read_entities, read_lines
from hessdiag.zoo.tasks._dataset import make_token_dataset, practice_task, task_seed
from hessdiag.zoo.tasks._real import read_samples

N_SAMPLES = 3000

#: All that may stand in a line: what else there is counts as the first one.
CHARACTERS = (
    "~ abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:;=()[]{}'\"+-*/<>#\\|&!%@"
)


def make_columns(name, parent, columns=None, classes=None):
    """Return a real table of categories as tokens, one for each column.

    Equal words have equal ids in all columns; columns and classes may be some of them.
    """
    frame, labels = read_samples(parent)
    if classes is not None:
        kept = np.isin(labels, classes)
        frame, labels = frame[kept], labels[kept]
    cells = frame.iloc[:, slice(*columns)] if columns else frame
    return _cells(name, parent, cells, labels)


def make_predicted_column(name, parent, column):
    """Return a real table of categories as tokens but for one column, which is asked for."""
    frame, _ = read_samples(parent)
    return _cells(name, parent, frame.drop(columns=column), _stripped(frame[column]))


def make_excerpts(name, parent, languages, length, n_lines):
    """Return excerpts from lines in some languages of programs and people: in which one it is."""
    rng, texts, labels = np.random.default_rng(task_seed(name)), [], []
    for language in languages:
        lines = [line for line in read_lines(language) if len(line) >= length]
        for index in rng.permutation(len(lines))[:n_lines]:
            start = rng.integers(0, len(lines[index]) - length + 1)
            texts.append(lines[index][start : start + length])
            labels.append(language)
    return _characters(name, parent, texts, labels)


def make_entities(name, parent):
    """Return names of characters in HTML, and in which part of Unicode the character is."""
    entities = [(text, point) for text, point in read_entities() if len(text) <= 16]
    ends = [0x250, 0x2000, 0x2190, 0x2200, 0x2300, 0x2A00, 0x2B00]
    labels = np.digitize([point for _, point in entities], ends)
    counts = np.bincount(labels)
    kept = [index for index, label in enumerate(labels) if counts[label] >= 60]
    texts = [entities[index][0].ljust(16, "~") for index in kept]
    return _characters(name, parent, texts, labels[kept])


def make_brackets(name, parent, length, n_kinds):
    """Return brackets, half of them balanced, the others with two of them swapped: which are."""
    rng = np.random.default_rng(task_seed(name))
    rows = np.empty((N_SAMPLES, length), dtype=np.int64)
    labels = np.ones(N_SAMPLES, dtype=np.int64)
    for row in range(N_SAMPLES):
        open_, place = [], 0
        while place < length:
            left = length - place
            if open_ and (len(open_) == left or rng.random() < 0.5):
                rows[row, place] = open_.pop() + n_kinds
            else:
                open_.append(int(rng.integers(n_kinds)))
                rows[row, place] = open_[-1]
            place += 1
        if rng.random() < 0.5:
            swapped = rows[row].copy()
            while _balanced(swapped, n_kinds):
                one, other = rng.integers(0, length, 2)
                swapped = rows[row].copy()
                swapped[[one, other]] = swapped[[other, one]]
            rows[row], labels[row] = swapped, 0
    return make_token_dataset(name, parent, rows, 2 * n_kinds, labels)


def make_chains(name, parent, length, n_symbols, n_chains, sharpness):
    """Return paths of Markov chains over the same symbols: of which chain one is."""
    rng = np.random.default_rng(task_seed(name))
    moves = rng.dirichlet(np.full(n_symbols, 1 / sharpness), (n_chains, n_symbols)).cumsum(axis=2)
    labels = rng.integers(0, n_chains, N_SAMPLES)
    rows = np.empty((N_SAMPLES, length), dtype=np.int64)
    rows[:, 0] = rng.integers(0, n_symbols, N_SAMPLES)
    for place in range(1, length):
        chance = rng.random((N_SAMPLES, 1))
        rows[:, place] = (chance > moves[labels, rows[:, place - 1], :-1]).sum(axis=1)
    return make_token_dataset(name, parent, rows, n_symbols, labels)


def make_motifs(name, parent, length, n_symbols, motifs, n_wrong):
    """Return random symbols with one of some motifs anywhere among them: which one.

    Of each motif as many symbols as are wrong have been drawn anew.
    """
    rng = np.random.default_rng(task_seed(name))
    words = rng.integers(0, n_symbols, (motifs, 6))
    labels = rng.integers(0, motifs, N_SAMPLES)
    rows = rng.integers(0, n_symbols, (N_SAMPLES, length))
    for row, label in zip(rows, labels):
        word = words[label].copy()
        word[rng.choice(6, n_wrong, replace=False)] = rng.integers(0, n_symbols, n_wrong)
        start = rng.integers(0, length - 5)
        row[start : start + 6] = word
    return make_token_dataset(name, parent, rows, n_symbols, labels)


def make_sums(name, parent, length, noise):
    """Return digits, and the sum of those that follow a larger one, with noise.

    ``noise`` is the variance of the noise in units of that of the sum.
    """
    rng = np.random.default_rng(task_seed(name))
    digits = rng.integers(0, 10, (N_SAMPLES, length))
    sums = np.where(digits[:, 1:] < digits[:, :-1], digits[:, 1:], 0).sum(axis=1)
    sums = sums + np.sqrt(noise * sums.var()) * rng.standard_normal(N_SAMPLES)
    return make_token_dataset(name, parent, digits, 10, sums, classes=False)


def make_repeats(name, parent, length, n_symbols):
    """Return random symbols, and how many places hold the same as the place two before."""
    rng = np.random.default_rng(task_seed(name))
    rows = rng.integers(0, n_symbols, (N_SAMPLES, length))
    counts = (rows[:, 2:] == rows[:, :-2]).sum(axis=1)
    return make_token_dataset(name, parent, rows, n_symbols, counts, classes=False)


def _cells(name, parent, frame, labels):
    """Return a task of a table of categories."""
    words, ids = np.unique(_stripped(frame), return_inverse=True)
    return make_token_dataset(name, parent, ids.reshape(frame.shape), len(words), labels)


def _stripped(cells):
    """Return categories as strings without blanks at either end."""
    return np.char.strip(cells.to_numpy(str))


def _balanced(row, n_kinds):
    """Say whether each closing bracket closes the last one that is open."""
    open_ = []
    for bracket in row:
        if bracket < n_kinds:
            open_.append(bracket)
        elif not open_ or open_.pop() != bracket - n_kinds:
            return False
    return not open_


def _characters(name, parent, texts, labels):
    """Return a task of strings of one length."""
    place = {character: index for index, character in enumerate(CHARACTERS)}
    ids = np.array([[place.get(character, 0) for character in text] for text in texts])
    return make_token_dataset(name, parent, ids, len(CHARACTERS), labels)


SYMBOL_TASKS = {
    "splice-tokens": practice_task(make_columns, "splice"),
    "splice-tokens-junction": practice_task(
        make_columns, "splice", columns=(15, 45), classes=("EI", "IE")
    ),
    "splice-tokens-donor": practice_task(
        make_columns, "splice", columns=(20, 40), classes=("EI", "N")
    ),
    "tic-tac-toe-tokens": practice_task(make_columns, "tic-tac-toe"),
    "tic-tac-toe-tokens-centre": practice_task(make_predicted_column, "tic-tac-toe", column="x4"),
    "chess-tokens": practice_task(make_columns, "chess"),
    "letter-tokens": practice_task(
        make_columns, "letter", classes=("B", "D", "E", "P", "R", "S", "H", "K")
    ),
    "mushroom-tokens-habitat": practice_task(make_predicted_column, "mushroom", column="x21"),
    "code": practice_task(
        make_excerpts, "code", languages=("python", "c", "english"), length=16, n_lines=1000
    ),
    "entities": practice_task(make_entities, "entities"),
    "brackets": practice_task(make_brackets, "brackets", real=False, length=12, n_kinds=2),
    "brackets-long": practice_task(make_brackets, "brackets", real=False, length=24, n_kinds=1),
    "chains": practice_task(
        make_chains, "chains", real=False, length=24, n_symbols=8, n_chains=4, sharpness=1.0
    ),
    "chains-many": practice_task(
        make_chains, "chains", real=False, length=32, n_symbols=12, n_chains=8, sharpness=1.5
    ),
    "motifs": practice_task(
        make_motifs, "motifs", real=False, length=30, n_symbols=8, motifs=5, n_wrong=1
    ),
    "motifs-faint": practice_task(
        make_motifs, "motifs", real=False, length=20, n_symbols=6, motifs=3, n_wrong=2
    ),
    "sums": practice_task(make_sums, "sums", real=False, length=12, noise=0.1),
    "repeats": practice_task(make_repeats, "repeats", real=False, length=16, n_symbols=4),
}
