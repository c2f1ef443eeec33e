"""inverse_transform of mixed rows: a frame of the right types, for every encoding and form of input."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from skbsq import BitwiseQuantizer, QuantileQuantizer, ThresholdQuantizer, TreeQuantizer
from skbsq.codec.encodings import ENCODINGS

CATEGORICAL = ["kind", "on", "count"]
QUANTIZERS = [
    QuantileQuantizer(2, missing="seen", categorical_features=CATEGORICAL),
    TreeQuantizer(2, missing="seen", categorical_features=CATEGORICAL),
    BitwiseQuantizer(
        2, missing="seen", categorical_features=CATEGORICAL, max_epochs=1, hidden_sizes=(4,), random_state=0
    ),
]
each_encoding = pytest.mark.parametrize("encode", ENCODINGS)


@pytest.fixture
def X(rng):
    X = pd.DataFrame({"t": rng.normal(size=120), "kind": rng.choice(list("abcde"), 120).astype(object)})
    X["on"], X["count"] = rng.random(120) < 0.5, rng.integers(0, 6, 120)
    X.loc[4, "kind"] = None
    return X


@each_encoding
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda q: type(q).__name__)
def test_types_and_values(quantizer, encode, X):
    quantizer = clone(quantizer).set_params(encode=encode).fit(X, np.arange(120.0))
    frame = quantizer.inverse_transform(quantizer.transform(X))
    assert frame.dtypes.astype(str).tolist() == ["float32", "category", "bool", "int64"]
    assert list(frame.columns) == list(X.columns)
    codes = quantizer.codebook_.encode(X)
    expected = quantizer.codebook_.decode(codes)
    for row, levels in zip(frame.itertuples(index=False), expected, strict=True):
        assert [None if pd.isna(value) else value for value in row] == levels.tolist()
    # Levels have the codes that they stand for.
    np.testing.assert_array_equal(quantizer.codebook_.encode(frame), codes)


@each_encoding
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_frames_of_set_output_are_read_back(container, encode, X):
    quantizer = QuantileQuantizer(2, missing="seen", encode=encode).fit(X)
    expected = quantizer.inverse_transform(quantizer.transform(X))
    out = quantizer.set_output(transform=container).transform(X)
    assert isinstance(out, pl.DataFrame if container == "polars" else pd.DataFrame)
    assert list(out.columns) == list(quantizer.get_feature_names_out())
    pd.testing.assert_frame_equal(quantizer.inverse_transform(out), expected)


def test_values_in_a_frame_have_types(X):
    quantizer = QuantileQuantizer(2, missing="seen", encode="value").fit(X)
    assert quantizer.transform(X).dtype == object
    frame = quantizer.set_output(transform="pandas").transform(X)
    assert frame.dtypes.astype(str).tolist() == ["float32", "category", "bool", "float32"]
    out = quantizer.set_output(transform="polars").transform(X)
    assert out.dtypes == [pl.Float32, pl.Categorical, pl.Boolean, pl.Float32]


def test_rows_without_names(X):
    quantizer = QuantileQuantizer(2, missing="seen", categorical_features=[1, 2, 3]).fit(X.to_numpy())
    frame = quantizer.inverse_transform(quantizer.transform(X.to_numpy()))
    assert list(frame.columns) == ["x0", "x1", "x2", "x3"]
    assert frame.dtypes.astype(str).tolist() == ["float32", "category", "bool", "int64"]


def test_numbers_stay_an_array(X):
    quantizer = QuantileQuantizer(2).fit(X[["t", "count"]])
    decoded = quantizer.inverse_transform(quantizer.transform(X[["t", "count"]]))
    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == np.float32


def test_what_is_no_level(X):
    given = {"t": [0.0], "kind": {"a": 0, "b": 0, "c": 1}}
    rows = pd.DataFrame({"t": [-1.0, 1.0, 1.0], "kind": ["a", "a", "c"]})
    quantizer = ThresholdQuantizer(given, encode="value").fit(rows)
    values = quantizer.inverse_transform(quantizer.transform(rows))
    with pytest.raises(ValueError, match="Column 1 of X holds b, which is not a level"):
        quantizer.inverse_transform(values.assign(kind="b"))
    with pytest.raises(ValueError, match="Column 1 of X holds z, which is not a level"):
        quantizer.inverse_transform(values.assign(kind="z"))
    with pytest.raises(ValueError, match="Code 2 of feature 'kind'"):
        quantizer.set_params(encode="ordinal").inverse_transform([[0, 2]])
