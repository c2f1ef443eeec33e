"""Mixed frames in searches, paths and pipelines: each tool of model selection with each container."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseRegressor, QuantileQuantizer
from skbsq.model_selection import all_rates, best_rate, bits_path, fewest_bits, rate_curve, rate_distortion, row_bits

MODEL = BitwiseRegressor(n_bits=2, max_epochs=2, hidden_sizes=(8,), batch_size=64, random_state=0)
CONTAINERS = {"pandas": lambda X: X, "polars": pl.from_pandas, "arrow": pa.Table.from_pandas}
BOTH = {
    "scoring": {"r2": "r2", "row_bits": row_bits},
    "refit": fewest_bits(score="r2"),
    "error_score": "raise",
    "cv": 2,
}
each_container = pytest.mark.parametrize("container", CONTAINERS)


@pytest.fixture
def mixed(rng):
    kind = rng.choice(list("abcde"), 200, p=[0.3, 0.2, 0.2, 0.2, 0.1])
    X = pd.DataFrame({"t": rng.normal(size=200).round(1), "kind": kind, "on": rng.random(200) < 0.4})
    return X, (X["t"] + 2 * X["kind"].isin(["a", "d"]) + X["on"]).to_numpy()


@each_container
def test_path_and_curve(container, mixed):
    X, y = CONTAINERS[container](mixed[0]), mixed[1]
    path = bits_path(MODEL, X, y, [1, 2], cv=2)
    assert path["row_bits"].tolist() == [3, 5]
    assert path["score"].notna().all()
    fitted = clone(MODEL).set_params(rates=(1,)).fit(X, y)
    assert rate_curve(fitted, X, y)["row_bits"].tolist() == [3, 5]
    np.testing.assert_array_equal(fitted.predict(X), clone(MODEL).set_params(rates=(1,)).fit(*mixed).predict(mixed[0]))


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_searches(container, mixed):
    X, y = CONTAINERS[container](mixed[0]), mixed[1]
    search = GridSearchCV(MODEL, {"n_bits": [1, 2], "min_share": [0.0, 0.15]}, **BOTH).fit(X, y)
    assert set(rate_distortion(search.cv_results_, score="r2")["row_bits"]) <= {3, 5}
    assert row_bits(search) == row_bits(search.best_estimator_)
    rates = clone(MODEL).set_params(rates=(1,))
    found = GridSearchCV(rates, {"min_share": [0.0, 0.15]}, **{**BOTH, "scoring": all_rates("r2")}).fit(X, y)
    assert best_rate(found.cv_results_) in (1, 2)
    assert cross_val_predict(MODEL, X, y, cv=2).shape == (200,)


def test_a_pipeline_in_a_search(mixed):
    steps = make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge())
    search = GridSearchCV(steps, {"quantilequantizer__n_bits": [1, 3]}, **BOTH).fit(*mixed)
    assert search.best_params_ == {"quantilequantizer__n_bits": 3}
    assert row_bits(search) == 3 + 3 + 1


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_names_of_outputs(output, mixed):
    quantizer = QuantileQuantizer([1, 3, 1], encode="thermometer").set_output(transform=output)
    made = quantizer.fit_transform(mixed[0])
    # One-hot columns have the names of the categories, but for the most frequent one.
    first, *others = list(quantizer.codebook_.categories[1])
    assert list(made.columns) == ["t_t0", *(f"kind_{name}" for name in others), "on_True"]
    assert first == mixed[0]["kind"].mode()[0]
    assert make_pipeline(quantizer, Ridge()).fit(*mixed).score(*mixed) > 0.5


def test_scalers_before_a_predictor(mixed):
    X, y = mixed
    scaled = make_column_transformer(
        (StandardScaler(), ["t"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    piped = make_pipeline(scaled, clone(MODEL)).fit(X, y)
    assert row_bits(piped) == 5
    assert piped[-1].codebook_.categories[1] == clone(MODEL).fit(X, y).codebook_.categories[1]


def test_a_new_head_for_the_codes(mixed):
    X, y = mixed
    longer = clone(MODEL).set_params(max_epochs=20)
    model = clone(longer).fit(X, y)
    codes = model.codebook_.encode(X)
    refit = clone(longer).fit(X, y).refit_head(codes, -y)
    np.testing.assert_array_equal(refit.predict(X), refit.predict_codes(codes))
    assert np.corrcoef(refit.predict(X), model.predict(X))[0, 1] < 0
