"""The page of the documentation that lists every measure."""

from __future__ import annotations

from textwrap import wrap

from hessdiag.features.measures._registry import FAMILIES, MEASURES

_TITLES = {
    "shape": "Form of the local Gauss-Newton spectrum, blind to its scale",
    "hessian": "What the Hessian has beyond the Gauss-Newton matrix; no part of a diagnosis",
    "scale": "Size of the curvature",
    "noise": "Curvature against the prior, and against the noise of the gradient",
    "loo": "Approximate leave-one-out loss and error, leverages",
    "alignment": "Alignment of the tangent kernel with targets and residuals",
    "attainable": "What layers of unlimited width would make of the same inputs",
    "between": "The net between its samples, against what wide layers forecast there",
    "context": "What is known without curvature",
}

_LEVELS = {
    "layer": "Of each layer, and of the whole net.",
    "network": "Of the whole net alone.",
    "context": "Of the net and its data.",
}

_OPENING = """\
Measures
========

Every number that a diagnosis is made from. Losses are divided by the null loss, ranks by the
largest rank possible, and what spans decades enters as log10, with a floor of 1e-12. A measure is
NaN where what it reads is not defined, as where the loss couples samples.

Symbols, for one layer with p parameters w, N samples examined and C outputs:

- ``H``, ``G``: the local Hessian and Gauss-Newton matrix of the loss; ``h_i``, ``l_i`` their
  eigenvalues. Where the loss has no Gauss-Newton matrix, ``l_i`` are those of the Hessian;
- ``z_n``, ``loss_n``, ``r_n``, ``Lambda_n``: the outputs of sample n, its loss, and the first and
  second derivatives of the loss in the outputs; ``B_n B_n' = Lambda_n``, R the number of columns of
  ``B_n``;
- ``J_n``: the derivatives of the outputs of sample n in w; ``K = J J'``; ``g_n = J_n' r_n``;
- ``d_i``: the eigenvalues of ``S = sum_n J_n' Lambda_n J_n``; ``A_n = J_n (S + alpha I)^-1 J_n'``
  with alpha the precision of the prior;
- ``L``, ``L0``: the training loss and that of the best constant output; ``P`` (in the context) all
  parameters, ``N_given`` all samples;
- ``s(u) = 0.05 arcsinh(u / 0.05)``, linear near zero and logarithmic beyond;
- ``Y``, ``P``, ``F``: targets (one-hot for classes), predictions (probabilities for classes), and
  left-out predictions of the centred targets ``Yc = Y - mean Y`` by kernel regression with wide
  layers.

For the whole net, ``G`` is that of all parameters, and the statistics of a prior are those of the
sum over layers of ``K_l |w_l|^2 / p_l`` with alpha = m.
"""


def measures_page() -> str:
    """Write the page of the documentation that lists every measure.

    Returns
    -------
    text : str
        The page as reStructuredText: a section for each family, and for each measure its name,
        words, what a high value means, formula and reference.

    Examples
    --------
    >>> from hessdiag.features.measures import measures_page
    >>> print(measures_page().splitlines()[0])
    Measures
    """
    sections = [_OPENING]
    for family in FAMILIES:
        members = [measure for measure in MEASURES if measure.family == family]
        title = f"{family}: {_TITLES[family]}"
        lines = [title, "-" * len(title), "", _LEVELS[members[0].level], ""]
        for measure in members:
            lines += [f".. _{measure.label}:", "", f"``{measure.name}``"]
            lines += [f"    {_sentence(measure.words)} High means: {measure.high}.", ""]
            lines += ["    ::", "", *_formula_lines(measure.formula), ""]
            if measure.reference is not None:
                lines += [f"    {measure.reference}", ""]
        sections.append("\n".join(lines))
    return "\n".join(sections)


def _formula_lines(formula):
    """A formula as lines of a literal block, a line for each part."""
    parts = formula.replace("; ", ";\n").splitlines()
    return [f"        {line}" for part in parts for line in wrap(part, 80)]


def _sentence(words):
    """A phrase with a capital and a full stop."""
    return f"{words[0].upper()}{words[1:]}."
