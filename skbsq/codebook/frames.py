"""Levels as a data frame with a type per column. pandas is imported on use."""

import numpy as np

from skbsq.codebook.labels import numbered_names


def level_frame(book, levels, names=None, index=None):
    """Return levels as a frame whose columns have the types of the features.

    The types follow from the codebook alone, so that they are equal for all rows.

    Parameters
    ----------
    book : Codebook
    levels : ndarray of object of shape (n, d)
        As `Codebook.decode` returns them.
    names : sequence of str, default=None
        Names of the columns. None: x0, x1, ...
    index : pandas Index, default=None

    Returns
    -------
    pandas.DataFrame
        float32 for numbers, bool and int64 for categories of these kinds, and a category for others. Bools and integers
        of a feature with a missing code have the types of pandas that have a missing value, "boolean" and "Int64".

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codebook.frames import level_frame
    >>> book = Codebook.from_thresholds({"valve": {"open": 0, "shut": 1}, "t": [0.5], "alarm": {False: 0, True: 1}})
    >>> level_frame(book, book.decode([[1, 0, 0]]), book.feature_names).dtypes.astype(str).tolist()
    ['category', 'float32', 'bool']
    """
    import pandas as pd

    names = numbered_names(book.n_features) if names is None else names
    columns = [_column(book, j, levels[:, j]) for j in range(book.n_features)]
    frame = pd.DataFrame(dict(enumerate(columns)), index=index)
    frame.columns = pd.Index(names, dtype=object)
    return frame


def _column(book, j, levels):
    if not book.is_categorical[j]:
        return levels.astype(np.float32)
    import pandas as pd

    categories = [known for known in book.categories[j] if known is not None]
    numbers = book.category_readers[j](levels)
    places = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
    dtype = _dtype_of(categories)
    if dtype is None:
        return pd.Categorical.from_codes(places, categories=pd.Index(categories, dtype=object))
    values = np.array(categories, dtype=dtype)[places]
    if not book.has_missing[j]:
        return values
    kind = pd.arrays.BooleanArray if dtype is bool else pd.arrays.IntegerArray
    return kind(values, places < 0)


def _dtype_of(categories):
    """Return bool or int64 if that is the type of all categories, and None otherwise."""
    kinds = {type(category) for category in categories}
    return bool if kinds == {bool} else np.int64 if kinds == {int} else None
