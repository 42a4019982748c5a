"""Explain a diagnosis: which layers and measures carry it, by replacing them by typical ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hessdiag.diagnosis._class_prior import note_of_prior
from hessdiag.diagnosis._gains import CONSTRAINTS, ExpectedGains, GainEstimate
from hessdiag.diagnosis._gaps import MOST_MISSING
from hessdiag.diagnosis._layer_kinds import note_of_kinds
from hessdiag.diagnosis._missing import (
    is_worth_a_note,
    missing_measures,
    note_of_missing,
    notes_of_less,
    reason_of,
)
from hessdiag.diagnosis._recommendation import CAUSES, recommend, recommend_measuring
from hessdiag.diagnosis._report import EVIDENCE_FLOOR, DiagnosisReport, Evidence, LayerFinding
from hessdiag.features import SpectralFeatures, in_words
from hessdiag.labels import WELL_FIT

N_EVIDENCE = 3

# Probabilities beyond this are as good as certain; their log-odds stay finite.
_CERTAIN = 1e-6

# Share of measured gains that the intervals of a report hold.
GAIN_COVERAGE = 0.9

# A measure beyond this range of the reference's values is unusual.
USUAL_RANGE = (0.005, 0.995)


@dataclass(frozen=True, eq=False)
class ReferenceRanges:
    """Quartiles of every measure among well-fit and among other networks.

    Parameters
    ----------
    well_fit, others : dict of str to ndarray of shape (3,)
        Quartiles over the layers of well-fit and of all other networks; measures that only a whole
        network has over networks. NaN where the reference has none.
    overall : dict of str to ndarray of shape (3,)
        Quartiles over all networks.
    lowest, highest : dict of str to float
        0.5 and 99.5 % quantiles over the whole reference.
    """

    well_fit: dict
    others: dict
    overall: dict
    lowest: dict
    highest: dict

    @classmethod
    def from_tables(cls, tables, y):
        """Collect the ranges.

        Parameters
        ----------
        tables : list of LayerTable
            Measures of the reference networks.
        y : array-like of str
            Their diagnoses.

        Returns
        -------
        ranges : ReferenceRanges
            The quartiles and outer quantiles.
        """
        well_fit = [t for t, label in zip(tables, y, strict=True) if label == WELL_FIT]
        others = [t for t, label in zip(tables, y, strict=True) if label != WELL_FIT]
        pooled = _pooled_values(tables)
        values = [(k, v) for k, v in pooled.items() if len(v)]
        overall = {key: _quartiles(own) for key, own in pooled.items()}
        unknown = dict.fromkeys(overall, np.full(3, np.nan))
        return cls(
            well_fit=unknown | _quartiles_of(well_fit),
            others=unknown | _quartiles_of(others),
            overall=overall,
            lowest={k: float(np.quantile(v, USUAL_RANGE[0])) for k, v in values},
            highest={k: float(np.quantile(v, USUAL_RANGE[1])) for k, v in values},
        )

    def typical(self, diagnosis):
        """Give the ranges that stand for what a network is not.

        Parameters
        ----------
        diagnosis : str
            Its diagnosis.

        Returns
        -------
        ranges : dict of str to ndarray of shape (3,)
            Those of well-fit networks for one that is not, and the reverse; of all networks where
            the reference has none of them.
        """
        ranges = self.others if diagnosis == WELL_FIT else self.well_fit
        known = any(np.isfinite(quartiles).any() for quartiles in ranges.values())
        return ranges if known else self.overall


def explain_table(diagnoser, table, examination):
    """Make the report of one measured network.

    The weight of a layer is the fall of the diagnosis's log-odds when the layer's measures are
    replaced by their medians among well-fit networks (for a well-fit network: among the others;
    where the reference has no such networks: among all), all else equal; that of a measure
    likewise, over all layers at once.

    Parameters
    ----------
    diagnoser : FitDiagnoser
        A fitted diagnoser.
    table : LayerTable
        Measures of the network.
    examination : Examination or LayerTable
        What they were taken from.

    Returns
    -------
    report : DiagnosisReport
        The report.
    """
    reference = diagnoser.reference_
    base = diagnoser.diagnose_tables([table])[0]
    winner = int(np.argmax(base))
    diagnosis = str(diagnoser.classes_[winner])
    ranges = reference.typical(diagnosis)
    columns = np.asarray(diagnoser.features_.transform([table]), dtype=float)
    model = diagnoser.table_diagnoser_
    missing = missing_measures(diagnoser.feature_names_, model.gaps_.of(columns)[0])
    missing_share = float(model.missing_share(columns)[0])
    too_little = missing_share > MOST_MISSING
    n_layers = len(table.layers)
    variants = [_with_layer_replaced(table, index, ranges) for index in range(n_layers)]
    told = _told(diagnoser, table)
    cells = [(index, name) for index in range(n_layers) for name in told]
    variants += [_with_layer_replaced(table, index, ranges, [name]) for index, name in cells]
    wholes = [*told, *_alone(table)]
    variants += [_with_measure_replaced(table, name, ranges) for name in wholes]
    if missing:
        # What was not measured is no evidence: it stays missing where the rest is replaced.
        gaps = _gaps_of(table)
        variants = [_with_gaps(gaps, variant) for variant in variants]
    without = diagnoser.diagnose_tables(variants)[:, winner]
    falls = _log_odds(base[winner]) - _log_odds(without)
    layer_falls, cell_falls, whole_falls = np.split(falls, [n_layers, n_layers + len(cells)])

    well_fit = reference.well_fit
    findings = []
    for index, (name, kind) in enumerate(zip(table.layers, table.kinds, strict=True)):
        own = [
            _evidence(measure, table.measures[measure][index], well_fit, fall)
            for (layer, measure), fall in zip(cells, cell_falls, strict=True)
            if layer == index
        ]
        n_params = _n_params(examination, index)
        findings.append(
            LayerFinding(
                name, kind, n_params, float(layer_falls[index]), _strongest(own, diagnosis)
            )
        )
    overall = [
        _evidence(name, _whole_value(table, name), well_fit, fall)
        for name, fall in zip(wholes, whole_falls, strict=True)
    ]
    gains = ExpectedGains() if too_little else expected_gains(model, columns, diagnosis)
    domain_score = float(diagnoser._domain_scores([table])[0])
    floor = diagnoser.min_confidence
    undecided = floor is not None and bool(base[winner] < floor)
    notes = (
        *notes_of_less(examination),
        *note_of_kinds(table.kinds, diagnoser.known_kinds_),
        *_notes(table, reference, float(model.domain_score(columns)[0])),
    )
    fitted, shares = {}, diagnoser._class_prior()
    if shares is not None:
        own = diagnoser._fitted_probabilities(columns)[0]
        fitted = {str(k): float(p) for k, p in zip(diagnoser.classes_, own, strict=True)}
        notes = (*notes, note_of_prior(shares, diagnoser.classes_, own))
    reason, remedy = reason_of(examination)
    if is_worth_a_note(missing, missing_share):
        notes = (note_of_missing(missing, missing_share, reason), *notes)
    if too_little:
        notes = (
            f"Undecided: {missing_share:.0%} of what a diagnosis weighs was not measured. What "
            "follows is for the most probable one.",
            *notes,
        )
    elif undecided:
        notes = (
            f"Undecided: no diagnosis reaches the confidence of {floor:.0%} that was asked for. "
            "What follows is for the most probable one.",
            *notes,
        )
    if too_little:
        advice = recommend_measuring(reason, remedy)
    else:
        advice = recommend(diagnosis, table, findings, gains.constraints, gains.values)
    told_apart = gains.longer is not None or advice.action == "train"
    return DiagnosisReport(
        name=table.name,
        diagnosis=diagnosis,
        probabilities={
            str(label): float(p) for label, p in zip(diagnoser.classes_, base, strict=True)
        },
        layers=tuple(findings),
        evidence=_strongest(overall, diagnosis),
        recommendation=advice,
        notes=notes,
        examination=examination,
        gain_widening=gains.widening,
        gain_constraining=gains.constraining,
        constraints=gains.constraints,
        undecided=undecided or too_little,
        domain_score=domain_score,
        missing=missing,
        missing_share=missing_share,
        fitted_probabilities=fitted,
        gain_longer=gains.longer,
        cause=CAUSES.get(advice.action, "") if told_apart else "",
    )


def expected_gains(model: Any, columns: np.ndarray, diagnosis: str) -> ExpectedGains:
    """Predict the gains of one network, of those that agree with its diagnosis.

    Parameters
    ----------
    model : TableDiagnoser or TableClassifier
        A fitted model of the table.
    columns : ndarray of shape (1, n_features)
        The network's row of the table.
    diagnosis : str
        Its diagnosis.

    Returns
    -------
    gains : ExpectedGains
        As far as the model knows them.
    """
    if not model.n_gains_:
        return ExpectedGains()
    gains, intervals = model.predict_gains(columns, True, GAIN_COVERAGE, diagnoses=[diagnosis])
    estimates = {
        name.removeprefix("gain_"): GainEstimate(
            float(value), float(low), float(high), GAIN_COVERAGE
        )
        for name, value, (low, high) in zip(model.gain_names_, gains[0], intervals[0], strict=True)
    }
    constraints = {}
    if model.n_gains_ > 2:
        ways = [name.removeprefix("gain_") for name in CONSTRAINTS]
        constraints = dict(zip(ways, model.predict_constraints(columns)[0].tolist(), strict=True))
    return ExpectedGains(**estimates, constraints=constraints)


def _told(diagnoser, table):
    """Measures of layers that the diagnosis is told; all where its columns are others' making."""
    if not isinstance(diagnoser.features_, SpectralFeatures):
        return list(table.measures)
    stems = {str(name).rpartition("__")[2] for name in diagnoser.feature_names_}
    return [name for name in table.measures if name in stems]


