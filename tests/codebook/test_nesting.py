import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codebook.nesting import coarse_thresholds
from tests.strategies import category_codes, codebooks, mixed_codebooks, neighbours, values_of

NAN = np.nan


@pytest.mark.parametrize(
    ("n_thresholds", "has_missing", "n_bits", "kept"),
    [
        (7, False, 3, [0, 1, 2, 3, 4, 5, 6]),
        (7, False, 2, [1, 3, 5]),
        (7, False, 1, [3]),
        (7, False, 0, []),
        (5, False, 2, [1, 3]),
        (14, True, 3, [1, 3, 5, 7, 9, 11]),  # seven and a missing code would be nine levels
        (6, True, 2, [1, 3]),
        (6, True, 1, []),
        (6, True, 0, []),
        (0, True, 0, []),
    ],
)
def test_thresholds_that_remain(n_thresholds, has_missing, n_bits, kept):
    assert coarse_thresholds(n_thresholds, has_missing, n_bits)[0].tolist() == kept


@given(st.integers(0, 70), st.booleans(), st.booleans(), st.integers(0, 7), st.integers(0, 7))
def test_one_chain_whatever_the_way(n_thresholds, has_missing, has_guard, n_bits, between):
    between = max(n_bits, between)
    first, left = coarse_thresholds(n_thresholds, has_missing, between, has_guard)
    second, kept = coarse_thresholds(first.size, has_missing and between > 0, n_bits, left)
    at_once, kept_at_once = coarse_thresholds(n_thresholds, has_missing, n_bits, has_guard)
    assert (first[second].tolist(), kept) == (at_once.tolist(), kept_at_once)


def test_levels_and_counts_are_merged():
    fine = Codebook.from_thresholds(
        [[1, 2, 3]], levels=[[0.5, 1.5, 2.5, 5.0]], counts=[[1, 3, 0, 4]], feature_names=["a"]
    )
    coarse = fine.coarsened({"a": 1})
    assert coarse == Codebook.from_thresholds(
        [[2]], levels=[[1.25, 5.0]], counts=[[4, 4]], missing="error", feature_names=["a"]
    )
    assert fine.coarsened(0).levels[0].tolist() == [(0.5 + 4.5 + 20) / 8]
    assert fine.coarsened(2) == fine


def test_midpoints_without_counts_or_rows():
    fine = Codebook.from_thresholds([[1, 2, 4]], levels=[[0.5, 1.25, 2.5, 5.0]])
    assert fine.coarsened(1).levels[0].tolist() == [1.0, 3.0]
    empty = Codebook.from_thresholds([[1, 2, 4]], levels=[[0.5, 1.25, 2.5, 5.0]], counts=[[0, 0, 1, 1]])
    assert empty.coarsened(1).levels[0].tolist() == [1.0, 3.75]


def test_missing_code_has_no_number_but_shares_the_only_code():
    fine = Codebook.from_thresholds([[1, 2]], levels=[[0, 1.5, 9]], counts=[[1, 2, 3, 4]], missing="code")
    one, none = fine.coarsened(1), fine.coarsened(0)
    assert one.n_levels.tolist() == [2]
    assert one.counts[0].tolist() == [6, 4]
    assert one.encode([[5.0], [NAN]]).ravel().tolist() == [0, 1]
    assert none.counts[0].tolist() == [10]
    assert none.levels[0].tolist() == [5.0]  # of the numbers: (3 + 27) / 6
    assert fine.recode([[0], [2], [3]], one).ravel().tolist() == [0, 0, 1]
    assert fine.recode([[0], [2], [3]], none).ravel().tolist() == [0, 0, 0]


