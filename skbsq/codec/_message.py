"""Messages: rows with a header and a check sum. Needs NumPy alone, except for entropy coding.

All numbers are little-endian:

    4 bytes   SBSQ
    u8        version, 1
    u8        flags: 1 rows without padding, 2 entropy-coded, 4 deflated
    8 bytes   fingerprint of the codebook
    u32       rows
    payload   the packed rows, or their coded form, see `skbsq.codec._entropy` and `skbsq.codec._deflate`
    u32       CRC-32 (of zlib) of all bytes before it; if entropy-coded, of the header and the packed rows
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from skbsq.codec import _deflate, _entropy
from skbsq.codec._rows import RowCodec

MAGIC = b"SBSQ"
VERSION = 1
TIGHT, ENTROPY, DEFLATE = 1, 2, 4
# Their payload does not bound the number of codes.
_CODED = ENTROPY | DEFLATE
HEADER = struct.Struct("<4sBB8sI")
_CRC = struct.Struct("<I")
# Most codes in a message whose length does not bound their number: of coded rows, or of rows of 0 bits.
MAX_UNBOUND = 2**24
# A header and a check sum, around no rows.
SHORTEST = HEADER.size + _CRC.size


class ForeignMessage(ValueError):
    """Raised for a message that belongs to none of the codebooks."""

    def __init__(self, fingerprint, codebooks):
        known = " or ".join(book.fingerprint.hex() for book in codebooks)
        super().__init__(
            f"This message was written with another codebook (fingerprint {fingerprint.hex()}, this codebook has "
            f"{known}), or it is corrupt."
        )
        self.fingerprint = fingerprint


@dataclass(frozen=True)
class Header:
    """Header of a message."""

    version: int
    flags: int
    fingerprint: bytes
    rows: int


def write(codebook, codes, *, pad_rows, entropy, deflate):
    """Write codes as one message: bytes. See `skbsq.codec.dumps`."""
    codec = RowCodec(codebook)
    flags = 0 if pad_rows else TIGHT
    rows = codec.pack(codes) if pad_rows else codec.pack_tight(codes)
    n = len(rows) if pad_rows else len(np.asarray(codes))
    if n >= 2**32:
        raise ValueError(f"A message holds less than 2^32 rows, got {n}: write several messages.")
    if (entropy or deflate or codec.row_bits == 0) and n * codebook.n_features > MAX_UNBOUND:
        raise ValueError(
            f"A message holds at most 2^24 codes of rows that take 0 bits, are entropy-coded or deflated, got {n} x "
            f"{codebook.n_features}: write several messages, as write_messages does."
        )
    packed = rows.tobytes()
    forms = [(0, packed)]
    if entropy:
        forms.append((ENTROPY, _entropy.compress(codebook, codebook.check_codes(codes))))
    if deflate:
        forms.append((DEFLATE, _deflate.compress(packed)))
    coding, payload = min(forms, key=lambda form: len(form[1]))
    header = HEADER.pack(MAGIC, VERSION, flags | coding, codebook.fingerprint, n)
    checked = packed if coding == ENTROPY else payload
    return b"".join((header, payload, _CRC.pack(zlib.crc32(checked, zlib.crc32(header)))))


def parse_header(data):
    """Return the `Header` in the first bytes of a message, or raise ValueError."""
    magic, *fields = HEADER.unpack(data)
    header = Header(*fields)
    if magic != MAGIC:
        raise ValueError(f"Not a message of skbsq: it begins with {magic!r}, not with {MAGIC!r}.")
    if header.version != VERSION:
        raise ValueError(f"This message has format version {header.version}; this skbsq reads version {VERSION}.")
    if header.flags & ~(TIGHT | _CODED) or header.flags & _CODED == _CODED:
        raise ValueError(
            f"This message has the unknown flags {header.flags:#04x}: a newer skbsq wrote it, or it is corrupt."
        )
    return header


def find_codebook(fingerprint, codebooks):
    """Return the first codebook with this fingerprint, or None."""
    return next((book for book in codebooks if book.fingerprint == fingerprint), None)


def rows_bytes(codec, header):
    """Count the bytes of the packed rows of a message."""
    return codec.tight_bytes(header.rows) if header.flags & TIGHT else header.rows * codec.row_bytes


def size_of(codebook, header, payload):
    """Count the bytes of a whole message, of which `payload` may be cut off. None if it is coded and too short.

    A coded payload states its length in its first bytes.
    """
    if header.flags & ENTROPY:
        size = _entropy.stated_size(codebook, payload)
    elif header.flags & DEFLATE:
        size = _deflate.stated_size(payload)
    else:
        size = rows_bytes(RowCodec(codebook), header)
    return None if size is None else SHORTEST + size


def read(take, codebooks):
    """Read one message that may come from an untrusted sender.

    Parameters
    ----------
    take : callable
        ``take(size, what)`` returns the next `size` bytes, which are the `what` of the message, or raises ValueError.
    codebooks : list of Codebook

    Returns
    -------
    codebook : Codebook
        The one with the fingerprint of the message.
    codes : ndarray of shape (n, d)
    """
    start = take(HEADER.size, "header")
    header = parse_header(start)
    n, flags = header.rows, header.flags
    codebook = find_codebook(header.fingerprint, codebooks)
    if codebook is None:
        raise ForeignMessage(header.fingerprint, codebooks)
    codec = RowCodec(codebook)
    if (flags & _CODED or codec.row_bits == 0) and n * codebook.n_features > MAX_UNBOUND:
        raise ValueError(f"This message states {n} rows, more than a message may hold: it is corrupt.")

    codes = None
    if flags & ENTROPY:
        codes = _entropy.decompress(codebook, lambda size: take(size, "payload"), n)
        rows = codec.pack_tight(codes) if flags & TIGHT else codec.pack(codes)
        checked = rows.tobytes()
    elif flags & DEFLATE:
        checked = _deflate.take_payload(lambda size: take(size, "payload"), rows_bytes(codec, header))
    else:
        checked = take(rows_bytes(codec, header), "rows")
    (crc,) = _CRC.unpack(take(_CRC.size, "check sum"))
    if zlib.crc32(checked, zlib.crc32(start)) != crc:
        raise ValueError("The check sum of this message is wrong: it is corrupt.")
    if codes is None:
        packed = _deflate.decompress(checked, rows_bytes(codec, header)) if flags & DEFLATE else checked
        rows = np.frombuffer(packed, dtype=np.uint8)
        codes = codec.unpack_tight(rows, n) if flags & TIGHT else codec.unpack(rows.reshape(n, codec.row_bytes))
    return codebook, codes
