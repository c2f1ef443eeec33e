"""The contract of every public estimator."""

import copy
import functools
import io
import os
import pickle
import re
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils.estimator_checks import parametrize_with_checks

import skbsq
from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.exceptions import PrecisionWarning
from skbsq.persistence import load, save

NAN = float("nan")
TRAINING = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)

FIXED = [UniformQuantizer(), QuantileQuantizer(), KMeansQuantizer(), TreeQuantizer(), ThresholdQuantizer([-1, 0, 1])]
LEARNED = [
    BitwiseQuantizer(**TRAINING),
    SoftQuantizer(**TRAINING),
    SoftQuantizer(learn_values=True, **TRAINING),
    LSQQuantizer(**TRAINING),
    LLTQuantizer(**TRAINING),
]
QUANTIZERS = FIXED + LEARNED
PREDICTORS = [
    BitwiseRegressor(**TRAINING),
    BitwiseRegressor(quantizer=QuantileQuantizer(), **TRAINING),
    BitwiseRegressor(quantizer="passthrough", **TRAINING),
    BitwiseClassifier(**TRAINING),
]
ESTIMATORS = QUANTIZERS + PREDICTORS

# The only list of skipped checks, with the reason for each.
SKIPPED_CHECKS = {
    (kind, "check_sample_weight_equivalence_on_dense_data"): (
        "Mini-batches are drawn from the rows: a row of weight 2 is in one batch, two equal rows may be in two. "
        "Zero weight against a removed row is equal to the byte, see test_zero_weight_is_a_removed_row."
    )
    for kind in {type(estimator) for estimator in LEARNED + PREDICTORS}
}


def each_of(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=str)


each, each_quantizer, each_learned = each_of(ESTIMATORS), each_of(QUANTIZERS), each_of(LEARNED + PREDICTORS)
# One of each way from X to float32, after which all estimators see the same.
each_way_in = each_of([QuantileQuantizer(), BitwiseQuantizer(**TRAINING), BitwiseClassifier(**TRAINING)])


def test_every_public_estimator_is_here():
    public = {getattr(skbsq, name) for name in skbsq.__all__} - {skbsq.Codebook, skbsq.Receiver}
    assert public == {type(estimator) for estimator in ESTIMATORS}


def clone_with(estimator, **parameters):
    """A clone with those of the parameters that the estimator has."""
    known = estimator.get_params()
    return clone(estimator).set_params(**{name: value for name, value in parameters.items() if name in known})


@parametrize_with_checks(
    [clone_with(e, missing=missing) for e in ESTIMATORS for missing in ("error", "code")]
    + [clone_with(e, missing="seen") for e in FIXED]
    + [clone_with(e, guard=True) for e in (*FIXED, LEARNED[0], *PREDICTORS[:2], PREDICTORS[-1])]
    + [clone_with(e, rates=(1, 2)) for e in (LEARNED[0], *PREDICTORS[:2], PREDICTORS[-1])]
)
def test_sklearn_checks(estimator, check):
    name = check.func.__name__
    if reason := SKIPPED_CHECKS.get((type(estimator), name)):
        pytest.skip(reason)
    if name.endswith("_train"):  # these checks ask for a score
        estimator = clone_with(estimator, max_epochs=12, lr=0.02, hidden_sizes=(32,))
    check(estimator)


def data_of(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(90, 3))
    X[:, 2] = rng.integers(0, 4, size=90)
    return X, X[:, 0] + X[:, 1] ** 2


@pytest.fixture
def data(global_random_seed):
    return data_of(global_random_seed)


def framed(X):
    return pd.DataFrame(X, columns=["a", "b", "c"])


def with_holes(X):
    X = X.copy()
    X[::5, 1] = NAN
    return X


def target_for(estimator, y):
    return y > np.median(y) if is_classifier(estimator) else y


def fit(estimator, X, y, **kwargs):
    return clone(estimator).fit(X, target_for(estimator, y), **kwargs)


