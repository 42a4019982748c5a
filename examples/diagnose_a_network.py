"""Diagnose one network
====================

Train a network that is too big for its noisy data, and ask for a diagnosis without showing any
held-out sample.
"""

import torch
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

import hessdiag as hd

X, y = make_classification(
    n_samples=200, n_features=20, n_informative=5, flip_y=0.3, random_state=0
)
X = StandardScaler().fit_transform(X).astype("float32")

torch.manual_seed(0)
net = NeuralNetClassifier(
    torch.nn.Sequential(torch.nn.Linear(20, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2)),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    max_epochs=60,
    batch_size=32,
    train_split=None,
    verbose=0,
).fit(X, y)

case = hd.NetworkCase(net, X, y, name="wide, noisy labels")
report = hd.load_reference_diagnoser().explain(case)
print(report)
