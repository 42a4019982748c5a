"""A fitted net made ready: its working copy, data, layers, scalar and outputs, all checked."""

from hessdiag.curvature.network._blocks import (
    Block,
    matches,
    owner_of,
    select_blocks,
)
from hessdiag.curvature.network._causes import (
    OwnPrecisionError,
    check_differentiable,
    check_left_alone,
    explain_failure,
    under_autocast,
)
from hessdiag.curvature.network._checks import (
    UnfittedNetworkError,
    check_data,
    check_device,
    check_net,
    check_parameters,
    module_attributes,
    tensors_of,
)
from hessdiag.curvature.network._copy_check import check_copy, original_runs
from hessdiag.curvature.network._data import (
    Chunk,
    concatenate,
    load_chunks,
    sample_indices,
    take,
)
from hessdiag.curvature.network._determinism import (
    check_deterministic,
)
from hessdiag.curvature.network._forward_pass import (
    entries_of_graph,
    hooked,
    is_irregular,
    received_by,
    run_and_note,
)
from hessdiag.curvature.network._links import (
    IDENTITY,
    Link,
    find_link,
)
from hessdiag.curvature.network._loss_inputs import LossCalls
from hessdiag.curvature.network._memory import (
    available_memory,
    first_graph_bytes,
    give_back_freed,
    second_graph_bytes,
)
from hessdiag.curvature.network._outputs import (
    NotSeparableError,
    OutputCurvature,
    OutputHessiansTooLargeError,
    check_uncoupled_scalar,
    flatten_outputs,
    output_curvature,
    output_hessians_fit,
)
from hessdiag.curvature.network._precision import (
    MANY,
    TooCoarseError,
    casts,
    coarser,
    coarsest_precision,
    match_floats,
    moved,
    moved_by_rounding,
    too_coarse,
)
from hessdiag.curvature.network._samples import (
    Samples,
)
from hessdiag.curvature.network._scalar import (
    Scalar,
)
from hessdiag.curvature.network._seed import (
    draw_seed,
)
from hessdiag.curvature.network._sent_outputs import send_one
from hessdiag.curvature.network._surroundings import (
    lacks_second_derivatives,
    second_derivatives_named,
    untouched_surroundings,
)
from hessdiag.curvature.network._working_copy import WorkingCopy

__all__ = [
    "IDENTITY",
    "MANY",
    "Block",
    "Chunk",
    "Link",
    "LossCalls",
    "NotSeparableError",
    "OutputCurvature",
    "OutputHessiansTooLargeError",
    "OwnPrecisionError",
    "Samples",
    "Scalar",
    "TooCoarseError",
    "UnfittedNetworkError",
    "WorkingCopy",
    "available_memory",
    "casts",
    "check_copy",
    "check_data",
    "check_deterministic",
    "check_device",
    "check_differentiable",
    "check_left_alone",
    "check_net",
    "check_parameters",
    "check_uncoupled_scalar",
    "coarser",
    "coarsest_precision",
    "concatenate",
    "draw_seed",
    "entries_of_graph",
    "explain_failure",
    "find_link",
    "first_graph_bytes",
    "flatten_outputs",
    "give_back_freed",
    "hooked",
    "is_irregular",
    "lacks_second_derivatives",
    "load_chunks",
    "match_floats",
    "matches",
    "module_attributes",
    "moved",
    "moved_by_rounding",
    "original_runs",
    "output_curvature",
    "output_hessians_fit",
    "owner_of",
    "received_by",
    "run_and_note",
    "sample_indices",
    "second_derivatives_named",
    "second_graph_bytes",
    "select_blocks",
    "send_one",
    "take",
    "tensors_of",
    "too_coarse",
    "under_autocast",
    "untouched_surroundings",
]
