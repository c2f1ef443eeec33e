"""Labels of columns and of values per feature, and what they mean. Needs NumPy alone."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

_MAX_NAMES = 10


def label(names, j):
    """Return how messages call a feature: by its name, or by its number if it has none."""
    return f"feature {j}" if names is None else f"feature {names[j]!r}"


def numbered_names(n_features):
    """Return names for features that have none: x0, x1, ..."""
    return [f"x{j}" for j in range(n_features)]


def columns_of(X):
    """Return the column names of a data frame or an Arrow table, and None for anything else."""
    columns = getattr(X, "column_names", getattr(X, "columns", None))
    return None if columns is None or callable(columns) else list(columns)


def string_columns(X):
    """Return the column names of a data frame or an Arrow table, and None if they are not all strings."""
    columns = columns_of(X)
    return columns if columns and all(isinstance(name, str) for name in columns) else None


def check_columns(columns, names, what, *, strict=True):
    """Reject columns in another order than the features, or with other names.

    As in scikit-learn, names are ignored if none of them is a string.

    Parameters
    ----------
    columns : list or None
        Names of the columns; None if they have no names.
    names : sequence of str
        Names that the columns should have.
    what : str
        The table, for the message.
    strict : bool, default=True
        False if `names` are generated, such as x0 and x1: then only these names in another order are rejected.

    Raises
    ------
    ValueError
        If the columns differ. The message names the first that does.

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
    """Return the keys of a dict, the columns of a frame, the index of a pandas Series, or None.

    An index that only counts the rows is not a label.

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


def in_feature_order(values, names, n_features, what, *, hint="", fill=None):
    """Put values per feature into the order of the features.

    Parameters
    ----------
    values : array-like of length d, dict, pandas Series or data frame
        The labels of a dict or Series, and the columns of a frame, are feature names, or feature numbers from 0. They
        must name every feature, unless `fill` is given. Anything else is returned unchanged.
    names : sequence of str, or None
        Names of the features; None stands for x0, x1, ...
    n_features : int
    what : str
        The parameter, for the message.
    hint : str, default=""
        Added to the message about an absent feature.
    fill : object, default=None
        Value of absent features. None: no feature may be absent.

    Returns
    -------
    object
        A list if there were labels.

    Raises
    ------
    ValueError
        If a label is unknown, absent or repeated.

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
        twice = next(given for given in labels if labels.count(given) > 1)
        raise ValueError(f"{what} names {twice!r} twice.")
    by_label = _by_label(values, labels)
    names = numbered_names(n_features) if names is None else list(names)
    if labels and all(isinstance(given, Integral) and not isinstance(given, bool) for given in labels):
        names = list(range(n_features))
    known = set(names)
    if unknown := [given for given in labels if given not in known]:
        raise ValueError(f"{what} names {unknown[0]!r}, which is not a feature; the features are {shortened(names)}.")
    if fill is not None:
        return [by_label.get(name, fill) for name in names]
    if absent := [name for name in names if name not in by_label]:
        raise ValueError(f"{what} leaves out {absent[0]!r}: a dict or Series must name every feature{hint}.")
    return [by_label[name] for name in names]


def without_pandas(values):
    """Turn a Series into a dict if it has labels, else into an array. Anything else is returned unchanged.

    `in_feature_order` reads the result as it reads the Series.
    """
    if not hasattr(values, "to_numpy") or getattr(values, "ndim", 1) != 1:
        return values
    labels, plain = labels_of(values), np.asarray(values.to_numpy())
    return plain if labels is None else dict(zip(labels, plain.tolist(), strict=True))


def shortened(names):
    """Write a list of names as text, cut off if there are many."""
    names = list(names)
    return repr(names) if len(names) <= _MAX_NAMES else f"{repr(names[:_MAX_NAMES])[:-1]}, ...]"


def in_number_order(values, what):
    """Put values with numbers as labels, such as one value per code, into the order of the numbers.

    Parameters
    ----------
    values : array-like, or dict or pandas Series whose labels are the numbers from 0
    what : str
        The values, for the message.

    Returns
    -------
    object
        A list if there were labels.

    Raises
    ------
    ValueError
        If the labels are not the numbers from 0.

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
    by_number = _by_label(values, labels)
    if set(by_number) != set(range(len(labels))):
        raise ValueError(
            f"The labels of {what} must be the numbers from 0 to {len(labels) - 1}, got {shortened(labels)}."
        )
    return [by_number[number] for number in range(len(labels))]


def _by_label(values, labels):
    """Return values with labels as a dict."""
    if isinstance(values, Mapping):
        return dict(values)
    if columns_of(values) is not None:
        return {name: np.asarray(values[name]) for name in labels}
    return dict(zip(labels, values.to_numpy().tolist(), strict=True))
