"""Messages one after the other in a file or a stream. NumPy alone, except for entropy coding."""

import io
from dataclasses import dataclass
from numbers import Integral

from skbsq.codec import _message
from skbsq.codec._message import MAGIC, MAX_UNBOUND, SHORTEST
from skbsq.codec._rows import RowCodec

# A message is read in parts of this size, so that a corrupt header cannot allocate more memory than there are bytes.
_PART = 2**20
# Longest message by default where damaged ones are skipped.
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class Skipped:
    """Bytes that `read_messages_of` skipped, from a place where no message can be read up to the next ``SBSQ``.

    A damaged message whose rows contain these four bytes is reported in several pieces.

    Parameters
    ----------
    offset : int
        Bytes of the stream before the skipped ones.
    n_bytes : int
        How many bytes were skipped.
    reason : str
        Why they are no message, as the ValueError says that `loads` would raise.
    fingerprint : bytes or None, default=None
        Fingerprint of the message if it belongs to none of the codebooks. None for any other reason.

    See Also
    --------
    read_messages_of : Reports what it skips.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, read_messages
    >>> book, skipped = Codebook.from_thresholds([[0, 1, 2]]), []
    >>> stream = b"noise" + dumps(book, [[3]])
    >>> [codes.tolist() for codes in read_messages(stream, book, on_error=skipped.append)]
    [[[3]]]
    >>> skipped[0].offset, skipped[0].n_bytes
    (0, 5)
    """

    offset: int
    n_bytes: int
    reason: str
    fingerprint: bytes | None = None


