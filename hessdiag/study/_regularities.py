"""Test every statement on every data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from hessdiag.optional import import_optional
from hessdiag.study._runs import each_data_set
from hessdiag.study._statements import STATEMENTS
from hessdiag.study.statistics import holm, share_interval

if TYPE_CHECKING:
    import pandas as pd

    from hessdiag.study._statements import Statement


def tally_statements(
    experiments: pd.DataFrame,
    evolution: pd.DataFrame,
    coupling: pd.DataFrame,
    statements: Sequence[Statement] = STATEMENTS,
) -> pd.DataFrame:
    """Test statements on all data sets.

    A statement holds where the 95 % interval of its share of data sets lies above one half, fails
    where it lies below, and is open otherwise.

    Parameters
    ----------
    experiments, evolution, coupling : pandas.DataFrame
        Tables of a study.
    statements : sequence of Statement, default=STATEMENTS
        What to test.

    Returns
    -------
    table : pandas.DataFrame
        A row per statement: ``key``, ``statement``, ``reference``, ``claim``, ``n_data_sets`` to
        which it applies, ``n_held``, ``share`` with its interval ``low`` to ``high``, ``p_value``
        of an exact binomial test against one half, ``p_adjusted`` (Holm), ``verdict`` and
        ``exceptions``, the data sets where it does not hold.
    """
    runs = list(each_data_set(experiments, evolution, coupling))
    rows = []
    for statement in statements:
        answers = {run.dataset: statement.holds(run) for run in runs}
        answers = {name: bool(held) for name, held in answers.items() if held is not None}
        n_held, n = sum(answers.values()), len(answers)
        share, low, high = share_interval(n_held, n)
        verdict = "holds" if low > 0.5 else "fails" if high < 0.5 else "open"
        rows.append(
            {
                "key": statement.key,
                "statement": statement.text,
                "reference": statement.reference,
                "claim": statement.claim,
                "n_data_sets": n,
                "n_held": n_held,
                "share": share,
                "low": low,
                "high": high,
                "p_value": binomtest(n_held, n).pvalue if n else np.nan,
                "verdict": verdict,
                "exceptions": "; ".join(name for name, held in answers.items() if not held),
            }
        )
    table = import_optional("pandas", "zoo", "The study").DataFrame(rows)
    table.insert(table.columns.get_loc("verdict"), "p_adjusted", holm(table["p_value"]))
    return table
