"""The study: how local spectra evolve in training, and what they say of generalization.

Networks of three regimes (starved, sound, lavish) on 37 real data sets are examined along their
training; statements that can fail are tested on all data sets, measures are correlated with
held-out loss beside their rivals, and everything ends in tables, figures and one page. On the
command line: ``hessdiag study``.
"""

from hessdiag.study._correlations import correlate
from hessdiag.study._design import StudyDesign
from hessdiag.study._expressivity import express
from hessdiag.study._regimes import Experiment, choose_regimes
from hessdiag.study._regularities import tally_statements
from hessdiag.study._run import run_study
from hessdiag.study._statements import STATEMENTS, Statement
from hessdiag.study.tables import StudyTables

__all__ = [
    "STATEMENTS",
    "Experiment",
    "Statement",
    "StudyDesign",
    "StudyTables",
    "choose_regimes",
    "correlate",
    "express",
    "run_study",
    "tally_statements",
]
