"""Categories of known truth: alone, with others, not at all; many of them; and no row sees its own target."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skbsq import BitwiseClassifier, BitwiseQuantizer, BitwiseRegressor, TreeQuantizer
from skbsq.training import rows as rows_module

TRAINING = {"hidden_sizes": (32,), "random_state": 0}


def names(numbers):
    return [f"c{number:04}" for number in numbers]


@pytest.fixture
def clusters(rng):
    """Twelve categories, of which three share each effect."""
    effect = rng.permutation(np.repeat([0.0, 1.0, 2.0, 3.0], 3))
    kind = rng.permutation(600) % 12
    X = pd.DataFrame({"kind": names(kind), "x": rng.normal(size=600)})
    return X, effect[kind] + 0.3 * rng.normal(size=600), effect


@pytest.mark.parametrize(
    "quantizer", [BitwiseQuantizer(2, max_epochs=30, **TRAINING), TreeQuantizer(2)], ids=["bitwise", "tree"]
)
def test_categories_with_one_effect_share_a_code(quantizer, clusters):
    X, y, effect = clusters
    codes = quantizer.fit(X, y).codebook_.categories[0]
    assert [codes[name] for name in names(range(12))] == effect.tolist()


def test_classes_order_categories_by_their_rates(clusters):
    X, y, effect = clusters
    model = BitwiseClassifier(1, max_epochs=5, **TRAINING).fit(X, y > 1.5)
    codes = model.codebook_.categories[0]
    assert [codes[name] for name in names(range(12))] == (effect > 1.5).tolist()


def test_a_category_and_a_number_together(rng):
    site, x = rng.integers(4, size=800), rng.normal(size=800)
    X, y = pd.DataFrame({"site": names(site), "x": x}), np.array([1, -1, 1, -1])[site] * x
    model = BitwiseRegressor({"site": 2, "x": 4}, max_epochs=40, **TRAINING).fit(X[:600], y[:600])
    assert model.codebook_.is_one_hot.tolist() == [True, False]
    assert model.score(X[600:], y[600:]) > 0.85


@pytest.mark.parametrize("other", ["number", "flag"])
def test_many_categories_that_act_only_with_another_feature(rng, other):
    """Their means are equal, but not those of the target times the other feature."""
    sign, site = rng.permutation(np.repeat([1, -1], 10)), rng.permutation(800) % 20
    x = rng.normal(size=800) if other == "number" else rng.permutation(800) % 2 == 1
    X = pd.DataFrame({"site": names(site), "x": x, "noise": rng.normal(size=800)})
    y = sign[site] * (x if other == "number" else 2 * x - 1) + 0.3 * rng.normal(size=800)
    codes = (
        BitwiseQuantizer({"site": 1, "x": 1, "noise": 1}, max_epochs=20, **TRAINING).fit(X, y).codebook_.categories[0]
    )
    first = codes["c0000"]
    assert [codes[name] == first for name in names(range(20))] == (sign == sign[0]).tolist()


def test_two_flags_together(rng):
    flags = rng.integers(2, size=(400, 2)).astype(bool)
    X, y = pd.DataFrame(flags, columns=["a", "b"]), flags[:, 0] ^ flags[:, 1]
    model = BitwiseClassifier(1, max_epochs=60, **TRAINING).fit(X, y)
    assert model.codebook_.row_bits == 2
    assert model.score(X, y) == 1


def test_a_thousand_categories(rng):
    effect = rng.integers(4, size=1000).astype(float)
    category = rng.permutation(8000) % 1000
    X = pd.DataFrame({"category": names(category), "x": rng.normal(size=8000)})
    y = effect[category] + 0.5 * rng.normal(size=8000)
    codes = BitwiseQuantizer(2, max_epochs=8, **TRAINING).fit(X, y).codebook_.categories[0]
    assert np.mean([codes[name] == effect[k] for k, name in enumerate(names(range(1000)))]) > 0.95


# -- a category of chance ----------------------------------------------------------------------------


@pytest.fixture
def noise(rng):
    """Two numbers that matter, and a category of chance with about three rows each."""
    X = pd.DataFrame(rng.normal(size=(2000, 2)), columns=["a", "b"])
    y = X["a"] + 0.5 * X["b"] + rng.normal(size=2000)
    return X.assign(label=names(rng.integers(250, size=2000))), y.to_numpy()


def scores(X, y):
    """R2 on training rows and on others."""
    model = BitwiseRegressor(2, handle_unknown="missing", max_epochs=20, **TRAINING).fit(X[:800], y[:800])
    return np.array([model.score(X[:800], y[:800]), model.score(X[800:], y[800:])])


def test_a_category_of_chance_neither_gains_nor_loses(noise, monkeypatch):
    X, y = noise
    train, test = scores(X, y) - scores(X[["a", "b"]], y)
    assert train < 0.05
    assert abs(test) < 0.05

    order_by_target = rows_module.order_by_target

    def leaking(*given):
        order, _ = order_by_target(*given)
        return order, order.floats

    monkeypatch.setattr(rows_module, "order_by_target", leaking)
    train, test = scores(X, y) - scores(X[["a", "b"]], y)
    assert train > 0.03
    assert test < -0.03


def test_a_budget_leaves_out_a_category_of_chance(noise):
    X, y = noise
    model = BitwiseRegressor(None, bit_budget=5, handle_unknown="missing", max_epochs=10, **TRAINING)
    allocation = model.fit(X[:800], y[:800]).allocation_["n_bits"]
    assert allocation["label"] == 0
    assert allocation[["a", "b"]].min() > 0


# -- rows --------------------------------------------------------------------------------------------


def checked(X, y, handle_unknown="error", **given):
    given |= {"missing": "error", "guard": False, "class_weight": None}
    given["categorical"] = "from_dtype", handle_unknown, 0.0
    return rows_module.read_rows(BitwiseRegressor(), X, y, None, "regression", **given)


def test_rows_read_places_where_codes_suffice_and_means_elsewhere(clusters):
    X, y, _ = clusters
    wide = checked(X, y).in_order(np.array([4, 2]), 0)
    assert sorted(set(wide.X[:, 0].tolist())) == list(range(12))
    assert wide.one_hot.tolist() == wide.kept.tolist() == [True, False]
    narrow = checked(X, y).in_order(np.array([2, 2]), 0)
    assert len(np.unique(narrow.X[:, 0])) > 12  # a mean per category and fold
    assert not narrow.kept.any()
    np.testing.assert_array_equal(wide.X[:, 1], narrow.X[:, 1])


def test_rows_keep_their_categories_when_some_are_selected(clusters):
    X, y, _ = clusters
    rows = checked(X, y).in_order(np.array([2, 2]), 0)
    some = rows.some(np.arange(10))
    np.testing.assert_array_equal(some.orders[0].ranks, rows.orders[0].ranks[:10])
    in_order = [rows.orders[0].names[int(rank)] for rank in rows.orders[0].ranks]
    assert in_order == X["kind"].tolist()


def test_rows_in_the_order_of_a_codebook_have_its_codes(clusters):
    X, y, _ = clusters
    book = BitwiseQuantizer(2, max_epochs=1, **TRAINING).fit(X, y).codebook_
    for rows in (checked(X, y), checked(X, y).in_order(np.array([2, 2]), 0)):
        np.testing.assert_array_equal(book.encode_numbers(rows.in_order_of(book).X), book.encode(X))


@pytest.mark.parametrize("n_bits", [2, 5])
def test_validation_rows_read_the_float_of_their_category(clusters, n_bits):
    X, y, _ = clusters
    rows = checked(X, y, X_val=X[:50], y_val=y[:50]).in_order(np.array([n_bits, 2]), 0)
    np.testing.assert_array_equal(rows.held_out[0][:, 0], rows.orders[0].floats[:50])


def test_unknown_categories_in_validation_rows(clusters):
    X, y, _ = clusters
    X_val = X[:5].assign(kind=["new", *X["kind"][1:5]])
    with pytest.raises(ValueError, match="'new'"):
        checked(X, y, X_val=X_val, y_val=y[:5])
    rows = checked(X, y, X_val=X_val, y_val=y[:5], handle_unknown="missing").in_order(np.array([3, 2]), 0)
    assert np.isnan(rows.held_out[0][:, 0]).tolist() == [True, False, False, False, False]
    given = {"handle_unknown": "missing", "max_epochs": 2, "early_stopping": True}
    BitwiseRegressor(3, **given, **TRAINING).fit(X, y, X_val=X_val, y_val=y[:5])


def test_merged_categories_share_a_code(clusters):
    X, y, _ = clusters
    X = X.assign(kind=["rare" if k < 3 else "seldom" if k < 6 else kind for k, kind in enumerate(X["kind"])])
    for n_bits in (2, 5):
        book = BitwiseQuantizer(n_bits, min_share=0.01, max_epochs=1, **TRAINING).fit(X, y).codebook_
        codes = book.categories[0]
        assert codes["rare"] == codes["seldom"]
        if n_bits == 5:
            assert book.n_levels[0] == 13  # each of the others has its own
            assert not book.is_one_hot[0]


def test_the_order_does_not_depend_on_names(clusters):
    X, y, _ = clusters
    other = {name: f"k{k}" for k, name in enumerate(reversed(names(range(12))))}
    rows, renamed = (checked(table, y).in_order(np.array([2, 2]), 0) for table in (X, X.replace({"kind": other})))
    assert [other[name] for name in rows.orders[0].names] == list(renamed.orders[0].names)
    np.testing.assert_allclose(rows.X[:, 0], renamed.X[:, 0], rtol=1e-6)


def test_groups_of_rows_share_a_fold(clusters):
    X, y, _ = clusters
    groups = np.arange(600) // 2
    rows = replace(checked(X, y), groups=groups).in_order(np.array([2, 2]), 0)
    for kind in names(range(12)):
        of_kind = np.flatnonzero((X["kind"] == kind) & (X["kind"] == X["kind"].to_numpy()[np.arange(600) ^ 1]))
        pairs = of_kind[np.isin(of_kind ^ 1, of_kind)]
        np.testing.assert_array_equal(rows.X[pairs, 0], rows.X[pairs ^ 1, 0])
