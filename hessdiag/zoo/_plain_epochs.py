"""skorch nets that train without bookkeeping for each batch: small networks take half the time."""

from __future__ import annotations

from skorch import NeuralNetClassifier, NeuralNetRegressor


class PlainEpochs:
    """Run the epochs of a skorch net without its per-batch history and callbacks.

    Steps are the same, number for number. Callbacks for epochs and for the run are called as ever;
    those for batches and gradients are not, and the history holds no losses.
    """

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Pass once over the data.

        Parameters
        ----------
        iterator : TensorBatches or None
            Batches (X, y) of tensors; None, as for a validation set that is not there, does
            nothing.
        training : bool
            Whether to take optimizer steps.
        prefix : str
            Not used.
        step_fn : callable
            Not used in training.
        **fit_params : dict
            Further arguments of the module's forward.
        """
        if iterator is None or not training:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        module, criterion, optimizer = self.module_, self.criterion_, self.optimizer_
        module.train()
        for X, y in iterator:
            optimizer.zero_grad()
            criterion(module(X, **fit_params), y).backward()
            optimizer.step()


class PlainClassifier(PlainEpochs, NeuralNetClassifier):
    """A `skorch.NeuralNetClassifier` that trains by `PlainEpochs`."""


class PlainRegressor(PlainEpochs, NeuralNetRegressor):
    """A `skorch.NeuralNetRegressor` that trains by `PlainEpochs`."""