@functools.cache
def _fit_once(estimator, seed, form):
    X, y = data_of(seed)
    return fit(estimator if form is not with_holes else clone_with(estimator, missing="code"), form(X), y)


@pytest.fixture
def fit_once(global_random_seed):
    """Function that returns a copy of an estimator fitted on `data`; the fit itself happens once for all tests."""
    return lambda estimator, form=np.asarray: copy.deepcopy(_fit_once(estimator, global_random_seed, form))


def output(estimator, X):
    """All outputs of an estimator for rows."""
    if is_classifier(estimator):
        return estimator.predict_proba(X)
    if is_regressor(estimator):
        return estimator.predict(X)
    return np.column_stack([estimator.transform(X), estimator.inverse_transform(estimator.transform(X))])


def assert_equal(one, other, X):
    """Equal outputs and codebooks, to the byte."""
    np.testing.assert_array_equal(output(one, X), output(other, X))
    if getattr(one, "quantizer_", one) is not None:
        assert one.codebook_ == other.codebook_


# -- input -------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_input_is_not_touched(estimator, data, dtype):
    X, y = data
    X = X.astype(dtype)
    weights = np.linspace(0, 2, len(y))
    kept = X.copy(), y.copy(), weights.copy()
    fitted = fit(estimator, X, y, sample_weight=weights)
    output(fitted, X)
    for now, before in zip((X, y, weights), kept, strict=True):
        np.testing.assert_array_equal(now, before)


@each
@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda X: np.frombuffer(X.astype(np.float32).tobytes(), dtype=np.float32).reshape(X.shape),  # read-only
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X.tolist(),
        lambda X: X.astype(object),
    ],
)
def test_forms_of_an_array(estimator, data, form):
    X, y = data
    X = X.astype(np.float32).astype(np.float64)
    fitted = fit(estimator, X, y)
    assert_equal(fit(estimator, form(X), y), fitted, X)
    np.testing.assert_array_equal(output(fitted, form(X)), output(fitted, X))


@each_way_in
@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int64, np.uint16, bool])
def test_numeric_types(estimator, data, dtype):
    X, y = data
    X = (X * 3).astype(dtype) if dtype is not np.uint16 else np.abs(X * 3).astype(dtype)
    assert_equal(fit(estimator, X, y), fit(estimator, X.astype(np.float64), y), X)


@each
def test_fit_needs_less_memory_than_another_X(estimator, rng, tmp_path):
    """In memory and as a memory map, with equal results."""
    X = rng.normal(size=(25_000, 64)).astype(np.float32)
    X[:, 1:] = X[:, 1:].round(2)  # few unique values save time
    np.save(tmp_path / "X.npy", X)
    estimator = clone_with(estimator, n_bits=2, init="quantile", batch_size=2500, max_epochs=1)
    fit(estimator, X[:100], X[:100, 0])  # libraries are loaded in the first fit, which must not count
    fits = []
    for form in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):
        tracemalloc.start()  # sees allocations of NumPy, not those of torch for a batch
        try:
            fits.append(fit(estimator, form, X[:, 0]))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < X.nbytes
    assert_equal(*fits, X[:500])


@each
def test_frames_equal_arrays(estimator, data, fit_once):
    X, y = data
    frame = framed(X).set_index(np.arange(90)[::-1])
    by_frame, by_array = fit(estimator, frame, y), fit_once(estimator)
    np.testing.assert_array_equal(output(by_frame, frame), output(by_array, X))
    assert by_frame.feature_names_in_.tolist() == ["a", "b", "c"]
    if getattr(by_frame, "quantizer_", by_frame) is not None:
        assert by_frame.codebook_.feature_names == ("a", "b", "c")
    by_polars = fit(estimator, pl.DataFrame({name: X[:, j] for j, name in enumerate("abc")}), y)
    np.testing.assert_array_equal(output(by_polars, frame), output(by_array, X))


