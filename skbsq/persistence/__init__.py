"""Fitted estimators in files that hold arrays and plain values: nothing in them is executed, whoever wrote them."""

from skbsq.persistence.files import load, save

__all__ = ["load", "save"]
