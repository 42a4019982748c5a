"""Saved cases whose files were damaged or written by others: each is refused in our words."""

import io
import json
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from bad_inputs import Bad

import hessdiag as hd
from hessdiag.case_files import untrusted_classes
from hessdiag.testing import make_case

CASE = make_case(n_samples=12, width=2)
ERRORS = (ValueError, TypeError)


def described(change, look=hd.load_case):
    """Load a case whose description was changed by a function of its content or its text."""
    with tempfile.TemporaryDirectory() as folder:
        hd.save_case(CASE, folder)
        path = Path(folder) / "case.json"
        changed = change(json.loads(path.read_text()))
        path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
        look(folder)


def with_data(make, digests):
    """Load a case with another file of data; without digests it counts as of an older release."""
    with tempfile.TemporaryDirectory() as folder:
        hd.save_case(CASE, folder)
        place = Path(folder)
        arrays = dict(np.load(place / "data.npz"))
        (place / "data.npz").write_bytes(make(arrays))
        if not digests:
            content = json.loads((place / "case.json").read_text())
            del content["files"]
            (place / "case.json").write_text(json.dumps(content))
        hd.load_case(folder)


def entries(words, **changes):
    return Bad(partial(described, lambda content: content | changes), ERRORS, words)


def text(content, look=hd.load_case):
    return Bad(partial(described, lambda _: content, look), ERRORS, ("save_case",))


def data(make, words=("data.npz", "save_case"), digests=False):
    return Bad(partial(with_data, make, digests), ERRORS, words)


def archive(arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def one_array(arrays):
    stream = io.BytesIO()
    np.save(stream, arrays["X"])
    return stream.getvalue()


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def objects(arrays):
    return archive(arrays | {"X": np.array([{1: 2}], dtype=object)})


def saving(place, words):
    return Bad(lambda: hd.save_case(CASE, place), ERRORS, words)


HEADER = b"\x93NUMPY\x01\x00\x10\x00{'descr': [[[[,,  \n"
DEEP = "[" * 100_000 + "]" * 100_000

BAD = {
    "data: words": data(lambda _: b"hello"),
    "data: words, as it was saved": data(lambda _: b"hello", ("data.npz", "damaged"), digests=True),
    "data: nothing": data(lambda _: b""),
    "data: half of it": data(lambda arrays: archive(arrays)[:200]),
    "data: one array": data(one_array),
    "data: objects": data(objects),
    "data: pickle": data(lambda _: b"\x80\x04N."),
    "data: member that is no array": data(lambda _: zipped(X=b"abc", y=b"abc")),
    "data: header that is none": data(lambda _: zipped(**{"X.npy": HEADER, "y.npy": HEADER})),
    "data: no targets": data(lambda arrays: archive({"X": arrays["X"]}), ("no y",)),
    "data: no inputs": data(lambda arrays: archive({"y": arrays["y"]}), ("no X",)),
    "description: list": text("[]"),
    "description: number": text("3"),
    "description: word": text('"x"'),
    "description: nothing": text(""),
    "description: lists in lists": text(DEEP),
    "description: number of many digits": text('{"format": ' + "9" * 5000 + "}"),
    "classes of: lists in lists": text(DEEP, untrusted_classes),
    "classes of: dicts in dicts": text('{"module_arguments":' * 50_000, untrusted_classes),
    "classes of: number": text("3", untrusted_classes),
    "name: number": entries(("name", "5"), name=5),
    "name: mapping": entries(("name",), name={"a": 1}),
    "output: mapping": entries(("output",), output={}),
    "held back: word": entries(("n_held_back", "'x'"), history={"n_held_back": "x"}),
    "held back: less than none": entries(("n_held_back", "-5"), history={"n_held_back": -5}),
    "held back: truth": entries(("n_held_back",), history={"n_held_back": True}),
    "held back: endless": entries(("n_held_back",), history={"n_held_back": float("inf")}),
    "notes: word": entries(("notes",), history={"notes": "abc"}),
    "notes: numbers": entries(("notes",), history={"notes": [1]}),
    "history: list": entries(("history",), history=[]),
    "files: list": entries(("damaged",), files=[]),
    "tied: nothing": entries(("damaged",), tied=[[]]),
    "tied: one that is not there": entries(("damaged",), tied=[["nowhere.weight", "head.weight"]]),
    "tied: what differs": entries(("differ",), tied=[["head.bias", "head.weight"]]),
    "frozen: one that is not there": entries(("damaged",), frozen=["nowhere.weight"]),
    "arguments: unknown to the net": entries(("foo",), net_arguments={"foo": 3}),
    "arguments: list": entries(("damaged",), module_arguments=[1, 2]),
    "arguments: unknown to the module": entries(("damaged",), module_arguments={"nope": 1}),
    "arguments: type of no array": entries(
        ("damaged",), module_arguments={"n_inputs": {"$numpy": ["V9999999999", 0]}}
    ),
    "save: no folder": saving(None, ("folder", "None")),
    "save: number": saving(3, ("folder", "3")),
    "save: bytes": saving(b"case", ("folder",)),
    "save: name of 300 letters": saving("x" * 300, ("shorter",)),
    "save: name with a zero": saving("a\0b", ("plain letters",)),
    "load: nothing": Bad(lambda: hd.load_case(None), TypeError, ("folder", "None")),
    "load: name of 300 letters": Bad(lambda: hd.load_case("x" * 300), ValueError, ("shorter",)),
    "load: name with a zero": Bad(lambda: hd.load_case("a\0b"), ValueError, ("plain letters",)),
    "classes of: nothing": Bad(lambda: untrusted_classes(None), TypeError, ("folder", "None")),
}