@each
def test_precision_warning_names_features(estimator, rng):
    X = pd.DataFrame({"fine": rng.normal(size=60), "time": 1.7e9 + np.arange(60), "id": np.arange(60) + 2.0**25})
    with pytest.warns(PrecisionWarning, match="features time, id:") as caught:
        fit(estimator, X, rng.normal(size=60))
    assert len(caught) == 1
    assert caught[0].filename == __file__


# -- repetition --------------------------------------------------------------------------------------


def global_states():
    return np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()  # noqa: NPY002


@each
def test_two_fits_are_equal_and_leave_the_global_generators_alone(estimator, data, fit_once):
    X, y = data
    first = fit_once(estimator)
    torch.manual_seed(1234)
    np.random.seed(99)  # noqa: NPY002  fits must not depend on the global generator
    states = global_states()
    assert_equal(first, fit(estimator, X, y), X)
    assert global_states() == states


@each_learned
def test_random_state(estimator, data):
    X, y = data
    y = y + np.random.default_rng(0).normal(size=90)
    states = (None, None, 1, np.random.RandomState(5), np.random.RandomState(5))
    fits = [fit(clone_with(estimator, random_state=state, max_epochs=1), X, y) for state in states]
    weights = [e.head_[0].weight.detach().numpy().tobytes() for e in fits]
    assert len(set(weights)) == 4
    assert_equal(fits[3], fits[4], X)


def linear_head(n_inputs, n_outputs):
    return torch.nn.Sequential(torch.nn.Linear(n_inputs, n_outputs))


ALTERNATIVES = {
    "n_bits": 3,  # with a missing code and guard codes there are levels for numbers
    "encode": "value",
    "missing": "code",
    "guard": True,
    "special_values": [0, 1],
    "levels": "midpoint",
    "ties": "merge",
    "quantile_method": "linear",
    "sketch_size": 100,
    "task": "regression",
    "min_share": 0.9,
    "thresholds": [0.5],
    "head": linear_head,
    "loss": "huber",
    "quantile": 0.9,
    "init": "kmeans",
    "quantizer": UniformQuantizer(3),
    "max_epochs": 2,
    "batch_size": 10,
    "lr": 0.1,
    "lr_schedule": "constant",
    "threshold_lr_ratio": 1.0,
    "weight_decay": 0.5,
    "dropout": 0.5,
    "hidden_sizes": (4, 4),
    "forward": "soft",
    "space": "standard",
    "level_inputs": False,
    "bit_budget": 5,
    "rates": (1,),
    "learn_values": True,
    "granularity": 4,
    "categorical_features": None,
    "handle_unknown": "missing",
    "temperature_schedule": "cosine",
    "temperature_start": 0.5,
    "temperature_end": 0.2,
    "validation_fraction": 0.3,
    "early_stopping": True,
    "patience": 1,
    "class_weight": "balanced",
    "device": "auto",
    "checkpoint": os.path.join(tempfile.gettempdir(), f"skbsq-{os.getpid()}.checkpoint"),
    "random_state": 7,
    "verbose": 0,
}


@each
@pytest.mark.parametrize("part", range(4))
def test_refit_equals_a_fresh_fit(estimator, data, fit_once, part):
    """With a quarter of the parameters changed, and back again; nothing of an earlier fit stays."""
    X, y = data
    target, before = target_for(estimator, y), estimator.get_params(deep=False)
    changed = {name: ALTERNATIVES[name] for name in sorted(before)[part::4]}
    if not is_classifier(estimator):
        changed.pop("class_weight", None)
    if {**before, **changed}.get("quantizer") is not None:
        changed.pop("bit_budget", None)  # predictors reject the two together
    if {**before, **changed}.get("quantizer") == "passthrough":
        changed.pop("rates", None)
        changed.pop("guard", None)
        changed.pop("special_values", None)
    if "special_values" in changed:  # rejected with a budget and with rates
        changed.pop("bit_budget", None)
        changed.pop("rates", None)
    used = fit_once(estimator, framed)
    fresh_fits = fit(clone(estimator).set_params(**changed), X, y), fit_once(estimator)
    for parameters, fresh in zip((changed, before), fresh_fits, strict=True):
        used.set_params(**parameters).fit(X, target)
        assert_equal(used, fresh, X)
        assert vars(used).keys() == vars(fresh).keys()
        if hasattr(used, "transform"):
            assert used.get_feature_names_out().tolist() == fresh.get_feature_names_out().tolist()


