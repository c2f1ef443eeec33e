"""Guard thresholds, and how a codebook shows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codebook.guards import GuardedFeature, guard_numbers, inner_thresholds, threshold_below
from tests.strategies import finite32

TINY, LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def guarded_book(inner=(5.0,), missing="error", lowest=1.0, highest=9.0, levels=(3.0, 7.0), counts=(2, 4)):
    feature = GuardedFeature(np.float32(inner), np.float32(lowest), np.float32(highest))
    counts = feature.spread(counts).tolist()
    levels = feature.with_ends(feature.spread(np.float32(levels)), lowest, highest)
    counts += [3] * (missing == "code")
    return Codebook.from_thresholds([feature.thresholds], levels=[levels], counts=[counts], missing=missing)


@pytest.mark.parametrize(
    ("lowest", "below"),
    [
        (1, np.nextafter(np.float32(1), np.float32(0))),
        (-1, np.nextafter(np.float32(-1), np.float32(-2))),
        (0, -TINY),
        (-0.0, -TINY),
        (-1e-40, -TINY),
        (1e-40, 0),
        (TINY, 0),
        (-TINY, np.nextafter(-TINY, np.float32(-1))),
        (-LARGEST, -np.inf),
    ],
)
def test_threshold_below(lowest, below):
    assert threshold_below(np.float32(lowest)) == below


@given(finite32.filter(lambda x: x > -LARGEST))
def test_threshold_below_is_below_and_not_subnormal(lowest):
    below = threshold_below(np.float32(lowest))
    assert below < lowest
    assert below == 0 or abs(below) >= TINY


def test_codes_by_hand():
    book = guarded_book(missing="code")
    assert book.encode([[-1], [0.99], [1], [5], [5.1], [9], [9.1], [np.inf], [np.nan]]).ravel().tolist() == [
        *(0, 0, 1, 1, 2, 2, 3, 3, 4)
    ]
    assert book.decode([[0], [1], [2], [3]]).ravel().tolist() == [1, 3, 7, 9]
    assert book.counts[0].tolist() == [0, 2, 4, 0, 3]
    assert book.has_guard.tolist() == [True]
    assert inner_thresholds(book)[0].tolist() == [5]


def test_inner_thresholds_outside_of_the_rows():
    book = guarded_book(inner=(0, 5, 20), levels=(-1, 3, 7, 30), counts=(0, 2, 4, 0))
    assert book.levels[0].tolist() == [1, 1, 3, 7, 9, 9]
    assert book.counts[0].tolist() == [0, 0, 2, 4, 0, 0]
    assert inner_thresholds(book)[0].tolist() == [0, 5, 20]
    assert Codebook.from_json(book.to_json()).has_guard.all()


def test_a_guard_threshold_that_is_there_already():
    book = guarded_book(inner=(5, 9), levels=(3, 7, 12), counts=(2, 4, 0))
    assert book.thresholds[0].size == 3
    assert inner_thresholds(book)[0].tolist() == [5]


@given(st.lists(finite32, max_size=8), st.lists(finite32.filter(lambda x: x > -LARGEST), min_size=2, max_size=20))
def test_guards_are_found_again(inner, rows):
    inner, rows = np.unique(np.float32(inner) + 0), np.float32(rows) + 0
    lowest, highest = rows.min(), rows.max()
    plain = Codebook.from_thresholds([inner])
    assert not plain.has_guard.any()
    feature = GuardedFeature(inner, lowest, highest)
    levels = feature.with_ends(feature.spread(plain.levels[0]), lowest, highest)
    assert feature.thresholds[guard_numbers(feature.thresholds, levels)].tolist() == [threshold_below(lowest), highest]
    counts = np.bincount(np.searchsorted(inner, rows), minlength=inner.size + 1)
    spread = feature.spread(counts)
    assert spread.tolist() == np.bincount(np.searchsorted(feature.thresholds, rows), minlength=spread.size).tolist()
    assert feature.gather(spread).tolist() == counts.tolist()


def test_coarse_codebooks_keep_guards_while_they_have_room():
    levels, counts = np.arange(6) + 0.5, (1, 1, 2, 2, 3, 3)
    fine = guarded_book(range(1, 6), lowest=0.25, highest=5.75, levels=levels, counts=counts)
    assert fine.n_bits.tolist() == [3]
    two, one = fine.coarsened(2), fine.coarsened(1)
    assert two.levels[0].tolist() == [0.25, 1, np.float32((2 * 2.5 + 2 * 3.5 + 3 * 4.5 + 3 * 5.5) / 10), 5.75]
    assert two.counts[0].tolist() == [0, 2, 10, 0]
    assert two.has_guard.all()
    assert not one.has_guard.any()
    assert (one.thresholds[0].tolist(), one.counts[0].tolist()) == ([2], [2, 10])
    assert fine.recode([[0], [1], [2], [3], [6], [7]], two).ravel().tolist() == [0, 1, 1, 2, 2, 3]
    assert fine.recode([[0], [2], [3], [7]], one).ravel().tolist() == [0, 0, 1, 1]
    assert two.coarsened(1) == one


def test_transcoding_keeps_readings_beyond_the_rows():
    old, new = guarded_book(), guarded_book(inner=(4, 6), levels=(2, 5, 8), counts=(1, 1, 1))
    transcoder = old.transcoder(new, same_units=True)
    assert transcoder.transcode([[0], [1], [2], [3]]).ravel().tolist() == [0, 1, 3, 4]
