"""Short frames in the C header: the CRC of a codebook's fingerprint is a constant there. NumPy alone."""

from skbsq.codec.crc import crc8, crc16
from skbsq.export import _c_text as c


def functions(codebook):
    """Write sizes and functions for short frames. Rows of 0 bits have none."""
    if codebook.row_bits == 0:
        return ""
    start = codebook.fingerprint
    return c.SHORT_SIZES.format(row_bytes=-(-codebook.row_bits // 8), crc16=crc16(start), crc8=crc8(start)) + c.SHORT


def rate_functions(codebooks):
    """Write tables and functions for short frames of several rates, the finest first."""
    finest, *_ = codebooks
    if finest.row_bits == 0:
        return ""
    starts = [book.fingerprint for book in codebooks]
    tables = [c.array("name_rate_crc16", [*map(crc16, starts)]), c.array("name_rate_crc8", [*map(crc8, starts)])]
    return c.SHORT_RATE_TABLES + "".join(tables) + c.SHORT_AT
