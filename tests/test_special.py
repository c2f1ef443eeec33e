"""Special values end to end: each has a code of its own, which decodes to it."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.codec import RowCodec
from skbsq.export import to_c, to_onnx
from skbsq.persistence import load, save
from skbsq.thresholds.features import features_of
from skbsq.thresholds.kmeans import kmeans
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.uniform import uniform
from tests.export import driver
from tests.export.test_onnx import run
from tests.export.tools import need_c

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
NAMES = ["low", "inner", "far", "plain", "unsent"]
SPECIAL = {"low": [-999, -998], "inner": [0.25, 7.0], "far": [3e38], "unsent": [0.25]}
BITS = {"low": 3, "inner": 4, "far": 3, "plain": 2, "unsent": 0}


@pytest.fixture
def rows(rng):
    X = pd.DataFrame(rng.normal(size=(120, 5)).astype(np.float32), columns=NAMES)
    X.loc[::5, "low"] = -999  # -998 is never seen, and neither is 7
    X.loc[::7, ["inner", "unsent"]] = 0.25
    X.loc[::9, "far"] = 3e38
    X.loc[3::8, "low"] = np.nan
    y = 3.0 * (X["low"] == -999) + X["inner"] - 2 * (X["inner"] == 0.25)
    return X, y.to_numpy()


def check_codes(book, X):
    """A special value is alone in its code, which decodes to it; that of 7 is as good as that of values seen."""
    X = X.fillna(0)
    codes = book.encode(X)
    for j, name in enumerate(NAMES[:3]):
        others = X[name][~X[name].isin(np.float32(SPECIAL[name]))]
        for value in np.float32(SPECIAL[name]):
            row = X[:1].assign(**{name: value})
            code = book.encode(row)[0, j]
            assert book.decode(book.encode(row))[0, j] == value
            assert book.counts[j][code] == (X[name] == value).sum()
            np.testing.assert_array_equal(codes[:, j] == code, X[name] == value)
            below, above = np.nextafter(value, np.float32([-np.inf, np.inf]))
            if others.min() < value:
                assert book.encode(row.assign(**{name: below}))[0, j] == code - 1
            if others.max() > value:
                assert book.encode(row.assign(**{name: above}))[0, j] == code + 1
    assert book.n_bits[4] == 0


def test_by_hand():
    quantizer = QuantileQuantizer(2, special_values=[-999]).fit([[-999], [1], [2], [3], [-999], [4]])
    book = quantizer.codebook_
    assert book.thresholds[0].tolist() == [-999, 2, 3]  # three levels are left for 1, 2, 3 and 4
    assert book.levels[0].tolist() == [-999, 1.5, 3, 4]
    assert book.counts[0].tolist() == [2, 2, 1, 1]
    assert book.encode([[-1000], [-999], [-998.9], [5]]).ravel().tolist() == [0, 0, 1, 3]  # beyond -999 no code is left
    assert QuantileQuantizer(2, special_values=[-999]).fit([[-999], [-999]]).n_levels_ == [1]
    only = QuantileQuantizer(1, special_values=[5, 6]).fit([[5], [5]]).codebook_
    assert only.decode([[0], [1]]).ravel().tolist() == [5, 6]


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("levels", ["mean", "midpoint"])
@pytest.mark.parametrize("kind", [UniformQuantizer, QuantileQuantizer, KMeansQuantizer, TreeQuantizer])
def test_quantizers_without_a_gradient(rows, kind, levels, guard):
    X, y = rows
    book = kind(BITS, special_values=SPECIAL, missing="seen", levels=levels, guard=guard).fit(X, y).codebook_
    check_codes(book, X)
    assert (book.n_bits <= list(BITS.values())).all()
    assert book.has_guard.tolist() == [guard] * 4 + [False]
    np.testing.assert_array_equal(book.encode_numbers(book.decode(book.encode(X))), book.encode(X))
    if guard or kind is TreeQuantizer:
        return
    rule = {UniformQuantizer: uniform, QuantileQuantizer: partial(quantile, ties="refill"), KMeansQuantizer: kmeans}
    others = X.mask(X.isin({name: np.float32(values) for name, values in SPECIAL.items()})).to_numpy()
    # A missing code, and the thresholds around special values.
    for feature, t, n_levels in zip(
        features_of(others, np.ones(len(X))), book.thresholds, [8 - 1 - 2, 16 - 3, 8 - 1, 4, 1], strict=True
    ):
        found = np.float32(rule[kind](feature, n_levels) if n_levels > 1 else [])
        among = t[
            (t > feature.x.min()) & (t < feature.x.max()) & ~np.isin(t, [np.nextafter(np.float32(0.25), -1), 0.25])
        ]
        np.testing.assert_array_equal(among, found)


@pytest.mark.parametrize("kind", [UniformQuantizer, QuantileQuantizer])
def test_chunks_and_merged_quantizers_are_exact(rows, kind, tmp_path):
    X, _ = rows
    quantizer = kind(BITS, special_values=SPECIAL, missing="seen")
    parts = [clone(quantizer).partial_fit(part) for part in (X[:50], X[50:])]
    save(parts[1], tmp_path / "part")
    book = parts[0].merge(load(tmp_path / "part")).codebook_
    assert book.fingerprint == clone(quantizer).fit(X).codebook_.fingerprint
    check_codes(book, X)
    with pytest.raises(ValueError, match=r"special_values is \[5\] in a quantizer to merge"):
        parts[0].merge(clone(quantizer).set_params(special_values=[5]).partial_fit(X))
    with pytest.raises(ValueError, match=r"special_values are \[5.0\] for feature 'low', and were \[-999.0, -998.0\]"):
        parts[0].set_params(special_values=[5]).partial_fit(X)


def test_a_sketch_does_not_mix_special_values_with_others(rng):
    x = rng.normal(size=3000).astype(np.float32)
    x[::3] = -5
    quantizer = QuantileQuantizer(2, special_values=[-5], sketch_size=16)
    book = quantizer.partial_fit(x[:1500, None]).partial_fit(x[1500:, None]).codebook_
    assert book.thresholds[0][0] == -5
    assert book.levels[0][0] == -5
    assert book.counts[0][0] == 1000


MODELS = {
    "rank": BitwiseRegressor(BITS, special_values=SPECIAL, missing="seen", **QUICK),
    "standard": BitwiseRegressor(BITS, special_values=SPECIAL, missing="seen", space="standard", guard=True, **QUICK),
    "hard": BitwiseRegressor(BITS, special_values=SPECIAL, missing="seen", forward="hard", init="tree", **QUICK),
    "still": BitwiseRegressor(BITS, special_values=SPECIAL, missing="seen", threshold_lr_ratio=0, **QUICK),
    "given": BitwiseRegressor(
        BITS,
        special_values=SPECIAL,
        missing="seen",
        init=ThresholdQuantizer([[0.1], [0.1, 0.25, 2], [1], [], []]),
        **QUICK,
    ),
    "kmeans": BitwiseRegressor(BITS, special_values=SPECIAL, missing="seen", init=KMeansQuantizer(), **QUICK),
    "of quantizer": BitwiseRegressor(quantizer=BitwiseQuantizer(BITS, special_values=SPECIAL, missing="seen"), **QUICK),
    "fixed": BitwiseRegressor(quantizer=QuantileQuantizer(BITS, special_values=SPECIAL, missing="seen"), **QUICK),
    "passed on": BitwiseRegressor(quantizer=QuantileQuantizer(BITS), special_values=SPECIAL, missing="seen", **QUICK),
    "classifier": BitwiseClassifier(BITS, special_values=SPECIAL, missing="seen", **QUICK),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name, rows, tmp_path):
    X, y = rows
    y = y > 0.5 if name == "classifier" else y
    model = clone(MODELS[name]).fit(X, y)
    check_codes(model.codebook_, X)
    assert np.isfinite(model.predict(X)).all()
    np.testing.assert_array_equal(model.predict(X), model.predict_codes(model.codebook_.encode(X)))
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.special_values == model.special_values
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    check_codes(model.refit_head(model.codebook_.encode(X), y).codebook_, X)


def test_other_values_are_learned_as_if_there_were_no_special_ones(rows):
    """The scaled space, the rule and the levels that the head reads come from the other values."""
    X, y = rows
    model = BitwiseQuantizer(3, special_values={"low": [-999]}, missing="seen", init="quantile", **QUICK).fit(X, y)
    starts = QuantileQuantizer(3, missing="seen").fit(X[X["low"] != -999]).thresholds_[0]
    assert model.initial_thresholds_[0][0] == -999
    assert model.initial_thresholds_[0][1:].min() > -5
    assert model.initial_thresholds_[0].size == starts.size
    assert model.thresholds_[0][1:].min() > -5


def test_head_reads_a_special_value_as_a_bit(rows):
    X, _ = rows
    y = 3.0 * (X["low"] == -999)
    model = BitwiseRegressor(2, special_values={"low": [-999]}, missing="seen", random_state=0).set_params(
        max_epochs=60, hidden_sizes=(8,), lr=0.02
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_categories_beside_special_values():
    X = pd.DataFrame({"valve": ["open", "shut"] * 20, "t": np.float32([-999, 1, 2, 3] * 10)})
    for model in (QuantileQuantizer(2, special_values=[-999]), BitwiseQuantizer(2, special_values=[-999], **QUICK)):
        book = model.fit(X, np.arange(40.0)).codebook_
        assert book.decode(book.encode(X))[0].tolist() == ["open", -999]
        assert book.counts[1][0] == 10
    parts = QuantileQuantizer(2, special_values=[-999]).partial_fit(X[:10]).partial_fit(X[10:])
    assert (
        parts.codebook_.thresholds[1].tolist()
        == QuantileQuantizer(2, special_values=[-999]).fit(X).codebook_.thresholds[1].tolist()
    )
    with pytest.raises(ValueError, match="names feature 'valve', which is categorical"):
        QuantileQuantizer(2, special_values={"valve": [1]}).fit(X)


def near(rows):
    """Rows with special values and their neighbours."""
    X = rows[0].fillna(0)
    parts = [
        X[:1].assign(**{name: value})
        for name in NAMES[:3]
        for value in np.nextafter(np.float32(SPECIAL[name])[:, None], np.float32([-np.inf, np.inf])).ravel()
    ]
    return pd.concat([X, *parts])


def test_the_c_encodes_the_same(rows, tmp_path):
    book = QuantileQuantizer(BITS, special_values=SPECIAL, missing="seen").fit(rows[0]).codebook_
    program = driver.build(tmp_path, {"x": to_c(book, "x")}, {"x": "float"}, need_c(*driver.FLAVOURS["c99"]))
    X = near(rows).to_numpy()
    driver.check_rows(program, "x", X, np.zeros(len(X), dtype=int), RowCodec(book).pack(book.encode(X)))


def test_onnx_predicts_the_same(rows):
    model = clone(MODELS["rank"]).fit(*rows)
    X = near(rows)
    outputs = run(to_onnx(model), X.to_numpy())
    np.testing.assert_allclose(outputs["prediction"].ravel(), model.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (QuantileQuantizer(1), r"special_values need at least 2 bits for feature 'low', got n_bits=1: .* 4 codes"),
        (
            BitwiseRegressor(1),
            r"at least 2 bits for feature 'low', got n_bits=1: .* Give it 2 bits, or 0, or name fewer",
        ),
        (BitwiseQuantizer(bit_budget=9), "bit_budget=9 with special_values is not supported, .* give n_bits instead"),
        (BitwiseRegressor(bit_budget=9), "bit_budget=9 with special_values"),
        (BitwiseQuantizer(3, rates=(2,)), "rates=.* with special_values is not supported, .* fit a single rate"),
        (BitwiseRegressor(rates=(2,), quantizer=QuantileQuantizer(3)), "rates=.* with special_values"),
        (BitwiseRegressor(quantizer="passthrough"), "quantizer='passthrough' has none"),
        (BitwiseRegressor(quantizer=LSQQuantizer(3)), "quantizer=LSQQuantizer.* has none"),
        (BitwiseRegressor(quantizer=ThresholdQuantizer([0])), "quantizer=ThresholdQuantizer.* has none"),
    ],
)
def test_errors(model, message, rows):
    X, y = rows
    model = clone(model).set_params(special_values={"low": [-999, -998]}, missing="seen")
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize("name", ["rank", "of quantizer", "fixed"])
def test_chunks_are_rejected(name, rows):
    with pytest.raises(ValueError, match="special_values need all rows in memory"):
        clone(MODELS[name]).fit_chunks([rows])
