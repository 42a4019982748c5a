"""The zoo: recipes to trained networks to labels, the reference table and its evaluation."""

from hessdiag.zoo._advice import format_advice, try_advice
from hessdiag.zoo._attention import AttentionNet
from hessdiag.zoo._batches import TensorBatches
from hessdiag.zoo._builder import train_zoo
from hessdiag.zoo._convolutional import CNN1d, CNN2d
from hessdiag.zoo._datasets import (
    DEMO_DATASET,
    Dataset,
    Split,
    flip_labels,
    list_datasets,
    list_tasks,
    load_dataset,
    split_dataset,
)
from hessdiag.zoo._evaluation import evaluate_zoo
from hessdiag.zoo._evaluation_text import format_evaluation
from hessdiag.zoo._examination import choose_networks, examine_zoo, load_layer_table
from hessdiag.zoo._labels import label_networks, label_reliability
from hessdiag.zoo._layout import make_recipes
from hessdiag.zoo._networks import MLP
from hessdiag.zoo._recipes import Recipe
from hessdiag.zoo._reference import (
    load_reference_diagnoser,
    load_reference_zoo,
    read_reference,
    write_reference,
)
from hessdiag.zoo._residual_mlp import ResidualMLP
from hessdiag.zoo._store import ZooStore
from hessdiag.zoo._training import TrainingRecord, train_recipe

__all__ = [
    "DEMO_DATASET",
    "MLP",
    "AttentionNet",
    "CNN1d",
    "CNN2d",
    "Dataset",
    "Recipe",
    "ResidualMLP",
    "Split",
    "TensorBatches",
    "TrainingRecord",
    "ZooStore",
    "choose_networks",
    "evaluate_zoo",
    "examine_zoo",
    "flip_labels",
    "format_advice",
    "format_evaluation",
    "label_networks",
    "label_reliability",
    "list_datasets",
    "list_tasks",
    "load_dataset",
    "load_layer_table",
    "load_reference_diagnoser",
    "load_reference_zoo",
    "make_recipes",
    "read_reference",
    "split_dataset",
    "train_recipe",
    "train_zoo",
    "try_advice",
    "write_reference",
]