@given(codebooks(), st.data())
def test_recoding_equals_encoding(fine, data):
    n_bits = data.draw(st.lists(st.integers(0, 4), min_size=fine.n_features, max_size=fine.n_features))
    coarse = fine.coarsened(n_bits)
    assert (coarse.n_bits <= n_bits).all()
    assert fine.is_refinement_of(coarse)
    values = neighbours(np.concatenate(fine.thresholds))
    X = np.vstack([np.tile(values[:, None], fine.n_features), np.where(fine.refuses_nan, 0, NAN)])
    codes = fine.recode(fine.encode(X), coarse)
    np.testing.assert_array_equal(codes, coarse.encode(X))
    assert codes.dtype == coarse.dtype


def test_wide_codes_become_narrow_ones():
    fine = Codebook.from_thresholds([np.arange(300)])
    coarse = fine.coarsened(4)
    assert fine.recode([[300]], coarse).dtype == np.uint8
    assert fine.recode([[300]], coarse)[0, 0] == coarse.n_levels[0] - 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Codebook.from_thresholds([[1, 2.5]]), "its threshold 2.5 of feature 'a' is not in this codebook"),
        (Codebook.from_thresholds([[1], [1]]), "it has 2 features, and this codebook has 1"),
        (Codebook.from_thresholds([[1]], missing="code"), "only one of the two has a missing code for feature 'a'"),
        (Codebook.from_thresholds([[1]], feature_names=["b"]), "other names"),
    ],
)
def test_no_refinement(other, why):
    book = Codebook.from_thresholds([[1, 2, 3]], feature_names=["a"])
    assert not book.is_refinement_of(other)
    with pytest.raises(ValueError, match=why):
        book.recode([[0]], other)


def test_errors_name_the_feature():
    book = Codebook.from_thresholds([[1, 2, 3]], feature_names=["a"])
    with pytest.raises(ValueError, match="17 for feature 'a'"):
        book.coarsened(17)
    with pytest.raises(ValueError, match="n_bits must be given"):
        book.coarsened(None)
    with pytest.raises(ValueError, match="Code 4 of feature 'a'"):
        book.recode([[4]], book.coarsened(1))


# -- categories ----------------------------------------------------------------------------------------------

CITIES = {"Bonn": 0, "Köln": 1, "Ulm": 1, "Trier": 2, "Jena": 3}


def test_codes_of_categories_are_merged_in_order():
    fine = Codebook.from_thresholds({"city": CITIES, "t": [1, 2]}, counts=[[2, 3, 5, 1], [1, 1, 1]])
    coarse = fine.coarsened(1)
    assert coarse.parts[0] == {"Bonn": 0, "Köln": 0, "Ulm": 0, "Trier": 1, "Jena": 1}
    assert coarse.levels[0].tolist() == ["Köln", "Trier"]
    assert coarse.counts[0].tolist() == [5, 6]
    assert coarse.parts[1].tolist() == [2]
    assert (fine.coarsened(2), fine.coarsened({"city": 0, "t": 2}).parts[0]) == (fine, dict.fromkeys(CITIES, 0))
    assert fine.coarsened(0).levels[0].tolist() == ["Trier"]
    assert fine.recode([[0, 2], [1, 0], [2, 1], [3, 2]], coarse).tolist() == [[0, 1], [0, 0], [1, 0], [1, 1]]


def test_the_level_is_the_first_one_without_counts_or_rows():
    fine = Codebook.from_thresholds([CITIES], levels=[["Bonn", "Ulm", "Trier", "Jena"]])
    assert fine.coarsened(1).levels[0].tolist() == ["Bonn", "Trier"]
    empty = Codebook.from_thresholds([CITIES], levels=[["Bonn", "Ulm", "Trier", "Jena"]], counts=[[0, 0, 0, 1]])
    assert empty.coarsened(1).levels[0].tolist() == ["Bonn", "Jena"]
    tied = Codebook.from_thresholds([CITIES], counts=[[4, 4, 2, 2]])
    assert tied.coarsened(1).levels[0].tolist() == ["Bonn", "Trier"]


