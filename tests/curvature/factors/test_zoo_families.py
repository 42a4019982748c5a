"""All layers of the zoo's networks have closed rules, on every form of samples."""

import math

import pytest
import torch
from parts import parts_of

from hessdiag.curvature.factors import _capture, capture_factors
from hessdiag.curvature.factors._per_sample import _looped
from hessdiag.zoo.networks import FAMILIES, FORMS_OF_FAMILIES, SHAPED_FAMILIES

SHAPES = {"tabular": None, "series": (2, 9), "image": (1, 6, 6), "tokens": (5, 8)}
TAKEN = [(family, form) for family, forms in FORMS_OF_FAMILIES.items() for form in forms]
N = 4


@pytest.mark.parametrize(("family", "form"), TAKEN)
def test_against_samples_one_by_one(family, form, monkeypatch):
    monkeypatch.setattr(_capture, "per_sample_factor", None)  # no other way is taken
    shape = SHAPES[form]
    torch.manual_seed(0)
    if form == "tokens":
        X = torch.randint(0, shape[0], (N, shape[1])).double()
    else:
        X = torch.randn(N, 9 if shape is None else math.prod(shape), dtype=torch.float64)
    shaped = {"input_shape": shape} if family in SHAPED_FAMILIES else {}
    net = FAMILIES[family](X.shape[1], 2, width=4, depth=2, **shaped).double().eval()
    parts = parts_of(net, X)
    found = capture_factors(parts.copy, parts.chunks[0], parts.blocks, parts.outputs_of, N)
    assert set(found) == {block.name for block in parts.blocks}
    for block in parts.blocks:
        expected = _looped(parts.chunks[0], block, parts.outputs_of)
        torch.testing.assert_close(found[block.name].dense(), expected, rtol=1e-9, atol=1e-11)
