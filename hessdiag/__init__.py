"""Diagnose trained neural networks from the spectra of their layer-wise Hessians.

Data flows one way:

``hessdiag.cases``
    `NetworkCase`: a fitted skorch net and the data it is examined on.
``hessdiag.case_files``
    Cases as folders, and what may be imported to read them.
``hessdiag.curvature``
    Network and data to the curvature of each layer: operators, factors, Gram matrices.
``hessdiag.spectra``
    Curvature to `Spectrum`, exact or by Lanczos quadrature, and measures of it.
``hessdiag.examination``
    `Examination`: the frozen result of looking at one case.
``hessdiag.features``
    sklearn transformers: cases to examinations to a table of fixed width.
``hessdiag.diagnosis``
    `FitDiagnoser`, the label rule, reports.
``hessdiag.zoo``
    Networks with measured labels: recipes, builder, reference table, evaluation.
``hessdiag.monitor``
    Networks watched while they train: a skorch callback, `Trajectory` for any loop.
``hessdiag.study``
    111 networks followed through their training: what local spectra tell, and what they do not.
``hessdiag.plotting``, ``hessdiag.reporting``
    Figures and pages for people.
``hessdiag.testing``
    Networks with known Hessians; checks for estimators that take networks.
"""

import hessdiag.reporting  # noqa: F401  reports show themselves by it
from hessdiag.case_files import load_case, save_case
from hessdiag.cases import NetworkCase
from hessdiag.diagnosis import DiagnosisReport, FitDiagnoser
from hessdiag.examination import Examination, LayerExamination, LocalHessians, examine
from hessdiag.features import LayerSpectra, SpectralFeatures
from hessdiag.monitor import SpectrumMonitor, Trajectory
from hessdiag.spectra import (
    LayerTrace,
    Spectrum,
    layer_spectra,
    layer_traces,
    plan_spectra,
)
from hessdiag.version import __version__
from hessdiag.zoo import load_reference_diagnoser, load_reference_zoo

__all__ = [
    "DiagnosisReport",
    "Examination",
    "FitDiagnoser",
    "LayerExamination",
    "LayerSpectra",
    "LayerTrace",
    "LocalHessians",
    "NetworkCase",
    "SpectralFeatures",
    "Spectrum",
    "SpectrumMonitor",
    "Trajectory",
    "__version__",
    "examine",
    "layer_spectra",
    "layer_traces",
    "load_case",
    "load_reference_diagnoser",
    "load_reference_zoo",
    "plan_spectra",
    "save_case",
]
