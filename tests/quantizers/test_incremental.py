"""partial_fit and merge: equal to a fit on all rows where that is promised, and near it elsewhere."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone

from skbsq import BitwiseQuantizer, QuantileQuantizer, UniformQuantizer
from skbsq.persistence import load, save
from tests.strategies import finite32

pytest.importorskip("datasketches")

NAN = float("nan")
QUANTIZERS = [
    UniformQuantizer(n_bits=3, levels="midpoint"),
    UniformQuantizer(n_bits=3),
    QuantileQuantizer(n_bits=3),
    QuantileQuantizer(n_bits=2, levels="midpoint", ties="merge"),
]
each = pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
each_rule = pytest.mark.parametrize("missing", ["error", "seen", "code"])


@pytest.fixture
def X(rng):
    X = rng.normal(size=(300, 4))
    X[:, 1] = np.exp(2 * X[:, 1])
    X[:, 2] = rng.integers(-3, 4, size=300)
    X[:, 3] = 7.1
    return X


def on_chunks(quantizer, X, n_chunks=5, weights=None):
    quantizer = clone(quantizer)
    parts = np.array_split(np.arange(len(X)), n_chunks)
    for rows in parts:
        part = X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]
        assert quantizer.partial_fit(part, sample_weight=None if weights is None else weights[rows]) is quantizer
    return quantizer


def assert_like_fit(quantizer, fitted, *, counts=True):
    """Equal thresholds to the bit; levels are sums in another order, so their last bit may differ."""
    assert len(quantizer.thresholds_) == len(fitted.thresholds_)
    for one, other in zip(quantizer.thresholds_, fitted.thresholds_, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(quantizer.codebook_.levels, fitted.codebook_.levels, strict=True):
        np.testing.assert_allclose(one, other, rtol=3e-7, atol=1e-7)
    if counts and quantizer.codebook_.counts is not None:
        for one, other in zip(quantizer.codebook_.counts, fitted.codebook_.counts, strict=True):
            assert one.tolist() == other.tolist()
    assert quantizer.codebook_.missing == fitted.codebook_.missing
    assert quantizer.codebook_.has_missing.tolist() == fitted.codebook_.has_missing.tolist()
    assert quantizer.codebook_.feature_names == fitted.codebook_.feature_names


@each
@each_rule
@pytest.mark.parametrize("n_chunks", [1, 5, 100])
def test_few_values_are_exact(quantizer, X, missing, n_chunks):
    if missing != "error":
        X[::7, 1] = NAN
    quantizer = clone(quantizer).set_params(missing=missing)
    assert_like_fit(on_chunks(quantizer, X, n_chunks), clone(quantizer).fit(X))


@each
def test_rows_per_code(quantizer, X):
    counts = on_chunks(quantizer, X).codebook_.counts
    if quantizer.levels == "midpoint" and isinstance(quantizer, UniformQuantizer):
        assert counts is None  # extremes alone give no counts
    else:
        assert [own.sum() for own in counts] == [300] * 4


@pytest.mark.parametrize("quantizer", QUANTIZERS[:2], ids=str)
def test_uniform_thresholds_are_exact_on_any_rows(quantizer, rng):
    X = np.exp(3 * rng.normal(size=(30_000, 2)))
    quantizer = clone(quantizer).set_params(sketch_size=50)
    found, fitted = on_chunks(quantizer, X), clone(quantizer).fit(X)
    if quantizer.levels == "midpoint":
        assert_like_fit(found, fitted)
        return
    for one, other in zip(found.thresholds_, fitted.thresholds_, strict=True):
        np.testing.assert_array_equal(one, other)
    for levels, t in zip(found.codebook_.levels, found.thresholds_, strict=True):
        assert np.searchsorted(t, levels).tolist() == list(range(levels.size))  # each in its bin


def test_many_values_are_near(rng):
    X = rng.normal(size=(40_000, 2))
    X[:, 1] = np.exp(2 * X[:, 1])
    found = on_chunks(QuantileQuantizer(n_bits=4), X)
    for j, (t, counts, levels) in enumerate(
        zip(found.thresholds_, found.codebook_.counts, found.codebook_.levels, strict=True)
    ):
        shares = np.searchsorted(np.sort(X[:, j]).astype(np.float32), t, side="right") / len(X)
        np.testing.assert_allclose(shares, np.arange(1, 16) / 16, atol=0.002)
        assert counts.sum() == len(X)
        np.testing.assert_allclose(np.bincount(found.transform(X)[:, j]), counts, atol=0.003 * len(X))
        assert np.searchsorted(t, levels).tolist() == list(range(16))


@each
@each_rule
def test_weights(quantizer, X, rng, missing):
    if missing != "error":
        X[::7, 0] = NAN
    quantizer = clone(quantizer).set_params(missing=missing)
    weights = rng.integers(0, 4, size=300) / 4
    found, fitted = on_chunks(quantizer, X, weights=weights), clone(quantizer).fit(X, sample_weight=weights)
    assert_like_fit(found, fitted)
    assert found.codebook_.counts is None


@each
def test_zero_weight_is_a_removed_row(quantizer, X, rng):
    kept = rng.random(300) < 0.5
    kept[0], kept[60:120] = True, False  # one whole chunk of five
    found = on_chunks(quantizer, X, weights=kept.astype(float))
    assert_like_fit(found, clone(quantizer).fit(X[kept]))
    assert found.summary_["n_rows"] == kept.sum()


def test_weights_count_across_calls():
    quantizer = QuantileQuantizer(n_bits=1)
    quantizer.partial_fit([[0.0], [1.0]]).partial_fit([[2.0], [3.0]], sample_weight=[5, 5])
    assert quantizer.thresholds_[0].tolist() == [2.5 - 0.5]
    assert_like_fit(
        quantizer, QuantileQuantizer(n_bits=1).fit([[0.0], [1.0], [2.0], [3.0]], sample_weight=[1, 1, 5, 5])
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [([-1.0, 1], "not be negative, got -1.0 in row 0"), ([1e-40, 1], "got 1e-40"), ([0, 0], "zero for every row")],
)
def test_weights_that_are_refused(weights, message):
    quantizer = QuantileQuantizer()
    with pytest.raises(ValueError, match=message):
        quantizer.partial_fit([[0.0], [1.0]], sample_weight=weights)
    assert not hasattr(quantizer, "n_features_in_")


columns = hnp.arrays(np.float32, st.tuples(st.integers(2, 15), st.just(2)), elements=finite32 | st.just(NAN))


@given(X=columns, first=st.integers(1, 14), quantizer=st.sampled_from(QUANTIZERS[1:3]))
def test_any_values(X, first, quantizer):
    """Merging equals one chunk after the other."""
    first = min(first, len(X) - 1)
    quantizer = clone(quantizer).set_params(missing="code")
    fitted = clone(quantizer).fit(X)
    one, other = clone(quantizer).partial_fit(X[:first]), clone(quantizer).partial_fit(X[first:])
    merged = copy.deepcopy(one).merge(other)
    one.partial_fit(X[first:])
    for found in (one, merged):
        np.testing.assert_array_equal(found.transform(X), fitted.transform(X))
        assert [t.tolist() for t in found.thresholds_] == [t.tolist() for t in fitted.thresholds_]


# -- merging ---------------------------------------------------------------------------------------------------------


@each
def test_a_merged_fleet_equals_one_fit(quantizer, X):
    fleet = [on_chunks(quantizer, part, 2) for part in np.array_split(X, 4)]
    others = [pickle.dumps(other) for other in fleet[1:]]
    merged = fleet[0].merge(*fleet[1:])
    assert merged is fleet[0]
    assert_like_fit(merged, clone(quantizer).fit(X))
    assert [pickle.dumps(other) for other in fleet[1:]] == others


def test_partial_fit_after_merge(X):
    merged = on_chunks(QUANTIZERS[2], X[:100]).merge(on_chunks(QUANTIZERS[2], X[100:200]))
    assert_like_fit(merged.partial_fit(X[200:]), clone(QUANTIZERS[2]).fit(X))


@pytest.mark.parametrize("missing", ["seen", "code"])
@pytest.mark.parametrize("gaps_first", [False, True])
def test_merge_with_a_gateway_that_has_missing_values(missing, gaps_first):
    quantizer = QuantileQuantizer(n_bits=2, missing=missing)
    one, other = clone(quantizer).partial_fit([[1.0], [2.0]]), clone(quantizer).partial_fit([[NAN], [NAN]])
    fitted = clone(quantizer).fit([[1.0], [2.0], [NAN], [NAN]])
    first, second = (other, one) if gaps_first else (one, other)
    assert_like_fit(first.merge(second), fitted)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (UniformQuantizer(), "A QuantileQuantizer merges with others of its class, got UniformQuantizer"),
        (QuantileQuantizer(n_bits=2), "n_bits is 2 in a quantizer to merge, and 4 in this one"),
        (QuantileQuantizer(sketch_size=64), "sketch_size is 64"),
        (3.0, r"of its class, got 3\.0"),
    ],
)
def test_merging_what_does_not_go_together(X, other, message):
    quantizer = on_chunks(QuantileQuantizer(), X)
    before = quantizer.codebook_
    with pytest.raises(ValueError, match=message):
        quantizer.merge(other if isinstance(other, float) else other.partial_fit(X))
    assert quantizer.codebook_ is before


def test_bits_of_many_features_are_compared():
    """More than an array's repr shows."""
    X, n_bits = np.arange(2400.0).reshape(2, 1200), np.full(1200, 2)
    other = n_bits.copy()
    other[600] = 3
    quantizer, unlike, like = (
        UniformQuantizer(n_bits=bits, levels="midpoint").partial_fit(X) for bits in (n_bits, other, n_bits.tolist())
    )
    with pytest.raises(ValueError, match="n_bits is"):
        quantizer.merge(unlike)
    assert quantizer.merge(like).summary_["n_rows"] == 4


