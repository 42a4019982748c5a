"""How features and diagnoses change where many outputs are seen through random columns.

    python benchmarks/output_columns.py --json benchmarks/output_columns.json

MLPs of 10 to 5,000 classes, trained on generated data, are examined on N samples, each through r
random columns of its outputs, and as well as can be: exactly, or by as many columns as are
possible. Features are compared in units of their standard deviation over the reference zoo.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _real_data import many_classes
from _table import markdown
from torch import nn

import hessdiag as hd
from hessdiag.features import SpectralFeatures

# Numbers of classes, and (N, r) of what is compared with: r None takes all outputs.
BEST = {10: (200, None), 100: (40, None), 1000: (200, 15), 5000: (200, 10)}
VIEWS = ((200, 1), (200, 2), (200, 5), (100, 10), (40, 5), (40, 25), (500, 2))
N_SAMPLES = 600
MEASURED = ("median_distance", "share_beyond_one", "change_of_probability", "same_answer")


def trained(n_classes):
    """Train a classifier for a while; return net, X and y."""
    X, y = many_classes(max(N_SAMPLES, n_classes), n_classes, 32)
    X, y = X[:N_SAMPLES], y[:N_SAMPLES]
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, n_classes))
    optimizer, loss = torch.optim.Adam(module.parameters(), lr=3e-3), nn.CrossEntropyLoss()
    for _ in range(200):
        optimizer.zero_grad()
        loss(module(torch.as_tensor(X)), torch.as_tensor(y)).backward()
        optimizer.step()
    module.zero_grad(set_to_none=True)
    return hd.NetworkCase.from_module(module.eval(), X, y, loss=loss)


def examined(case, n_samples, n_columns, seed=0):
    """Examine so many samples through so many columns; also return seconds."""
    start = time.perf_counter()
    found = hd.examine(
        case.net,
        case.X,
        case.y,
        method="lanczos",
        max_samples=n_samples,
        max_gram_size=None,
        n_output_columns=n_columns,
        max_time=None,
        random_state=seed,
    )
    return found, time.perf_counter() - start


def main(arguments=None):
    """Run the bench; print a table, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--classes", nargs="*", type=int, default=list(BEST))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    zoo, diagnoser = hd.load_reference_zoo(), hd.load_reference_diagnoser()
    features = SpectralFeatures().fit(zoo.tables)
    spread = np.nanstd(zoo.data, axis=0)
    rows, report = [], []
    for n_classes in options.classes:
        case = trained(n_classes)
        best, seconds = examined(case, *BEST[n_classes])
        expected = features.transform([best])[0]
        sure = diagnoser.predict_proba([best])[0]
        n, r = BEST[n_classes]
        rows.append([n_classes, n, r or "all", "", "", f"{sure.max():.3f}", "", f"{seconds:.1f}"])
        for n_samples, n_columns in VIEWS:
            moved, medians, changes, answers, times = [], [], [], [], []
            for seed in range(options.seeds):
                found, seconds = examined(case, n_samples, n_columns, seed)
                distance = np.abs(features.transform([found])[0] - expected) / spread
                medians.append(np.nanmedian(distance))
                moved.append(np.nanmean(distance > 1))
                given = diagnoser.predict_proba([found])[0]
                changes.append(np.abs(given - sure).max())
                answers.append(given.argmax() == sure.argmax())
                times.append(seconds)
            row = {
                "n_classes": n_classes,
                "n_samples": n_samples,
                "n_columns": n_columns,
                "median_distance": float(np.mean(medians)),
                "share_beyond_one": float(np.mean(moved)),
                "change_of_probability": float(np.mean(changes)),
                "same_answer": float(np.mean(answers)),
                "seconds": float(np.median(times)),
            }
            report.append(row)
            numbers = [f"{row[name]:.3f}" for name in MEASURED]
            rows.append([n_classes, n_samples, n_columns, *numbers, f"{row['seconds']:.1f}"])
    head = ["classes", "N", "columns", "median distance", "share beyond 1", "probability moves",
            "same answer", "s"]  # fmt: skip
    print(markdown([head, *[[str(cell) for cell in row] for row in rows]]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
