"""Bring your own network
======================

A torch module that a plain loop trained, and the loader it was trained on, become a case; so does a
fitted pipeline that holds a net. The network is taken as it is.
"""

import torch
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier
from torch.utils.data import DataLoader, TensorDataset

import hessdiag as hd

X, y = make_classification(n_samples=150, n_features=10, flip_y=0.2, random_state=0)
inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)

torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
loader = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True, drop_last=True)
loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
for _ in range(20):
    for batch, classes in loader:
        optimizer.zero_grad()
        loss(module(batch), classes).backward()
        optimizer.step()

by_loader = hd.NetworkCase.from_loader(module, loader, loss=loss, name="by its loader")
by_arrays = hd.NetworkCase.from_module(module, inputs, targets, loss=loss, name="by its data")
print(by_loader, by_arrays, sep="\n")

# skorch holds back a fifth of the data unless it is told otherwise: the case leaves it out.
net = NeuralNetClassifier(
    torch.nn.Sequential(torch.nn.Linear(10, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)),
    criterion=torch.nn.CrossEntropyLoss,
    max_epochs=10,
    verbose=0,
)
to_single = FunctionTransformer(lambda X: X.astype("float32"))
pipeline = make_pipeline(StandardScaler(), to_single, net).fit(X, y)
of_pipeline = hd.NetworkCase(pipeline, X, y, name="within a pipeline")
print(of_pipeline)

for case in (by_loader, by_arrays, of_pipeline):
    spectra = hd.layer_spectra(case.net, case.X, case.y)
    largest = {layer: round(spectrum.max_eigenvalue, 2) for layer, spectrum in spectra.items()}
    print(f"{case.name}: largest eigenvalues {largest}")

print(hd.load_reference_diagnoser().explain(of_pipeline))
