"""Colours, hatches and order of what is drawn, told apart without colour too.

The colours are the palette of Okabe and Ito (2008), which people with any of the common forms of
colour blindness can tell apart.
"""

from __future__ import annotations

#: Colour of positive eigenvalues.
POSITIVE = "#0072b2"
#: Colour of negative eigenvalues.
NEGATIVE = "#d55e00"
DENSITY = "#0072b2"
AGAINST = "#7f7f7f"

NEGATIVE_HATCH = "////"

#: In the order in which bars are stacked: what to widen, what to keep, what to constrain.
DIAGNOSIS_ORDER = ("underparameterized", "well-fit", "overfitting")

#: Colour of each diagnosis.
DIAGNOSIS_COLOURS = {
    "underparameterized": "#56b4e9",
    "well-fit": "#009e73",
    "overfitting": "#e69f00",
}

DIAGNOSIS_HATCHES = {"underparameterized": "....", "well-fit": "", "overfitting": "////"}

OTHER_COLOURS = ("#cc79a7", "#f0e442", "#999999")


def diagnosis_style(name, index=0):
    """Give colour and hatch of a diagnosis; other class names get colours of their own."""
    colour = DIAGNOSIS_COLOURS.get(name, OTHER_COLOURS[index % len(OTHER_COLOURS)])
    return colour, DIAGNOSIS_HATCHES.get(name, "xxxx")


def in_order(names):
    """Sort diagnoses as they are stacked; names that are not ours come last."""
    known = [name for name in DIAGNOSIS_ORDER if name in names]
    return known + sorted(name for name in names if name not in DIAGNOSIS_ORDER)
