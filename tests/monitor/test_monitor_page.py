"""The code on the page about the monitor runs, where the packages are that it speaks of."""

import re
from pathlib import Path

import pytest
import torch
from skorch import NeuralNetClassifier
from torch.utils.data import DataLoader, TensorDataset

import hessdiag as hd

from .conftest import make_data

PAGE = Path(__file__).parents[2] / "docs" / "monitor.rst"


def code_of(section):
    """The code of one section of the page."""
    part = re.split(rf"(?m)^{section}\n-+\n", PAGE.read_text())[1]
    block = re.search(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", part).group(1)
    return re.sub(r"(?m)^   ", "", block)


@pytest.fixture
def names(monkeypatch, diagnoser):
    """What the page takes for granted; the small diagnoser stands for the reference's."""
    monkeypatch.setattr("hessdiag.monitor._trajectory.load_reference_diagnoser", lambda: diagnoser)
    from hessdiag.monitor._trajectory import reference_diagnoser

    reference_diagnoser.cache_clear()
    X, y = make_data()
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    data = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    yield {
        "hd": hd,
        "torch": torch,
        "NeuralNetClassifier": NeuralNetClassifier,
        "module": module,
        "optimizer": torch.optim.SGD(module.parameters(), lr=0.1),
        "X_train": X,
        "y_train": y,
        "loader": DataLoader(data, batch_size=10, shuffle=True),
    }
    reference_diagnoser.cache_clear()


def test_skorch(names, diagnoser):
    pytest.importorskip("matplotlib")
    exec(code_of("skorch").replace("callbacks=", "verbose=0, callbacks="), names)
    assert names["net"].history[-1, "event_diagnosis"] in diagnoser.classes_


def test_any_loop(names):
    pytest.importorskip("pandas")
    exec(code_of("Any loop"), names)
    assert names["table"]["step"].tolist() == [1] * 3 + [2] * 3 + [4] * 3


@pytest.mark.filterwarnings("ignore")
def test_lightning(names, tmp_path):
    lightning = names["lightning"] = pytest.importorskip("lightning")
    exec(code_of("Lightning"), names)

    class Net(lightning.LightningModule):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    watch = names["Watch"](names["X_train"], names["y_train"], torch.nn.CrossEntropyLoss())
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "accelerator": "cpu", "default_root_dir": tmp_path}
    lightning.Trainer(max_epochs=4, callbacks=[watch], **quiet).fit(
        Net(names["module"]), names["loader"]
    )
    assert [point.error for point in watch.trajectory.points] == [None] * 3
    assert watch.trajectory.steps == [4, 8, 16]
    assert watch.trajectory.layer_names == ("net.0", "net.2")


@pytest.mark.filterwarnings("ignore")
def test_hugging_face(names, tmp_path):
    transformers = names["transformers"] = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    exec(code_of("Hugging Face"), names)
    config = transformers.BertConfig(
        vocab_size=12,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    model = transformers.BertForSequenceClassification(config)
    tokens = torch.randint(0, 12, (16, 5), generator=torch.Generator().manual_seed(0))
    labels = (tokens[:, 0] > 5).long()
    data = [{"input_ids": t, "labels": label} for t, label in zip(tokens, labels)]
    watch = names["Watch"]({"input_ids": tokens}, labels)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    transformers.Trainer(model, arguments, train_dataset=data, callbacks=[watch]).train()
    assert [point.error for point in watch.trajectory.points] == [None, None]
    assert watch.trajectory.steps == [2, 4]