def test_merging_other_features(X):
    quantizer = QuantileQuantizer().partial_fit(pd.DataFrame(X[:, :2], columns=["a", "b"]))
    for other in (X[:, :2], pd.DataFrame(X[:, :2], columns=["b", "a"]), X[:, :3]):
        with pytest.raises(ValueError, match=r"The features of a quantizer to merge are .* of this one \['a', 'b'\]"):
            quantizer.merge(QuantileQuantizer().partial_fit(other))


def test_merging_after_fit_is_rejected(X):
    with pytest.raises(ValueError, match="fit it by partial_fit to merge"):
        QuantileQuantizer().partial_fit(X).merge(QuantileQuantizer().fit(X))
    with pytest.raises(ValueError, match="fit it by partial_fit to merge"):
        QuantileQuantizer().fit(X).merge(QuantileQuantizer().partial_fit(X))


# -- between calls -----------------------------------------------------------------------------------------------------


@each
def test_names(quantizer, X):
    frame = pd.DataFrame(X, columns=list("abcd"))
    found = on_chunks(quantizer, frame)
    assert_like_fit(found, clone(quantizer).fit(frame))
    with pytest.raises(ValueError, match="feature names"):
        found.partial_fit(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="4 features"):
        on_chunks(quantizer, X).partial_fit(X[:, :3])


