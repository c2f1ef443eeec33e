"""The first count above a threshold equals that of a search over all counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.export._adc import first_counts_above, value_of
from tests.strategies import finite32

magnitudes = st.floats(1e-30, 1e30) | st.sampled_from([1e-300, 5e-324, 1.0, 0.1, 1e300, 1.7e308])
offsets = st.floats(-1e4, 1e4) | st.sampled_from([-1.7e308, 1.7e308])


@given(
    st.lists(finite32, max_size=5),
    magnitudes,
    offsets,
    st.sampled_from(["uint8", "int8", "uint16", "int16"]),
    st.data(),
)
def test_equals_trying_every_count(thresholds, scale, offset, count_type, data):
    info = np.iinfo(count_type)
    counts = np.arange(info.min, info.max + 1)
    values = value_of(counts, scale, offset)
    # Also thresholds that are the value of a count.
    equal = [v for v in data.draw(st.lists(st.sampled_from(values.tolist()), max_size=3)) if np.isfinite(v)]
    for t in np.float32([*thresholds, *equal]):
        (found,) = first_counts_above(t[None], scale, offset, count_type)
        assert found == info.min + np.count_nonzero(values <= t)


def test_equals_the_formula_in_plain_python():
    """float32(float64(count) * scale + offset): two roundings and a cast, no fused multiply-add."""
    counts = np.arange(0, 2**16)
    values = value_of(counts, 0.1, -40.7)
    assert values.dtype == np.float32
    assert values.tolist() == [float(np.float32(float(c) * 0.1 + -40.7)) for c in range(2**16)]


@pytest.mark.parametrize("count_type", ["uint8", "int8", "uint16", "int16", "int32"])
def test_thresholds_beyond_all_counts(count_type):
    info = np.iinfo(count_type)
    first = first_counts_above(np.float32([-3e38, 3e38]), 1.0, 0.0, count_type)
    assert first.tolist() == [info.min, info.max + 1]


def test_large_counts_are_exact():
    """Counts that round to the same float32 have the same code."""
    (first,) = first_counts_above(np.float32([2**24]), 1.0, 0.0, "int32")
    assert first == 2**24 + 2  # 2^24 + 1 rounds to the threshold
