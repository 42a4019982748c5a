"""What the tables say of the claims of the paper's abstract, by stated rules."""

from __future__ import annotations

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.study.statistics import share_interval
from hessdiag.study.tables import EXPECTED_DIAGNOSES, SIGNIFICANT, SPECTRAL_FAMILIES


def weigh_claims(experiments, regularities, correlations, expressivity):
    """Hold the claims of the abstract of arXiv 2510.17486 against the tables.

    Claims that statements speak for are supported where more of these hold than not and at least
    one in two holds, not supported where more fail than hold, and else open. Claims on correlations
    are supported where the strongest spectral measure's interval, given the training loss, is
    clear of 0 after correction for all tests.

    Parameters
    ----------
    experiments, regularities, correlations, expressivity : pandas.DataFrame
        Tables of a study.

    Returns
    -------
    table : pandas.DataFrame
        ``claim``, ``verdict`` ("supported", "not supported" or "open") and ``evidence``.
    """
    rows = [
        _of_statements(
            "Spectra of local Hessians show patterns that go with overfitting.",
            regularities,
            ("overfitting",),
        ),
        _of_statements(
            "Spectra of local Hessians show patterns that go with underparameterization.",
            regularities,
            ("underparameterization",),
        ),
        _of_expressivity(expressivity),
        _of_statements(
            "Local Hessians evolve during training with regularities that hold across data sets.",
            regularities,
            ("evolution", "layers"),
        ),
        _of_correlations(correlations),
        _of_diagnosis(experiments),
        (
            "The framework helps to improve architectures and the stability of training.",
            "open",
            "No network of this study was changed on its advice; hessdiag zoo advise does that.",
        ),
    ]
    columns = ("claim", "verdict", "evidence")
    return import_optional("pandas", "zoo", "The study").DataFrame(rows, columns=columns)


def _of_statements(claim, regularities, kinds):
    """Judge a claim by the statements that speak for it."""
    rows = regularities[regularities["claim"].isin(kinds)]
    counts = {name: int((rows["verdict"] == name).sum()) for name in ("holds", "fails", "open")}
    if counts["holds"] > counts["fails"] and 2 * counts["holds"] >= len(rows):
        verdict = "supported"
    elif counts["fails"] > counts["holds"]:
        verdict = "not supported"
    else:
        verdict = "open"
    told = [
        f"{row.key} ({row.verdict}, {row.n_held} of {row.n_data_sets})" for row in rows.itertuples()
    ]
    evidence = (
        f"Of {len(rows)} statements {counts['holds']} hold, {counts['fails']} fail and "
        f"{counts['open']} are open: {', '.join(told)}."
    )
    return claim, verdict, evidence


def _of_expressivity(expressivity):
    """Judge whether a spectral measure of a layer follows the width over the needed one."""
    claim = "Spectra of local Hessians show how expressive a network is."
    rows = expressivity[
        expressivity["family"].isin(SPECTRAL_FAMILIES) & (expressivity["place"] != "network")
    ]
    rows = rows[rows["rho"].notna()]
    if rows.empty:
        return claim, "open", "No correlation could be computed."
    best = rows.loc[rows["rho"].abs().idxmax()]
    clear = best["low"] * best["high"] > 0 and best["p_adjusted"] < SIGNIFICANT
    saturation = best["saturation_ratio"]
    where = f" and saturates at {saturation:g} times it" if np.isfinite(saturation) else ""
    near = rows["saturation_ratio"].between(0.5, 2.0)
    evidence = (
        f"Of {len(rows)} spectral measures of layers, {best['measure']} of the {best['place']} "
        f"layer follows the student's width over its teacher's best: Spearman {best['rho']:.2f} "
        f"[{best['low']:.2f}, {best['high']:.2f}] within {best['n_teachers']:.0f} teachers{where}; "
        f"{int(near.sum())} of them saturate between half and twice the width that is needed."
    )
    return claim, "supported" if clear else "open", evidence


def _of_correlations(correlations):
    """Judge whether spectra correlate with generalization beyond training loss."""
    claim = "Spectra of local Hessians correlate with generalization."
    rows = correlations[
        (correlations["scope"] == "within")
        & (correlations["time"] == 1.0)
        & (correlations["target"] == "held_out_loss")
        & correlations["rho"].notna()
    ]
    layers = rows[rows["family"].isin(SPECTRAL_FAMILIES) & (rows["place"] != "network")]
    parts, clear = [], False
    for given, words in (("nothing", "by itself"), ("train_loss", "given the training loss")):
        mine = layers[layers["given"] == given]
        rivals = rows[(rows["given"] == given) & (rows["family"] == "rival")]
        if mine.empty or rivals.empty:
            continue
        best = mine.loc[mine["rho"].abs().idxmax()]
        rival = rivals.loc[rivals["rho"].abs().idxmax()]
        n_clear = int((mine["p_adjusted"] < SIGNIFICANT).sum())
        parts.append(
            f"{words} {n_clear} of {len(mine)} spectral measures of layers correlate with held-out "
            f"loss (corrected), most strongly {best['measure']} of the {best['place']} layer, "
            f"{best['rho']:.2f} [{best['low']:.2f}, {best['high']:.2f}]; the strongest rival is "
            f"{rival['measure']}, {rival['rho']:.2f} [{rival['low']:.2f}, {rival['high']:.2f}]"
        )
        clear = best["low"] * best["high"] > 0 and best["p_adjusted"] < SIGNIFICANT
    if not parts:
        return claim, "open", "No correlation could be computed."
    strongest = rows[rows["given"] == "nothing"]
    strongest = strongest.loc[strongest["rho"].abs().idxmax()]
    parts.append(
        f"the strongest of all measures is {strongest['measure']} ({strongest['place']}, family "
        f"{strongest['family']}), {strongest['rho']:.2f}"
    )
    evidence = "; ".join(parts)
    return claim, "supported" if clear else "open", evidence[0].upper() + evidence[1:] + "."


def _of_diagnosis(experiments):
    """Judge the diagnosis of networks on data sets that the diagnoser has not seen."""
    claim = "Local curvature can guide the diagnosis of networks."
    sure = experiments[experiments["regime_sure"].astype(bool)]
    if sure.empty:
        return claim, "open", "The pilot found no regime for sure."
    right = sure["diagnosis_unseen"] == sure["regime"].map(EXPECTED_DIAGNOSES)
    share, low, high = share_interval(int(right.sum()), len(right))
    verdict = "supported" if low > 1 / 3 else "not supported" if high < 1 / 3 else "open"
    evidence = (
        f"Without networks of the same data set in its reference, the diagnoser names the regime "
        f"of {int(right.sum())} of the {len(right)} networks whose regime is sure: {share:.2f} "
        f"[{low:.2f}, {high:.2f}], where guessing has 0.33."
    )
    return claim, verdict, evidence
