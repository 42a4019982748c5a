"""The zoo: recipes to trained networks to labels, the reference table and its evaluation."""

from hessdiag.moved import moved_names
from hessdiag.zoo._batches import (
    TensorBatches,
)
from hessdiag.zoo._builder import (
    train_zoo,
)
from hessdiag.zoo._changes import (
    NARROWING,
    WIDENING,
    change_recipe,
)
from hessdiag.zoo._examination import (
    REFERENCE_SPECTRA,
    choose_networks,
    examine_zoo,
    load_layer_table,
)
from hessdiag.zoo._labels import (
    label_networks,
    label_reliability,
)
from hessdiag.zoo._layout import (
    choose_tasks,
    make_recipes,
)
from hessdiag.zoo._longer import (
    measure_longer,
)
from hessdiag.zoo._pipeline import (
    build_zoo,
)
from hessdiag.zoo._recipes import (
    Recipe,
)
from hessdiag.zoo._reference import (
    load_reference_diagnoser,
    load_reference_zoo,
    read_reference,
    write_reference,
)
from hessdiag.zoo._store import (
    ZooStore,
)
from hessdiag.zoo._training import (
    TrainingRecord,
    loss_and_error,
    make_net,
    one_thread,
    recipe_split,
    train_recipe,
)
from hessdiag.zoo.networks import (
    MLP,
    AttentionNet,
    CNN1d,
    CNN1dGlobal,
    CNN2d,
    CNN2dGlobal,
    GRUNet,
    LSTMNet,
    MixerNet,
    ResidualMLP,
    ResNet,
    ResNet1d,
    TextCNN,
    TransformerNet,
)
from hessdiag.zoo.tasks import (
    DEMO_DATASET,
    Dataset,
    Split,
    flip_labels,
    list_datasets,
    list_tasks,
    load_dataset,
    split_dataset,
)

__all__ = [
    "DEMO_DATASET",
    "MLP",
    "NARROWING",
    "REFERENCE_SPECTRA",
    "WIDENING",
    "AttentionNet",
    "CNN1d",
    "CNN1dGlobal",
    "CNN2d",
    "CNN2dGlobal",
    "Dataset",
    "GRUNet",
    "LSTMNet",
    "MixerNet",
    "Recipe",
    "ResNet",
    "ResNet1d",
    "ResidualMLP",
    "Split",
    "TensorBatches",
    "TextCNN",
    "TrainingRecord",
    "TransformerNet",
    "ZooStore",
    "build_zoo",
    "change_recipe",
    "choose_networks",
    "choose_tasks",
    "examine_zoo",
    "flip_labels",
    "label_networks",
    "label_reliability",
    "list_datasets",
    "list_tasks",
    "load_dataset",
    "load_layer_table",
    "load_reference_diagnoser",
    "load_reference_zoo",
    "loss_and_error",
    "make_net",
    "make_recipes",
    "measure_longer",
    "one_thread",
    "read_reference",
    "recipe_split",
    "split_dataset",
    "train_recipe",
    "train_zoo",
    "write_reference",
]

__getattr__ = moved_names(
    __name__,
    dict.fromkeys(
        ("evaluate_zoo", "format_advice", "format_evaluation", "try_advice"),
        "hessdiag.evaluation",
    ),
)
