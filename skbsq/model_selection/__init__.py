"""Searches over the number of bits: costs, scores, and the choice between them."""

from skbsq.model_selection._choice import best_rate, fewest_bits
from skbsq.model_selection._curves import bits_path, rate_curve
from skbsq.model_selection._dask import dask_backend
from skbsq.model_selection._scorers import all_rates, row_bits
from skbsq.model_selection._table import rate_distortion

__all__ = [
    "all_rates",
    "best_rate",
    "bits_path",
    "dask_backend",
    "fewest_bits",
    "rate_curve",
    "rate_distortion",
    "row_bits",
]