def _log_odds(probability):
    """Natural logarithm of p / (1 - p)."""
    p = np.clip(probability, _CERTAIN, 1 - _CERTAIN)
    return np.log(p / (1 - p))


def _strongest(evidence, diagnosis):
    """The few pieces of evidence of the largest weight for the diagnosis, above the floor.

    What lies where well-fit networks lie is no evidence that this one is not, whatever the weight;
    for a well-fit network it is what speaks for it, and what lies elsewhere does not.
    """
    supporting = [
        item
        for item in evidence
        if np.isfinite(item.value)
        and item.weight >= EVIDENCE_FLOOR
        and _is_telling(item, diagnosis)
    ]
    return tuple(sorted(supporting, key=lambda item: -item.weight)[:N_EVIDENCE])


def _is_telling(item, diagnosis):
    """Whether a value lies where the diagnosis has it; where no range is known, the weight says."""
    if not np.isfinite([item.low, item.high]).all():
        return True
    return (item.low <= item.value <= item.high) == (diagnosis == WELL_FIT)


def _evidence(measure, value, well_fit, fall):
    """One piece of evidence; quartiles come from the well-fit reference networks."""
    low, _, high = well_fit.get(measure, np.full(3, np.nan))
    words = in_words(measure)
    return Evidence(measure, words, float(value), float(low), float(high), float(fall))


