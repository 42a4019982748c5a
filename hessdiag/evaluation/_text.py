"""An evaluation as plain text."""

from __future__ import annotations

from typing import Any

from hessdiag.evaluation._advice_of_four import SIMPLE_TITLES, advice_in_words
from hessdiag.evaluation._gain_ceiling import CEILING_TITLES
from hessdiag.evaluation._rows import ROW_TITLES


def format_evaluation(result: dict[str, Any]) -> str:
    """Write an evaluation as plain-text tables.

    Parameters
    ----------
    result : dict
        As from `evaluate_zoo`.

    Returns
    -------
    text : str
        The main protocol in full, a line per row for the others, then the studies.
    """
    lines = [
        f"{result['n_networks']} networks, {result['n_datasets']} data sets, "
        f"{result['n_tasks']} tasks"
    ]
    reliability = result["label_reliability"]
    if reliability is not None:
        lines.append(
            f"Label reliability (labels from disjoint halves of the seeds): {reliability:.3f}"
        )
    for name, protocol in result["protocols"].items():
        lines += ["", f"{name}: {protocol['title']}"]
        if protocol["rows"] is None:
            lines.append(f"  not answered: {protocol['reason']}")
            continue
        lines[-1] += (
            f" ({protocol['n_networks']} networks asked about, {protocol['n_folds']} splits, "
            f"{protocol['n_train']} to learn from)"
        )
        lines += _rows_in_words(protocol["rows"])
        lines += _errors_in_words(protocol["errors"])
        if protocol.get("reason"):
            lines.append(f"  left out: {protocol['reason']}")
        if "teacher_of_labels" in protocol:
            lines += _teacher_in_words(protocol)
    if "studies" in result:
        lines += _studies_in_words(result["studies"])
    return "\n".join(lines)


def _rows_in_words(rows):
    """The table of one protocol."""
    classes = list(next(iter(rows.values()))["recall"])
    lines = [
        f"{'':42s} {'balanced':>8s} {'95 % interval':>15s} {'macro':>6s} {'log':>6s} "
        f"{'':>5s} {'surer':>6s} {'sure':>6s}  recall",
        f"{'row':42s} {'accuracy':>8s} {'over data sets':>15s} {'F1':>6s} {'loss':>6s} "
        f"{'ECE':>5s} {'half':>6s} {'labels':>6s}  " + " / ".join(classes),
    ]
    for name, scores in rows.items():
        low, high = scores["interval"]
        recall = " / ".join(_figure(scores["recall"][c], 4, 2) for c in classes)
        lines.append(
            f"{ROW_TITLES[name]:42s} {scores['balanced_accuracy']:8.3f} "
            f"{f'{low:.3f} - {high:.3f}':>15s} {scores['macro_f1']:6.3f} "
            f"{scores['log_loss']:6.3f} {scores['ece']:5.3f} {scores['surer_half']:6.3f} "
            f"{_figure(scores.get('sure_labels'), 6, 3)}  {recall}"
        )
        if scores.get("parts"):
            parts = ", ".join(f"{part} {value:.3f}" for part, value in scores["parts"].items())
            lines.append(f"    {parts}")
    return lines


def _errors_in_words(errors):
    """How well doubt tells wrong answers, for each part."""
    lines = [
        "  hessdiag's wrong answers told by 1 - probability / by domain score (AUROC; accuracy of "
        "the surer half)"
    ]
    for part, found in errors.items():
        by = [found[name] for name in ("probability", "domain")]
        auroc = " / ".join(_figure(own["auroc"], 5, 3) for own in by)
        half = " / ".join(_figure((own["coverage"] or {}).get("0.5"), 5, 3) for own in by)
        lines.append(
            f"    {part:14s} {auroc}; {half}; {found['n_networks']} networks, wrong "
            f"{found['wrong']:.2f}, said to be {found['doubt']:.2f}; "
            f"{_figure(found['outside'], 4, 2)} outside"
        )
    return lines


def _teacher_in_words(protocol):
    """How each row stands to the known width."""
    lines = ["  against the teacher's width: narrower ones called underparameterized, others not"]
    given = {"measured labels": protocol["teacher_of_labels"]}
    given |= {ROW_TITLES[name]: scores["teacher"] for name, scores in protocol["rows"].items()}
    for title, found in given.items():
        lines.append(
            f"    {title:40s} {_figure(found['narrower_called_underparameterized'], 6, 3)} of "
            f"{found['n_narrower']}, {_figure(found['others_not_called_so'], 6, 3)} of "
            f"{found['n_others']}"
        )
    return lines


def _studies_in_words(studies):
    """Ablation, learning curves and gains."""
    lines = ["", "Families of features (balanced accuracy, data sets never seen)"]
    lines += [f"  {name:32s} {_figure(value, 5, 3)}" for name, value in studies["ablation"].items()]
    for what, curves in studies["learning_curve"].items():
        lines += ["", f"Learning curve over {what} (number learned from: balanced accuracy)"]
        for row, points in curves.items():
            shown = "  ".join(f"{number:.0f}: {_figure(value, 5, 3)}" for number, value in points)
            lines.append(f"  {ROW_TITLES[row]:42s} {shown}")
    lines += ["", "Predicted against measured gains (Spearman; coverage of the 90 % interval)"]
    for row, gains in studies["gains"].items():
        shown = "  ".join(
            f"{name.removeprefix('gain_')} {_figure(found['spearman'], 5, 3)} "
            f"({_figure(found['coverage'], 4, 2)})"
            for name, found in gains.items()
        )
        lines.append(f"  {ROW_TITLES[row]:42s} {shown}")
    lines += advice_in_words(studies["advice"], ROW_TITLES | SIMPLE_TITLES)
    lines += [
        "",
        "What gains leave to be told (Spearman; the same trees for all; no row knows more)",
    ]
    for name, gains in studies["gain_ceiling"].items():
        shown = "  ".join(
            f"{gain.removeprefix('gain_')} {_figure(value, 5, 3)}" for gain, value in gains.items()
        )
        lines.append(f"  {CEILING_TITLES[name]:50s} {shown}")
    return lines


def _figure(value, width, digits):
    """A number, or a dash."""
    return f"{'-':>{width}s}" if value is None else f"{value:{width}.{digits}f}"