@each
def test_a_failed_call_changes_nothing(quantizer, X):
    found = on_chunks(quantizer, X)
    before = pickle.dumps(found)
    bad = X.copy()
    bad[3, 1] = NAN
    with pytest.raises(ValueError, match="NaN in feature 1"):
        found.partial_fit(bad)
    assert pickle.dumps(found) == before


@each
def test_fit_drops_the_summary(quantizer, X):
    found = on_chunks(quantizer, X + 5).fit(X)
    assert vars(found).keys() == vars(clone(quantizer).fit(X)).keys()
    with pytest.warns(UserWarning, match="partial_fit starts again") as caught:
        found.partial_fit(X[:50])
    assert caught[0].filename == __file__
    assert_like_fit(found, clone(quantizer).fit(X[:50]))


def test_parameters_may_change_between_calls(X):
    found = on_chunks(QuantileQuantizer(n_bits=4), X[:200]).set_params(n_bits=2, levels="midpoint").partial_fit(X[200:])
    assert_like_fit(found, QuantileQuantizer(n_bits=2, levels="midpoint").fit(X))


def test_parameters_that_may_not(X):
    found = on_chunks(UniformQuantizer(levels="midpoint"), X)
    with pytest.raises(
        ValueError, match="summarized with no sketch, and the parameters now ask for a sketch of size 2048"
    ):
        found.set_params(levels="mean").partial_fit(X)
    X[0, 0] = NAN
    found = QuantileQuantizer(missing="code").partial_fit(X)
    with pytest.raises(ValueError, match='missing="error" was set after NaN had been seen in feature 0'):
        found.set_params(missing="error").partial_fit(X[1:])
    with pytest.raises(ValueError, match="a sketch of size 2048, and the parameters now ask for a sketch of size 77"):
        found.set_params(missing="code", sketch_size=77).partial_fit(X)


