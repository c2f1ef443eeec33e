"""Errors and warnings of the package, so that you can catch and filter them by category."""

__all__ = ["MissingCodeWarning", "NotATableError", "NotNumbersError", "PrecisionWarning"]


class NotATableError(ValueError, TypeError):
    """Raised if the input is not a table, but for example a sparse matrix, a dict or a lazy frame.

    The message shows how to turn the input into a table. The error is a ValueError, like every rejected input, and a
    TypeError, as scikit-learn raises for sparse matrices.

    See Also
    --------
    NotNumbersError : Raised for a table with a column that does not hold numbers.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> Codebook.from_thresholds([[0.5]]).encode({"a": [1.0]})
    Traceback (most recent call last):
    ...
    skbsq.exceptions.NotATableError: X is a dict: make it a table first, for example pandas.DataFrame(...).
    """


class NotNumbersError(ValueError, TypeError):
    """Raised if a column does not hold numbers, but text, categories, dates or other objects.

    The error is a ValueError, like every rejected input, and a TypeError, as scikit-learn expects for objects that are
    not numbers.

    See Also
    --------
    NotATableError : Raised for input that is not a table.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> Codebook.from_thresholds([[0.5]]).encode([["warm"]])
    Traceback (most recent call last):
    ...
    skbsq.exceptions.NotNumbersError: Column 0 of X holds 'warm' in row 0, not numbers: name it in ...
    """


class PrecisionWarning(UserWarning):
    """Issued if the cast to float32 merges many distinct values of a feature or target, such as timestamps.

    Subtract an offset, or split the feature into several, before the quantizer receives it.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skbsq import UniformQuantizer
    >>> from skbsq.exceptions import PrecisionWarning
    >>> seconds = 1_790_000_000 + np.arange(100)
    >>> with warnings.catch_warnings(record=True, category=PrecisionWarning, action="always") as caught:
    ...     _ = UniformQuantizer().fit(seconds[:, None])
    >>> [w.category.__name__ for w in caught]
    ['PrecisionWarning']
    """


class MissingCodeWarning(UserWarning):
    """Issued if ``missing="code"`` leaves a feature of 1 bit no threshold, although fit saw no NaN there.

    The single bit then tells NaN from numbers, and nothing about the numbers. Set ``missing="seen"``, or give the
    feature 2 bits.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skbsq import UniformQuantizer
    >>> from skbsq.exceptions import MissingCodeWarning
    >>> with warnings.catch_warnings(record=True, category=MissingCodeWarning, action="always") as caught:
    ...     _ = UniformQuantizer(n_bits=1, missing="code").fit([[1.0], [2.0]])
    >>> [w.category.__name__ for w in caught]
    ['MissingCodeWarning']
    """
