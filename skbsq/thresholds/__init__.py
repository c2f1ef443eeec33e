"""Where thresholds lie: rules as functions of one feature, sketches of its values, and the codebook they make."""