@each
def test_a_failed_fit_changes_nothing(estimator, data, fit_once):
    X, y = data
    fitted = fit_once(estimator)
    before = output(fitted, X)
    for bad in (np.full((90, 5), np.inf), np.full((0, 3), 1.0)):
        with pytest.raises(ValueError, match=r"infinity|minimum of"):
            fitted.fit(bad, target_for(estimator, y)[: len(bad)])
    np.testing.assert_array_equal(output(fitted, X), before)
    assert fitted.n_features_in_ == 3


# -- weights -----------------------------------------------------------------------------------------


@each
def test_zero_weight_is_a_removed_row(estimator, data):
    X, y = data
    weights = np.random.default_rng(0).integers(0, 3, size=90).astype(float)
    kept = weights > 0
    y = target_for(estimator, y)
    weighted = clone(estimator).fit(X, y, sample_weight=weights)
    assert_equal(weighted, clone(estimator).fit(X[kept], y[kept], sample_weight=weights[kept]), X)


@each_of(FIXED)
def test_weight_is_repetition(estimator, data):
    X, y = data
    weights = np.random.default_rng(0).integers(1, 4, size=90)
    weighted = fit(estimator, X, y, sample_weight=weights)
    repeated = fit(estimator, np.repeat(X, weights, axis=0), np.repeat(y, weights))
    for one, other in zip(weighted.thresholds_, repeated.thresholds_, strict=True):
        np.testing.assert_array_equal(one, other)


@each
def test_no_weight_at_all(estimator, data):
    with pytest.raises(ValueError, match="zero"):
        fit(estimator, *data, sample_weight=np.zeros(90))


# -- corners -----------------------------------------------------------------------------------------


@each
def test_constants(estimator, data):
    X, y = data
    X = np.column_stack([X[:, 0], np.full(90, 7.1)])
    fitted = fit(estimator, X, y)
    output(fitted, X)
    if getattr(fitted, "quantizer_", fitted) is None or isinstance(fitted, ThresholdQuantizer):
        return
    assert fitted.n_bits_[1] == 0
    assert fitted.codebook_.levels[1].tolist() == [np.float32(7.1)]


@each
def test_one_feature_and_few_rows(estimator):
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 1.0, 0.0, 1.0])
    assert len(output(fit(estimator, X, y), X)) == 4


@each
@pytest.mark.parametrize("missing", ["error", "code"])
def test_all_missing_column(estimator, data, missing):
    X, y = data
    X = np.column_stack([X[:, 0], np.full(90, NAN)])
    estimator = clone_with(estimator, missing=missing)
    if missing == "error":
        with pytest.raises(ValueError, match="NaN in feature 1"):
            fit(estimator, X, y)
        return
    fitted = fit(estimator, X, y)
    output(fitted, X)
    if getattr(fitted, "quantizer_", fitted) is not None:
        assert fitted.codebook_.has_missing[1]
        assert np.isnan(fitted.codebook_.levels[1][-1])
        assert fitted.codebook_.encode(X)[:, 1].tolist() == [fitted.n_levels_[1] - 1] * 90


