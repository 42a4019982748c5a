"""Spectra of all layers
=====================

The local Hessian of a layer is the matrix of second derivatives of the loss in that layer's
parameters alone. One call gives the spectra of all of them, exact where that is feasible.
"""

import torch
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import scale
from skorch import NeuralNetRegressor

import hessdiag as hd

X, y = make_friedman1(n_samples=150, random_state=0)
X, y = X.astype("float32"), scale(y).astype("float32")[:, None]

torch.manual_seed(0)
net = NeuralNetRegressor(
    torch.nn.Sequential(
        torch.nn.Linear(10, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 1),
    ),
    lr=0.05,
    max_epochs=100,
    train_split=None,
    verbose=0,
).fit(X, y)

# What each way would cost, before anything runs:
print(hd.plan_spectra(net, X, y))

spectra = hd.layer_spectra(net, X, y, dtype="float64")
for name, spectrum in spectra.items():
    print(
        f"layer {name}: {spectrum.n_params} parameters, "
        f"trace {spectrum.trace:.3g}, largest {spectrum.max_eigenvalue:.3g}, "
        f"smallest {spectrum.min_eigenvalue:.2g}"
    )
