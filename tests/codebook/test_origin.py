"""The place of each feature after a fold that reorders columns."""

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codebook.origin import codes_of_origin, has_codes_of

ORIGIN = Codebook.from_thresholds([[1.0, 2, 3], [], [5.0], [6.0, 7]])


def folded(order, thresholds=((5.0,), (6.0, 7), (), (1.0, 2, 3), ()), origin=ORIGIN.fingerprint):
    return Codebook.from_thresholds(thresholds, folded_from=origin, folded_order=order)


def test_codes_of_origin_by_hand():
    book = folded([3, 0, 1])
    assert has_codes_of(book, ORIGIN)
    assert codes_of_origin(book, ORIGIN, np.array([[1, 2, 0, 3, 0], [0, 1, 0, 2, 0]])).tolist() == [
        [3, 0, 1, 2],
        [2, 0, 0, 1],
    ]


def test_codes_of_the_origin_itself(rng):
    codes = ORIGIN.encode(10 * rng.random((20, 4)))
    assert has_codes_of(ORIGIN, ORIGIN)
    np.testing.assert_array_equal(codes_of_origin(ORIGIN, ORIGIN, codes), codes)


def test_other_codebooks_have_no_codes_of_it():
    assert not has_codes_of(folded([3, 0, 1], origin=bytes(8)), ORIGIN)
    assert not has_codes_of(folded([0, 1, 3]), ORIGIN)  # features with other numbers of levels
    assert not has_codes_of(folded([0, 1], thresholds=[[1.0, 2, 3], [5.0]]), ORIGIN)


@pytest.mark.parametrize("order", [[3, 0], [3, 0, 1, 1], [3, 0, 2], [3.0, 0, 1], "301", {"a": 1}, [[3], [0]]])
def test_wrong_orders_are_refused(order):
    with pytest.raises(ValueError, match=r"folded_order must hold the features with bits once each, \[0, 1, 3\]"):
        folded(order)


def test_an_order_without_a_fold_is_refused():
    with pytest.raises(ValueError, match="in a codebook with folded_from"):
        folded([3, 0, 1], origin=None)


def test_a_state_from_a_file_is_checked():
    book = folded([3, 0, 1])
    assert not book.folded_order.flags.writeable
    with pytest.raises(ValueError, match="folded_order must hold"):
        book.__setstate__(book.__getstate__() | {"_folded_order": np.array([3, 0, 0])})


def test_features_without_bits_may_hold_anything_beside_categories():
    book = Codebook.from_thresholds([{"a": 0, "b": 1}, [], [0.5]])
    assert book.encode(np.array([["b", "text", 1.0], ["a", None, 0.0]], dtype=object)).tolist() == [
        [1, 0, 1],
        [0, 0, 0],
    ]
    with pytest.raises(ValueError, match="text"):
        Codebook.from_thresholds([[], [0.5]]).encode(np.array([["text", 1.0]], dtype=object))
