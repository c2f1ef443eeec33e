"""Floats that have given codes."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

from skbsq import Codebook
from skbsq.training.coded_rows import floats_of_codes
from tests.strategies import codebooks

MAX = np.finfo(np.float32).max
NAN = np.nan


@pytest.mark.parametrize(
    ("thresholds", "levels", "expected"),
    [
        ([0, 1, 2], [-5, 0.5, 1.5, 9], [-5, 0.5, 1.5, 9]),
        ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]),  # a value on a threshold has the code below
        ([0, 1], [0.5, 0, 1], [0, 1, np.nextafter(np.float32(1), np.float32(2))]),
        ([], [7], [7]),
        ([MAX], [0, 1], [0, np.inf]),
    ],
)
def test_levels_where_they_have_the_code(thresholds, levels, expected):
    book = Codebook.from_thresholds([thresholds], levels=[levels])
    codes = np.arange(len(expected))[:, None]
    finite = np.isfinite(expected)
    assert floats_of_codes(book, codes[finite]).ravel().tolist() == np.float32(expected)[finite].tolist()
    if not finite.all():
        with pytest.raises(ValueError, match=r"Code 1 of feature 0 \(row 1\) is that of infinite values alone"):
            floats_of_codes(book, codes)


def test_missing_codes():
    book = Codebook.from_thresholds([[0], []], missing="seen", has_missing=[True, True])
    assert_array_equal(floats_of_codes(book, np.array([[2, 1], [1, 0]])), np.float32([[NAN, NAN], [0.5, 0]]))


@given(codebooks())
def test_every_code_has_a_float(book):
    d, n = book.n_features, int(book.n_levels.max())
    codes = np.minimum(np.arange(n)[:, None], book.n_levels - 1)
    if any(t.size and t[-1] == MAX for t in book.thresholds):
        return
    floats = floats_of_codes(book, codes)
    assert floats.shape == (n, d)
    assert_array_equal(book.encode(floats), codes)
