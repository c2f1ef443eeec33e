"""Floats that have given codes."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

from skbsq import Codebook
from skbsq.training.coded_rows import floats_of_codes
from tests.strategies import codebooks

MAX = np.finfo(np.float32).max
TINY = np.finfo(np.float32).tiny
NAN = np.nan


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ([1, 2], [1, 2, np.nextafter(np.float32(2), np.float32(3))]),
        ([-1, 0], [-1, 0, TINY]),  # training flushes the subnormals above 0 to 0
        ([-TINY], [-TINY, TINY]),
        ([], [0]),
    ],
)
def test_thresholds_and_the_float_above(thresholds, expected):
    book = Codebook.from_thresholds([thresholds], levels=[np.zeros(len(expected))])
    assert_array_equal(floats_of_codes(book, np.arange(len(expected))[:, None]).ravel(), np.float32(expected))


def test_missing_codes():
    book = Codebook.from_thresholds([[3], []], missing="seen", has_missing=[True, True])
    assert_array_equal(floats_of_codes(book, np.array([[2, 1], [0, 0]])), np.float32([[NAN, NAN], [3, 0]]))


def test_a_code_of_infinite_values():
    book = Codebook.from_thresholds([[0], [MAX]])
    assert floats_of_codes(book, np.array([[1, 0]])).tolist() == [[TINY, MAX]]
    with pytest.raises(ValueError, match=r"Code 1 of feature 1 \(row 1\) is that of infinite values alone"):
        floats_of_codes(book, np.array([[0, 0], [0, 1]]))


@given(codebooks())
def test_every_code_has_a_float(book):
    d, n = book.n_features, int(book.n_levels.max())
    codes = np.minimum(np.arange(n)[:, None], book.n_levels - 1)
    if any(t.size and t[-1] == MAX for t in book.thresholds):
        return
    floats = floats_of_codes(book, codes)
    assert floats.shape == (n, d)
    assert_array_equal(book.encode(floats), codes)
