"""Check the lists that estimators of networks take as their X."""

from __future__ import annotations


def check_list(X, accepted, what, maker):
    """Refuse anything but a non-empty list or tuple of the accepted types.

    Parameters
    ----------
    X : object
        The input of an estimator.
    accepted : tuple of type
        Types of the items.
    what : str
        What the items are, for the message.
    maker : str
        What makes them, for the message.
    """
    names = ", ".join(kind.__name__ for kind in accepted)
    if isinstance(X, accepted):
        raise TypeError(
            f"Expected a list of {what}, found a single {type(X).__name__}. Put it in a list: [x]."
        )
    if not isinstance(X, (list, tuple)):
        raise TypeError(
            f"Expected a list of {what} ({names}), found {type(X).__name__}. "
            f"Make the items with {maker}."
        )
    if not X:
        raise ValueError(f"Expected a list of {what}, found an empty list. Give at least one.")
    for index, item in enumerate(X):
        if not isinstance(item, accepted):
            raise TypeError(
                f"Expected a list of {what} ({names}), found {type(item).__name__} at index "
                f"{index}. Make the items with {maker}."
            )
