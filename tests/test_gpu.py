"""Results of a GPU, compared to those of the CPU; skipped without a GPU."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.base import clone, is_classifier
from skorch import NeuralNet
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    Codebook,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
)
from skbsq.codec import RowCodec
from skbsq.nn import BitwiseQuantization, StandardSpace, Thermometer
from skbsq.training.batches import TensorRows
from tests.strategies import codebooks, neighbours

has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

TINY = np.float32(2.0) ** np.float32(-149)
HARD_VALUES = np.float32(
    [0.0, -0.0, TINY, -TINY, 3 * TINY, 2.0**-126, -(2.0**-126), 1.0, np.nan, np.inf, -np.inf, 3.4028235e38]
)
TRAINING = dict(n_bits=2, max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
ESTIMATORS = [
    BitwiseQuantizer(**TRAINING),
    BitwiseQuantizer(**TRAINING | {"n_bits": 5}, missing="code", early_stopping=True),
    BitwiseQuantizer(**TRAINING, bit_budget=4),
    BitwiseQuantizer(**TRAINING | {"n_bits": 4}, rates=(1, 2)),
    SoftQuantizer(**TRAINING, learn_values=True),
    LSQQuantizer(**TRAINING),
    LLTQuantizer(**TRAINING),
    BitwiseRegressor(**TRAINING),
    BitwiseRegressor(**TRAINING | {"n_bits": 9}),
    BitwiseRegressor(**TRAINING | {"n_bits": 4}, rates=(1, 2)),
    BitwiseRegressor(**TRAINING, quantizer=QuantileQuantizer(2)),
    BitwiseRegressor(**TRAINING, quantizer=SoftQuantizer(2)),
    BitwiseRegressor(**TRAINING, quantizer="passthrough"),
    BitwiseClassifier(**TRAINING, class_weight="balanced", dropout=0.3),
]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=range(len(ESTIMATORS)))


@pytest.fixture
def data(rng):
    X = rng.normal(size=(150, 3)).astype(np.float32)
    return X, X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=150)


def fit(estimator, X, y, **parameters):
    y = y > 0 if is_classifier(estimator) else y
    return clone(estimator).set_params(**parameters).fit(X, y)


def known(values, missing):
    """Return the values that have a code."""
    return values if missing == "code" else values[~np.isnan(values)]


def output(predictor, X):
    return predictor.predict_proba(X) if is_classifier(predictor) else predictor.predict(X)


@has_gpu
@settings(max_examples=50)
@given(book=codebooks())
def test_codes_are_those_of_the_codebook(book):
    special = known(np.append(neighbours(np.concatenate(book.thresholds)), HARD_VALUES), book.missing)
    x = np.repeat(special[:, None], book.n_features, axis=1)
    layer, codes = Thermometer(book).cuda(), book.encode(x)
    np.testing.assert_array_equal(layer.encode(torch.from_numpy(x).cuda()).cpu().numpy(), codes)
    np.testing.assert_array_equal(layer(torch.from_numpy(x).cuda()).cpu().numpy(), book.thermometer(codes))
    moved = torch.from_numpy(codes.astype(np.int32)).cuda()
    np.testing.assert_array_equal(layer.from_codes(moved).cpu().numpy(), book.thermometer(codes))


@has_gpu
@pytest.mark.parametrize("missing", ["error", "code"])
def test_subnormals_are_not_flushed(missing):
    """A GPU that flushes subnormals to zero would find them equal to each other, and to thresholds at zero."""
    thresholds = [[-TINY, 0.0, TINY, 2 * TINY], [2.0**-126], [-3 * TINY, 1.0]]
    book = Codebook.from_thresholds(thresholds, missing=missing)
    x = np.repeat(known(HARD_VALUES, missing)[:, None], 3, axis=1)
    codes = Thermometer(book).cuda().encode(torch.from_numpy(x).cuda()).cpu().numpy()
    np.testing.assert_array_equal(codes, book.encode(x))
    assert codes[:6, 0].tolist() == [1, 1, 2, 0, 4, 4]


@has_gpu
def test_bits_in_training_compare_the_same_thresholds(rng):
    thresholds = [np.sort(rng.normal(1e3, 1e-2, size=31)).astype(np.float32)]
    layer = BitwiseQuantization(
        thresholds, space=StandardSpace(mean=np.array([1e3]), scale=np.array([0.0123])), forward="hard"
    )
    raw = layer.raw_thresholds().numpy()
    np.testing.assert_array_equal(layer.cuda().raw_thresholds().cpu().numpy(), raw)
    x = np.concatenate([raw, np.nextafter(raw, np.float32(np.inf)), np.nextafter(raw, np.float32(-np.inf))])[:, None]
    bits = layer.train()(torch.from_numpy(x).cuda()).detach().cpu().numpy()
    np.testing.assert_array_equal(bits, x > raw)


@has_gpu
@each
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_fitted_net_is_on_the_cpu(estimator, device, data):
    X, y = data
    fitted = fit(estimator, X, y, device=device)
    tensors = [*fitted.net_.module_.parameters(), *fitted.net_.module_.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    assert fitted.net_.device == "cpu"
    assert np.isfinite(fitted.history_["train_loss"]).all()
    if not hasattr(fitted, "predict"):
        np.testing.assert_array_equal(fitted.transform(X), fitted.codebook_.encode(X))


@has_gpu
@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if hasattr(e, "predict")], ids=str)
def test_predictions_equal_those_of_the_cpu_up_to_rounding(estimator, data):
    X, y = data
    fitted = fit(estimator, X, y, device="cuda")
    on_gpu = output(fitted, X)
    if fitted.quantizer_ is not None:
        codes = fitted.codebook_.encode(X)
        np.testing.assert_array_equal(fitted.predict_codes(codes), fitted.predict(X))
        np.testing.assert_array_equal(fitted.predict_packed(RowCodec(fitted.codebook_).pack(codes)), fitted.predict(X))
    on_cpu = output(fitted.set_params(device="cpu"), X)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-5)
    assert next(fitted.net_.module_.parameters()).device.type == "cpu"


@has_gpu
def test_the_head_runs_on_the_gpu(data, monkeypatch):
    X, y = data
    fitted = fit(BitwiseRegressor(**TRAINING), X, y, device="cuda")
    seen = []
    hook = nn.modules.module.register_module_forward_hook(lambda module, inputs, out: seen.append(out.device.type))
    try:
        fitted.predict(X)
    finally:
        hook.remove()
    assert set(seen) == {"cuda"}


@has_gpu
def test_the_error_is_within_the_spread_of_seeds(rng):
    X = rng.normal(size=(1200, 4)).astype(np.float32)
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + 0.1 * rng.normal(size=1200)

    def errors(device):
        for seed in range(5):
            model = BitwiseRegressor(3, hidden_sizes=(64,), max_epochs=15, device=device, random_state=seed)
            model.fit(X[:900], y[:900]).set_params(device="cpu")
            yield np.mean((model.predict(X[900:]) - y[900:]) ** 2)

    on_cpu, on_gpu = np.array([*errors("cpu")]), np.array([*errors("cuda")])
    spread = max(np.ptp(on_cpu), np.ptp(on_gpu))
    assert abs(on_cpu.mean() - on_gpu.mean()) <= spread
    assert on_gpu.mean() < 0.5 * y[900:].var()


@has_gpu
def test_generators_of_the_gpu_are_left_alone(data):
    X, y = data
    before = torch.cuda.get_rng_state().clone()
    fit(BitwiseRegressor(**TRAINING, dropout=0.5), X, y, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), before)


@has_gpu
def test_the_device_of_a_skorch_net_is_used(data):
    X, y = data
    net = NeuralNet(nn.Linear, criterion=nn.MSELoss, max_epochs=2, device="cuda")
    net.set_params(module=lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs))
    fitted = fit(BitwiseRegressor(**TRAINING, head=net), X, y)
    assert next(fitted.net_.module_.parameters()).device.type == "cpu"
    assert np.isfinite(fitted.predict(X)).all()


@has_gpu
def test_an_interrupted_fit_resumes(data, tmp_path):
    """GPUs add in no fixed order, so the result is close to that of an uninterrupted fit, but not equal."""
    X, y = data
    estimator = BitwiseRegressor(**TRAINING, dropout=0.3, device="cuda")
    whole = fit(estimator, X, y)
    estimator.set_params(checkpoint=tmp_path / "fit.checkpoint")
    passes = TensorRows.__getitem__
    left = 8  # five batches an epoch

    def take(rows, index):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return passes(rows, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorRows, "__getitem__", take)
        with pytest.raises(KeyboardInterrupt):
            fit(estimator, X, y)
    with pytest.raises(ValueError, match=r"device differs \(it was cuda, and is cpu\)"):
        fit(estimator, X, y, device="cpu")
    pieces = fit(estimator, X, y)
    assert pieces.n_iter_ == 3
    np.testing.assert_allclose(pieces.history_["train_loss"], whole.history_["train_loss"], rtol=1e-2)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=has_gpu)])
def test_rows_move_to_the_device_once(device, data, monkeypatch):
    X, y = data
    moved, seen = [], set()
    move, take = TensorRows.to, TensorRows.__getitem__

    def recorded_move(rows, to):
        moved.append(len(rows))
        return move(rows, to)

    def recorded_take(rows, index):
        seen.add(rows.x.device.type)
        return take(rows, index)

    monkeypatch.setattr(TensorRows, "to", recorded_move)
    monkeypatch.setattr(TensorRows, "__getitem__", recorded_take)
    BitwiseRegressor(**TRAINING, device=device).fit(X, y, X_val=X[:15], y_val=y[:15])
    assert sorted(moved) == [15, 150]
    assert seen == {device}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "auto", "cuda:3"])
def test_a_fitted_model_needs_no_gpu(device, data):
    X, y = data
    fitted = fit(BitwiseRegressor(**TRAINING), X, y)
    expected = fitted.predict(X)
    np.testing.assert_array_equal(fitted.set_params(device=device).predict(X), expected)
