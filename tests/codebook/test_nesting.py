import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codebook.nesting import coarse_thresholds
from tests.strategies import codebooks, neighbours

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