def write_messages(file, codebook, codes, *, rows=2**16, pad_rows=True, entropy=False, deflate=False):
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
    pad_rows, entropy, deflate : bool
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
    if entropy or deflate or codec.row_bits == 0:
        rows = min(rows, max(1, MAX_UNBOUND // codebook.n_features))
    messages = (
        _message.write(codebook, codes[start : start + rows], pad_rows=pad_rows, entropy=entropy, deflate=deflate)
        for start in range(0, len(codes), rows)
    )
    return sum(_write(file, message) for message in messages)


def read_messages(file, codebook, *, on_error=None, max_bytes=None):
    """Read the messages in a file or a stream, one after the other.

    Parameters
    ----------
    file : binary file object or bytes
        A file has to block until data arrives, and must end with the last message.
    codebook : Codebook
    on_error : callable, default=None
        Called as ``on_error(skipped)`` with a `Skipped` for bytes that are no message of the codebook; then the next
        message is read. See `read_messages_of`. None: such bytes raise ValueError.
    max_bytes : int, default=None
        Longest message that is read, in bytes. None: 2^24 with `on_error`, otherwise any length.

    Yields
    ------
    codes : ndarray of shape (n, d)
        Codes of one message, as `loads` returns them.

    Raises
    ------
    ValueError
        If `max_bytes` is less than the 22 bytes around the rows. Without `on_error` also if a message is wrong, as in
        `loads`, when the iteration reaches it. No bytes after that message are read.
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
    return (codes for _, codes in read_messages_of(file, [codebook], on_error=on_error, max_bytes=max_bytes))


def read_messages_of(file, codebooks, *, on_error=None, max_bytes=None):
    """Read messages of several codebooks, such as the rates of one model, in a file or a stream.

    With `on_error` a damaged message, a message of another codebook and any other bytes are skipped: reading goes on at
    the next ``SBSQ`` at which a whole message of the codebooks with a right check sum begins. The length of a message
    of an unknown codebook is unknown, so its rows are searched too. A message that was put into such rows as it is, is
    therefore read.

    Parameters
    ----------
    file : binary file object or bytes
        As for `read_messages`.
    codebooks : sequence of Codebook
        A message belongs to the one with its fingerprint.
    on_error : callable, default=None
        Called as ``on_error(skipped)`` with a `Skipped` as soon as the end of the skipped bytes is known. An error that
        it raises ends the iteration. None: bytes that are no message raise ValueError.
    max_bytes : int, default=None
        Longest message that is read, in bytes: a header that states more counts as damaged. It bounds the memory, and
        the number of bytes that must arrive before reading goes on after a message with a damaged number of rows. So
        give the longest message of the link where you wait for each reading. None: 2^24 with `on_error`, otherwise any
        length.

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
    peek : Look at the header of a message.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import dumps, read_messages_of
    >>> fine = Codebook.from_thresholds([[0, 1, 2]])
    >>> coarse = fine.coarsened(1)
    >>> stream = dumps(fine, [[3]]) + dumps(coarse, [[1]])
    >>> [(book.row_bits, codes.tolist()) for book, codes in read_messages_of(stream, [fine, coarse])]
    [(2, [[3]]), (1, [[1]])]

    A receiver of the coarse rate alone skips the other message:

    >>> def report(skipped):
    ...     print(skipped.n_bytes, "bytes of", skipped.fingerprint.hex())
    >>> [codes.tolist() for _, codes in read_messages_of(stream, [coarse], on_error=report)]
    23 bytes of 40f7d79c2aac52cb
    [[[1]]]
    """
    if not hasattr(file, "read"):
        file = io.BytesIO(file)
    codebooks = list(codebooks)
    for codebook in codebooks:
        RowCodec(codebook)  # refuses anything else
    window = _Window(file, _checked_limit(max_bytes, on_error))
    while window.holds_more():
        try:
            found = _message.read(window.take, codebooks)
        except ValueError as error:
            if on_error is None:
                raise
            offset = window.offset
            n_bytes, fingerprint = window.skip(), getattr(error, "fingerprint", None)
            on_error(Skipped(offset, n_bytes, str(error), fingerprint))
        else:
            window.drop()
            yield found


def _checked_limit(max_bytes, on_error):
    if max_bytes is None:
        return None if on_error is None else _MAX_BYTES
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, Integral) or max_bytes < SHORTEST:
        raise ValueError(f"max_bytes must be an integer of at least {SHORTEST}, or None, got {max_bytes!r}.")
    return int(max_bytes)


class _Window:
    """The bytes of a file from the beginning of a message on, kept until it is read, so that they can be searched.

    No more bytes are read from the file than the message needs.
    """

    def __init__(self, file, limit):
        self._file = file
        self._limit = limit
        self._kept = bytearray()
        self._at = 0  # bytes of the message that were taken
        self.offset = 0  # bytes of the file before those kept

    def holds_more(self):
        """Tell whether the file has another byte."""
        return self._fill(1) == 0

    def take(self, size, what):
        """Return the next `size` bytes of the message."""
        end = self._at + size
        if self._limit is not None and end > self._limit:
            raise ValueError(f"This message has more than max_bytes={self._limit} bytes, or it is corrupt.")
        if missing := self._fill(end):
            raise ValueError(f"The message is cut off: {missing} of the {size} bytes of its {what} are missing.")
        part = memoryview(self._kept)[self._at : end].tobytes()
        self._at = end
        return part

    def drop(self, size=None):
        """Drop the first `size` bytes. None: the message. Return their number."""
        size = self._at if size is None else size
        del self._kept[:size]
        self.offset += size
        self._at = 0
        return size

    def skip(self):
        """Drop one byte or more, up to the next magic number, or to the end of the file. Return how many."""
        skipped = self.drop(1)
        while (at := self._kept.find(MAGIC)) < 0:
            # The last bytes may be the first of a magic number. A message that begins there is not shorter than this.
            skipped += self.drop(max(0, len(self._kept) - len(MAGIC) + 1))
            known = len(self._kept)
            self._fill(SHORTEST)
            if len(self._kept) == known:
                return skipped + self.drop(known)
        return skipped + self.drop(at)

    def _fill(self, size):
        """Read until `size` bytes are kept. Return how many are missing at the end of the file."""
        while (missing := size - len(self._kept)) > 0 and (part := _read_some(self._file, min(missing, _PART))):
            self._kept += part
        return max(0, missing)


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