def _with_layer_replaced(table, index, ranges, names=None):
    """Copy of a table with a layer's measures (or some of them) at the reference's medians."""
    measures = dict(table.measures)
    for name in measures if names is None else names:
        values = measures[name].copy()
        values[index] = ranges[name][1]
        measures[name] = values
    return replace(table, measures=measures)


def _with_measure_replaced(table, name, ranges):
    """Copy of a table with one measure at the reference's median, in all layers and the net."""
    median = ranges[name][1]
    if name in table.context:
        return replace(table, context=table.context | {name: median})
    measures = table.measures
    if name in measures:
        measures = measures | {name: np.full(len(table.layers), median)}
    return replace(table, measures=measures, network=table.network | {name: median})


_PARTS = ("measures", "network", "context")


def _gaps_of(table):
    """Where a table has gaps: {part: {measure: mask}}, of those that have any."""
    masks = {
        part: {name: ~np.isfinite(value) for name, value in getattr(table, part).items()}
        for part in _PARTS
    }
    return {part: {n: mask for n, mask in own.items() if mask.any()} for part, own in masks.items()}


def _with_gaps(gaps, table):
    """Copy of a table with gaps as another has them."""

    def gapped(values, masks):
        return values | {name: np.where(masks[name], np.nan, values[name]) for name in masks}

    return replace(table, **{part: gapped(getattr(table, part), gaps[part]) for part in _PARTS})


def _whole_value(table, name):
    """Value of a measure for the network as a whole."""
    return table.context[name] if name in table.context else table.network[name]


def _alone(table):
    """Measures that no layer has: of the whole net between its samples, and of its context."""
    whole = {name: value for name, value in table.network.items() if name not in table.measures}
    return whole | table.context


def _n_params(examination, index):
    """Parameters of a layer; 0 where only its measures are left."""
    layer = examination.layers[index]
    return getattr(layer, "n_params", 0)


def _pooled_values(tables):
    """All finite values of each measure, over layers and networks."""
    if not tables:
        return {}
    pooled = {
        name: np.concatenate([table.measures[name] for table in tables])
        for name in tables[0].measures
    }
    whole = [_alone(table) for table in tables]
    pooled |= {name: np.array([own[name] for own in whole]) for name in whole[0]}
    return {name: values[np.isfinite(values)] for name, values in pooled.items()}


def _quartiles_of(tables):
    """Quartiles of each measure, over layers and networks."""
    return {name: _quartiles(values) for name, values in _pooled_values(tables).items()}


def _quartiles(values):
    """25, 50 and 75 % quantiles; NaN without values."""
    return np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.full(3, np.nan)


def _notes(table, reference, domain_score):
    """Cautions about a network unlike those of the reference."""
    if domain_score <= 1:
        return ()
    excess = {}
    for name, values in [*table.measures.items(), *_alone(table).items()]:
        if name in reference.lowest:
            low, high = reference.lowest[name], reference.highest[name]
            values = np.nan_to_num(values, nan=(low + high) / 2)
            beyond = np.max(np.maximum(low - values, values - high))
            excess[name] = beyond / ((high - low) or 1.0)
    outside = sorted((name for name in excess if excess[name] > 0), key=lambda name: -excess[name])
    note = (
        "This network lies outside the reference: it is further from the nearest reference "
        "network than 99 % of those are from networks of other data sets "
        f"({domain_score:.2f} times that distance). "
    )
    if outside:
        shown = "; ".join(in_words(name) for name in outside[:3])
        note += f"{len(outside)} of {len(excess)} measures are unusual, most of all: {shown}. "
    return (note + "Take the diagnosis with care.",)