def test_missing_as_seen_so_far(X):
    """A missing code appears with the first NaN of a feature."""
    found = QuantileQuantizer(2, missing="seen").partial_fit(X[:100])
    gaps = X[100:].copy()
    gaps[3, 1] = NAN
    with pytest.raises(ValueError, match=r"NaN in feature 1 \(row 3\)"):
        found.transform(gaps)
    found.partial_fit(gaps)
    assert found.codebook_.has_missing.tolist() == [j == 1 for j in range(X.shape[1])]
    assert_like_fit(found, QuantileQuantizer(2, missing="seen").fit(np.concatenate([X[:100], gaps])))
    other = QuantileQuantizer(2, missing=dict.fromkeys(range(X.shape[1]), "seen")).partial_fit(X[:100])
    assert other.merge(found).codebook_.has_missing.tolist() == found.codebook_.has_missing.tolist()
    with pytest.raises(ValueError, match="missing is 'code' in a quantizer to merge"):
        other.merge(QuantileQuantizer(2, missing="code").partial_fit(X))


def test_linear_quantiles_need_all_rows(X):
    with pytest.raises(ValueError, match='quantile_method="linear" needs all rows at once'):
        QuantileQuantizer(quantile_method="linear").partial_fit(X)


def test_learned_quantizers_have_none():
    assert not hasattr(BitwiseQuantizer(), "partial_fit")


def test_without_the_library(monkeypatch, X):
    monkeypatch.setitem(sys.modules, "datasketches", None)
    for quantizer in QUANTIZERS[1:3]:
        with pytest.raises(ImportError, match=r"pip install 'skbsq\[sketch\]'"):
            clone(quantizer).partial_fit(X)
        clone(quantizer).fit(X)
    on_chunks(QUANTIZERS[0], X)  # extremes need no sketch


# -- copies ------------------------------------------------------------------------------------------------------------


def by_pickle(fitted, folder):
    return pickle.loads(pickle.dumps(fitted))


def by_skops(fitted, folder):
    written = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=written)
    assert {name.partition(".")[0] for name in types} == {"skbsq"}
    return skops.io.loads(written, trusted=types)


def by_file(fitted, folder):
    save(fitted, folder / "fitted.safetensors")
    return load(folder / "fitted.safetensors")


