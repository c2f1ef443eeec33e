"""Warnings of the package, so that they can be filtered by category."""

__all__ = ["PrecisionWarning"]


class PrecisionWarning(UserWarning):
    """The cast to float32 merges many distinct values of a feature, or of a target (timestamps, GPS positions).

    Subtract an offset, or split the feature, before the quantizer sees it.
    """
