"""Save fitted estimators as arrays and plain values. Loading a file executes nothing, whoever wrote it."""

from skbsq.persistence.files import load, save

__all__ = ["load", "save"]