@pytest.mark.parametrize("copy_of", [by_pickle, by_skops, by_file, lambda fitted, _: copy.deepcopy(fitted)])
@each
def test_a_copy_continues_to_the_same_codebook(quantizer, rng, tmp_path, copy_of):
    X = rng.normal(size=(900, 2))
    X[::9, 1] = NAN
    quantizer = clone(quantizer).set_params(missing="code", sketch_size=50)
    found = on_chunks(quantizer, X[:600], 2)
    copied = copy_of(found, tmp_path)
    assert vars(copied).keys() == found.__getstate__().keys() - {"_sklearn_version"}
    assert copied.codebook_ == found.codebook_
    other = on_chunks(quantizer, X[300:], 2)
    for one in (found, copied):
        one.partial_fit(X[600:]).merge(other)
    assert copied.codebook_ == found.codebook_


def test_a_loaded_quantizer_needs_the_library_only_for_more_rows(monkeypatch, rng, tmp_path):
    found = on_chunks(QuantileQuantizer(sketch_size=50), rng.normal(size=(900, 2)))
    save(found, tmp_path / "fitted.safetensors")
    monkeypatch.setitem(sys.modules, "datasketches", None)
    loaded = load(tmp_path / "fitted.safetensors")
    assert loaded.codebook_ == found.codebook_
    with pytest.raises(ImportError, match="datasketches"):
        loaded.partial_fit(np.zeros((3, 2)))


def odd_summaries(summary):
    values = summary["sketches"][0]["values"]
    yield {**summary, "size": 5}
    yield {**summary, "size": None}
    yield {**summary, "n_rows": 0}
    yield {**summary, "weights_are_ones": 1}
    yield {**summary, "low": summary["high"] + 1}
    yield {**summary, "low": np.float32([-np.inf, 0])}
    yield {**summary, "high": summary["high"][:1]}
    yield {**summary, "n_missing": np.array([-1, 0])}
    yield {**summary, "sums": -summary["sums"]}
    yield {**summary, "more": 0}
    yield {**summary, "sketches": summary["sketches"][:1]}
    for odd in (
        {"values": values[::-1].copy()},
        {"values": np.arange(500, dtype=np.float32), "mass": np.ones(500)},
        {"mass": np.zeros_like(values, dtype=np.float64)},
        {"digests": {"0": np.zeros(8, dtype=np.uint8)}},
        {"digests": {0: np.zeros(8)}},
        {"digests": {99999: np.zeros(8, dtype=np.uint8)}},
        {"waiting": [1.0]},
        {"waiting": {"0": np.zeros(2, dtype=np.float32)}},
        {"waiting": {0: np.zeros(2)}},
        {"waiting": {0: np.float32([2, 1])}},
        {"waiting": {0: np.zeros(0, dtype=np.float32)}},
        {"waiting": {0: np.zeros(50, dtype=np.float32)}},
    ):
        yield {**summary, "sketches": [{**summary["sketches"][0], **odd}, summary["sketches"][1]]}


def test_files_with_odd_summaries_are_refused(rng, tmp_path):
    found = on_chunks(QuantileQuantizer(sketch_size=50), rng.normal(size=(900, 2)))
    for odd in odd_summaries(found.summary_):
        other = copy.copy(found)
        other.summary_ = odd
        save(other, tmp_path / "odd.safetensors")
        with pytest.raises(ValueError, match="is refused"):
            load(tmp_path / "odd.safetensors")


def test_bytes_that_are_no_sketch_are_refused_where_they_are_used(rng, tmp_path):
    found = on_chunks(QuantileQuantizer(sketch_size=50), rng.normal(size=(900, 2)))
    assert found.codebook_.n_features == 2  # made before the sketch is corrupted
    found.summary_["sketches"][0]["digests"][0][:4] = 77
    save(found, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="no t-digest"):
        load(tmp_path / "odd.safetensors").partial_fit(np.zeros((3, 2)))


