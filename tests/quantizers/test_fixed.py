"""Quantizers that need no gradient, mostly on rows small enough to check by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skbsq import KMeansQuantizer, QuantileQuantizer, ThresholdQuantizer, TreeQuantizer, UniformQuantizer
from skbsq.exceptions import MissingCodeWarning
from skbsq.thresholds import kmeans as kmeans_module
from skbsq.thresholds import tree as tree_module
from skbsq.thresholds.features import between, group_starts

NAN = float("nan")
UNSUPERVISED = [UniformQuantizer, QuantileQuantizer, KMeansQuantizer]


def column(values):
    return np.array(values, dtype=np.float64)[:, None]


EIGHT = [0, 1, 2, 3, 4, 5, 6, 14]


@pytest.mark.parametrize(
    ("quantizer", "values", "thresholds", "levels"),
    [
        # lo + s (k + 1/2) with s = 14 / 3
        (UniformQuantizer(2), EIGHT, [14 / 6, 7, 14 * 5 / 6], [1, 4.5, 28 / 3, 14]),
        (UniformQuantizer(2, levels="midpoint"), EIGHT, [14 / 6, 7, 14 * 5 / 6], [0, 14 / 3, 28 / 3, 14]),
        (UniformQuantizer(1), EIGHT, [7], [3, 14]),
        (UniformQuantizer(1, levels="midpoint"), EIGHT, [7], [0, 14]),
        (QuantileQuantizer(2), EIGHT, [1.5, 3.5, 5.5], [0.5, 2.5, 4.5, 10]),
        (QuantileQuantizer(2, levels="midpoint"), EIGHT, [1.5, 3.5, 5.5], [0.5, 2.5, 4.5, 6.5]),
        (QuantileQuantizer(2, quantile_method="linear"), EIGHT, [1.75, 3.5, 5.25], [0.5, 2.5, 4.5, 10]),
        (QuantileQuantizer(1), [1, 2] + [3] * 8, [2.5], [1.5, 3]),
        (QuantileQuantizer(1, ties="merge"), [1, 2] + [3] * 8, [3], [2.7, 4]),
        (QuantileQuantizer(2), [1, 2] + [3] * 8, [1.5, 2.5], [1, 2, 3]),
        (KMeansQuantizer(1), EIGHT, [8.5], [3, 14]),
        (KMeansQuantizer(2), [0, 1, 10, 11, 20, 21, 90], [5.5, 15.5, 55.25], [0.5, 10.5, 20.5, 90]),
    ],
)
def test_by_hand(quantizer, values, thresholds, levels):
    book = quantizer.fit(column(values)).codebook_
    np.testing.assert_array_equal(book.thresholds[0], np.float32(thresholds))
    np.testing.assert_allclose(book.levels[0], levels, rtol=1e-6, atol=1e-6)


@given(
    x=hnp.arrays(np.float32, st.integers(1, 30), elements=st.integers(-5, 5)),
    n_bits=st.integers(0, 4),
    Quantizer=st.sampled_from(UNSUPERVISED),
)
def test_levels_are_within_their_bins_and_counts_add_up(x, n_bits, Quantizer):
    quantizer = Quantizer(n_bits).fit(x[:, None])
    book = quantizer.codebook_
    assert book.n_levels[0] <= 2**n_bits
    np.testing.assert_array_equal(book.encode(column(book.levels[0])).ravel(), np.arange(book.n_levels[0]))
    np.testing.assert_array_equal(
        book.counts[0], np.bincount(book.encode(x[:, None]).ravel(), minlength=book.n_levels[0])
    )


@given(
    x=hnp.arrays(np.float32, st.integers(1, 40), elements=st.integers(-8, 8)),
    n_bits=st.integers(0, 5),
    quantizer=st.sampled_from([QuantileQuantizer, KMeansQuantizer]),
)
def test_duplicates_do_not_lose_resolution(x, n_bits, quantizer):
    fitted = quantizer(n_bits).fit(x[:, None])
    assert fitted.n_levels_[0] == min(2**n_bits, np.unique(x).size)
    assert (fitted.codebook_.counts[0] > 0).all()


def test_quantiles_equal_numpys(rng):
    x = rng.lognormal(size=997).astype(np.float32)
    shares = np.arange(1, 16) / 16
    for method in ["averaged_inverted_cdf", "linear"]:
        expected = np.quantile(x.astype(np.float64), shares, method=method).astype(np.float32)
        found = QuantileQuantizer(4, quantile_method=method, ties="merge").fit(x[:, None]).thresholds_[0]
        np.testing.assert_array_equal(found, expected)


def test_refill_splits_the_heaviest_bin_near_its_middle():
    # All quantiles of 90 zeros and 1..10 at four levels are 0. Refill halves the bin 1..10, and then one of its halves.
    x = column([0] * 90 + list(range(1, 11)))
    np.testing.assert_array_equal(QuantileQuantizer(2).fit(x).thresholds_[0], [0, 2.5, 5.5])
    np.testing.assert_array_equal(QuantileQuantizer(2).fit(x).codebook_.counts[0], [90, 2, 3, 5])


def test_linear_quantiles_take_no_weights():
    with pytest.raises(ValueError, match="averaged_inverted_cdf"):
        QuantileQuantizer(quantile_method="linear").fit(column([1, 2, 3]), sample_weight=[1, 2, 1])


def brute_force_error(x, k):
    x = np.sort(x)
    best = np.inf
    for stops in itertools.combinations(range(1, x.size), k - 1):
        best = min(best, sum(((part - part.mean()) ** 2).sum() for part in np.split(x, stops)))
    return best


def squared_error(quantizer, x):
    return ((quantizer.inverse_transform(quantizer.transform(x)) - x) ** 2).sum()


@given(x=hnp.arrays(np.float64, st.integers(2, 9), elements=st.integers(-20, 20)), n_bits=st.integers(1, 2))
def test_kmeans_is_the_exact_optimum(x, n_bits):
    k = min(2**n_bits, np.unique(x).size)
    assume(k > 1)
    quantizer = KMeansQuantizer(n_bits).fit(x[:, None])
    np.testing.assert_allclose(squared_error(quantizer, x[:, None]), brute_force_error(x, k), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_bits", [3, 5])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "uniform"])
def test_kmeans_lloyd_is_near_the_optimum(n_bits, draw, rng, monkeypatch):
    x = getattr(rng, draw)(size=(2000, 1)).astype(np.float32)
    assert x.size * 2**n_bits < kmeans_module.EXACT_LIMIT
    exact = squared_error(KMeansQuantizer(n_bits).fit(x), x)
    monkeypatch.setattr(kmeans_module, "EXACT_LIMIT", 0)
    monkeypatch.setattr(kmeans_module, "_START_LIMIT", 2**13)
    assert squared_error(KMeansQuantizer(n_bits).fit(x), x) <= 1.02 * exact


def test_kmeans_lloyd_keeps_every_bin(monkeypatch, rng):
    monkeypatch.setattr(kmeans_module, "EXACT_LIMIT", 0)
    x = np.concatenate([rng.normal(size=50), [1e6, 2e6, 1e9]])[:, None]
    quantizer = KMeansQuantizer(4).fit(x)
    assert quantizer.n_levels_[0] == 16
    assert (quantizer.codebook_.counts[0] > 0).all()


def test_tree_equals_sklearns_tree(rng):
    X = rng.normal(size=(500, 1)).astype(np.float32)
    y = np.sin(3 * X[:, 0]) + 0.1 * rng.normal(size=500)
    quantizer = TreeQuantizer(3).fit(X, y)
    tree = DecisionTreeRegressor(max_leaf_nodes=8, min_weight_fraction_leaf=0.1 / 8, random_state=0).fit(X, y)
    leaves, codes = tree.apply(X), quantizer.transform(X).ravel()
    assert len(set(zip(leaves.tolist(), codes.tolist(), strict=True))) == 8 == quantizer.n_levels_[0]
    np.testing.assert_allclose(quantizer.thresholds_[0], np.sort(tree.tree_.threshold[tree.tree_.feature >= 0]))


def tree_on_rows(x, y, weights, n_bits, grow):
    values = np.unique(x)
    tree = grow(max_leaf_nodes=2**n_bits, min_weight_fraction_leaf=0.1 / 2**n_bits, random_state=0).fit(
        np.searchsorted(values, x)[:, None], y, sample_weight=weights
    )
    below = np.sort(tree.tree_.threshold[tree.tree_.feature >= 0]).astype(int)
    return between(values[below], values[below + 1])


@given(
    n=st.integers(2, 200),
    n_values=st.integers(2, 100),
    n_targets=st.integers(1, 2),
    n_bits=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_tree_on_unique_values_equals_a_tree_on_rows(n, n_values, n_targets, n_bits, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, n_values, size=n).astype(np.float32)
    assume(np.unique(x).size > 1)
    y = rng.normal(size=(n, n_targets)).squeeze(axis=1) if n_targets == 1 else rng.normal(size=(n, n_targets))
    weights = rng.integers(1, 4, size=n)
    found = TreeQuantizer(n_bits).fit(x[:, None], y, sample_weight=weights).thresholds_[0]
    np.testing.assert_array_equal(found, tree_on_rows(x, y, weights, n_bits, DecisionTreeRegressor))


@given(
    n=st.integers(2, 200),
    n_values=st.integers(2, 100),
    n_classes=st.integers(2, 5),
    n_bits=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_tree_on_class_weights_equals_a_tree_on_rows(n, n_values, n_classes, n_bits, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, n_values, size=n).astype(np.float32)
    assume(np.unique(x).size > 1)
    y = np.array(list("abcde"))[rng.integers(0, n_classes, size=n)]
    weights = rng.integers(1000, 4000, size=n)  # sums are exact, and no two splits gain the same
    found = TreeQuantizer(n_bits).fit(x[:, None], y, sample_weight=weights).thresholds_[0]
    np.testing.assert_array_equal(found, tree_on_rows(x, y, weights, n_bits, DecisionTreeClassifier))


@pytest.mark.parametrize(("grow", "max_groups"), [(DecisionTreeRegressor, 100), (DecisionTreeClassifier, 200)])
def test_tree_on_merged_values_equals_a_tree_on_groups(grow, max_groups, rng, monkeypatch):
    x, weights = rng.lognormal(size=1000).astype(np.float32), rng.integers(1000, 4000, size=1000)
    y = np.log(x) + rng.normal(size=1000)
    if grow is DecisionTreeClassifier:
        y = np.where(y > 0, "high", "low")
    monkeypatch.setattr(tree_module, "MAX_GROUPS", max_groups)
    monkeypatch.setattr(tree_module, "_GROUPS_PER_LEVEL", 1)
    found = TreeQuantizer(3).fit(x[:, None], y, sample_weight=weights).thresholds_[0]

    order = np.argsort(x)
    first = order[group_starts(weights[order].astype(float), 100)]  # the row with the least value of each group
    group = np.searchsorted(np.sort(x[first]), x, side="right") - 1
    assert np.unique(group).size <= 100
    above = np.ceil(tree_on_rows(group, y, weights, 3, grow)).astype(int)
    high = x[first][above]
    low = np.array([x[x < value].max() for value in high])
    np.testing.assert_array_equal(found, between(low, high))


@pytest.mark.parametrize(
    ("n_classes", "n_levels", "groups"), [(2, 16, 2**15), (20, 16, 3276), (500, 16, 1024), (500, 2**16, 2**16)]
)
def test_tree_makes_fewer_groups_for_more_classes(n_classes, n_levels, groups):
    assert tree_module.max_groups("classification", np.arange(n_classes), n_levels) == groups


def test_tree_with_labels_and_with_several_targets(rng):
    X = rng.uniform(size=(200, 2))
    labels = np.where(X[:, 0] > 0.3, "hot", "cold")
    quantizer = TreeQuantizer([1, 1]).fit(X, labels)
    assert quantizer.task_ == "classification"
    assert abs(quantizer.thresholds_[0][0] - 0.3) < 0.02
    both = TreeQuantizer(1).fit(X, np.column_stack([X[:, 0] > 0.3, X[:, 1] > 0.8]).astype(float))
    np.testing.assert_allclose(np.concatenate(both.thresholds_), [0.3, 0.8], atol=0.03)


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ([1, 2], [[1, 2], [1, 2]]),
        ([[1], [3, 2]], [[1], [2, 3]]),
        ({"b": [5], "a": []}, [[], [5]]),
        ([], [[], []]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.Series([1.0, 2.0], index=[5, 6]), [[1, 2], [1, 2]]),
    ],
)
def test_threshold_quantizer_forms(thresholds, expected):
    X = pd.DataFrame({"a": [0.0, 4.0], "b": [1.0, 6.0]})
    found = ThresholdQuantizer(thresholds).fit(X).thresholds_
    for t, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(t, e)


def test_threshold_quantizer_learns_levels_only():
    quantizer = ThresholdQuantizer([10, 20, 30]).fit(column([1, 3, 12]))
    # Means of the bins with rows, the midpoint between 20 and 30, and half a gap beyond 30.
    np.testing.assert_array_equal(quantizer.codebook_.levels[0], [2, 12, 25, 35])


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"a": [1]}, "leaves out 'b'"),
        ({"a": [1], "b": [1], "c": [1]}, "'c', which is not a feature"),
        ([[1]], "1 arrays, but X has 2"),
        ([[1], [NAN]], "feature 'b' must be finite"),
        (["x"], "feature 'a' must be a 1-d array of numbers"),
    ],
)
def test_threshold_quantizer_refuses(thresholds, message):
    with pytest.raises(ValueError, match=message):
        ThresholdQuantizer(thresholds).fit(pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 2.0]}))


# -- missing values ----------------------------------------------------------------------------------

MISSING = pd.DataFrame(
    {
        "seen": [0.0, 1.0, 2.0, 3.0],
        "holes": [0.0, NAN, 2.0, 3.0],
        "never": [NAN] * 4,
        "constant": [7.0] * 4,
        "patchy": [7.0, NAN, 7.0, 7.0],
    }
)


@pytest.mark.filterwarnings("ignore::skbsq.exceptions.MissingCodeWarning")
@pytest.mark.parametrize("Quantizer", [*UNSUPERVISED, TreeQuantizer])
@pytest.mark.parametrize(
    ("n_bits", "n_levels"),
    [(0, [1, 1, 1, 1, 1]), (1, [2, 2, 2, 1, 2]), (2, [4, 4, 2, 1, 2]), (16, [5, 4, 2, 1, 2])],
)
def test_missing_code(Quantizer, n_bits, n_levels):
    quantizer = Quantizer(n_bits, missing="code").fit(MISSING, [0.0, 5.0, 1.0, 3.0])
    if Quantizer is UniformQuantizer and n_bits == 16:
        assert quantizer.n_levels_.tolist()[2:] == n_levels[2:]
    else:
        assert quantizer.n_levels_.tolist() == n_levels
    codes = quantizer.transform(pd.DataFrame(NAN, index=[0], columns=MISSING.columns))
    # The missing code is the top code. A feature without one (not sent, or constant and never missing) gives 0.
    has_missing = quantizer.codebook_.has_missing
    np.testing.assert_array_equal(codes[0], np.where(has_missing, quantizer.n_levels_ - 1, 0))
    assert has_missing.tolist() == [n_bits > 0, n_bits > 0, n_bits > 0, False, n_bits > 0]
    regular = [levels[~np.isnan(levels)] for levels in quantizer.codebook_.levels]
    assert all(np.isfinite(levels).all() and levels.size for levels in regular)
    assert regular[2].tolist() == [0.0]
    assert regular[3].tolist() == [7.0]
    assert regular[4].tolist() == [7.0]


@pytest.mark.parametrize("Quantizer", [*UNSUPERVISED, TreeQuantizer])
@pytest.mark.parametrize("n_bits", [0, 1, 2])
def test_missing_as_seen(Quantizer, n_bits):
    quantizer = Quantizer(n_bits, missing="seen").fit(MISSING, [0.0, 5.0, 1.0, 3.0])
    book = quantizer.codebook_
    assert book.has_missing.tolist() == [False, *([n_bits > 0] * 2), False, n_bits > 0]
    assert book.refuses_nan.tolist() == [n_bits > 0, False, False, False, False]
    without = Quantizer(n_bits).fit(MISSING[["seen"]], [0.0, 5.0, 1.0, 3.0])
    np.testing.assert_array_equal(book.thresholds[0], without.thresholds_[0])  # no level is given up
    by_code = Quantizer([2, n_bits, n_bits, 2, n_bits], missing="code").fit(MISSING, [0.0, 5.0, 1.0, 3.0])
    np.testing.assert_array_equal(book.thresholds[1], by_code.thresholds_[1])
    gap = MISSING.assign(seen=[0.0, NAN, 2.0, 3.0], constant=NAN)
    if n_bits:
        with pytest.raises(ValueError, match=r"NaN in feature 'seen' \(row 1\)"):
            quantizer.transform(gap)
    else:
        assert not quantizer.transform(gap).any()


def test_rows_of_weight_zero_are_not_seen():
    X = np.array([[1.0, NAN], [2.0, 5.0], [NAN, 6.0], [4.0, 7.0]])
    quantizer = QuantileQuantizer(2, missing="seen").fit(X, sample_weight=[0, 1, 1, 1])
    assert quantizer.codebook_.has_missing.tolist() == [True, False]
    with pytest.raises(ValueError, match=r"NaN in feature 1 \(row 0\)"):
        quantizer.transform(X)


@pytest.mark.parametrize(
    "missing",
    [
        {"a": "error", "b": "seen", "c": "code"},
        {0: "error", 1: "seen", 2: "code"},
        ["error", "seen", "code"],
        np.array(["error", "seen", "code"]),
        pd.Series(["code", "seen", "error"], index=["c", "b", "a"]),
    ],
)
@pytest.mark.parametrize("quantizer", [QuantileQuantizer(2), ThresholdQuantizer([0.0, 1.0])], ids=str)
def test_missing_per_feature(quantizer, missing):
    X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [0.0, NAN, 2, 3], "c": [0.0, 1, 2, 3]})
    quantizer = clone(quantizer).set_params(missing=missing).fit(X)
    assert quantizer.codebook_.has_missing.tolist() == [False, True, True]
    assert quantizer.get_params()["missing"] is missing
    with pytest.raises(ValueError, match=r"NaN in feature 'a' \(row 2\), and \w+ has missing=\"error\" there"):
        quantizer.fit(X.assign(a=[0.0, 1, NAN, 3]))


def test_numbers_as_labels_of_rules_are_ambiguous():
    X = pd.DataFrame({1: [0.0, 1.0], 0: [2.0, NAN]})
    with pytest.raises(ValueError, match="missing has numbers as labels"):
        QuantileQuantizer(missing={0: "seen", 1: "error"}).fit(X)


def test_thresholds_as_seen():
    X = np.array([[0.0, NAN, 1.0, NAN], [2.0, 3.0, 1.0, 1.0]])
    given = [[1.0], [1.0], [], []]
    fitted = {rule: ThresholdQuantizer(given, missing=rule).fit(X) for rule in ("seen", "code")}
    assert fitted["seen"].codebook_.has_missing.tolist() == [False, True, False, True]
    assert fitted["code"].codebook_.has_missing.tolist() == [True, True, False, True]


def test_warning_about_indicators():
    """Only of features of 1 bit in which no NaN was seen."""
    frame = MISSING.rename(columns={"constant": "same"})
    for n_bits, names in [(1, r"\['seen'\]"), ([1, 1, 1, 1, 2], r"\['seen'\]")]:
        with pytest.warns(MissingCodeWarning, match=f'features {names}: .* 2 bits, or set missing="seen"') as caught:
            UniformQuantizer(n_bits, missing="code").fit(frame)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    UniformQuantizer([2, 1, 1, 1, 1], missing="code").fit(frame)
    UniformQuantizer(1, missing="seen").fit(frame)


def test_missing_code_at_one_bit_is_an_indicator():
    quantizer = QuantileQuantizer(1, missing="code", encode="thermometer").fit(column([1, NAN, 3]))
    np.testing.assert_array_equal(quantizer.transform(column([1, NAN, 3])), [[0], [1], [0]])
    np.testing.assert_array_equal(quantizer.inverse_transform([[0], [1]]), [[2], [NAN]])


def test_missing_levels_ignore_missing_rows():
    quantizer = QuantileQuantizer(2, missing="code").fit(column([1, 2, 9, NAN]), sample_weight=[1, 3, 1, 5])
    np.testing.assert_array_equal(quantizer.codebook_.levels[0], [1, 2, 9, NAN])
    np.testing.assert_array_equal(quantizer.codebook_.counts[0], [1, 1, 1, 1])


# -- scale and offset --------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-30, 30])
@pytest.mark.parametrize("Quantizer", [*UNSUPERVISED, TreeQuantizer])
def test_scale_invariance(Quantizer, exponent, rng):
    X = rng.lognormal(size=(300, 2)).astype(np.float32)
    y = X[:, 0] + rng.normal(size=300)
    factor = np.float32(2.0**exponent)
    here, there = Quantizer(3).fit(X, y), Quantizer(3).fit(X * factor, y)
    np.testing.assert_array_equal(here.transform(X), there.transform(X * factor))
    for t, scaled in zip(here.thresholds_, there.thresholds_, strict=True):
        np.testing.assert_array_equal(t * factor, scaled)


def test_large_offset_keeps_its_digits(rng):
    X = (1e5 + rng.normal(size=(500, 1))).astype(np.float32)
    for Quantizer in UNSUPERVISED:
        quantizer = Quantizer(2).fit(X)
        assert quantizer.n_levels_[0] == 4
        assert (quantizer.codebook_.counts[0] > 0).all()


def test_equal_weights_are_no_weights():
    x = column(range(8))
    assert QuantileQuantizer(1).fit(x, sample_weight=np.full(8, 0.1)).thresholds_[0].tolist() == [3.5]


@pytest.mark.parametrize("encode", ["packed", "thermometer"])
@pytest.mark.parametrize("library", ["default", "pandas", "polars"])
def test_nothing_sent_comes_back_as_constants(encode, library):
    X = np.full((5, 2), 7.0)
    quantizer = QuantileQuantizer(encode=encode).set_output(transform=library).fit(X)
    back = quantizer.inverse_transform(quantizer.transform(X))
    if library == "polars":
        back = back[:5]  # a frame without columns has no rows there
    assert np.asarray(back).tolist() == X[: len(back)].tolist()
