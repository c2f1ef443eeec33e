"""CRCs of short frames: published check values, and a bit-by-bit reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.codec.crc import check_sum, crc8, crc16


def bitwise(data, n_bits, polynomial, state):
    """Compute a CRC that is not reflected, one bit at a time."""
    for byte in data:
        for i in reversed(range(8)):
            top = state >> (n_bits - 1) ^ byte >> i & 1
            state = (state << 1) % 2**n_bits ^ polynomial * top
    return state


def test_published_check_values():
    assert crc8(b"123456789") == 0xF4  # CRC-8/SMBUS
    assert crc16(b"123456789") == 0x29B1  # CRC-16/IBM-3740, also called CRC-16/CCITT-FALSE


@given(st.binary(max_size=40), st.integers(0, 40))
def test_crcs_equal_the_reference_and_go_on(data, at):
    assert crc8(data) == bitwise(data, 8, 0x07, 0)
    assert crc16(data) == bitwise(data, 16, 0x1021, 0xFFFF)
    assert crc8(data[at:], crc8(data[:at])) == crc8(data)
    assert crc16(data[at:], crc16(data[:at])) == crc16(data)


@pytest.mark.parametrize(("bits", "expected"), [(None, b""), (8, b"\xf4"), (16, b"\xb1\x29")])
def test_the_check_sum_is_little_endian_and_begins_with_the_fingerprint(bits, expected):
    assert check_sum(bits, b"12345678", b"9") == expected
