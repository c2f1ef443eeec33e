"""ONNX models in onnxruntime give equal codes to the last bit, and predictions up to the rounding of float32."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseRegressor,
    Codebook,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
)
from skbsq.export import to_codebook, to_onnx
from skbsq.export._graph import Graph
from skbsq.export._onnx import _model
from skbsq.export._onnx_head import LAYERS, run_layers
from tests.strategies import codebooks, neighbours

QUICK = dict(max_epochs=2, hidden_sizes=(8, 4), batch_size=32, random_state=0)
NAN = float("nan")


def run(model, x, name="X"):
    """Return the outputs by name."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == [name]
    outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {name: x}), strict=True))
    declared = {o.name: o.shape for o in session.get_outputs()}
    for output, value in outputs.items():
        assert [size for size in declared[output] if size != "n"] == list(value.shape[1:])
        assert len(value) == len(x)
    return outputs


def assert_equal_codes(book, x):
    outputs = run(to_onnx(book), x)
    nan = np.isnan(x)
    refused = nan & book.refuses_nan
    if book.refuses_nan.any():
        np.testing.assert_array_equal(outputs.pop("refused"), refused.any(axis=1))
        x = np.where(refused, np.float32(-np.inf), x)  # the codes of these rows mean nothing
    codes = outputs.pop("codes")
    assert not outputs
    assert codes.dtype == book.dtype
    np.testing.assert_array_equal(codes, book.encode(x))


# -- the encoder -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(book=codebooks(), seed=st.integers(0, 1000))
def test_codes_are_equal(book, seed):
    """Thresholds and the floats next to them, subnormals, zeros of both signs, infinities, NaN, and any float."""
    rng = np.random.default_rng(seed)
    special = np.append(neighbours(np.concatenate(book.thresholds)), np.float32([NAN, 1e-45, -1e-45, 1e-38]))
    x = np.concatenate(
        [
            np.repeat(special[:, None], book.n_features, axis=1),
            rng.choice(special, size=(50, book.n_features)),
            rng.integers(-(2**31), 2**31, size=(100, book.n_features)).astype(np.int32).view(np.float32),
        ]
    )
    assert_equal_codes(book, x)


def test_subnormal_thresholds():
    """A runtime that flushes subnormals to zero would give all of these the same code."""
    t = np.arange(1, 6, dtype=np.int32).view(np.float32)
    book = Codebook.from_thresholds([t, -t])
    x = np.arange(8, dtype=np.int32).view(np.float32)
    assert book.encode(np.stack([x, -x], 1)).tolist()[:3] == [[0, 5], [0, 4], [1, 3]]
    assert_equal_codes(book, np.stack([x, -x], axis=1))


@pytest.mark.parametrize("missing", ["error", "code"])
def test_all_widths_at_once(missing, rng):
    """From 0 to 16 bits."""
    sizes = [0, 2**16 - 2, 1, 2, 3, 4, 255, 256, 0, 7]
    thresholds = [np.unique(rng.normal(size=size).astype(np.float32)) for size in sizes]
    book = Codebook.from_thresholds(thresholds, missing=missing)
    assert book.dtype == np.uint16
    x = rng.normal(size=(2000, len(sizes))).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = NAN
    for column, t in zip(x.T, thresholds, strict=True):
        if t.size:
            column[:500] = rng.choice(neighbours(t), 500)
    assert_equal_codes(book, x)


@pytest.mark.parametrize("missing", ["error", "code"])
def test_no_thresholds_at_all(missing):
    assert_equal_codes(Codebook.from_thresholds([[], []], missing=missing), np.float32([[0, np.inf], [NAN, -np.inf]]))


def test_one_row_and_none():
    book = Codebook.from_thresholds([[0.5], [1, 2]])
    assert run(to_onnx(book), np.float32([[1, 3]]))["codes"].tolist() == [[1, 2]]
    assert run(to_onnx(book), np.empty((0, 2), dtype=np.float32))["codes"].shape == (0, 2)


