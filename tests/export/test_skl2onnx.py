"""skl2onnx converts pipelines with quantizers."""

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
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
