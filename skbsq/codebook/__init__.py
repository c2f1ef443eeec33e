"""The codebook, an immutable value, and the modules behind it. Needs NumPy alone."""