def test_pipeline(rng):
    X = pd.DataFrame(rng.normal(100, [3, 0.1, 5], size=(300, 3)).astype(np.float32), columns=["a", "b", "c"])
    pipeline = make_pipeline(VarianceThreshold(1), StandardScaler(), QuantileQuantizer(4)).fit(X)
    model = to_onnx(pipeline)
    outputs = run(model, X.to_numpy())
    np.testing.assert_array_equal(outputs["codes"][:, [0, 2]], pipeline.transform(X))
    assert not outputs["refused"].any()
    assert_equal_codes(to_codebook(pipeline), np.repeat(neighbours(to_codebook(pipeline).thresholds[0])[:, None], 3, 1))


def test_scalers_of_a_pipeline_fitted_on_float64():
    X = np.arange(1000, dtype=np.float32)[:, None] % 37 * np.float32(0.1)
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(5)).fit(X.astype(np.float64))
    codes = run(to_onnx(pipeline, dtype="float64"), X)["codes"]
    np.testing.assert_array_equal(codes, pipeline.transform(X.astype(np.float64)))
    assert (codes != run(to_onnx(pipeline), X)["codes"]).any()


def test_metadata():
    model = to_onnx(Codebook.from_thresholds([[0.5], [1]], feature_names=["a", "é"]))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert model.producer_name == "skbsq"
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (8, [("", 17)])
    assert metadata["fingerprint"] == Codebook.from_thresholds([[0.5], [1]]).fingerprint.hex()
    assert json.loads(metadata["feature_names"]) == ["a", "é"]
    nameless = to_onnx(Codebook.from_thresholds([[0.5]])).metadata_props
    assert json.loads(next(entry.value for entry in nameless if entry.key == "feature_names")) is None


def test_encoder_grows_with_the_bits_not_with_the_features():
    few, many = (to_onnx(Codebook.from_thresholds([range(15)] * d)) for d in (2, 500))
    assert len(few.graph.node) == len(many.graph.node) < 30


# -- predictors --------------------------------------------------------------------------------------


@pytest.fixture
def data(rng):
    X = rng.normal(size=(300, 4)).astype(np.float32)
    X[:, 3] = 5
    X[::7, 1] = NAN
    return X, 50 + 10 * (np.sin(2 * X[:, 0]) + np.nan_to_num(X[:, 1]))


QUANTIZERS = {
    "learned": None,
    "fixed": QuantileQuantizer(3, missing="code"),
    "soft": SoftQuantizer(3),
    "lsq": LSQQuantizer(3),
    "llt": LLTQuantizer(2),
    "passthrough": "passthrough",
}


