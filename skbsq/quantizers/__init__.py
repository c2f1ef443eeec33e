"""Transform features into codes: one file per quantizer; `base`, `estimator` and `learned` hold what they share."""
