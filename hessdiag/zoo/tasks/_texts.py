"""Tasks of words and of what they name: those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import read_cities, read_color_names, read_strings, read_words
from hessdiag.zoo.tasks._dataset import make_token_dataset, practice_task, task_seed

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOWELS = "aeiou"

#: Regions of the world: south, north, west and east of each, in degrees.
REGIONS = {
    "China": (22, 41, 103, 122),
    "India": (8, 29, 72, 88),
    "Japan": (31, 45, 130, 146),
    "Germany and Poland": (48, 54, 7, 22),
    "Italy": (37, 46, 8, 18),
    "Mexico": (15, 26, -105, -88),
    "Brazil": (-30, -3, -55, -35),
    "Nigeria": (5, 13, 3, 13),
    "United States": (32, 45, -100, -72),
}


def encode(texts, alphabet, length):
    """Return texts as ids (n_texts, length): 0 behind their end, then places in the alphabet."""
    ids = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in zip(ids, texts):
        row[: len(text)] = [1 + alphabet.index(letter) for letter in text[:length]]
    return ids


def make_languages(name, parent, languages, n_words):
    """Return words that one of some languages has and the others have not: which one."""
    words = {code: read_words(code) for code in languages}
    texts, labels = [], []
    for code in languages:
        others = set().union(*(words[other] for other in languages if other != code))
        own = [word for word in words[code] if word not in others][:n_words]
        texts += own
        labels += [code] * len(own)
    return _letters(name, parent, texts, labels, length=12)


def make_reversed(name, parent, language, n_words):
    """Return words of a language, half of them written backwards: whether a word is."""
    words = read_words(language)[:n_words]
    backwards = np.random.default_rng(task_seed(name)).integers(0, 2, len(words))
    texts = [word[::-1] if back else word for word, back in zip(words, backwards)]
    return _letters(name, parent, texts, backwards, length=12)


def make_missing_vowel(name, parent, language, n_words):
    """Return words of a language with one vowel hidden: which one it is."""
    rng, texts, labels = np.random.default_rng(task_seed(name)), [], []
    for word in read_words(language)[:n_words]:
        places = [place for place, letter in enumerate(word) if letter in VOWELS]
        if places:
            place = rng.choice(places)
            texts.append(word[:place] + "?" + word[place + 1 :])
            labels.append(word[place])
    return _letters(name, parent, texts, labels, length=12, alphabet=LETTERS + "?")


def make_next_vowel(name, parent, language, n_words):
    """Return the first letters of words, each word once: whether the next one is a vowel."""
    rng, texts, labels = np.random.default_rng(task_seed(name)), [], []
    for word in read_words(language)[:n_words]:
        place = int(rng.integers(2, len(word)))
        texts.append(word[:place])
        labels.append(word[place] in VOWELS)
    return _letters(name, parent, texts, labels, length=12)


def make_kinds(name, parent, kinds, n_strings):
    """Return strings of several kinds, none of two: of which kind one is."""
    strings = {kind: read_strings(kind) for kind in kinds}
    texts, labels = [], []
    for kind in kinds:
        others = set().union(*(strings[other] for other in kinds if other != kind))
        own = [
            text
            for text in strings[kind]
            if text not in others
            and 3 <= len(text) <= 12
            and all(character in LETTERS + "0123456789" for character in text)
        ][:n_strings]
        texts += own
        labels += [kind] * len(own)
    return _letters(name, parent, texts, labels, length=12, alphabet=LETTERS + "0123456789")


def make_colors(name, parent, question):
    """Return names of colors: how light one is, or which of red, green and blue is strongest."""
    named = [(text, color) for text, color in read_color_names() if len(text) <= 24]
    texts = [text for text, _ in named]
    colors = np.array([color for _, color in named])
    answer = {
        "lightness": colors @ [0.299, 0.587, 0.114],
        "strongest": colors.argmax(axis=1),
        "color": colors,
    }[question]
    classes = question == "strongest"
    return _letters(name, parent, texts, answer, 24, alphabet=LETTERS + " ", classes=classes)


def make_cities(name, parent, regions, n_cities):
    """Return names of cities in some regions of the world: in which one a city lies."""
    rng = np.random.default_rng(task_seed(name))
    cities = [city for city in read_cities() if 3 <= len(city[0]) <= 16]
    texts, labels = [], []
    for region in regions:
        south, north, west, east = REGIONS[region]
        names = sorted(
            {text for text, lat, lng in cities if south < lat < north and west < lng < east}
        )
        chosen = rng.permutation(len(names))[:n_cities]
        texts += [names[index] for index in chosen]
        labels += [region] * len(chosen)
    return _letters(name, parent, texts, labels, length=16, alphabet=LETTERS + " ")


def _letters(name, parent, texts, answer, length, alphabet=LETTERS, classes=True):
    """Return a task of strings."""
    return make_token_dataset(
        name, parent, encode(texts, alphabet, length), len(alphabet) + 1, answer, classes
    )


TEXT_TASKS = {
    "languages": practice_task(
        make_languages, "languages", languages=("de", "en", "es", "fr", "it", "nl"), n_words=1000
    ),
    "languages-germanic": practice_task(
        make_languages, "languages", languages=("de", "en", "nl"), n_words=1500
    ),
    "languages-romance": practice_task(
        make_languages, "languages", languages=("es", "fr", "it", "pt"), n_words=1200
    ),
    "basque": practice_task(make_reversed, "basque", language="eu", n_words=4000),
    "basque-next-vowel": practice_task(make_next_vowel, "basque", language="eu", n_words=4000),
    "latvian": practice_task(make_reversed, "latvian", language="lv", n_words=4000),
    "latvian-vowel": practice_task(make_missing_vowel, "latvian", language="lv", n_words=4000),
    "latvian-next-vowel": practice_task(make_next_vowel, "latvian", language="lv", n_words=4000),
    "strings": practice_task(
        make_kinds,
        "strings",
        kinds=("passwords", "english_wikipedia", "female_names", "surnames"),
        n_strings=1000,
    ),
    "strings-gender": practice_task(
        make_kinds, "strings", kinds=("female_names", "male_names"), n_strings=700
    ),
    "strings-surnames": practice_task(
        make_kinds, "strings", kinds=("surnames", "english_wikipedia"), n_strings=3000
    ),
    "strings-passwords": practice_task(
        make_kinds,
        "strings",
        kinds=("passwords", "us_tv_and_film"),
        n_strings=3000,
    ),
    "colors": practice_task(make_colors, "colors", question="strongest"),
    "colors-lightness": practice_task(make_colors, "colors", question="lightness"),
    "colors-mixed": practice_task(make_colors, "colors", question="color"),
    "cities": practice_task(
        make_cities,
        "cities",
        regions=("China", "India", "Japan", "Italy", "Germany and Poland", "Mexico"),
        n_cities=300,
    ),
    "cities-asia": practice_task(
        make_cities, "cities", regions=("China", "India", "Japan"), n_cities=400
    ),
    "cities-europe": practice_task(
        make_cities, "cities", regions=("Italy", "Germany and Poland"), n_cities=800
    ),
    "cities-america": practice_task(
        make_cities, "cities", regions=("Mexico", "Brazil", "United States"), n_cities=800
    ),
}
