"""Messages: rows with a header and a check sum. Needs NumPy alone, except for entropy coding.

All numbers are little-endian:

    4 bytes   SBSQ
    u8        version, 1
    u8        flags: 1 rows without padding, 2 entropy-coded
    8 bytes   fingerprint of the codebook
    u32       rows
    payload   the packed rows, or their entropy-coded form, see `skbsq.codec._entropy`
    u32       CRC-32 (of zlib) of all bytes before it; if entropy-coded, of the header and the packed rows
"""

import io
import struct
import zlib
from numbers import Integral

import numpy as np

from skbsq.codec import _entropy
from skbsq.codec._rows import RowCodec

MAGIC = b"SBSQ"
VERSION = 1
TIGHT, ENTROPY = 1, 2
_HEADER = struct.Struct("<4sBB8sI")
_CRC = struct.Struct("<I")
# Most codes in a message whose length does not bound their number: entropy-coded, or with rows of 0 bits.
MAX_UNBOUND = 2**24
# A message is read in parts of this size, so that a corrupt header cannot allocate more memory than there are bytes.
_PART = 2**20


def dumps(codebook, codes, *, pad_rows=True, entropy=False):
    """Write codes as one message.

    Parameters
    ----------
    codebook : Codebook
    codes : array-like of int of shape (n, d)
        n rows of d features.
    pad_rows : bool, default=True
        Pad each row to whole bytes, as a device that sends row by row does. False saves up to 7 bits per row.
    entropy : bool, default=False
        Write codes that are frequent in the training rows, and codes that stay near that of the row before, in fewer
        bits. This needs the package constriction on both sides and shortens batches of rows. The rows are written
        without entropy coding if that is shorter.

    Returns
    -------
    bytes
        A header of 18 bytes, the rows, a check sum of 4 bytes.

    Raises
    ------
    ValueError
        If a code is out of range, or there are too many rows for one message: 2^32, or 2^24 codes with `entropy` or
        with rows of 0 bits. With `entropy` also if the codebook has no counts.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If constriction is not installed, with `entropy`.

    See Also
    --------
    loads : Read the message.
    write_messages : Write several messages to a file or a stream.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, loads
    >>> book = Codebook.from_thresholds([[0, 1, 2], [0, 1, 2, 3, 4, 5]])
    >>> dumps(book, [[2, 5], [3, 6]]).hex(" ")
    '53 42 53 51 01 00 3c f7 f7 2f 59 6f 69 65 02 00 00 00 16 1b 21 70 f4 99'
    >>> loads(dumps(book, [[2, 5], [3, 6]]), book)
    array([[2, 5],
           [3, 6]], dtype=uint8)
    """
    codec = RowCodec(codebook)
    flags = 0 if pad_rows else TIGHT
    rows = codec.pack(codes) if pad_rows else codec.pack_tight(codes)
    n = len(rows) if pad_rows else len(np.asarray(codes))
    if n >= 2**32:
        raise ValueError(f"A message holds less than 2^32 rows, got {n}: write several messages.")
    if (entropy or codec.row_bits == 0) and n * codebook.n_features > MAX_UNBOUND:
        raise ValueError(
            f"A message holds at most 2^24 codes of rows that take 0 bits or are entropy-coded, got {n} x "
            f"{codebook.n_features}: write several messages, as write_messages does."
        )
    packed = payload = rows.tobytes()
    if entropy:
        coded = _entropy.compress(codebook, codebook.check_codes(codes))
        if len(coded) < len(packed):
            payload, flags = coded, flags | ENTROPY
    header = _HEADER.pack(MAGIC, VERSION, flags, codebook.fingerprint, n)
    return b"".join((header, payload, _CRC.pack(zlib.crc32(packed, zlib.crc32(header)))))


