"""Short frames and bare rows: whole padded rows, and little around them. NumPy alone.

A short frame, whose layout is agreed on for each id:

    u8        id
    u8        sequence, if agreed
    rows      whole padded rows, at least one
    CRC       of 8 or 16 bits if agreed, little-endian, see `skbsq.codec.crc`

A bare frame is the rows alone.
"""

from numbers import Integral

import numpy as np

from skbsq.codec._rows import RowCodec
from skbsq.codec.crc import CRC_BITS, check_sum


def write_short(codebook, codes, *, id, seq, crc):
    """Write codes as a short frame: bytes. See `skbsq.codec.dumps`."""
    _check_byte("id", id, "the number that both ends have given to this codebook and layout")
    if seq is not None:
        _check_byte("seq", seq, "send a counter as counter % 256")
    check_crc(crc)
    frame = bytes([id] if seq is None else [id, seq]) + write_bare(codebook, codes)
    return frame + check_sum(crc, codebook.fingerprint, frame)


def read_short(data, codebook, *, id, seq, crc):
    """Read the codes of a short frame. See `skbsq.codec.loads`."""
    if id is not None:
        _check_byte("id", id, "or None to accept any")
    check_seq(seq)
    check_crc(crc)
    codec = _codec(codebook, "short")
    frame, begin, crc_bytes = memoryview(data).tobytes(), 1 + seq, 0 if crc is None else crc // 8
    if frame and id not in (None, frame[0]):
        raise ValueError(f"This frame has the id {frame[0]}, expected {id}.")
    size = len(frame) - begin - crc_bytes
    layout = f"seq={bool(seq)}, crc={crc}"
    if size < codec.row_bytes:
        raise ValueError(
            f"A short frame of this codebook with {layout} has at least {begin + codec.row_bytes + crc_bytes} bytes, "
            f"got {len(frame)}: it is cut off, or has another layout."
        )
    if size % codec.row_bytes:
        raise ValueError(
            f"This frame has {size} bytes of rows with {layout}, which are not whole rows of {codec.row_bytes} bytes: "
            "it is cut off, or belongs to another codebook or layout."
        )
    end = len(frame) - crc_bytes
    if check_sum(crc, codebook.fingerprint, frame[:end]) != frame[end:]:
        raise ValueError("The CRC of this frame is wrong: it is corrupt, or belongs to another codebook or layout.")
    return _unpack(codec, frame[begin:end])


def write_bare(codebook, codes):
    """Write codes as packed rows alone: bytes."""
    codec = _codec(codebook, "short or bare")
    rows = codec.pack(codes)
    if not len(rows):
        raise ValueError("A short or bare frame holds at least one row, got none.")
    return rows.tobytes()


def read_bare(data, codebook):
    """Read the codes of packed rows alone."""
    codec = _codec(codebook, "bare")
    rows = memoryview(data).tobytes()
    if not rows or len(rows) % codec.row_bytes:
        raise ValueError(
            f"A bare frame of this codebook holds one or more rows of {codec.row_bytes} bytes, got {len(rows)} bytes: "
            "it is cut off, or belongs to another codebook."
        )
    return _unpack(codec, rows)


def split_short(frame, seq):
    """Return the id of a short frame, and its sequence or None."""
    check_seq(seq)
    if len(frame) < 2 + seq:
        raise ValueError(f"A short frame with seq={bool(seq)} has at least {2 + seq} bytes, got {len(frame)}.")
    return frame[0], frame[1] if seq else None


def check_crc(crc):
    if crc is not None and (isinstance(crc, bool) or crc not in CRC_BITS):
        raise ValueError(f"crc must be None, 8 or 16, got {crc!r}.")


def check_seq(seq):
    if not isinstance(seq, bool | np.bool_):
        raise ValueError(
            f"seq must be True or False when a frame is read, got {seq!r}: it tells whether the frame has a sequence "
            "byte, and peek returns its value."
        )


def _check_byte(name, value, hint):
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value <= 255:
        raise ValueError(f"{name} must be an integer from 0 to 255, got {value!r}: {hint}.")


def _codec(codebook, frame):
    codec = RowCodec(codebook)
    if codec.row_bits == 0:
        raise ValueError(
            f"A {frame} frame needs a codebook with at least 1 bit per row, because its length tells the number of "
            "rows: send a message instead."
        )
    return codec


def _unpack(codec, rows):
    return codec.unpack(np.frombuffer(rows, dtype=np.uint8).reshape(-1, codec.row_bytes))
