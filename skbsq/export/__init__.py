"""What a fitted codebook becomes elsewhere. Importing this needs NumPy alone."""

from skbsq.export._c import to_c

__all__ = ["to_c"]