@each
@pytest.mark.parametrize(
    "missing", [{"a": "error", "b": "seen", "c": "code"}, {0: "error", 1: "seen", 2: "code"}, ["error", "seen", "code"]]
)
def test_missing_as_seen_and_per_feature(estimator, data, missing):
    X, y = data
    X, holes = framed(X), framed(with_holes(X))
    fitted = fit(clone_with(estimator, missing=missing), holes, y)
    output(fitted, holes)
    assert fitted.__sklearn_tags__().input_tags.allow_nan
    if getattr(fitted, "quantizer_", fitted) is not None:
        assert fitted.codebook_.has_missing.tolist() == [False, True, True]
    holes.loc[7, "a"] = NAN
    with pytest.raises(ValueError, match=r"NaN in feature 'a' \(row 7\)"):
        output(fitted, holes)
    with pytest.raises(ValueError, match=r"NaN in feature 'a' \(row 7\), and .* has missing=\"error\" there"):
        fit(clone_with(estimator, missing=missing), holes, y)
    # Without NaN, "seen" is "error".
    assert_equal(fit(clone_with(estimator, missing="seen"), X, y), fit(estimator, X, y), X)


@each
def test_masked_values_are_missing(estimator, data, fit_once):
    """NumPy drops a mask wherever it converts to an array."""
    X, y = data
    holes = with_holes(X)
    masked = np.ma.masked_array(X, np.isnan(holes))
    by_mask, by_nan = fit(clone_with(estimator, missing="code"), masked, y), fit_once(estimator, with_holes)
    np.testing.assert_array_equal(output(by_mask, masked), output(by_nan, holes))
    with pytest.raises(ValueError, match="NaN in feature 1"):
        fit(estimator, masked, y)


@each_of([e for e in ESTIMATORS if "n_bits" in e.get_params() and not e.get_params().get("quantizer")])
@pytest.mark.parametrize("n_bits", [0, 16])
def test_narrowest_and_widest(estimator, data, n_bits):
    X, y = data
    if n_bits == 16 and isinstance(estimator, LSQQuantizer | LLTQuantizer):
        n_bits = 15  # thresholds do not depend on the unique values, and there may be at most 2^17 in all
    # A tree may stop early, and moving thresholds may meet.
    fitted = fit(clone_with(estimator, n_bits=n_bits, init="quantile", threshold_lr_ratio=0, max_epochs=1), X, y)
    output(fitted, X)
    if n_bits == 0:
        assert fitted.n_levels_.tolist() == [1, 1, 1]
        assert fitted.codebook_.row_bits == 0
        # Nothing is measured, so that NaN is as good as a number.
        np.testing.assert_array_equal(output(fitted, np.full_like(X, NAN)), output(fitted, X))
    elif isinstance(estimator, LSQQuantizer | LLTQuantizer):
        assert (fitted.n_levels_ > 2**14).all()
    elif not isinstance(estimator, UniformQuantizer | TreeQuantizer):
        assert fitted.n_levels_.tolist() == [90, 90, 4]


@each
def test_wrong_use_once_fitted(estimator, data, fit_once):
    X, _ = data
    fitted = fit_once(estimator)
    with pytest.raises(ValueError, match="2 features"):
        output(fitted, X[:, :2])
    bad = X.copy()
    bad[4, 1] = NAN
    with pytest.raises(ValueError, match="NaN in feature 1"):
        output(fitted, bad)


# -- copies ------------------------------------------------------------------------------------------


@each
def test_skops_needs_trust_in_this_package_alone(estimator, data, fit_once):
    X, y = data
    fitted = fit_once(estimator)
    written = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=written)
    assert {name.partition(".")[0] for name in types} == {"skbsq"}
    loaded = skops.io.loads(written, trusted=types)
    assert_equal(loaded, fitted, X)
    assert_equal(loaded.fit(X, target_for(fitted, y)), fitted, X)


@each
def test_save_and_load(estimator, data, fit_once, tmp_path):
    X, y = data
    frame, fitted = framed(X), fit_once(estimator, framed)
    save(fitted, tmp_path / "fitted.safetensors")
    loaded = load(tmp_path / "fitted.safetensors")
    assert type(loaded) is type(fitted)
    assert str(loaded.get_params()) == str(fitted.get_params())
    assert_equal(loaded, fitted, frame)
    assert vars(loaded).keys() == vars(fitted).keys()
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
    if hasattr(fitted, "history_"):
        pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
        assert str(loaded.head_) == str(fitted.head_)
    assert_equal(pickle.loads(pickle.dumps(loaded)), fitted, frame)
    save(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "fitted.safetensors").read_bytes()
    assert_equal(clone(loaded).fit(frame, target_for(fitted, y)), fitted, frame)


