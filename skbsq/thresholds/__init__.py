"""Place thresholds: rules as functions of one feature, sketches of its values, and the codebook that results."""
