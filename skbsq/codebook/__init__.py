"""The codebook, an immutable value, and everything behind it. NumPy alone."""