@each
def test_threads_may_share_a_fitted_estimator(estimator, data, fit_once):
    X, _ = data
    fitted = fit_once(estimator)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: output(fitted, X), range(4)))
    for one in found:
        np.testing.assert_array_equal(one, output(fitted, X))


# -- manners -----------------------------------------------------------------------------------------


@each
def test_silence(estimator, data, capfd):
    fitted = fit(estimator, *data)
    output(fitted, data[0])
    assert capfd.readouterr() == ("", "")


@each_learned
def test_progress_bar(estimator, data, capfd):
    fit(clone_with(estimator, verbose=1), *data)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err
    assert "train_loss" in err


@each_learned
@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_leaves_fit(estimator, data, fit_once, early_stopping, ctrl_c_after):
    """A real interrupt, in the middle of training; the estimator stays as it was."""
    X, y = data
    fit_once(estimator)  # imports of torch in the first fit must not be interrupted
    endless = dict(max_epochs=10**6, patience=10**6, lr_schedule="constant")
    estimator = clone_with(estimator, early_stopping=early_stopping, **endless)
    ctrl_c_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, target_for(estimator, y))
    assert not hasattr(estimator, "net_")
    assert not hasattr(estimator, "n_features_in_")


# -- transformers ------------------------------------------------------------------------------------


@each_quantizer
@pytest.mark.parametrize("form", [np.asarray, with_holes])
@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value", "packed"])
def test_encodings(estimator, data, fit_once, encode, form):
    X, fitted = form(data[0]), fit_once(estimator, form).set_params(encode=encode)
    book, out = fitted.codebook_, fitted.transform(X)
    codes = book.encode(X)
    features, row_bytes = ["x0", "x1", "x2"], RowCodec(book).row_bytes
    expected, names = {
        "ordinal": (codes, features),
        "thermometer": (book.thermometer(codes), book.column_names()),
        "value": (book.decode(codes), features),
        "packed": (RowCodec(book).pack(codes), [f"byte{i}" for i in range(row_bytes)]),
    }[encode]
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == expected.dtype
    np.testing.assert_array_equal(fitted.inverse_transform(out), book.decode(codes))
    assert fitted.inverse_transform(out).dtype == np.float32
    assert fitted.get_feature_names_out().tolist() == names
    for library, frame in [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]:
        framed = fitted.set_output(transform=library).transform(X)
        assert isinstance(framed, frame)
        assert list(framed.columns) == names
        np.testing.assert_array_equal(framed.to_numpy(), out)
        np.testing.assert_array_equal(fitted.inverse_transform(framed), book.decode(codes))
    if names == features:
        assert fitted.get_feature_names_out(["p", "q", "r"]).tolist() == ["p", "q", "r"]


@each_of([e for e in PREDICTORS if e.quantizer != "passthrough"])
@pytest.mark.parametrize("form", [np.asarray, with_holes])
def test_prediction_from_bytes(estimator, data, fit_once, form):
    X, fitted = form(data[0]), fit_once(estimator, form)
    book = fitted.codebook_
    codes, expected = book.encode(X), fitted.predict(X)
    first, last = dumps(book, codes[:7]), dumps(book, codes[7:], pad_rows=False)
    for sent in (RowCodec(book).pack(codes), dumps(book, codes), first + last, bytearray(dumps(book, codes))):
        found = fitted.predict_packed(sent)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    one_dimensional = np.frombuffer(first + last, dtype=np.uint8)
    np.testing.assert_array_equal(fitted.predict_packed(one_dimensional), expected)
    assert fitted.predict_packed(dumps(book, codes[:0])).shape == (0,)
    for nothing in (b"", np.empty(0, dtype=np.uint8)):
        with pytest.raises(ValueError, match="no bytes to predict from"):
            fitted.predict_packed(nothing)
    with pytest.raises(ValueError, match="another codebook"):
        fitted.predict_packed(first[:8] + bytes(8) + first[16:])