@each
def test_the_codebook_is_made_once_when_it_is_first_used(quantizer, X, monkeypatch):
    """partial_fit adds rows in a fraction of the time that a codebook takes."""
    made = []
    make = QuantileQuantizer._codebook_of
    monkeypatch.setattr(type(quantizer), "_codebook_of", lambda *given: made.append(1) or make(*given))
    found = on_chunks(quantizer, X, 10)
    assert not made
    first = found.codebook_
    assert found.codebook_ is first
    assert found.thresholds_[0].size == first.thresholds[0].size
    assert found.transform(X).shape == X.shape
    assert len(made) == 1
    found.partial_fit(X[:1] + 1)
    assert found.codebook_ != first
    assert len(made) == 2


def test_the_codebook_has_the_parameters_of_the_call(X):
    """Parameters set since do not count, as for any estimator."""
    quantizer = QuantileQuantizer(2).partial_fit(X)
    quantizer.set_params(n_bits=1)
    assert quantizer.n_bits_.tolist() == [2, 2, 2, 0]
    assert quantizer.partial_fit(X).n_bits_.tolist() == [1, 1, 1, 0]
    assert quantizer.set_params(n_bits=2).fit(X).n_bits_.tolist() == [2, 2, 2, 0]


@pytest.mark.parametrize("n_bits", [17, [1, 2], {"a": 1}])
def test_parameters_are_checked_before_the_codebook_is_made(n_bits, X):
    quantizer = QuantileQuantizer(2).partial_fit(X)
    before = quantizer.codebook_
    with pytest.raises(ValueError, match="n_bits"):
        quantizer.set_params(n_bits=n_bits).partial_fit(X)
    assert quantizer.codebook_ is before


@each
def test_few_rows_are_added_like_many(quantizer, X, monkeypatch):
    """The fast path for few values equals the general path, to the last bit."""
    fast = on_chunks(quantizer, X, 7)
    monkeypatch.setattr("skbsq.thresholds.summary._FEW_VALUES", 0)
    general = on_chunks(quantizer, X, 7)
    assert fast.codebook_ == general.codebook_
    np.testing.assert_array_equal(fast.summary_["sums"], general.summary_["sums"])


def test_rows_beyond_the_size_of_the_sketch_one_by_one(rng):
    """A full sketch adds a row without sorting; among equal weights, earlier values stay."""
    X = rng.normal(size=(300, 1))
    one_by_one = on_chunks(QuantileQuantizer(3, sketch_size=20), X, 300)
    kept = one_by_one.summary_["sketches"][0]["values"]
    np.testing.assert_array_equal(kept, np.sort(X[:20, 0].astype(np.float32)))
    assert sum(counts.sum() for counts in one_by_one.codebook_.counts) == 300


def test_partial_fit_while_another_thread_reads(rng, monkeypatch):
    """The codebook that the thread makes meanwhile does not replace that of later rows."""
    X = rng.normal(size=(300, 2))
    quantizer = QuantileQuantizer(3).partial_fit(X[:100])
    before = QuantileQuantizer(3).partial_fit(X[:100]).codebook_
    make, started, released = QuantileQuantizer._codebook_of, threading.Event(), threading.Event()

    def slow(self, *given):
        if threading.current_thread() is not threading.main_thread():
            started.set()
            assert released.wait(60)
        return make(self, *given)

    monkeypatch.setattr(QuantileQuantizer, "_codebook_of", slow)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(lambda: quantizer.codebook_)
        assert started.wait(60)
        quantizer.partial_fit(X[100:])
        released.set()
        assert seen.result() == before
    assert quantizer.codebook_ == on_chunks(QuantileQuantizer(3), X, 1).codebook_ != before


def test_threads_that_read_at_once_get_equal_codebooks(X):
    quantizer = QuantileQuantizer(3).partial_fit(X)
    with ThreadPoolExecutor(4) as pool:
        books = list(pool.map(lambda _: quantizer.codebook_, range(8)))
    assert all(book == quantizer.codebook_ for book in books)


