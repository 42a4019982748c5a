"""Keywords that are not what they may be."""

from functools import partial

from bad_inputs import Bad

import hessdiag as hd
from hessdiag.testing import make_case

CASE = make_case(n_samples=12, width=2)


def ask(door, **settings):
    return door(CASE.net, CASE.X, CASE.y, **settings)


def nets():
    return [CASE.net]


def bad(door, words, **settings):
    return Bad(partial(ask, door, **settings), (ValueError, TypeError), words, nets)


BAD = {
    f"{door.__name__}, {key}={value!r}": bad(door, (key, repr(value)), **{key: value})
    for door in (hd.layer_spectra, hd.examine, hd.layer_traces, hd.LocalHessians)
    for key, value in [
        ("max_samples", -3),
        ("max_samples", 2.5),
        ("batch_size", 0),
        ("max_memory", "1GB"),
        ("layers", 5),
        ("random_state", -1),
        ("device", "nope"),
        ("dtype", "float8"),
    ]
}
