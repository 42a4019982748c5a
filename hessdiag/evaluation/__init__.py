"""How well the diagnosis and its advice do on data sets never seen, beside their rivals."""

from hessdiag.evaluation._advice import (
    format_advice,
    try_advice,
)
from hessdiag.evaluation._evaluate import (
    evaluate_zoo,
)
from hessdiag.evaluation._text import (
    format_evaluation,
)

__all__ = [
    "evaluate_zoo",
    "format_advice",
    "format_evaluation",
    "try_advice",
]
