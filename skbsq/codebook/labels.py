"""Labels of columns and of values per feature: the one place that decides what they mean. NumPy alone."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

_MAX_NAMES = 10


def label(names, j):
    """How messages call a feature: by its name, or by its number where it has none."""
    return f"feature {j}" if names is None else f"feature {names[j]!r}"


def numbered_names(n_features):
    """Names of features that have none: x0, x1, ..."""
    return [f"x{j}" for j in range(n_features)]


def columns_of(X):
    """Names of the columns of a data frame or an Arrow table; None for anything else."""
    columns = getattr(X, "column_names", getattr(X, "columns", None))
    return None if columns is None or callable(columns) else list(columns)


def check_columns(columns, names, what, *, strict=True):
    """Refuse columns in another order than the features, or with other names.

    As in scikit-learn, names that are no strings mean nothing, unless others are strings.

    Parameters
    ----------
    columns : list or None
        Names of the columns that were given; None where they have none.
    names : sequence of str
        Names that they should have.
    what : str
        What has the columns, for the message.
    strict : bool, default=True
        False where `names` were made up, such as x0 and x1: then only these names in another order are refused.

    Raises
    ------
    ValueError
        Naming the first column that differs.

    Examples
    --------
    >>> from skbsq.codebook.labels import check_columns
    >>> check_columns(["b", "a"], ["a", "b"], "X")
    Traceback (most recent call last):
    ...
    ValueError: Column 0 of X is 'b', but 'a' is expected: select the columns in the order ['a', 'b'], or give ...
    """
    names = list(names)
    if columns is None or len(columns) != len(names) or columns == names:
        return
    if not any(isinstance(name, str) for name in columns) or not (strict or set(columns) == set(names)):
        return
    j = next(j for j, name in enumerate(names) if columns[j] != name)
    raise ValueError(
        f"Column {j} of {what} is {columns[j]!r}, but {names[j]!r} is expected: select the columns in the order "
        f"{shortened(names)}, or give an array where names do not matter."
    )


def labels_of(values):
    """Labels of values: the keys of a dict, the columns of a frame, or the index of a pandas Series.

    An index that only counts the rows is no label.

    Parameters
    ----------
    values : object

    Returns
    -------
    list or None

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq.codebook.labels import labels_of
    >>> labels_of(pd.Series([4, 2], index=["b", "a"])), labels_of(pd.Series([4, 2])), labels_of([4, 2])
    (['b', 'a'], None, None)
    """
    if isinstance(values, Mapping):
        return list(values)
    if (columns := columns_of(values)) is not None:
        return columns
    index = getattr(values, "index", None)
    if index is None or callable(index):  # lists and tuples have a method of this name
        return None
    counts_rows = type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)
    return None if counts_rows else list(index)


def in_feature_order(values, names, n_features, what, *, hint=""):
    """Values per feature, in the order of the features.

    Parameters
    ----------
    values : array-like of length d, dict, pandas Series or data frame
        The labels of a dict or Series, and the columns of a frame, are names of features, or their numbers from 0. They
        must name every feature. Anything else is returned as it is.
    names : sequence of str, or None
        Names of the features; None stands for x0, x1, ...
    n_features : int
    what : str
        The parameter, for the message.
    hint : str, default=""
        Added to the message about an absent feature.

    Returns
    -------
    object
        A list where there were labels.

    Raises
    ------
    ValueError
        For a label that is unknown, absent or there twice.

    Examples
    --------
    >>> from skbsq.codebook.labels import in_feature_order
    >>> in_feature_order({"b": 4, "a": 2}, ["a", "b"], 2, "n_bits")
    [2, 4]
    """
    labels = labels_of(values)
    if labels is None:
        return values
    if len(set(labels)) < len(labels):
        twice = next(own for own in labels if labels.count(own) > 1)
        raise ValueError(f"{what} names {twice!r} twice.")
    values = _values_of(values, labels)
    names = numbered_names(n_features) if names is None else list(names)
    if labels and all(isinstance(own, Integral) and not isinstance(own, bool) for own in labels):
        names = list(range(n_features))
    by_label = dict(zip(labels, values, strict=True))
    known = set(names)
    if unknown := [own for own in labels if own not in known]:
        raise ValueError(f"{what} names {unknown[0]!r}, which is no feature; the features are {shortened(names)}.")
    if absent := [name for name in names if name not in by_label]:
        raise ValueError(f"{what} leaves out {absent[0]!r}: a dict or Series must name every feature{hint}.")
    return [by_label[name] for name in names]


def without_pandas(values):
    """A Series as a dict, if its labels mean something, or as an array; anything else as it is.

    Parameters
    ----------
    values : object

    Returns
    -------
    object
        What `in_feature_order` reads in the same way.
    """
    if not hasattr(values, "to_numpy") or getattr(values, "ndim", 1) != 1:
        return values
    labels, plain = labels_of(values), np.asarray(values.to_numpy())
    return plain if labels is None else dict(zip(labels, plain.tolist(), strict=True))


def shortened(names):
    """A list of names as text, cut off where there are many."""
    names = list(names)
    return repr(names) if len(names) <= _MAX_NAMES else f"{repr(names[:_MAX_NAMES])[:-1]}, ...]"


def in_number_order(values, what):
    """Values numbered from 0, such as one per code, in the order of their numbers.

    Parameters
    ----------
    values : array-like, or dict or pandas Series whose labels are the numbers
    what : str
        What they are, for the message.

    Returns
    -------
    object
        A list where there were labels.

    Raises
    ------
    ValueError
        If the labels are not the numbers from 0 on.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq.codebook.labels import in_number_order
    >>> in_number_order(pd.Series([5, 1], index=[1, 0]), "counts")
    [1, 5]
    """
    labels = labels_of(values)
    if labels is None:
        return values
    by_number = dict(zip(labels, _values_of(values, labels), strict=True))
    if set(by_number) != set(range(len(labels))):
        raise ValueError(
            f"The labels of {what} must be the numbers from 0 to {len(labels) - 1}, got {shortened(labels)}."
        )
    return [by_number[number] for number in range(len(labels))]


def _values_of(values, labels):
    """Labelled values, in the order of their labels."""
    if isinstance(values, Mapping):
        return list(values.values())
    if columns_of(values) is not None:
        return [np.asarray(values[name]) for name in labels]
    return values.to_numpy().tolist()
