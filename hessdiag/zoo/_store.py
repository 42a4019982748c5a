"""A zoo on disk: a folder of parameters as safetensors and of tables as text, no pickle."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hessdiag.cases import NetworkCase
from hessdiag.optional import import_optional
from hessdiag.resumable import write_atomically
from hessdiag.zoo._pretraining import freeze_body
from hessdiag.zoo._recipes import Recipe
from hessdiag.zoo._training import TrainingRecord, make_net, recipe_split

if TYPE_CHECKING:
    import pandas as pd
    from skorch import NeuralNet

    from hessdiag.features import LayerTable


class ZooStore:
    """The folder of one zoo.

    A network is one file, ``networks/<recipe id>.safetensors``, whose header holds the recipe and
    the training record. Files appear whole or not at all, so that a build can be stopped at any
    moment.

    Parameters
    ----------
    folder : str or path-like
        Where the zoo is, or will be.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def network_path(self, recipe_id: str) -> Path:
        """Return the path of one network's file.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.

        Returns
        -------
        path : pathlib.Path
            A safetensors file.
        """
        return self.folder / "networks" / f"{recipe_id}.safetensors"

    def examination_path(self, recipe_id: str) -> Path:
        """Return the path of one network's measures.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.

        Returns
        -------
        path : pathlib.Path
            A JSON file.
        """
        return self.folder / "examinations" / f"{recipe_id}.json"

    def save_network(self, recipe: Recipe, net: NeuralNet, record: TrainingRecord) -> None:
        """Write parameters, recipe and record of one network.

        Parameters
        ----------
        recipe : Recipe
            The recipe.
        net : skorch.NeuralNet
            The fitted net.
        record : TrainingRecord
            Its losses.
        """
        self._write(recipe, net.module_.state_dict(), record)

    def replace_record(self, recipe_id: str, record: TrainingRecord) -> None:
        """Write another record to one network's file; its parameters stay.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.
        record : TrainingRecord
            The losses, with what was measured since.
        """
        recipe, _ = self.load_record(recipe_id)
        self._write(recipe, _safetensors().load_file(self.network_path(recipe_id)), record)

    def _write(self, recipe, state, record):
        """Write the file of one network."""
        header = {
            "recipe": json.dumps(asdict(recipe)),
            "record": json.dumps(asdict(record)),
        }
        tensors = {name: value.contiguous() for name, value in state.items()}
        content = _safetensors().save(tensors, metadata=header)
        write_atomically(self.network_path(recipe.id), content)

    def load_case(self, recipe_id: str) -> NetworkCase:
        """Rebuild one network, fitted, with the training data that it met.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.

        Returns
        -------
        case : NetworkCase
            The network and its training data; the held-out data stay behind.
        """
        recipe, _ = self.load_record(recipe_id)
        split = recipe_split(recipe)
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and overwritten below
            net = make_net(recipe, split).initialize()
        parameters = _safetensors().load_file(self.network_path(recipe_id))
        net.module_.load_state_dict(parameters)
        if recipe.pretraining == "frozen":
            freeze_body(net.module_)
        return NetworkCase(net, split.X_train, split.y_train, name=recipe_id)

    def load_record(self, recipe_id: str) -> tuple[Recipe, TrainingRecord]:
        """Read recipe and record of one network from its file's header alone.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.

        Returns
        -------
        recipe : Recipe
            The recipe.
        record : TrainingRecord
            Its losses.
        """
        safetensors = import_optional("safetensors", "zoo", "A zoo on disk")
        with safetensors.safe_open(self.network_path(recipe_id), framework="numpy") as file:
            header = file.metadata()
        record = json.loads(header["record"])
        for name in ("test_losses", "longer_losses", "train_losses"):
            record[name] = tuple(record.get(name, ()))
        return Recipe(**json.loads(header["recipe"])), TrainingRecord(**record)

    def finished_ids(self) -> set[str]:
        """Return the ids of all networks on disk.

        Returns
        -------
        ids : set of str
            Ids of recipes.
        """
        return {path.stem for path in (self.folder / "networks").glob("*.safetensors")}

    def examined_ids(self) -> set[str]:
        """Return the ids of all examined networks.

        Returns
        -------
        ids : set of str
            Ids of recipes.
        """
        return {path.stem for path in (self.folder / "examinations").glob("*.json")}

    def records_frame(self) -> pd.DataFrame:
        """Return recipes and records of all networks as one table, sorted by recipe.

        Returns
        -------
        frame : pandas.DataFrame
            A row per network; ``id``, ``grid`` and ``config`` besides the fields of `Recipe` and
            `TrainingRecord`, whose ``n_train`` is called ``n_train_used``; ``test_loss`` is the
            last of the held-out losses, and ``train_loss_earlier`` stands for ``train_losses``: the
            one after 60 % of the run.
        """
        rows = []
        for recipe_id in sorted(self.finished_ids()):
            recipe, record = self.load_record(recipe_id)
            row = {"id": recipe_id, "grid": recipe.grid, "config": recipe.config}
            measured = asdict(record)
            # The recipe says how many were asked for; small sets give fewer.
            measured["n_train_used"] = measured.pop("n_train")
            measured["test_loss"] = measured["test_losses"][-1]
            # At the last checkpoint but one; records from before have none.
            earlier = measured.pop("train_losses")[-2:-1]
            measured["train_loss_earlier"] = earlier[0] if earlier else np.nan
            rows.append(row | asdict(recipe) | measured)
        if not rows:
            raise FileNotFoundError(
                f"Expected trained networks in {self.folder}, found none. "
                f"Build the zoo first: hessdiag zoo build --out {self.folder}"
            )
        frame = import_optional("pandas", "zoo", "A table of a zoo").DataFrame(rows)
        order = [name for name in Recipe.__dataclass_fields__ if name in frame]
        return frame.sort_values(order, ignore_index=True)

    def save_examination(self, recipe_id: str, table: LayerTable) -> None:
        """Write the measures of one examined network.

        Parameters
        ----------
        recipe_id : str
            Id of the recipe.
        table : LayerTable
            Its measures.
        """
        write_atomically(self.examination_path(recipe_id), table.to_json().encode())


def _safetensors():
    """Return the module that reads and writes parameters."""
    return import_optional("safetensors.torch", "zoo", "A zoo on disk")