def loads(data, codebook):
    """Read the codes of one message, which may come from an untrusted sender.

    It never allocates more memory than the received bytes justify, whatever the header says.

    Parameters
    ----------
    data : bytes-like
        The whole message and nothing more.
    codebook : Codebook
        The codebook with which the message was written; names and levels may differ.

    Returns
    -------
    ndarray of shape (n, d)
        n rows of d features: uint8, or uint16 if any feature has more than 8 bits.

    Raises
    ------
    ValueError
        If the message was written with another codebook or version, is cut off or corrupt, or other bytes follow it.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If the message is entropy-coded and constriction is not installed.

    See Also
    --------
    dumps : Write a message.
    read_messages : Read several messages.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, loads
    >>> book = Codebook.from_thresholds([[0, 1, 2]])
    >>> loads(dumps(book, [[2], [3]]) + b"?", book)
    Traceback (most recent call last):
    ...
    ValueError: 1 bytes follow the message: read_messages reads several.
    """
    file = io.BytesIO(data)
    RowCodec(codebook)  # refuses anything else
    _, codes = _read(file, [codebook])
    if rest := len(file.read()):
        raise ValueError(f"{rest} bytes follow the message: read_messages reads several.")
    return codes


def write_messages(file, codebook, codes, *, rows=2**16, pad_rows=True, entropy=False):
    """Write codes to a file or a stream, as messages one after the other.

    Parameters
    ----------
    file : binary file object
        Only its ``write`` is used.
    codebook : Codebook
    codes : array-like of int of shape (n, d)
        n rows of d features.
    rows : int, default=65536
        Rows per message. The last message may have fewer. All have fewer if a message cannot hold as many, see
        `dumps`.
    pad_rows, entropy : bool
        As in `dumps`.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        If `rows` is not a positive integer, or a code is out of range. Nothing is written then. With `entropy` also
        if the codebook has no counts.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If constriction is not installed, with `entropy`.
    OSError
        If the file does not accept a whole message.

    See Also
    --------
    read_messages : Read the messages.
    dumps : Write one message.

    Examples
    --------
    >>> import io
    >>> from skbsq import Codebook
    >>> from skbsq.codec import write_messages
    >>> write_messages(io.BytesIO(), Codebook.from_thresholds([[0, 1, 2]]), [[1], [2], [3]], pad_rows=False)
    23
    """
    if isinstance(rows, bool) or not isinstance(rows, Integral) or rows < 1:
        raise ValueError(f"rows must be an integer of at least 1, got {rows!r}.")
    codec = RowCodec(codebook)
    codes = codebook.check_codes(codes)
    if entropy or codec.row_bits == 0:
        rows = min(rows, max(1, MAX_UNBOUND // codebook.n_features))
    messages = (
        dumps(codebook, codes[start : start + rows], pad_rows=pad_rows, entropy=entropy)
        for start in range(0, len(codes), rows)
    )
    return sum(_write(file, message) for message in messages)


def read_messages(file, codebook):
    """Read the messages in a file or a stream, one after the other.

    Parameters
    ----------
    file : binary file object or bytes
        A file has to block until data arrives, and must end with the last message.
    codebook : Codebook

    Yields
    ------
    codes : ndarray of shape (n, d)
        Codes of one message, as `loads` returns them.

    Raises
    ------
    ValueError
        If a message is wrong, as in `loads`, when the iteration reaches it. No bytes after that message are read.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If a message is entropy-coded and constriction is not installed.
    OSError
        If the file returns None because it does not block.

    See Also
    --------
    write_messages : Write the messages.
    loads : Read one message.

    Examples
    --------
    >>> import io
    >>> from skbsq import Codebook
    >>> from skbsq.codec import read_messages, write_messages
    >>> book, file = Codebook.from_thresholds([[0, 1, 2]]), io.BytesIO()
    >>> write_messages(file, book, [[1], [2], [3]], rows=2)
    47
    >>> _ = file.seek(0)
    >>> [codes.tolist() for codes in read_messages(file, book)]
    [[[1], [2]], [[3]]]
    """
    return (codes for _, codes in read_messages_of(file, [codebook]))


def read_messages_of(file, codebooks):
    """Read messages of several codebooks, such as the rates of one model, in a file or a stream.

    Parameters
    ----------
    file : binary file object or bytes
        As for `read_messages`.
    codebooks : sequence of Codebook
        A message belongs to the one with its fingerprint.

    Yields
    ------
    codebook : Codebook
    codes : ndarray of shape (n, d)
        Codes of one message.

    Raises
    ------
    ValueError, TypeError, ImportError, OSError
        As for `read_messages`.

    See Also
    --------
    read_messages : Read messages of one codebook.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, read_messages_of
    >>> fine = Codebook.from_thresholds([[0, 1, 2]])
    >>> coarse = fine.coarsened(1)
    >>> stream = dumps(fine, [[3]]) + dumps(coarse, [[1]])
    >>> [(book.row_bits, codes.tolist()) for book, codes in read_messages_of(stream, [fine, coarse])]
    [(2, [[3]]), (1, [[1]])]
    """
    if not hasattr(file, "read"):
        file = io.BytesIO(file)
    codebooks = list(codebooks)
    for codebook in codebooks:
        RowCodec(codebook)  # refuses anything else
    while first := _read_some(file, 1):
        yield _read(file, codebooks, first)


def _read(file, codebooks, first=b""):
    """Read the next message in a file, whose `first` bytes are already read. Return its codebook and its codes."""
    header = first + _take(file, _HEADER.size - len(first), "header")
    magic, version, flags, fingerprint, n = _HEADER.unpack(header)
    if magic != MAGIC:
        raise ValueError(f"Not a message of skbsq: it begins with {magic!r}, not with {MAGIC!r}.")
    if version != VERSION:
        raise ValueError(f"This message has format version {version}; this skbsq reads version {VERSION}.")
    if flags & ~(TIGHT | ENTROPY):
        raise ValueError(f"This message has the unknown flags {flags:#04x}: a newer skbsq wrote it, or it is corrupt.")
    codebook = next((book for book in codebooks if book.fingerprint == fingerprint), None)
    if codebook is None:
        known = " or ".join(book.fingerprint.hex() for book in codebooks)
        raise ValueError(
            f"This message was written with another codebook (fingerprint {fingerprint.hex()}, this codebook has "
            f"{known}), or it is corrupt."
        )
    codec = RowCodec(codebook)
    if (flags & ENTROPY or codec.row_bits == 0) and n * codebook.n_features > MAX_UNBOUND:
        raise ValueError(f"This message states {n} rows, more than a message may hold: it is corrupt.")

    codes = None
    if flags & ENTROPY:
        codes = _entropy.decompress(codebook, lambda size: _take(file, size, "payload"), n)
        rows = codec.pack_tight(codes) if flags & TIGHT else codec.pack(codes)
        packed = rows.tobytes()
    else:
        packed = _take(file, codec.tight_bytes(n) if flags & TIGHT else n * codec.row_bytes, "rows")
    (crc,) = _CRC.unpack(_take(file, _CRC.size, "check sum"))
    if zlib.crc32(packed, zlib.crc32(header)) != crc:
        raise ValueError("The check sum of this message is wrong: it is corrupt.")
    if codes is None:
        rows = np.frombuffer(packed, dtype=np.uint8)
        codes = codec.unpack_tight(rows, n) if flags & TIGHT else codec.unpack(rows.reshape(n, codec.row_bytes))
    return codebook, codes


def _take(file, size, what):
    """Read the next `size` bytes of a file, which may return fewer at a time."""
    parts, left = [], size
    while left:
        part = _read_some(file, min(left, _PART))
        if not part:
            raise ValueError(f"The message is cut off: {left} of the {size} bytes of its {what} are missing.")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _read_some(file, size):
    part = file.read(size)
    if part is None:
        raise OSError("The file has nothing to read yet: give a file that blocks until data arrives.")
    return part


def _write(file, message):
    """Write a whole message to a file, which may accept fewer bytes at a time. Return their number."""
    left = memoryview(message)
    while left:
        written = file.write(left)
        if not written:
            raise OSError(f"The file accepted {len(message) - len(left)} of the {len(message)} bytes of a message.")
        left = left[written:]
    return len(message)
