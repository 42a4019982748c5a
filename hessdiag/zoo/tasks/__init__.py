"""The zoo's tasks: real data sets from packages, sub-tasks of them, and generators."""

from hessdiag.zoo.tasks._datasets import (
    DEMO_DATASET,
    TASKS,
    Dataset,
    Split,
    flip_labels,
    list_datasets,
    list_tasks,
    load_dataset,
    split_dataset,
)
from hessdiag.zoo.tasks._rare import (
    has_rare_class,
)

__all__ = [
    "DEMO_DATASET",
    "TASKS",
    "Dataset",
    "Split",
    "flip_labels",
    "has_rare_class",
    "list_datasets",
    "list_tasks",
    "load_dataset",
    "split_dataset",
]