def test_the_missing_code_of_categories():
    book = Codebook.from_thresholds([{"a": 0, "b": 1, None: 2}], counts=[[1, 2, 7]], handle_unknown="missing")
    one, none = book.coarsened(1), book.coarsened(0)
    assert (one.parts, one.handle_unknown, one.counts[0].tolist()) == ([{"a": 0, "b": 0, None: 1}], "missing", [3, 7])
    assert one.levels[0].tolist() == ["b", None]
    assert one.encode([["a"], [None], ["c"]]).ravel().tolist() == [0, 1, 1]
    assert (none.parts, none.levels[0].tolist(), none.counts[0].tolist()) == ([{"a": 0, "b": 0}], ["b"], [10])
    assert none.encode([["a"], [None], ["c"]]).ravel().tolist() == [0, 0, 0]


@given(mixed_codebooks(), st.data())
def test_recoding_of_categories_equals_encoding(fine, data):
    n_bits = data.draw(st.lists(st.integers(0, 3), min_size=fine.n_features, max_size=fine.n_features))
    coarse = fine.coarsened(n_bits)
    assert (coarse.n_bits <= n_bits).all()
    assert fine.is_refinement_of(coarse)
    X = values_of(fine)
    np.testing.assert_array_equal(fine.recode(fine.encode(X), coarse), coarse.encode(X))
    if fine.counts is not None:
        assert [count.sum() for count in coarse.counts] == [count.sum() for count in fine.counts]


@given(category_codes(), category_codes(), st.permutations(range(8)))
def test_refinement_of_categories_is_a_function_of_codes(first, second, order):
    """One codebook refines another exactly if no two categories share a code in the first and not in the second."""
    known = [category for category in first if category is not None]
    codes = [code for category, code in second.items() if category is not None]
    other = {known[i]: codes[i % len(codes)] for i in order if i < len(known)}
    used = sorted(set(other.values()))
    other = {category: used.index(code) for category, code in other.items()}
    other |= {None: len(used)} if None in first else {}
    fine, coarse = Codebook.from_thresholds([first]), Codebook.from_thresholds([other])
    pairs = [(a, b) for a in known for b in known]
    expected = coarse.n_bits[0] == 0 or all(other[a] == other[b] for a, b in pairs if first[a] == first[b])
    assert fine.is_refinement_of(coarse) == expected
    if expected:
        X = [[category] for category in first]
        np.testing.assert_array_equal(fine.recode(fine.encode(X), coarse), coarse.encode(X))


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        ({"a": 0, "b": 1}, "the category 'c' of feature 'f' is in only one of the two"),
        ({"a": 0, "b": 1, "c": 1, "d": 1}, "the category 'd' of feature 'f' is in only one of the two"),
        ({"a": 0, "b": 0, "c": 1}, "'b' and 'c' of feature 'f' share a code in this codebook and not in it"),
        ({"a": 0, "b": 1, "c": 1, None: 2}, "only one of the two has a missing code for feature 'f'"),
        ([0.5], "feature 'f' is categorical in only one of the two"),
    ],
)
def test_no_refinement_of_categories(codes, why):
    book, other = (Codebook.from_thresholds({"f": part}) for part in ({"a": 0, "b": 1, "c": 1}, codes))
    assert not book.is_refinement_of(other)
    with pytest.raises(ValueError, match=why):
        book.recode([[0]], other)


def test_another_order_is_a_refinement_both_ways():
    first = Codebook.from_thresholds([{"a": 0, "b": 1, "c": 2}])
    second = Codebook.from_thresholds([{"c": 0, "a": 1, "b": 2}])
    assert first.recode([[0], [1], [2]], second).ravel().tolist() == [1, 2, 0]
    assert second.recode([[0], [1], [2]], first).ravel().tolist() == [2, 0, 1]


def test_anything_refines_no_bits():
    numeric, none = Codebook.from_thresholds([[1, 2]]), Codebook.from_thresholds([{"a": 0}])
    assert numeric.is_refinement_of(none)
    assert numeric.recode([[0], [2]], none).ravel().tolist() == [0, 0]