@each_quantizer
def test_inverse_transform_rejects(estimator, data, fit_once):
    X, fitted = data[0], fit_once(estimator)
    with pytest.raises(ValueError, match="out of range"):
        fitted.inverse_transform(np.full((1, 3), 200))
    with pytest.raises(ValueError, match="2 features"):
        fitted.inverse_transform(np.zeros((1, 2), dtype=int))
    fitted.set_params(encode="value")
    with pytest.raises(ValueError, match="not a level of this quantizer"):
        fitted.inverse_transform(np.full((1, 3), 1e9))
    fitted.set_params(encode="thermometer")
    with pytest.raises(ValueError, match="columns"):
        fitted.inverse_transform(np.zeros((1, 99)))
    fitted.set_params(encode="packed")
    with pytest.raises(ValueError, match="bytes"):
        fitted.inverse_transform(np.zeros((1, 99)))
    fitted.set_params(encode="onehot")
    with pytest.raises(ValueError, match=r"encode must be one of \['ordinal', .*'packed'\], got 'onehot'"):
        fitted.transform(X)


@each_quantizer
def test_attributes(estimator, fit_once):
    fitted = fit_once(estimator)
    assert [t.dtype for t in fitted.thresholds_] == [np.float32] * 3
    assert fitted.n_levels_.tolist() == [t.size + 1 for t in fitted.thresholds_]
    assert (2**fitted.n_bits_ >= fitted.n_levels_).all()
    assert sum(counts.sum() for counts in fitted.codebook_.counts) == 3 * 90
    assert fitted.codebook_.row_bits == fitted.n_bits_.sum()


@each_learned
def test_learned_attributes(estimator, fit_once):
    fitted = fit_once(estimator)
    assert fitted.n_iter_ == len(fitted.history_) == 3
    assert fitted.history_["epoch"].tolist() == [1, 2, 3]
    assert fitted.history_["train_loss"].notna().all()
    assert isinstance(fitted.head_, torch.nn.Module)
    assert next(fitted.net_.module_.parameters()).device.type == "cpu"
    assert fitted.best_epoch_ is None
    buffer = io.BytesIO()
    torch.save(fitted.head_.state_dict(), buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True)


# -- attributes in docstrings ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({type(e) for e in ESTIMATORS}, key=str), ids=lambda kind: kind.__name__)
def test_attributes_that_a_docstring_names_are_there(kind, rng):
    """Also attributes that another class describes, such as allocation_ of a predictor."""
    given = {"bit_budget": 5, "rates": (2,), "thresholds": [0.0], **TRAINING, "early_stopping": True}
    estimator = kind(**{name: value for name, value in given.items() if name in kind._get_param_names()})
    X = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"))
    fitted = fit(estimator, X, X["a"] + X["b"])
    if hasattr(fitted, "partial_fit"):
        pytest.importorskip("datasketches")
        clone(fitted).partial_fit(X)
        fitted = clone(estimator).partial_fit(X)
    section = kind.__doc__.partition("Attributes\n    ----------\n")[2].partition("\n\n")[0]
    documented = {
        name.strip()
        for line in re.findall(r"^    (\w.*?) :|^    (\w+_)$", section, re.MULTILINE)
        for part in line
        for name in part.split(",")
        if name.strip()
    }
    mentioned = set(re.findall(r"``(?:self\.)?([a-z]\w*_)(?:\.[\w.]*)?``", kind.__doc__))
    assert {"codebook_", "n_bits_", "n_features_in_"} <= documented
    missing = {name for name in documented | mentioned if not hasattr(fitted, name)}
    assert not missing
