"""Words as tokens: they can be read back, and the answers are those of the lists."""

import numpy as np
import pytest

from hessdiag.zoo import load_dataset
from hessdiag.zoo.sources import read_cities, read_color_names, read_strings, read_words
from hessdiag.zoo.tasks._texts import LETTERS, REGIONS, TEXT_TASKS, encode

for package in ("bokeh_sampledata", "matplotlib", "spellchecker", "zxcvbn"):
    pytest.importorskip(package)


def of(make):
    """Names of the tasks of one kind."""
    return [name for name, task in TEXT_TASKS.items() if task.make.__name__ == make]


def texts(name, more=""):
    """Texts that ids stand for, and targets."""
    dataset = load_dataset(name)
    alphabet = "\0" + LETTERS + more
    assert dataset.shape[0] == len(alphabet)
    found = []
    for row in dataset.frame.to_numpy():
        text = "".join(alphabet[token] for token in row)
        found.append(text.rstrip("\0"))
        assert "\0" not in found[-1]
    return found, dataset.target


def test_ids_of_letters():
    assert encode(["ba", "abcd"], "abcd", 3).tolist() == [[2, 1, 0], [1, 2, 3]]


@pytest.mark.parametrize("name", of("make_languages"))
def test_languages(name):
    found, y = texts(name)
    languages = TEXT_TASKS[name].arguments["languages"]
    words = {code: set(read_words(code)) for code in languages}
    assert len(set(found)) == len(found)
    # Classes are numbered in alphabetical order.
    for text, label in zip(found, y):
        assert [code for code in sorted(languages) if text in words[code]] == [
            sorted(languages)[label]
        ]


@pytest.mark.parametrize("name", of("make_reversed"))
def test_reversed(name):
    found, y = texts(name)
    words = read_words(TEXT_TASKS[name].arguments["language"])[: len(found)]
    assert [text[::-1] if label else text for text, label in zip(found, y)] == words
    assert 0.45 < y.mean() < 0.55


@pytest.mark.parametrize("name", of("make_missing_vowel"))
def test_missing_vowel(name):
    found, y = texts(name, "?")
    words = read_words(TEXT_TASKS[name].arguments["language"])
    whole = [text.replace("?", "aeiou"[label]) for text, label in zip(found, y)]
    with_vowels = [word for word in words[:4000] if set(word) & set("aeiou")]
    assert whole == with_vowels
    assert all(text.count("?") == 1 for text in found)


@pytest.mark.parametrize("name", of("make_next_vowel"))
def test_next_vowel(name):
    found, y = texts(name)
    words = read_words(TEXT_TASKS[name].arguments["language"])
    for text, label, word in zip(found, y, words):
        assert word.startswith(text)
        assert 2 <= len(text) < len(word)
        assert label == (word[len(text)] in "aeiou")


@pytest.mark.parametrize("name", of("make_kinds"))
def test_kinds(name):
    found, y = texts(name, "0123456789")
    kinds = sorted(TEXT_TASKS[name].arguments["kinds"])
    strings = {kind: set(read_strings(kind)) for kind in kinds}
    for text, label in zip(found, y):
        assert [kind for kind in kinds if text in strings[kind]] == [kinds[label]]
    assert len(set(found)) == len(found)


def test_colors():
    named = dict(read_color_names())
    found, strongest = texts("colors", " ")
    assert [max(range(3), key=named[text].__getitem__) for text in found] == strongest.tolist()
    again, lightness = texts("colors-lightness", " ")
    mixed = load_dataset("colors-mixed")
    assert found == again
    np.testing.assert_allclose(mixed.target, [named[text] for text in found], rtol=1e-6)
    # Weights of the luma of ITU-R BT.601.
    expected = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in (named[text] for text in found)]
    np.testing.assert_allclose(lightness[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", of("make_cities"))
def test_cities(name):
    found, y = texts(name, " ")
    places = {}
    for text, *place in read_cities():
        places.setdefault(text, []).append(place)
    regions = sorted(TEXT_TASKS[name].arguments["regions"])
    for text, label in zip(found, y):
        south, north, west, east = REGIONS[regions[label]]
        assert any(south < lat < north and west < lng < east for lat, lng in places[text])
    known = {"China": "wuhan", "India": "nagpur", "Japan": "tokyo", "Mexico": "puebla"}
    for region, city in known.items():
        south, north, west, east = REGIONS[region]
        assert any(south < lat < north and west < lng < east for lat, lng in places[city])
