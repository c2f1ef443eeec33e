"""Scores of a predictor at several rates: of one fit, and over splits."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import max_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skbsq import BitwiseClassifier, BitwiseQuantizer, BitwiseRegressor, QuantileQuantizer
from skbsq.model_selection import bits_path, rate_curve

QUICK = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def fitted(data):
    return BitwiseRegressor(3, rates=(2, 0, 1), **QUICK).fit(*data)


# -- rate_curve --------------------------------------------------------------------------------------


def test_curve_of_a_model(fitted, data):
    X, y = data
    curve = rate_curve(fitted, X, y)
    assert curve.columns.tolist() == ["rate", "row_bits", "score"]
    assert curve["rate"].tolist() == [0, 1, 2, 3]
    assert curve["row_bits"].tolist() == [0, 10, 20, 30]
    assert curve["score"].tolist() == pytest.approx([r2_score(y, fitted.predict(X, rate=rate)) for rate in range(4)])


def test_curve_of_another_score(fitted, data):
    X, y = data
    expected = [-max_error(y, fitted.predict(X, rate=rate)) for rate in range(4)]
    for scoring in ("neg_max_error", lambda model, X, y: -max_error(y, model.predict(X))):
        assert rate_curve(fitted, X, y, scoring=scoring)["score"].tolist() == pytest.approx(expected)


def test_curve_with_weights(fitted, data):
    (X, y), weights = data, np.linspace(0, 1, len(data[1]))
    expected = [fitted.score(X, y, weights, rate=rate) for rate in range(4)]
    for scoring in (None, "r2"):
        assert rate_curve(fitted, X, y, scoring=scoring, sample_weight=weights)["score"].tolist() == pytest.approx(
            expected
        )


def test_curve_of_pipelines(data):
    X, y = data
    scaler = StandardScaler().fit(X)
    fitted = BitwiseRegressor(bit_budget=20, rates=(8,), **QUICK).fit(scaler.transform(X), y)
    expected = rate_curve(fitted, scaler.transform(X), y)
    assert expected["rate"].tolist() == [8, 20]
    assert (expected["row_bits"] <= expected["rate"]).all()
    pipeline = make_pipeline(scaler, fitted)
    for model in (pipeline, make_pipeline("passthrough", pipeline)):
        pd.testing.assert_frame_equal(rate_curve(model, X, y), expected)
    assert pipeline[-1] is fitted
    assert list(fitted.codebooks_) == [20, 8]


def test_curve_of_classes(data):
    X, y = data[0], np.where(data[1] > np.median(data[1]), "high", "low")
    fitted = BitwiseClassifier(2, rates=(1,), **QUICK).fit(X, y)
    found = rate_curve(fitted, X, y, scoring="accuracy")["score"].tolist()
    assert found == pytest.approx([fitted.score(X, y, rate=rate) for rate in (1, 2)])


def test_curve_rejects(data):
    X, y = data
    quantizer = BitwiseQuantizer(2, rates=(1,), **QUICK)
    for model in (Ridge().fit(X, y), make_pipeline(quantizer, Ridge()).fit(X, y)):
        with pytest.raises(ValueError, match="Only a BitwiseRegressor or BitwiseClassifier, or a pipeline that"):
            rate_curve(model, X, y)
    with pytest.raises(ValueError, match=r"This BitwiseRegressor has only one rate: fit with rates="):
        rate_curve(BitwiseRegressor(2, **QUICK).fit(X, y), X, y)
    with pytest.raises(NotFittedError):
        rate_curve(BitwiseRegressor(2, rates=(1,)), X, y)


def convolution(n_inputs, n_outputs):
    return nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 1, n_inputs), nn.Flatten())


# -- bits_path ---------------------------------------------------------------------------------------


def test_path_is_near_separate_fits():
    X, y = make_friedman1(700, random_state=0)
    regressor = BitwiseRegressor(max_epochs=15, hidden_sizes=(32,), lr=0.01, init="quantile", random_state=0)
    path = bits_path(regressor, X, y, [3, 1, 2], cv=2).set_index("n_bits")
    assert list(path) == ["row_bits", "score", "std", "sem", "fit_seconds"]
    assert path["row_bits"].tolist() == [10, 20, 30]
    assert path["score"].is_monotonic_increasing
    separate = GridSearchCV(regressor, {"n_bits": [1, 2, 3]}, cv=2).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(path["score"], separate, atol=0.06)
    np.testing.assert_allclose(path["sem"], path["std"] / np.sqrt(2))


def test_path_is_that_of_one_fit_per_split(data):
    X, y = data
    regressor = BitwiseRegressor(5, rates=(4,), **QUICK)
    before = repr(regressor)
    path = bits_path(regressor, X, y, [1, 3, 2, 3], cv=3)
    scores = []
    for train, test in KFold(3).split(X):
        model = clone(regressor).set_params(n_bits=3, rates=(1, 2)).fit(X[train], y[train])
        scores.append([model.score(X[test], y[test], rate=rate) for rate in (1, 2, 3)])
    assert path["n_bits"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(path["score"], np.mean(scores, axis=0))
    np.testing.assert_allclose(path["std"], np.std(scores, axis=0, ddof=1))
    np.testing.assert_allclose(path["sem"], np.std(scores, axis=0, ddof=1) / np.sqrt(3))
    assert path["fit_seconds"].nunique() == 1
    assert path["fit_seconds"].iloc[0] > 0
    # The estimator stays unchanged.
    assert repr(regressor) == before
    assert not hasattr(regressor, "net_")


def test_path_of_a_given_head(data):
    """An instance fits the most bits."""
    head = nn.Linear(10 * 3, 1)
    path = bits_path(BitwiseRegressor(head=head, max_epochs=2, random_state=0), *data, [1, 2], cv=2)
    assert path["row_bits"].tolist() == [10, 20]


def test_path_of_one_number_of_bits(data):
    X, y = data
    path = bits_path(BitwiseRegressor(rates=(1,), **QUICK), X, y, [2], cv=2)
    assert path["n_bits"].tolist() == [2]
    expected = (
        GridSearchCV(BitwiseRegressor(2, **QUICK), {"n_bits": [2]}, cv=2).fit(X, y).cv_results_["mean_test_score"]
    )
    np.testing.assert_allclose(path["score"], expected)


def test_path_of_classes_with_missing_values(data):
    X, y = data[0].copy(), np.where(data[1] > np.median(data[1]), "high", "low")
    X[::5, 0] = np.nan
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(10)])
    classifier = BitwiseClassifier(missing="code", class_weight="balanced", **QUICK)
    path = bits_path(classifier, frame, pd.Series(y), [2, 1], cv=3, scoring="neg_log_loss")
    assert path["n_bits"].tolist() == [1, 2]
    assert path["row_bits"].tolist() == [10, 20]
    assert (path["score"] < 0).all()


@pytest.mark.parametrize(
    ("estimator", "bits", "message"),
    [
        (Ridge(), [1], "needs a BitwiseRegressor or BitwiseClassifier, got Ridge"),
        (BitwiseRegressor(quantizer=QuantileQuantizer()), [1], "leave quantizer at None"),
        (BitwiseRegressor(head=convolution, **QUICK), [2, 1], "rates need a head that begins with a linear layer"),
        (BitwiseRegressor(bit_budget=3), [1], "leave bit_budget at None"),
        (BitwiseRegressor(), [], "bits is empty"),
    ],
)
def test_path_rejects(data, estimator, bits, message):
    with pytest.raises(ValueError, match=message):
        bits_path(estimator, *data, bits)