class OfFewParameters(QuantileQuantizer):
    """A subclass whose other parameters are plain attributes."""

    def __init__(self, n_bits=2):
        super().__init__(list(n_bits) if isinstance(n_bits, tuple) else n_bits)


def test_subclasses_keep_attributes_set_on_them(X):
    X[::7, 1] = NAN
    own, plain = OfFewParameters(3), QuantileQuantizer(3, levels="midpoint", missing="code")
    own.levels, own.missing = "midpoint", "code"
    assert own.partial_fit(X).codebook_ == plain.partial_fit(X).codebook_
    assert OfFewParameters((1, 2, 3, 1)).set_params().partial_fit(X[:, [0, 2, 3, 0]]).n_levels_.tolist() == [2, 4, 1, 2]


class Calibrated(QuantileQuantizer):
    def __init__(self, n_bits=2, calibration=None):
        super().__init__(n_bits)
        self.calibration = calibration


def test_parameters_that_are_arrays_are_compared(X):
    one, same = (Calibrated(calibration=np.arange(3.0)).partial_fit(X) for _ in range(2))
    assert one.merge(same).codebook_.counts[0].sum() == 2 * len(X)
    with pytest.raises(ValueError, match="calibration is"):
        one.merge(Calibrated(calibration=np.arange(4.0)).partial_fit(X))


def test_states_without_waiting_values(rng):
    """Files of earlier versions have no such field."""
    X = rng.normal(size=(90, 1))
    found = QuantileQuantizer(3, sketch_size=60).partial_fit(X)
    (sketch,) = found.summary_["sketches"]
    waiting = sketch.pop("waiting")
    assert waiting[0].size == 30
    assert not sketch["digests"]
    found.summary_ = {**found.summary_, "sketches": [sketch]}
    found.partial_fit(X[:1])
    assert sum(counts.sum() for counts in found.codebook_.counts) == 61


def test_reading_the_codebook_changes_nothing(rng):
    """The number of values decides when they enter the digest, whether or not the codebook is read."""
    X = rng.normal(size=(700, 2))
    asked, unasked = QuantileQuantizer(3, sketch_size=40), QuantileQuantizer(3, sketch_size=40)
    for part in np.array_split(X, 90):
        assert asked.partial_fit(part).codebook_.n_features == 2
        unasked.partial_fit(part)
    assert asked.codebook_ == unasked.codebook_


