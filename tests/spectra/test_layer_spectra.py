"""Local spectra against dense autograd in float64, over the grid of layer kinds and losses."""

import numpy as np
import pytest
from dense_oracle import KINDS, LOSSES, dense_hessians, make_net

from hessdiag.spectra import layer_spectra


def assert_same_spectra(spectra, hessians, rtol=1e-7):
    assert set(spectra) == {name or "module" for name in hessians}
    for name, matrix in hessians.items():
        expected = np.linalg.eigvalsh(matrix)
        found = spectra[name or "module"]
        assert found.exact
        assert found.n_params == len(matrix)
        size = np.abs(expected).max()
        np.testing.assert_allclose(found.eigenvalues(), expected, atol=rtol * size, err_msg=name)
        np.testing.assert_allclose(found.trace, np.trace(matrix), rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_kind_equals_dense_autograd(kind, loss, reduction):
    net, X, y = make_net(kind, loss, reduction)
    hessians = dense_hessians(net, X, y)
    assert_same_spectra(layer_spectra(net, X, y, dtype="float64"), hessians)
    # Chunks of 4, 4 and 1 samples.
    assert_same_spectra(layer_spectra(net, X, y, dtype="float64", batch_size=4), hessians)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("bce", "mse")])
def test_other_losses_equal_dense_autograd(loss):
    net, X, y = make_net("gelu", loss)
    hessians = dense_hessians(net, X, y)
    for batch_size in (None, 5):
        spectra = layer_spectra(net, X, y, dtype="float64", batch_size=batch_size)
        assert_same_spectra(spectra, hessians)
