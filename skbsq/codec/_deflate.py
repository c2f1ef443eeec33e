"""Deflated rows: the packed rows of a message as a raw deflate stream (RFC 1951), by zlib of the standard library.

Payload of a deflated message, all numbers little-endian:

    u32       bytes of the stream, so that a reader finds the end of the message
    stream    raw deflate, without the header and the check sum of zlib: the message has a check sum
"""

import struct
import zlib

_SIZE = struct.Struct("<I")
# Without a header. Readers of every window size read it.
_RAW = -15
# The most, which compresses best.
_MEMORY = 9
# 258 bytes in 2 bits are the most that a stream can repeat.
_BYTES_PER_BYTE = 1032


def compress(packed):
    """Deflate packed rows as a payload: bytes."""
    encoder = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, _RAW, _MEMORY)
    stream = encoder.compress(packed) + encoder.flush()
    return _SIZE.pack(len(stream)) + stream


def take_payload(take, n_bytes):
    """Take the payload of `n_bytes` of packed rows: bytes. ``take(size)`` returns the next bytes of the message."""
    start = take(_SIZE.size)
    (size,) = _SIZE.unpack(start)
    if not size < n_bytes <= _BYTES_PER_BYTE * size:
        raise ValueError(f"This message states {n_bytes} bytes of rows in {size} deflated bytes: it is corrupt.")
    return start + take(size)


def decompress(payload, n_bytes):
    """Inflate a payload to the `n_bytes` of packed rows that the header states."""
    decoder = zlib.decompressobj(_RAW)
    try:
        # One byte more than stated shows that the stream holds more, and is the most that is allocated.
        packed = decoder.decompress(payload[_SIZE.size :], n_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"The rows of this message cannot be inflated ({error}): it is corrupt.") from None
    if len(packed) != n_bytes or not decoder.eof or decoder.unused_data:
        raise ValueError(f"The deflated rows of this message are not the {n_bytes} bytes that it states.")
    return packed


def stated_size(payload):
    """Return the bytes of a payload of which the beginning is given; None if that is too short to tell."""
    return None if len(payload) < _SIZE.size else _SIZE.size + _SIZE.unpack_from(payload)[0]
