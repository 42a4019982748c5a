"""The zoo's tasks: real data sets from packages, sub-tasks of them, and generators."""

from hessdiag.zoo.tasks._dataset import (
    Dataset,
)
from hessdiag.zoo.tasks._datasets import (
    TASKS,
    list_datasets,
    list_tasks,
    load_dataset,
)
from hessdiag.zoo.tasks._rare import (
    has_rare_class,
)
from hessdiag.zoo.tasks._real import (
    DEMO_DATASET,
)
from hessdiag.zoo.tasks._splits import (
    Split,
    flip_labels,
    split_dataset,
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
