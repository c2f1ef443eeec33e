"""Frames: what stands around rows on the way. NumPy alone, except for entropy coding.

A message identifies its codebook and its number of rows, a short frame has an id and a CRC, a bare frame only rows.
"""

import io
from dataclasses import dataclass

from skbsq.codec import _message, _short
from skbsq.codec._rows import RowCodec

# Parameters of dumps that each frame has, and their defaults. loads has some of them.
_BELONG = {"message": ("pad_rows", "entropy", "deflate"), "short": ("id", "seq", "crc"), "bare": ()}
_DEFAULTS = {
    **{"pad_rows": [True], "entropy": [False], "deflate": [False]},
    **{"id": [None], "seq": [None, False], "crc": [16]},
}


def dumps(codebook, codes, *, frame="message", pad_rows=True, entropy=False, deflate=False, id=None, seq=None, crc=16):
    """Write codes as one frame: a message, a short frame, or the rows alone.

    Parameters
    ----------
    codebook : Codebook
    codes : array-like of int of shape (n, d)
        n rows of d features.
    frame : {"message", "short", "bare"}, default="message"
        A message contains the fingerprint of its codebook, the number of rows and a CRC-32: 22 bytes around the rows. A
        short frame contains an id and a CRC-16, for example: 3 bytes around the rows. Both ends have to agree on what
        the id means. A bare frame is the packed rows alone, for a link that identifies and checks its packets.
    pad_rows : bool, default=True
        Pad each row to whole bytes, as a device that sends row by row does. False saves up to 7 bits per row. Messages
        only.
    entropy : bool, default=False
        Write codes that are frequent in the training rows, and codes that stay near that of the row before, in fewer
        bits. This needs the package constriction on both sides and shortens batches of rows. The rows are written
        without entropy coding if that is shorter. Messages only.
    deflate : bool, default=False
        Compress the packed rows by deflate, the method of zlib and gzip. It needs no package and shortens batches of 10
        rows and more that are alike, at 2 bits often more than `entropy`. The rows are written without it if that
        is shorter. With both, the shorter form is written. Messages only.
    id : int, default=None
        Number from 0 to 255 that stands for the codebook and the layout of the frame. A short frame needs it.
    seq : int, default=None
        Sequence number from 0 to 255, so that the receiver can count lost frames: send a counter as ``counter % 256``.
        None: the frame has none. Short frames only.
    crc : {None, 8, 16}, default=16
        Bits of the CRC at the end. It also tells codebooks apart, because it depends on the fingerprint. None: no CRC,
        so that the receiver cannot detect errors. Short frames only.

    Returns
    -------
    bytes
        A message: a header of 18 bytes, the rows, a check sum of 4 bytes. A short frame: the id, the sequence if there
        is one, the rows, the CRC.

    Raises
    ------
    ValueError
        If a code is out of range, or a parameter does not belong to the frame. If there are too many rows for one
        message: 2^32, or 2^24 codes with `entropy`, `deflate` or rows of 0 bits. With `entropy` also if the codebook
        has no counts. If a short or bare frame has no rows, or rows of 0 bits.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If constriction is not installed, with `entropy`.

    See Also
    --------
    loads : Read the frame.
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
    >>> dumps(book, [[2, 5], [3, 6]], frame="short", id=7).hex(" ")
    '07 16 1b ce 78'
    >>> dumps(book, [[2, 5], [3, 6]], frame="bare").hex(" ")
    '16 1b'
    """
    _check_frame(frame, pad_rows=pad_rows, entropy=entropy, deflate=deflate, id=id, seq=seq, crc=crc)
    if frame == "message":
        return _message.write(codebook, codes, pad_rows=pad_rows, entropy=entropy, deflate=deflate)
    if frame == "short":
        return _short.write_short(codebook, codes, id=id, seq=seq, crc=crc)
    return _short.write_bare(codebook, codes)


def loads(data, codebook, *, frame="message", id=None, seq=False, crc=16):
    """Read the codes of one frame, which may come from an untrusted sender.

    It never allocates more memory than the received bytes justify, whatever a header says. The kind of frame is never
    guessed.

    Parameters
    ----------
    data : bytes-like
        The whole frame and nothing more.
    codebook : Codebook
        The codebook with which the frame was written; names and levels may differ.
    frame : {"message", "short", "bare"}, default="message"
        As in `dumps`.
    id : int, default=None
        Id that a short frame must have. None accepts any id.
    seq : bool, default=False
        True if the short frame has a sequence number. `peek` returns its value.
    crc : {None, 8, 16}, default=16
        Bits of the CRC of a short frame.

    Returns
    -------
    ndarray of shape (n, d)
        n rows of d features: uint8, or uint16 if any feature has more than 8 bits.

    Raises
    ------
    ValueError
        If the message was written with another codebook or version, is cut off or corrupt, or other bytes follow it. If
        a short frame has another id or a wrong CRC. If a short or bare frame does not hold whole rows, at least one. If
        padding is not zero, a feature does not have a code, or a parameter does not belong to the frame.
    TypeError
        If `codebook` is not a Codebook.
    ImportError
        If the message is entropy-coded and constriction is not installed.

    See Also
    --------
    dumps : Write a frame.
    peek : Look at the id, the sequence or the fingerprint first.
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
    >>> loads(dumps(book, [[2]], frame="short", id=7), book, frame="short", id=8)
    Traceback (most recent call last):
    ...
    ValueError: This frame has the id 7, expected 8.
    """
    _check_frame(frame, id=id, seq=seq, crc=crc)
    if frame == "short":
        return _short.read_short(data, codebook, id=id, seq=seq, crc=crc)
    if frame == "bare":
        return _short.read_bare(data, codebook)
    RowCodec(codebook)  # refuses anything else
    file = io.BytesIO(data)
    _, codes = _message.read(lambda size, what: _take(file, size, what), [codebook])
    if rest := len(file.read()):
        raise ValueError(f"{rest} bytes follow the message: read_messages reads several.")
    return codes


