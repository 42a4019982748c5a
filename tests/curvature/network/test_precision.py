"""Real and complex numbers in one precision, and complex parameters in real coordinates."""

import pytest
import torch
from torch import nn

from hessdiag.curvature.network._precision import bring_module, make_parameters_real


class Waves(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.fixed = nn.Parameter(torch.randn(3, dtype=torch.complex64), requires_grad=False)
        self.register_buffer("turns", torch.randn(3, dtype=torch.complex64))
        self.register_buffer("count", torch.tensor(3))
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.weight * self.fixed * self.turns * self.scale


def test_a_module_keeps_its_imaginary_parts():
    module = Waves()
    expected = module(torch.ones(3))
    bring_module(module, torch.float64)
    assert module.weight.dtype == module.turns.dtype == module.fixed.dtype == torch.complex128
    assert module.scale.dtype == torch.float64
    assert module.count.dtype == torch.int64
    found = module(torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found, expected.to(torch.complex128), rtol=1e-6, atol=1e-7)


def test_complex_parameters_that_are_trained_become_pairs():
    module = Waves()
    expected = module(torch.ones(3))
    make_parameters_real(module)
    torch.testing.assert_close(module(torch.ones(3)), expected)
    trained = [p for p in module.parameters() if p.requires_grad]
    assert all(not p.is_complex() for p in trained)
    assert sum(p.numel() for p in trained) == 3 + 2 * 3
    assert module.fixed.is_complex()


def test_what_is_shared_remains_shared():
    first, second = Waves(), Waves()
    second.weight = first.weight
    pair = nn.ModuleList([first, second])
    make_parameters_real(pair)
    expected = second(torch.ones(3))
    with torch.no_grad():
        first.parametrizations.weight.original0 += 1
    assert not torch.allclose(second(torch.ones(3)), expected)
    assert sum(p.numel() for p in pair.parameters() if p.requires_grad) == 3 + 3 + 6


def test_parametrized_complex_parameters_are_refused():
    module = Waves()
    nn.utils.parametrize.register_parametrization(module, "weight", nn.Identity())
    with pytest.raises(ValueError, match="remove_parametrizations"):
        make_parameters_real(module)
