"""A path over rates: what a narrower predictor is."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from skbsq import BitwiseRegressor, ThresholdQuantizer
from skbsq.predictors.narrower import go_on_narrower


@pytest.fixture(scope="module")
def wide():
    X, y = make_friedman1(200, random_state=0)
    return BitwiseRegressor(3, hidden_sizes=(16,), max_epochs=6, init="quantile", random_state=0).fit(X, y), X, y


def test_it_starts_from_thresholds_of_the_wide_model(wide):
    model, X, y = wide
    narrow = go_on_narrower(model, X, y, 2, 0.5)
    assert isinstance(narrow.init_, ThresholdQuantizer)
    for start, own in zip(narrow.initial_thresholds_, model.thresholds_, strict=True):
        assert np.isin(start, own).all()


def test_it_has_the_bits_and_the_share_of_the_epochs_asked_for(wide):
    model, X, y = wide
    narrow = go_on_narrower(model, X, y, 2, 0.5)
    assert (narrow.n_bits_ <= 2).all()
    assert narrow.n_iter_ == 3
    assert narrow.max_epochs == 6
    assert narrow.head is None
    np.testing.assert_array_equal(narrow.predict(X), narrow.predict_codes(narrow.codebook_.encode(X)))


def test_the_wide_model_stays_as_it_is(wide):
    model, X, y = wide
    before = model.predict(X), model.codebook_
    go_on_narrower(model, X, y, 1, 0.5)
    np.testing.assert_array_equal(model.predict(X), before[0])
    assert model.codebook_ == before[1]
