"""Another library as an independent oracle; skipped where it is not installed."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import make_net
from torch import nn

from hessdiag.spectra import layer_spectra, layer_traces

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
curvlinops = pytest.importorskip("curvlinops")

CRITERIA = {"cross_entropy": nn.CrossEntropyLoss(), "mse": nn.MSELoss()}


def matrices(operator_class, kind, net, X, y, loss):
    """Yield (layer, its local matrix) as the other library has them, in float64."""
    module = copy.deepcopy(net.module_).double().eval()
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    X = X.double() if X.is_floating_point() else X
    y = y.double() if y.is_floating_point() else y
    for name, _ in module.named_modules():
        own = [p for n, p in module.named_parameters() if n.rpartition(".")[0] == name]
        if not own:
            continue
        operator = operator_class(module, CRITERIA[loss], own, [(X, y)])
        matrix = operator @ torch.eye(operator.shape[1], dtype=torch.float64)
        yield name or "module", matrix.detach().numpy()


@pytest.mark.parametrize("loss", CRITERIA)
@pytest.mark.parametrize("kind", ["relu", "gelu", "conv2d_tanh", "norms"])
@pytest.mark.parametrize(
    ("curvature", "operator"),
    [("hessian", "HessianLinearOperator"), ("ggn", "GGNLinearOperator")],
)
def test_local_matrices_are_those_of_curvlinops(kind, loss, curvature, operator):
    net, X, y = make_net(kind, loss)
    spectra = layer_spectra(net, X, y, curvature=curvature, dtype="float64")
    traces = layer_traces(net, X, y, curvature=curvature, dtype="float64", n_probes=30)
    operator = getattr(curvlinops, operator)
    compared = 0
    for name, matrix in matrices(operator, kind, net, X, y, loss):
        expected = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
        size = np.abs(expected).max()
        np.testing.assert_allclose(spectra[name].eigenvalues(), expected, atol=1e-7 * size)
        bound = 5 * traces[name].trace_error + 1e-9 * size
        assert abs(traces[name].trace - expected.sum()) <= bound
        compared += 1
    assert compared == len(spectra)
