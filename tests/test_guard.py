"""Guard codes end to end: the end codes of a feature are those of values that no training row has, and of no others."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.codebook.guards import inner_thresholds
from skbsq.codec import RowCodec, dumps, loads
from skbsq.export import to_c, to_codebook, to_onnx
from skbsq.persistence import load, save
from skbsq.thresholds.features import features_of
from skbsq.thresholds.kmeans import kmeans
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.uniform import uniform
from tests.export import driver
from tests.export.test_onnx import run
from tests.export.tools import need_c

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
NAMES = ["plain", "gaps", "whole", "unsent", "constant"]
N_BITS = {"plain": 3, "gaps": 3, "whole": 3, "unsent": 0, "constant": 3}
GUARDED = np.array([True, True, True, False, False])


@pytest.fixture
def rows(rng):
    X = pd.DataFrame(rng.normal(size=(120, 5)).astype(np.float32), columns=NAMES).assign(constant=np.float32(7))
    X["whole"] = rng.integers(0, 9, size=120).astype(np.float32)  # its smallest value is 0, beside subnormal numbers
    y = X["plain"].to_numpy() + X["whole"].to_numpy() ** 2
    X.loc[::7, "gaps"] = np.nan
    return X, y


def just_outside(X):
    """Pairs of rows: a value just below or above all rows of a feature, and the nearest value of the rows."""
    lowest, highest = X.min().to_numpy(), X.max().to_numpy()
    below, above = np.nextafter(lowest, np.float32(-np.inf)), np.nextafter(highest, np.float32(np.inf))
    below[lowest == 0] = -np.finfo(np.float32).tiny
    base = X.fillna(0).to_numpy()[:1]
    for j in range(X.shape[1]):
        for outside, nearest in ((below, lowest), (above, highest), (lowest - 1e6, lowest), (highest + 1e6, highest)):
            pair = np.repeat(base, 2, axis=0)
            pair[:, j] = outside[j], nearest[j]
            yield j, pd.DataFrame(pair, columns=X.columns)


def check_codes(book, X, guarded=GUARDED):
    """The end codes are those of values outside of the rows, and of these alone."""
    assert book.has_guard.tolist() == guarded.tolist()
    codes = book.encode(X)
    top = book.n_levels - 1 - book.has_missing
    measured = X.notna().to_numpy() & guarded
    inside = (codes > 0) & (codes < top)
    assert inside[measured].all()
    for j, pair in just_outside(X):
        outside, nearest = book.encode(pair)[:, j].tolist()
        assert abs(outside - nearest) == guarded[j]
    for j in np.flatnonzero(guarded):
        assert book.levels[j][[0, top[j]]].tolist() == [X.iloc[:, j].min(), X.iloc[:, j].max()]
        if book.counts is not None:
            assert book.counts[j][[0, top[j]]].tolist() == [0, 0]
            assert book.counts[j].sum() == len(X)


@pytest.mark.parametrize("levels", ["mean", "midpoint"])
@pytest.mark.parametrize("kind", [UniformQuantizer, QuantileQuantizer, KMeansQuantizer, TreeQuantizer])
def test_quantizers_without_a_gradient(rows, kind, levels):
    X, y = rows
    book = kind(N_BITS, guard=True, missing="seen", levels=levels).fit(X, y).codebook_
    check_codes(book, X)
    assert (book.n_bits <= list(N_BITS.values())).all()
    rule = {UniformQuantizer: uniform, QuantileQuantizer: partial(quantile, ties="refill"), KMeansQuantizer: kmeans}
    if kind in rule:
        features = features_of(X.to_numpy(), np.ones(len(X)))
        for feature, t, n_levels in zip(features, inner_thresholds(book), [6, 5, 6, 1, 1], strict=True):
            expected = rule[kind](feature, n_levels) if n_levels > 1 else []
            np.testing.assert_array_equal(t, np.float32(expected))


def test_chunks_and_merged_quantizers_have_the_same_guards(rows):
    X, _ = rows
    for kind, levels in [(QuantileQuantizer, "mean"), (UniformQuantizer, "midpoint")]:
        quantizer = kind(N_BITS, guard=True, missing="seen", levels=levels)
        parts = [clone(quantizer).partial_fit(part) for part in (X[:50], X[50:])]
        whole = clone(quantizer).fit(X).codebook_
        merged = parts[0].merge(parts[1]).codebook_
        assert merged.thresholds[0].tolist() == whole.thresholds[0].tolist()
        check_codes(merged, X)
    with pytest.raises(ValueError, match=r"guard is False in a quantizer to merge, and True in this one"):
        parts[0].merge(clone(quantizer).set_params(guard=False).partial_fit(X))


def test_rows_of_weight_zero_do_not_count(rows):
    X, _ = rows
    far = pd.concat([X, X[:1] + 100])
    weights = np.append(np.ones(len(X)), 0)
    assert QuantileQuantizer(3, guard=True, missing="seen").fit(far, sample_weight=weights).codebook_ == (
        QuantileQuantizer(3, guard=True, missing="seen").fit(X).codebook_
    )


MODELS = {
    "learned": BitwiseRegressor(N_BITS, guard=True, missing="seen", **QUICK),
    "standard": BitwiseRegressor(N_BITS, guard=True, missing="seen", space="standard", init="uniform", **QUICK),
    "still": BitwiseRegressor(N_BITS, guard=True, missing="seen", threshold_lr_ratio=0, **QUICK),
    "init": BitwiseRegressor(N_BITS, guard=True, missing="seen", init=KMeansQuantizer(), **QUICK),
    "fixed": BitwiseRegressor(guard=True, missing="seen", quantizer=QuantileQuantizer(N_BITS), **QUICK),
    "inner": BitwiseRegressor(quantizer=BitwiseQuantizer(N_BITS, guard=True, missing="seen"), **QUICK),
    "classifier": BitwiseClassifier(N_BITS, guard=True, missing="seen", **QUICK),
}


def fitted(model, rows):
    X, y = rows
    return clone(model).fit(X, y > np.median(y) if isinstance(model, BitwiseClassifier) else y)


def outputs_of(model, X, **rate):
    return model.predict_proba(X, **rate) if hasattr(model, "predict_proba") else model.predict(X, **rate)


def check_reads_the_code_beside(model, X, **rate):
    for _, pair in just_outside(X):
        outside, nearest = outputs_of(model, pair, **rate)
        np.testing.assert_array_equal(outside, nearest)


@pytest.mark.parametrize("name", MODELS)
def test_heads_read_a_guard_code_as_the_code_beside(name, rows, tmp_path):
    X, _ = rows
    model = fitted(MODELS[name], rows)
    check_codes(model.codebook_, X)
    check_reads_the_code_beside(model, X)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.codebook_ == model.codebook_
    np.testing.assert_array_equal(outputs_of(loaded, X), outputs_of(model, X))
    message = dumps(model.codebook_, model.codebook_.encode(X))
    np.testing.assert_array_equal(model.predict_codes(loads(message, model.codebook_)), model.predict(X))


def test_a_head_is_that_without_guards(rows, rng):
    """Five levels cost as many bits as seven, so both heads have as many inputs."""
    X, y = rows
    thresholds = [[-1, 0, 0.5, 1], [-1, 0, 0.5, 1], [-5, 2, 4, 20], [], []]
    quantizer = ThresholdQuantizer(thresholds, missing="seen")
    plain, guarded = (BitwiseRegressor(quantizer=quantizer, guard=g, **QUICK).fit(X, y) for g in (False, True))
    X = pd.DataFrame(rng.normal(scale=20, size=(500, 5)), columns=NAMES)
    np.testing.assert_array_equal(plain.predict(X), guarded.predict(X))
    assert plain.codebook_.n_bits.tolist() == guarded.codebook_.n_bits.tolist() == [3, 3, 3, 0, 0]
    assert guarded.codebook_.n_levels.tolist() == [7, 8, 7, 1, 1]
    assert not plain.codebook_.has_guard.any()
    assert guarded.codebook_.has_guard.tolist() == GUARDED.tolist()


def test_rates_have_guards_where_they_have_room(rows, tmp_path):
    X, y = rows
    model = BitwiseRegressor(4, guard=True, missing="seen", rates=(3, 2, 1), **QUICK).fit(X, y)
    guarded = {4: [1, 1, 1, 1, 0], 3: [1, 1, 1, 1, 0], 2: [1, 0, 1, 1, 0], 1: [0, 0, 0, 0, 0]}

    def check(model):
        for rate, book in model.codebooks_.items():
            assert (book.n_bits <= rate).all()
            check_codes(book, X, np.array(guarded[rate], dtype=bool))
            check_reads_the_code_beside(model, X, rate=rate)
            assert model.codebook_.is_refinement_of(book)

    check(model)
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict(X, rate=2), model.predict(X, rate=2))
    before = model.codebooks_
    check(model.refit_head(model.codebook_.encode(X), y))
    assert model.codebooks_ == before
    coarse = model.at(2)
    np.testing.assert_array_equal(coarse.predict(X), model.predict(X, rate=2))
    check_reads_the_code_beside(coarse.refit_head(coarse.codebook_.encode(X), y), X)
    assert coarse.fit(X, y).codebook_.fingerprint == before[2].fingerprint


def test_a_new_head_reads_guard_codes_as_those_beside(rows):
    X, y = rows
    model = fitted(MODELS["learned"], rows)
    codes = model.codebook_.encode(X)
    codes[::9, 0], codes[1::9, 0] = 0, 7  # devices have left the range
    check_reads_the_code_beside(model.refit_head(codes, y), X)


def test_a_budget_counts_guard_codes(rows):
    X, y = rows
    model = BitwiseRegressor(guard=True, missing="seen", bit_budget=8, rates=(4,), **QUICK).fit(X, y)
    for rate, book in model.codebooks_.items():
        assert 0 < book.row_bits <= rate
        check_codes(book, X, book.n_bits > 0)  # no feature is sent without its guards
    assert model.allocation_["n_bits"].tolist() == model.codebook_.n_bits.tolist()


def test_chunks(rows):
    X, y = rows
    chunks = [(X[:50], y[:50]), (X[50:], y[50:])]
    for name in ("learned", "fixed"):
        model = clone(MODELS[name]).set_params(init="quantile").fit_chunks(chunks)
        check_codes(model.codebook_, X)
        check_reads_the_code_beside(model, X)


@pytest.mark.parametrize(
    "guard", [{**dict.fromkeys(NAMES, False), "whole": True}, [False, False, True, False, False]], ids=["dict", "list"]
)
def test_one_value_per_feature(guard, rows, tmp_path):
    X, y = rows
    bits = {**N_BITS, "plain": 1}
    only = np.array([False, False, True, False, False])
    for model in (QuantileQuantizer(bits), BitwiseRegressor(bits, **QUICK)):
        model.set_params(guard=guard, missing="seen").fit(X, y)
        check_codes(model.codebook_, X, only)
        save(model, tmp_path / "model")
        assert load(tmp_path / "model").guard == guard


def test_series(rows):
    X, _ = rows
    guard = pd.Series(GUARDED, index=NAMES)[::-1]
    check_codes(QuantileQuantizer(3, guard=guard, missing="seen").fit(X).codebook_, X)


def test_the_c_encodes_the_same(rows, tmp_path):
    X, _ = rows
    book = QuantileQuantizer(N_BITS, guard=True, missing="seen").fit(X).codebook_
    program = driver.build(tmp_path, {"x": to_c(book, "x")}, {"x": "float"}, need_c(*driver.FLAVOURS["c99"]))
    X = np.concatenate([pair.to_numpy() for _, pair in just_outside(X)])
    packed = RowCodec(book).pack(book.encode(X))
    driver.check_rows(program, "x", X, np.zeros(len(X), dtype=int), packed)


@pytest.mark.parametrize("name", ["learned", "fixed"])
def test_onnx_predicts_the_same(name, rows):
    model = fitted(MODELS[name], rows)
    X = pd.concat([rows[0], *(pair for _, pair in just_outside(rows[0]))])
    outputs = run(to_onnx(model), X.to_numpy())
    np.testing.assert_allclose(outputs["prediction"].ravel(), model.predict(X), rtol=1e-5, atol=1e-5)


def test_folded_scalers_keep_guards(rows):
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer([3, 3, 3, 0, 3], guard=True, missing="seen"))
    book = to_codebook(pipeline.fit(X, y))
    assert book.has_guard.tolist() == GUARDED.tolist()
    assert book.coarsened(2).has_guard.tolist() == [True, False, True, False, False]
    np.testing.assert_array_equal(book.encode(X), pipeline.transform(X))
    np.testing.assert_allclose(book.levels[0][[0, -1]], [X["plain"].min(), X["plain"].max()], rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (QuantileQuantizer(1), {}, r"at least 2 bits for feature 'plain', got n_bits=1: two guard codes would leave"),
        (BitwiseRegressor(2), {}, r"at least 3 bits for feature 'gaps', got n_bits=2: .* and a missing code"),
        (BitwiseQuantizer(2), {}, r"Give it 3 bits, or 0, or guard=False for this feature"),
        (BitwiseRegressor(1, bit_budget=5), {}, "at least 2 bits for feature 'plain'"),
        (BitwiseRegressor(quantizer=SoftQuantizer(3)), {}, "needs a quantizer with guard codes"),
        (BitwiseRegressor(quantizer="passthrough"), {}, "needs a quantizer with guard codes"),
        (QuantileQuantizer(3), {"guard": [True]}, "guard must be True, False or 5 of them, one per feature"),
        (QuantileQuantizer(3), {"guard": [1, 0, 1, 0, 1]}, "guard must be True, False or 5 of them"),
        (QuantileQuantizer(3), {"guard": {"plain": True}}, "guard leaves out 'gaps'"),
        (QuantileQuantizer(3), {"guard": "yes"}, "The 'guard' parameter of QuantileQuantizer must be"),
    ],
)
def test_errors(model, parameters, message, rows):
    X, y = rows
    model = clone(model).set_params(**{"guard": True, "missing": "seen"} | parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


def test_nothing_lies_below_the_lowest_float():
    X = np.float32([[-3.4028235e38], [1], [2]])
    with pytest.raises(ValueError, match=r"float32 below the smallest value of feature 0, .* replace it by NaN"):
        QuantileQuantizer(3, guard=True).fit(X)
