"""Words: those of the lists, the most frequent first, without accents."""

import csv
import gzip
import json

import numpy as np
import pytest

from hessdiag.zoo.sources import (
    packaged_file,
    read_cities,
    read_color_names,
    read_strings,
    read_words,
    without_accents,
)


def test_accents_go_and_letters_stay():
    assert without_accents("über était niñošžç") == "uber etait ninoszc"
    assert without_accents("łß") == "łß"


@pytest.mark.parametrize("language", ["de", "en", "es", "eu", "fr", "it", "lv", "nl", "pt"])
def test_words_of_a_language(language):
    pytest.importorskip("spellchecker")
    words = read_words(language)
    assert len(set(words)) == len(words) == 20_000
    assert all(4 <= len(word) <= 12 and word.isascii() and word.isalpha() for word in words)
    raw = gzip.decompress(
        packaged_file("spellchecker", f"resources/{language}.json.gz").read_bytes()
    )
    frequency = {}
    for word, count in json.loads(raw).items():
        plain = without_accents(word.lower())
        frequency[plain] = max(count, frequency.get(plain, 0))
    counts = [frequency[word] for word in words]
    assert counts == sorted(counts, reverse=True)
    chosen = set(words)
    left_out = [
        count
        for word, count in frequency.items()
        if 4 <= len(word) <= 12 and word.isascii() and word.isalpha() and word not in chosen
    ]
    assert max(left_out) <= counts[-1]


def test_strings_are_what_zxcvbn_ranks():
    zxcvbn = pytest.importorskip("zxcvbn")
    passwords = read_strings("passwords")
    for rank in (0, 7, 500):
        found = zxcvbn.zxcvbn(passwords[rank])["sequence"][0]
        assert (found["dictionary_name"], found["rank"]) == ("passwords", rank + 1)


def test_color_names():
    matplotlib = pytest.importorskip("matplotlib")
    named = dict(read_color_names())
    assert 900 < len(named) < 949
    assert named["cerulean blue"] == matplotlib.colors.to_rgb("xkcd:cerulean blue")
    # What is not of letters alone is left out.
    assert "blue/green" not in named
    assert "xkcd:blue/green" in matplotlib.colors.XKCD_COLORS


def test_cities():
    pytest.importorskip("bokeh_sampledata")
    path = packaged_file("bokeh_sampledata", "_data/world_cities.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = {
            (float(row["lat"]), float(row["lng"])): row["name"] for row in csv.DictReader(file)
        }
    cities = read_cities()
    assert len(cities) > 30_000
    same = [without_accents(lines[lat, lng].lower()) == name for name, lat, lng in cities]
    assert np.mean(same) > 0.99
    assert "berlin" in {name for name, lat, lng in cities if (round(lat), round(lng)) == (53, 13)}
