"""skl2onnx converts pipelines with quantizers."""

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

import skbsq
from skbsq import BitwiseQuantizer, QuantileQuantizer, SoftQuantizer, TreeQuantizer, UniformQuantizer
from skbsq.export import register_skl2onnx
from tests.strategies import neighbours

NAN = float("nan")
QUICK = dict(max_epochs=1, hidden_sizes=(4,), random_state=0)


@pytest.fixture(autouse=True)
def registered():
    register_skl2onnx()


@pytest.fixture
def data(rng):
    X = rng.normal(size=(300, 4)).astype(np.float32)
    return X, X[:, 0] + np.sin(3 * X[:, 1])


def run(fitted, x, kind=FloatTensorType, **options):
    model = skl2onnx.convert_sklearn(fitted, initial_types=[("X", kind([None, x.shape[1]]))], **options)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": x})


def at_thresholds(book):
    special = neighbours(np.concatenate(book.thresholds))
    return np.repeat(special[np.isfinite(special)][:, None], book.n_features, axis=1)


QUANTIZERS = [QuantileQuantizer(4), TreeQuantizer(2), BitwiseQuantizer(2, **QUICK), SoftQuantizer(2, **QUICK)]


@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value"])
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda quantizer: type(quantizer).__name__)
def test_exactly_what_transform_returns(quantizer, encode, data):
    quantizer.set_params(encode=encode).fit(*data)
    x = np.concatenate([data[0], at_thresholds(quantizer.codebook_)])
    (found,) = run(quantizer, x)
    assert found.dtype == (np.float32 if encode == "value" else np.int64)
    np.testing.assert_array_equal(found, quantizer.transform(x))


@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value"])
def test_missing_code(encode, data):
    X = np.where(np.arange(4) < 3, data[0], np.float32(1))
    X[::3, 1] = NAN
    quantizer = QuantileQuantizer(2, encode=encode, missing="code").fit(X)
    X[1] = NAN  # also in the feature without a missing code
    np.testing.assert_array_equal(run(quantizer, X)[0], quantizer.transform(X))


@pytest.mark.parametrize(("kind", "dtype"), [(DoubleTensorType, np.float64), (Int64TensorType, np.int64)])
def test_other_inputs_are_cast(kind, dtype, rng):
    X = (2**26 * rng.random((300, 2))).astype(dtype)
    X[:2] = [[2**24 + 1], [2**24 + 3]]  # halfway between two float32
    quantizer = UniformQuantizer(6).fit(X)
    np.testing.assert_array_equal(run(quantizer, X, kind)[0], quantizer.transform(X))


def test_boosting_behind_a_quantizer(data):
    X, y = data
    pipeline = make_pipeline(QuantileQuantizer(4), GradientBoostingRegressor(n_estimators=20)).fit(X, y)
    x = np.concatenate([X, at_thresholds(pipeline[0].codebook_)])
    np.testing.assert_allclose(run(pipeline, x)[0].ravel(), pipeline.predict(x), rtol=1e-4, atol=1e-5)


def test_classifier_behind_a_learned_quantizer(data):
    X, y = data
    quantizer = BitwiseQuantizer(3, task="regression", **QUICK)
    pipeline = make_pipeline(quantizer, GradientBoostingClassifier(n_estimators=10)).fit(X, (y > 0).astype(int))
    label, probabilities = run(pipeline, X, options={"zipmap": False})
    np.testing.assert_array_equal(label, pipeline.predict(X))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-5)


def test_inside_a_column_transformer(data):
    X, y = data
    parts = make_column_transformer(
        (QuantileQuantizer(3, encode="value"), [0, 1]), (UniformQuantizer(2, encode="value"), [3])
    )
    pipeline = make_pipeline(parts, LinearRegression()).fit(X, y)
    np.testing.assert_allclose(run(pipeline, X)[0].ravel(), pipeline.predict(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_opsets(opset, data):
    quantizer = QuantileQuantizer(4).fit(data[0])
    np.testing.assert_array_equal(run(quantizer, data[0], target_opset=opset)[0], quantizer.transform(data[0]))


def test_every_quantizer_is_registered():
    names = {name for name in skbsq.__all__ if name.endswith("Quantizer")}
    known = skl2onnx.supported_converters()
    assert {f"Skbsq{name}" for name in names} <= set(known)
    assert len(names) == 9


def test_packed_rows_are_refused(data):
    X, y = data
    pipeline = make_pipeline(QuantileQuantizer(2, encode="packed"), LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"whose encode is one of .*, got 'packed'"):
        skl2onnx.to_onnx(pipeline, X[:1])


# -- categories ------------------------------------------------------------------------------------------------------


@pytest.fixture
def frame(rng):
    n = 300
    return pd.DataFrame(
        {
            "t": rng.normal(size=n).astype(np.float32),
            "valve": rng.choice(["open", "ajar", "shut", "stuck"], n),
            "site": rng.integers(0, 9, n),
            "on": rng.random(n) < 0.4,
        }
    )


KINDS = dict(categorical_features=["valve", "site", "on"])


def run_frame(fitted, frame):
    """Convert with an input per column, and run."""
    model = skl2onnx.to_onnx(fitted, frame[:1])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: frame[[name]].to_numpy() for name in frame})


@pytest.mark.parametrize("encode", ["ordinal", "thermometer"])
def test_categories(encode, frame):
    quantizer = QuantileQuantizer(2, encode=encode, **KINDS).fit(frame)
    assert quantizer.codebook_.is_one_hot.tolist() == [False, True, False, True]
    (found,) = run_frame(quantizer, frame)
    np.testing.assert_array_equal(found, quantizer.transform(frame))


def test_categories_before_boosting(frame):
    y = frame["t"] + (frame["valve"] == "ajar")
    boosting = make_pipeline(QuantileQuantizer(3, **KINDS), GradientBoostingRegressor(n_estimators=5)).fit(frame, y)
    (found,) = run_frame(boosting, frame)
    np.testing.assert_allclose(found.ravel(), boosting.predict(frame), rtol=1e-5)


def test_columns_of_one_type_in_one_input(frame):
    frame = frame.assign(other=frame["valve"].str.upper())[["valve", "other", "t"]]
    quantizer = QuantileQuantizer(2, categorical_features=["valve", "other"]).fit(frame)
    types = [("text", StringTensorType([None, 2])), ("t", FloatTensorType([None, 1]))]
    model = skl2onnx.convert_sklearn(quantizer, initial_types=types)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {"text": frame[["valve", "other"]].to_numpy(dtype=object), "t": frame[["t"]].to_numpy()}
    np.testing.assert_array_equal(session.run(None, inputs)[0], quantizer.transform(frame))


def test_categories_without_a_way_are_refused(frame):
    with pytest.raises(ValueError, match='encode="value" gives strings and numbers'):
        skl2onnx.to_onnx(QuantileQuantizer(2, encode="value", **KINDS).fit(frame), frame[:1])
    quantizer = QuantileQuantizer(2, **KINDS).fit(frame)
    with pytest.raises(
        ValueError, match="feature 'valve' needs an input of strings: give skl2onnx one input per column"
    ):
        skl2onnx.convert_sklearn(quantizer, initial_types=[("X", FloatTensorType([None, 4]))])
