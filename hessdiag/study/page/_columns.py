"""What the tables hold, column by column, with units."""

from __future__ import annotations

from hessdiag.study.wording import measure_unit, measure_words

_TABLES = {
    "experiments": "A row for each experiment: data set, regime, network, losses, diagnosis.",
    "evolution": "A row for each experiment, checkpoint and layer, and one for the whole network "
    "(place “network”): losses, rivals, and every measure.",
    "regularities": "A row for each statement that was tested on all data sets.",
    "correlations": "A row for each measure, place, time, target and condition: rank correlations "
    "with generalization.",
    "coupling": "A row for each experiment, checkpoint and pair of layers: curvature between them.",
    "students": "A row for each student network and place, at the end of its training.",
    "expressivity": "A row for each measure and place: how it follows the width that is needed.",
    "claims": "A row for each claim of the paper, with what these tables say of it.",
}

# Meaning and unit; what has no entry is a measure.
_COLUMNS = {
    "experiment": ("data set and regime", ""),
    "dataset": ("data set", ""),
    "task": ("what is learned on it", ""),
    "kind": ("classification or regression", ""),
    "form": ("tabular, series or image", ""),
    "regime": ("starved, sound or lavish", ""),
    "recipe": ("identifier of all training settings", ""),
    "activation": ("activation function", ""),
    "width": ("units of a hidden layer, or channels", "units"),
    "depth": ("hidden layers", "layers"),
    "weight_decay": ("L2 penalty of the optimizer", "1"),
    "learning_rate": ("step size of the optimizer", "1"),
    "n_steps": ("optimizer steps", "steps"),
    "batch_size": ("samples of a step", "samples"),
    "seed": ("seed of initialization and batches", ""),
    "n_train": ("training samples", "samples"),
    "n_features": ("inputs", "columns"),
    "n_outputs": ("classes, or targets of a regression", "outputs"),
    "n_params": ("trainable parameters", "parameters"),
    "null_loss": ("loss of the best constant prediction", "nats, or variance"),
    "train_loss": ("loss on the training data", "null losses"),
    "train_error": ("share of wrong answers, or 1 − R², on the training data", "share"),
    "held_out_loss": ("loss on held-out data", "null losses"),
    "held_out_error": ("share of wrong answers, or 1 − R², on held-out data", "share"),
    "best_held_out_loss": ("lowest held-out loss along training", "null losses"),
    "best_step": ("step of that loss", "steps"),
    "gap": ("held-out minus training loss", "null losses"),
    "regime_contrast": ("how clearly the pilot tells the regime", "null losses"),
    "regime_sure": ("whether the contrast is on the right side of 0.05", "yes or no"),
    "diagnosis": ("answer of the shipped diagnoser", ""),
    "diagnosis_unseen": ("answer without networks of this data set in its reference", ""),
    "p_overfitting": ("probability that the shipped diagnoser gives", "share"),
    "p_underparameterized": ("probability that the shipped diagnoser gives", "share"),
    "p_well_fit": ("probability that the shipped diagnoser gives", "share"),
    "layer": ("name of the layer's module", ""),
    "place": ("first, middle or last layer, or the whole network", ""),
    "exact": ("whether the spectrum is exact rather than estimated", "yes or no"),
    "step": ("optimizer steps done", "steps"),
    "share": ("steps done over all steps; of a statement: data sets in which it holds", "share"),
    "key": ("short name", ""),
    "statement": ("what is claimed", ""),
    "reference": ("where it comes from", ""),
    "claim_of": ("what it speaks for", ""),
    "n_data_sets": ("data sets that count", "data sets"),
    "n_held": ("data sets in which it holds", "data sets"),
    "low": ("lower end of the 95 % interval", "as the estimate"),
    "high": ("upper end of the 95 % interval", "as the estimate"),
    "p_value": ("p-value of the test", "share"),
    "p_adjusted": ("p-value after correction for many tests", "share"),
    "verdict": ("what follows", ""),
    "exceptions": ("data sets in which it does not hold", ""),
    "measure": ("name of the measure", ""),
    "family": ("family of the measure, or of the network", ""),
    "time": ("share of training at which the measure is taken", "share"),
    "target": ("what it is correlated with, at the end of training", ""),
    "given": ("what is accounted for", ""),
    "scope": ("ranks within data sets, or across all experiments", ""),
    "n_experiments": ("experiments that count", "experiments"),
    "rho": ("Spearman's rank correlation", "1"),
    "layer_a": ("name of the earlier layer", ""),
    "layer_b": ("name of the later layer", ""),
    "place_a": ("place of the earlier layer", ""),
    "place_b": ("place of the later layer", ""),
    "distance": ("layers from one to the other", "layers"),
    "resonance": ("Frobenius norm of the Hessian's block of both layers", "loss / parameter²"),
    "resonance_error": ("its standard error; 0 where exact", "loss / parameter²"),
    "coupling": ("resonance over the geometric mean of the two layers' own norms", "1"),
    "phi": ("squared norm of the Hessian outside of the layers' own blocks, Φ", "share"),
    "method": ("exact, or by random probes", ""),
    "teacher": ("task, made by a network of known width", ""),
    "teacher_width": ("units of the teacher's hidden layer", "units"),
    "ratio": ("width over that of the teacher", "1"),
    "n_students": ("students that count", "students"),
    "n_teachers": ("teachers that count", "teachers"),
    "saturation_ratio": ("ratio of widths from which on 90 % of the way is made", "1"),
    "claim": ("claim of the paper, in our words", ""),
    "evidence": ("what these tables say", ""),
}


def table_views(tables):
    """Describe each table: name, what a row is, size, and columns in words with units."""
    return [
        {
            "name": name,
            "words": words,
            "n_rows": len(getattr(tables, name)),
            "columns": [_column(str(column)) for column in getattr(tables, name).columns],
        }
        for name, words in _TABLES.items()
    ]


def _column(name):
    """A column in words, with its unit."""
    words, unit = _COLUMNS.get(name) or (measure_words(name), measure_unit(name))
    return {"name": name, "words": words, "unit": unit}
