"""Errors and warnings of the package, so that they can be caught and filtered by category."""

__all__ = ["NotATableError", "NotNumbersError", "PrecisionWarning"]


class NotATableError(ValueError, TypeError):
    """The input is no table: a sparse matrix, a dict, a lazy frame or another object. The message says the way out.

    It is a ValueError, as for all input that a quantizer refuses, and a TypeError, as scikit-learn raises for sparse
    matrices.
    """


class NotNumbersError(ValueError, TypeError):
    """A column holds something else than numbers: text, categories, dates or other objects.

    It is a ValueError, as for all input that a quantizer refuses, and a TypeError, as scikit-learn expects for objects
    that are no numbers.
    """


class PrecisionWarning(UserWarning):
    """The cast to float32 merges many distinct values of a feature, or of a target (timestamps, GPS positions).

    Subtract an offset, or split the feature, before the quantizer sees it.
    """