# -- categories --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(rng):
    kind = rng.choice(["a", "b", "c", "d", "e"], 200, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    X = pd.DataFrame({"t": rng.normal(size=200).round(1), "kind": kind, "on": rng.random(200) < 0.3})
    X.loc[::11, "kind"] = None
    return X


MIXED = [
    *(clone(quantizer).set_params(missing="seen") for quantizer in QUANTIZERS),
    QuantileQuantizer(n_bits=2, missing="seen", min_share=0.12),
    QuantileQuantizer(n_bits=3, missing="seen", guard=True),
    QuantileQuantizer(n_bits=2, missing="seen", handle_unknown="missing", levels="midpoint"),
]
each_mixed = pytest.mark.parametrize("quantizer", MIXED, ids=str)


@each_mixed
@pytest.mark.parametrize("n_chunks", [1, 5, 60])
def test_categories_are_exact(quantizer, mixed, n_chunks):
    chunked, fitted = on_chunks(quantizer, mixed, n_chunks), clone(quantizer).fit(mixed)
    assert chunked.codebook_.categories == fitted.codebook_.categories
    assert list(chunked.codebook_.categories[1]) == list(fitted.codebook_.categories[1])
    np.testing.assert_array_equal(chunked.transform(mixed), fitted.transform(mixed))
    if chunked.codebook_.counts is not None:
        assert [counts.tolist() for counts in chunked.codebook_.counts] == [
            counts.tolist() for counts in fitted.codebook_.counts
        ]
    for mine, its in zip(chunked.codebook_.levels[1:], fitted.codebook_.levels[1:], strict=True):
        assert mine.tolist() == its.tolist()


@each_mixed
def test_gateways_with_different_categories_merge(quantizer, mixed, tmp_path):
    """Each has seen some categories alone, and sends its file."""
    made = []
    for k, part in enumerate([mixed[mixed["kind"].isin(["a", "e"])], mixed[~mixed["kind"].isin(["a", "e"])]]):
        save(clone(quantizer).partial_fit(part), tmp_path / f"{k}.safetensors")
        made.append(load(tmp_path / f"{k}.safetensors"))
    merged, fitted = made[0].merge(made[1]), clone(quantizer).fit(mixed)
    assert merged.codebook_.categories == fitted.codebook_.categories
    assert pickle.loads(pickle.dumps(merged)).codebook_ == merged.codebook_
    np.testing.assert_array_equal(merged.transform(mixed), fitted.transform(mixed))


def test_bools_are_categories_as_in_fit(mixed):
    quantizer = QuantileQuantizer(n_bits=1).partial_fit(mixed[["on"]])
    assert quantizer.codebook_.categories == [{False: 0, True: 1}]
    numbers = QuantileQuantizer(n_bits=1, categorical_features=None).partial_fit(mixed[["on"]])
    assert numbers.codebook_.categories == [None]


def test_weights_of_categories(mixed, rng):
    weights = rng.integers(1, 4, len(mixed))
    weighted = on_chunks(QuantileQuantizer(n_bits=2, missing="seen"), mixed, weights=weights)
    repeated = on_chunks(QuantileQuantizer(n_bits=2, missing="seen"), mixed.loc[np.repeat(mixed.index, weights)])
    assert weighted.codebook_.categories == repeated.codebook_.categories
    assert weighted.codebook_.levels[1].tolist() == repeated.codebook_.levels[1].tolist()


def test_a_chunk_without_a_category(mixed):
    """A column that is missing in a whole chunk has another dtype there."""
    quantizer = QuantileQuantizer(n_bits=2, missing="seen")
    quantizer.partial_fit(mixed).partial_fit(mixed.assign(kind=np.nan)).partial_fit(mixed.assign(kind="new"))
    expected = pd.concat([mixed, mixed.assign(kind=None), mixed.assign(kind="new")])
    assert (
        quantizer.codebook_.categories == QuantileQuantizer(n_bits=2, missing="seen").fit(expected).codebook_.categories
    )


def test_categorical_features_stay(mixed):
    quantizer = QuantileQuantizer(n_bits=2, missing="seen").partial_fit(mixed)
    before = quantizer.codebook_
    with pytest.raises(
        ValueError, match=r"categorical_features names the features \[2\], and in earlier rows \[1, 2\]"
    ):
        quantizer.set_params(categorical_features=["on"]).partial_fit(mixed)
    assert quantizer.codebook_ == before


def test_categories_do_not_merge_with_numbers(mixed):
    one, other = (QuantileQuantizer(missing="seen").partial_fit(X) for X in (mixed, mixed.assign(kind=1.0)))
    with pytest.raises(
        ValueError, match="feature 'kind' holds categories in one of the quantizers to merge, and numbers"
    ):
        one.merge(other)
    bools, integers = (
        QuantileQuantizer(categorical_features=[0]).partial_fit(pd.DataFrame({"on": values}))
        for values in ([True, False], [1, 0])
    )
    with pytest.raises(ValueError, match="feature 'on' are bools and integers"):
        bools.merge(integers)


def test_a_summary_keeps_no_sketch_of_categories(mixed):
    summary = QuantileQuantizer(missing="seen").partial_fit(mixed).summary_
    assert [sketch["values"].size > 0 for sketch in summary["sketches"]] == [True, False, False]
    assert sum(summary["categories"][1]["weights"]) == mixed["kind"].notna().sum()