@dataclass(frozen=True)
class FrameInfo:
    """What a frame tells about itself. `peek` returns it.

    Parameters
    ----------
    frame : {"message", "short"}
    size : int or None
        Bytes of the whole frame. None if that is not known: for a message of none of the given codebooks, and for an
        entropy-coded or deflated message of which only the beginning was given. For a short frame, the bytes that were
        given.
    version : int or None, default=None
        Format version of a message.
    fingerprint : bytes or None, default=None
        Fingerprint of the codebook of a message.
    rows : int or None, default=None
        Number of rows that a message states.
    pad_rows : bool or None, default=None
        True if each row of the message is padded to whole bytes.
    entropy : bool or None, default=None
        True if the message is entropy-coded.
    row_bits : int or None, default=None
        Bits per row of a message. None if it belongs to none of the given codebooks.
    id : int or None, default=None
        Id of a short frame.
    seq : int or None, default=None
        Sequence number of a short frame. None if it has none.
    deflate : bool or None, default=None
        True if the rows of the message are deflated.

    See Also
    --------
    peek : Read it from a frame.

    Examples
    --------
    >>> from skbsq.codec import peek
    >>> peek(bytes([7, 250, 22, 27]), frame="short", seq=True).seq
    250
    """

    frame: str
    size: int | None
    version: int | None = None
    fingerprint: bytes | None = None
    rows: int | None = None
    pad_rows: bool | None = None
    entropy: bool | None = None
    row_bits: int | None = None
    id: int | None = None
    seq: int | None = None
    deflate: bool | None = None


def peek(payload, *, frame="message", codebooks=(), seq=False):
    """Look at what a frame tells about itself, without reading its rows.

    It does not check the CRC, so every field may be damaged: `loads` tells.

    Parameters
    ----------
    payload : bytes-like
        The frame. The first 18 bytes of a message are enough, and other bytes may follow it.
    frame : {"message", "short"}, default="message"
        A bare frame tells nothing.
    codebooks : sequence of Codebook, default=()
        Codebooks to look for the fingerprint of a message, for its bits per row and its size.
    seq : bool, default=False
        True if the short frame has a sequence number.

    Returns
    -------
    FrameInfo

    Raises
    ------
    ValueError
        If the payload is too short, or is no message of a known version.

    See Also
    --------
    loads : Read the codes.
    read_messages_of : Read a stream of messages of several codebooks.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, peek
    >>> book = Codebook.from_thresholds([[0, 1, 2]])
    >>> info = peek(dumps(book, [[2], [3]])[:18], codebooks=[book])
    >>> info.rows, info.row_bits, info.size, info.fingerprint == book.fingerprint
    (2, 2, 24, True)
    >>> peek(dumps(book, [[2], [3]], frame="short", id=7), frame="short").id
    7
    """
    if frame == "bare":
        raise ValueError("A bare frame tells nothing about itself: the link has to identify it.")
    _check_frame(frame, seq=seq)
    data = memoryview(payload).cast("B")
    if frame == "short":
        number, sequence = _short.split_short(data, seq)
        return FrameInfo("short", len(data), id=number, seq=sequence)
    if len(data) < _message.HEADER.size:
        raise ValueError(f"A message has a header of {_message.HEADER.size} bytes, got {len(data)}: it is cut off.")
    header = _message.parse_header(data[: _message.HEADER.size])
    book = _message.find_codebook(header.fingerprint, [RowCodec(book).codebook for book in codebooks])
    return FrameInfo(
        "message",
        None if book is None else _message.size_of(book, header, data[_message.HEADER.size :]),
        version=header.version,
        fingerprint=header.fingerprint,
        rows=header.rows,
        pad_rows=not header.flags & _message.TIGHT,
        entropy=bool(header.flags & _message.ENTROPY),
        row_bits=None if book is None else book.row_bits,
        deflate=bool(header.flags & _message.DEFLATE),
    )


def _check_frame(frame, **given):
    """Raise ValueError for an unknown frame, and for parameters of another one."""
    if not isinstance(frame, str) or frame not in _BELONG:
        raise ValueError(f"frame must be one of {list(_BELONG)}, got {frame!r}.")
    for name, value in given.items():
        is_default = any(type(value) is type(default) and value == default for default in _DEFAULTS[name])
        if name not in _BELONG[frame] and not is_default:
            owner = next(other for other, names in _BELONG.items() if name in names)
            raise ValueError(f'{name}={value!r} belongs to frame="{owner}", not to frame="{frame}": leave it out.')


def _take(file, size, what):
    """Return the next bytes of a message in memory."""
    part = file.read(size)
    if len(part) < size:
        raise ValueError(f"The message is cut off: {size - len(part)} of the {size} bytes of its {what} are missing.")
    return part