def assert_equal_predictions(regressor, X):
    outputs, expected = run(to_onnx(regressor), X), regressor.predict(X)
    assert list(outputs) == ["prediction"]
    assert (outputs["prediction"].dtype, outputs["prediction"].shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(outputs["prediction"], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_regressor(kind, data):
    X, y = data
    regressor = BitwiseRegressor(3, quantizer=QUANTIZERS[kind], missing="code", **QUICK).fit(X, y)
    assert_equal_predictions(regressor, X)


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_classifier(kind, data):
    X, y = data
    labels = np.array(["low", "middle", "high"])[np.digitize(y, [45, 55])]
    classifier = BitwiseClassifier(3, quantizer=QUANTIZERS[kind], missing="code", **QUICK).fit(X, labels)
    outputs, expected = run(to_onnx(classifier), X), classifier.predict_proba(X)
    assert list(outputs) == ["label", "probabilities"]
    assert outputs["probabilities"].dtype == np.float32
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    two = np.sort(expected, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > 1e-4  # rounding may decide about other rows
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(outputs["label"][clear], classifier.predict(X)[clear])


@pytest.mark.parametrize("labels", [[False, True], [10, 20], [0.0, 1.0], np.array(["a", "b"], dtype=object)])
def test_labels(labels, data):
    X, y = np.nan_to_num(data[0]), data[1]
    y = np.asarray(labels)[(y > 50).astype(int)]
    classifier = BitwiseClassifier(2, **QUICK).fit(X, y)
    outputs = run(to_onnx(classifier), X)
    assert outputs["label"].tolist() == classifier.predict(X).tolist()
    assert outputs["label"].dtype == (object if isinstance(labels, np.ndarray) else np.int64)
    assert list(outputs) == ["label", "probabilities", "refused"]


def test_several_targets(data):
    X, y = data
    regressor = BitwiseRegressor(3, missing="code", **QUICK).fit(X, np.stack([y, -100 * y], axis=1))
    assert_equal_predictions(regressor, X)


@pytest.mark.parametrize("quantizer", [None, "passthrough"])
def test_refused_rows(quantizer, data):
    X, y = data
    clean = np.nan_to_num(X)
    regressor = BitwiseRegressor(2, quantizer=quantizer, **QUICK).fit(clean, y)
    outputs = run(to_onnx(regressor), X)
    np.testing.assert_array_equal(outputs["refused"], np.isnan(X).any(axis=1))
    rows = ~outputs["refused"]
    np.testing.assert_allclose(outputs["prediction"][rows], regressor.predict(X[rows]), rtol=1e-5)


@pytest.mark.parametrize("n_features", [17, 40])
def test_many_features_and_wide_ones(n_features, rng):
    """The table of the first layer is read in several parts. Some features are not sent."""
    X = rng.normal(size=(200, n_features)).astype(np.float32)
    n_bits = np.resize([9, 0, 1, 5], n_features)
    regressor = BitwiseRegressor(quantizer=QuantileQuantizer(n_bits), **QUICK).fit(X, X[:, 0])
    np.testing.assert_allclose(run(to_onnx(regressor), X)["prediction"], regressor.predict(X), rtol=1e-4, atol=1e-5)


def test_no_feature_is_sent(rng):
    X = rng.normal(size=(50, 2)).astype(np.float32)
    regressor = BitwiseRegressor(0, **QUICK).fit(X, X[:, 0])
    np.testing.assert_allclose(run(to_onnx(regressor), X)["prediction"], regressor.predict(X), rtol=1e-5)


def test_parts_of_a_predictor(data):
    X, y = data
    regressor = BitwiseRegressor(3, missing="code", **QUICK).fit(X, y)
    codes = run(to_onnx(regressor, part="encoder"), X)["codes"]
    np.testing.assert_array_equal(codes, regressor.codebook_.encode(X))
    predicted = run(to_onnx(regressor, part="head"), codes, name="codes")
    assert list(predicted) == ["prediction"]
    np.testing.assert_array_equal(predicted["prediction"], run(to_onnx(regressor), X)["prediction"])


@pytest.mark.parametrize("head", [None, lambda i, o: nn.Sequential(nn.ReLU(), nn.Linear(i, o))])
@pytest.mark.parametrize("quantizer", [None, SoftQuantizer(3)])
def test_pipeline_with_a_predictor(head, quantizer, rng):
    """The head reads the codes of the selected columns only."""
    X = rng.normal(100, [3, 0.1, 5, 4], size=(300, 4)).astype(np.float32)
    regressor = BitwiseRegressor(3, quantizer=quantizer, head=head, missing="code", **QUICK)
    pipeline = make_pipeline(StandardScaler(with_std=False), VarianceThreshold(1), regressor).fit(X, X[:, 2])
    assert_equal_predictions(pipeline, X)
    codes = run(to_onnx(pipeline, part="encoder"), X)["codes"]
    assert codes.shape == X.shape
    predicted = run(to_onnx(pipeline, part="head"), codes, name="codes")["prediction"]
    np.testing.assert_allclose(predicted, pipeline.predict(X), rtol=1e-5)


# -- heads -------------------------------------------------------------------------------------------

HEADS = {
    "linear": nn.Linear,
    "no bias": lambda i, o: nn.Sequential(nn.Linear(i, o, bias=False)),
    "not linear first": lambda i, o: nn.Sequential(nn.BatchNorm1d(i), nn.Linear(i, 5), nn.Tanh(), nn.Linear(5, o)),
    "nested": lambda i, o: nn.Sequential(nn.Sequential(nn.Dropout(0.5), nn.Linear(i, 5), nn.SiLU()), nn.Linear(5, o)),
    "norms": lambda i, o: nn.Sequential(nn.Linear(i, 6), nn.BatchNorm1d(6), nn.LayerNorm(6), nn.Linear(6, o)),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("quantizer", ["learned", "soft", "passthrough"])
def test_heads(head, quantizer, data):
    X, y = data
    quantizer = QUANTIZERS[quantizer]
    regressor = BitwiseRegressor(3, quantizer=quantizer, head=HEADS[head], missing="code", **QUICK).fit(X, y)
    assert_equal_predictions(regressor, X)


def settings_of(kind):
    return {
        nn.Linear: [(3, 2), (3, 2, False)],
        nn.LeakyReLU: [(0.2,)],
        nn.PReLU: [(), (3,)],
        nn.ELU: [(0.7,)],
        nn.GELU: [("none",), ("tanh",)],
        nn.Softplus: [(), (3.0,)],
        nn.Hardtanh: [(-0.3, 0.4)],
        nn.Softmax: [(None,), (-1,), (1,)],
        nn.LogSoftmax: [(1,)],
        nn.BatchNorm1d: [(3,), (3, 1e-2, 0.1, False)],
        nn.LayerNorm: [(3,), (3, 0.1, False), (3, 0.1, True, False)],
    }.get(kind, [()])


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_each_layer(kind, rng):
    x = np.concatenate([rng.normal(scale=3, size=(40, 3)), [[0, -0.0, 30]]]).astype(np.float32)
    for args in settings_of(kind):
        layer = kind(*args)
        if kind is nn.BatchNorm1d:
            layer(torch.from_numpy(2 * x + 1))  # other statistics than 0 and 1
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        expected = layer.eval()(torch.from_numpy(x)).detach().numpy()
        graph = Graph()
        output = run_layers(graph, "X", [layer])
        model = _model(graph, [("X", np.float32, 3)], [("y", output, np.float32, ("n", expected.shape[1]))], {})
        np.testing.assert_allclose(run(model, x)["y"], expected, rtol=1e-4, atol=1e-5)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked(n_inputs, n_outputs):
    layer = nn.Linear(n_inputs, n_outputs)
    layer.register_forward_hook(double_output)
    return layer


def double_output(module, args, output):
    return 2 * output


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (Doubled, "Doubled"),
        (hooked, "Linear"),
        (
            lambda i, o: nn.Sequential(nn.Linear(i, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Linear(4, o)),
            "Unflatten",
        ),
        (lambda i, o: nn.Sequential(nn.BatchNorm1d(i, track_running_stats=False), nn.Linear(i, o)), "BatchNorm1d"),
        (lambda i, o: nn.Sequential(nn.Linear(i, o), nn.Softmax(dim=0)), "Softmax"),
    ],
)
def test_unknown_layers_are_refused(head, named, data):
    X, y = data
    regressor = BitwiseRegressor(2, head=head, missing="code", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=rf'has a layer that to_onnx cannot write: {named}\(.*part="encoder"'):
        to_onnx(regressor)
    np.testing.assert_array_equal(run(to_onnx(regressor, part="encoder"), X)["codes"], regressor.codebook_.encode(X))


class Ending(nn.Sequential):
    def __init__(self, n_inputs, n_outputs, *last):
        super().__init__(nn.Linear(n_inputs, n_outputs), *last)


@pytest.mark.parametrize(
    "net",
    [
        NeuralNetClassifier(lambda i, o: Ending(i, o, nn.Softmax(dim=-1)), criterion=nn.NLLLoss, max_epochs=2),
        NeuralNet(lambda i, o: Ending(i, o, nn.LogSoftmax(dim=-1)), criterion=nn.NLLLoss, max_epochs=2),
        NeuralNet(Ending, criterion=nn.CrossEntropyLoss, max_epochs=2),
        NeuralNet(Ending, criterion=nn.CrossEntropyLoss, predict_nonlinearity=None, max_epochs=2),
    ],
    ids=["NLL of probabilities", "NLL of logarithms", "cross-entropy", "none"],
)
def test_nonlinearity_of_a_skorch_net(net, data):
    X, y = data
    net.set_params(verbose=0)
    classifier = BitwiseClassifier(3, head=net, missing="code", random_state=0).fit(X, y > 50)
    outputs = run(to_onnx(classifier), X)
    np.testing.assert_allclose(outputs["probabilities"], classifier.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson", "quantile"])
@pytest.mark.parametrize("quantizer", [None, SoftQuantizer(2), "passthrough"], ids=str)
def test_losses_of_regression(loss, quantizer, data):
    X, y = data
    targets = np.column_stack([np.abs(y), y**2])
    regressor = BitwiseRegressor(3, quantizer=quantizer, loss=loss, missing="code", **QUICK).fit(X, targets)
    outputs = run(to_onnx(regressor), X)
    np.testing.assert_allclose(outputs["prediction"], regressor.predict(X), rtol=1e-5)


def test_other_nonlinearities_are_refused(data):
    X, y = data
    net = NeuralNet(Ending, criterion=nn.CrossEntropyLoss, predict_nonlinearity=torch.sigmoid, max_epochs=1, verbose=0)
    classifier = BitwiseClassifier(3, head=net, missing="code", random_state=0).fit(X, y > 50)
    with pytest.raises(ValueError, match="predict_nonlinearity is <built-in method sigmoid"):
        to_onnx(classifier)
    counts = NeuralNet(Ending, criterion=nn.PoissonNLLLoss, predict_nonlinearity=torch.exp, max_epochs=1, verbose=0)
    regressor = BitwiseRegressor(3, head=counts, missing="code", random_state=0).fit(X, np.abs(y))
    with pytest.raises(ValueError, match="predict_nonlinearity is <built-in method exp"):
        to_onnx(regressor)


# -- refusals ----------------------------------------------------------------------------------------


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match=r"part must be one of \['whole', 'encoder', 'head'\], got 'codes'"):
        to_onnx(Codebook.from_thresholds([[0]]), part="codes")


def test_quantizer_has_no_head(rng):
    X = rng.normal(size=(50, 2))
    with pytest.raises(ValueError, match='part="head" needs a predictor'):
        to_onnx(ThresholdQuantizer([0.0]).fit(X), part="head")


def test_full_precision_has_no_codes(data):
    X, y = np.nan_to_num(data[0]), data[1]
    regressor = BitwiseRegressor(quantizer="passthrough", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="part='encoder' needs codes, and quantizer=\"passthrough\" has none"):
        to_onnx(regressor, part="encoder")
    with pytest.raises(ValueError, match="Step 'standardscaler' comes before a predictor that reads floats"):
        to_onnx(make_pipeline(StandardScaler(), regressor).fit(X, y))


def test_labels_without_an_onnx_type(data):
    X, y = data
    labels = np.array([2**63, 2**63 + 1], dtype=np.uint64)[(y > 50).astype(int)]
    classifier = BitwiseClassifier(1, missing="seen", **QUICK).fit(X, labels)
    with pytest.raises(ValueError, match="labels that are strings or whole numbers in int64"):
        to_onnx(classifier)
