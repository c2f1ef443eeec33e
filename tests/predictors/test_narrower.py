"""Predictors that continue from a predictor with more bits."""

import numpy as np
from sklearn.datasets import make_friedman1

from skbsq import BitwiseRegressor, ThresholdQuantizer
from skbsq.predictors.narrower import go_on_narrower


def test_a_narrower_predictor():
    X, y = make_friedman1(200, random_state=0)
    wide = BitwiseRegressor(3, hidden_sizes=(16,), max_epochs=6, init="quantile", random_state=0).fit(X, y)
    predictions, codebook = wide.predict(X), wide.codebook_
    narrow = go_on_narrower(wide, X, y, 2, 0.5)
    # It starts from thresholds of the wide model.
    assert isinstance(narrow.init_, ThresholdQuantizer)
    for start, thresholds in zip(narrow.initial_thresholds_, wide.thresholds_, strict=True):
        assert np.isin(start, thresholds).all()
    # It has the bits and the fraction of the epochs that were given, and the parameters of the wide model.
    assert (narrow.n_bits_ <= 2).all()
    assert narrow.n_iter_ == 3
    assert narrow.max_epochs == 6
    assert narrow.head is None
    np.testing.assert_array_equal(narrow.predict(X), narrow.predict_codes(narrow.codebook_.encode(X)))
    # The wide model is unchanged.
    np.testing.assert_array_equal(wide.predict(X), predictions)
    assert wide.codebook_ == codebook
