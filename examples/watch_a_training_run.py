"""
Watch a training run
====================

A wide network learns labels of which a third are wrong. It begins well and goes wrong; the monitor
looks at its training data only, and says when.
"""

import numpy as np
import torch
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier

import hessdiag as hd

X, y = make_classification(n_samples=700, n_features=20, n_informative=8, random_state=0)
X, y = X.astype("float32"), y.astype("int64")
X_train, y_train, X_test, y_test = X[:200], y[:200].copy(), X[200:], y[200:]
wrong = np.random.default_rng(0).random(len(y_train)) < 0.3
y_train[wrong] = 1 - y_train[wrong]

torch.manual_seed(0)
monitor = hd.SpectrumMonitor(every="log", budget=None)
net = NeuralNetClassifier(
    torch.nn.Sequential(torch.nn.Linear(20, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2)),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.005,
    batch_size=50,
    iterator_train__shuffle=True,
    max_epochs=64,
    train_split=None,
    callbacks=[("monitor", monitor)],
    verbose=0,
).fit(X_train, y_train)

for row in net.history:
    if row["event_diagnosis"] is not None:
        print(
            f"epoch {row['epoch']:2d}: training loss {row['train_loss']:.3f}, "
            f"{row['event_diagnosis']}, P(overfitting) = {row['probability_overfitting']:.2f}, "
            f"expected gain of constraining {row['gain_constraining']:.2f} null losses"
        )

loss = torch.nn.functional.cross_entropy(net.forward(X_test), torch.as_tensor(y_test))
print(f"Loss on 500 samples that it has not seen: {loss:.3f} (a constant has {np.log(2):.3f})")

try:
    from hessdiag.plotting import EvolutionDisplay, LayerProfileDisplay

    print(EvolutionDisplay.from_history(net, "max_eigenvalue").describe())
    print(LayerProfileDisplay.from_trajectory(monitor.trajectory_, "trace").describe())
except ImportError as error:
    print(error)
