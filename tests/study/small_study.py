"""The study's command with a design for tests: `small_study.py study --quick --out folder`."""

import sys
from dataclasses import replace

from hessdiag.cli import main
from hessdiag.study import StudyDesign

_quick = StudyDesign.quick()

#: A regression on a table and classes of images, with few steps and samples.
SMALL = replace(
    _quick,
    data_sets=("vehicle", "optdigits"),
    n_train=40,
    n_steps=16,
    max_gram_size=40,
    dense_limit=30,
    n_coupling_probes=5,
)


def shrink():
    """Let ``--quick`` mean the small design, in this process."""
    StudyDesign.quick = classmethod(lambda cls: SMALL)


if __name__ == "__main__":
    shrink()
    sys.exit(main(sys.argv[1:]))
