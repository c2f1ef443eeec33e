"""Rows of codes as bytes, each code in the bits of its feature. Needs NumPy alone."""

from math import gcd
from numbers import Integral

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.kernels import for_blocks
from skbsq.codebook.labels import columns_of
from skbsq.codebook.matrix import as_matrix, as_table, columns_in, refuse_mask

# Codes per block: the codes, the bytes and a column of each fit the cache.
_BLOCK = 2**18


class RowCodec:
    """Packs rows of codes into bytes and unpacks them.

    Features are in order, each code in the ``n_bits`` of its feature, least significant bit first, with no padding
    between features. Bit i of the row is bit ``i % 8`` (of value ``1 << i % 8``) of byte ``i // 8``. The row ends with
    zero bits up to a whole byte. So every row has the same number of bytes, and a device can send a single reading.

    Parameters
    ----------
    codebook : Codebook

    Attributes
    ----------
    codebook : Codebook
    row_bits : int
        Bits per row, without the padding.
    row_bytes : int
        Bytes per row.

    Raises
    ------
    TypeError
        If `codebook` is not a Codebook.

    See Also
    --------
    skbsq.codec.dumps : Write rows as one message with a check sum.

    Notes
    -----
    In all shapes, n is the number of rows and d the number of features. Codes of categories are packed as those of
    numbers.

    Examples
    --------
    Three features have 2, 0 and 3 bits; the second is constant and not sent. The codes 2 and 5 are the bits ``01`` and
    ``101`` in the order of the row, least significant first::

        row bit    0 1   2 3 4   5 6 7
        value      0 1   1 0 1   0 0 0
                   code  code    padding

    This is the byte 2 + 4 + 16 = 22.

    >>> from skbsq import Codebook
    >>> from skbsq.codec import RowCodec
    >>> codec = RowCodec(Codebook.from_thresholds([[0, 1, 2], [], [0, 1, 2, 3, 4, 5]]))
    >>> codec.row_bits, codec.row_bytes
    (5, 1)
    >>> codec.pack([[2, 0, 5], [3, 0, 6]])
    array([[22],
           [27]], dtype=uint8)
    >>> codec.unpack(codec.pack([[2, 0, 5], [3, 0, 6]]))
    array([[2, 0, 5],
           [3, 0, 6]], dtype=uint8)
    """

    def __init__(self, codebook):
        if not isinstance(codebook, Codebook):
            raise TypeError(
                f"RowCodec takes a Codebook, got {type(codebook).__name__}: a fitted quantizer has one as codebook_, "
                "and Codebook.from_json reads its text."
            )
        self.codebook = codebook
        self.row_bits = codebook.row_bits
        self.row_bytes = -(-self.row_bits // 8)

    def __repr__(self):
        return f"RowCodec({self.codebook!r})"

    def pack(self, codes):
        """Pack codes into bytes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of uint8 of shape (n, row_bytes)

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong. The message names the feature and row.

        See Also
        --------
        unpack : Bytes to codes.
        pack_tight : Pack without padding between rows.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.codec import RowCodec
        >>> RowCodec(Codebook.from_thresholds([[0.5]] * 9)).pack([[1] * 9])
        array([[255,   1]], dtype=uint8)
        """
        return _pack(self._checked(codes), self.codebook.n_bits)

    def unpack(self, data):
        """Unpack bytes into codes.

        Parameters
        ----------
        data : array-like of uint8 of shape (n, row_bytes)
            Or a list or column of n byte strings, as Parquet files hold them.

        Returns
        -------
        ndarray of shape (n, d)
            As ``codebook.encode`` returns them: uint8, or uint16 if any feature has more than 8 bits.

        Raises
        ------
        ValueError
            If `pack` cannot have written the bytes: their number is wrong, the padding is not zero, or a code is out
            of range.

        See Also
        --------
        pack : Codes to bytes.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.codec import RowCodec
        >>> RowCodec(Codebook.from_thresholds([[0.5]] * 7)).unpack([[128]])
        Traceback (most recent call last):
        ...
        ValueError: Row 0 does not end with zero bits: these bytes belong to another codebook, or they are corrupt.
        """
        data = as_bytes(data, names=self.byte_names())
        if data.shape[1] != self.row_bytes:
            raise ValueError(f"Rows of this codebook have {self.row_bytes} bytes, got rows of {data.shape[1]}.")
        if self.row_bits % 8:
            padded = data[:, -1] >> np.uint8(self.row_bits % 8) != 0
            if padded.any():
                raise ValueError(
                    f"Row {int(np.argmax(padded))} does not end with zero bits: these bytes belong to another "
                    "codebook, or they are corrupt."
                )
        return self._in_range(_unpack(data, self.codebook.n_bits, self.codebook.dtype))

    def pack_tight(self, codes):
        """Pack codes into bytes without padding between rows: row i begins at bit ``i * row_bits``.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of uint8 of shape (ceil(n * row_bits / 8),)

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong.

        See Also
        --------
        unpack_tight : Bytes to codes.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.codec import RowCodec
        >>> RowCodec(Codebook.from_thresholds([[0, 1, 2]])).pack_tight([[1], [2], [3], [0], [1]])
        array([57,  1], dtype=uint8)
        """
        codes = self._checked(codes)
        together = self._rows_together()
        # A group of rows that fills whole bytes is packed as one row. The last group is filled up, then cut off.
        rows = np.concatenate([codes, np.zeros((-len(codes) % together, codes.shape[1]), dtype=codes.dtype)])
        n_bits = np.tile(self.codebook.n_bits, together)
        data = _pack(rows.reshape(len(rows) // together, n_bits.size), n_bits)
        return data.reshape(-1)[: self.tight_bytes(len(codes))]

    def unpack_tight(self, data, n):
        """Unpack bytes without padding between rows.

        Parameters
        ----------
        data : array-like of uint8 of shape (ceil(n * row_bits / 8),)
        n : int
            Number of rows.

        Returns
        -------
        ndarray of shape (n, d)
            Of the same type as in `unpack`.

        Raises
        ------
        ValueError
            If `pack_tight` cannot have written the bytes, or `n` is not an integer of at least 0.

        See Also
        --------
        pack_tight : Codes to bytes.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.codec import RowCodec
        >>> RowCodec(Codebook.from_thresholds([[0, 1, 2]])).unpack_tight([57, 1], 5).ravel()
        array([1, 2, 3, 0, 1], dtype=uint8)
        """
        data = as_bytes(data, ndim=1)
        if data.size != self.tight_bytes(n):
            raise ValueError(
                f"{n} rows of this codebook have {self.tight_bytes(n)} bytes without padding, got {data.size}."
            )
        used = n * self.row_bits % 8
        if used and data[-1] >> used:
            raise ValueError(
                "The bytes do not end with zero bits: they belong to another codebook, or they are corrupt."
            )
        together = self._rows_together()
        groups = -(-n // together)
        rows = np.zeros((groups, self.tight_bytes(together)), dtype=np.uint8)
        rows.reshape(-1)[: data.size] = data
        codes = _unpack(rows, np.tile(self.codebook.n_bits, together), self.codebook.dtype)
        return self._in_range(codes.reshape(groups * together, self.codebook.n_features)[:n])

    def tight_bytes(self, n):
        """Count the bytes of n rows without padding between them.

        Parameters
        ----------
        n : int

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If `n` is not an integer of at least 0.
        """
        if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
            raise ValueError(f"The number of rows must be an integer of at least 0, got {n!r}.")
        return -(-int(n) * self.row_bits // 8)

    def byte_names(self):
        """Name the bytes of a row, as columns of a table.

        Returns
        -------
        list of str
            ``byte0``, ``byte1``, ...
        """
        return [f"byte{i}" for i in range(self.row_bytes)]

    def _rows_together(self):
        """Count the rows that fill whole bytes without padding between them."""
        return 8 // gcd(self.row_bits, 8)

    def _checked(self, codes):
        if isinstance(codes, bytes | bytearray | memoryview):
            raise ValueError("Codes are a 2-d array of integers, got bytes: unpack turns packed rows into codes.")
        return np.ascontiguousarray(self.codebook.check_codes(codes), dtype=self.codebook.dtype)

    def _in_range(self, codes):
        """Return codes read from bytes, if all are in range."""
        try:
            return self.codebook.check_codes(codes)
        except ValueError as error:
            raise ValueError(f"These bytes belong to another codebook, or they are corrupt. {error}") from None


def as_bytes(data, ndim=2, names=None):
    """Turn packed rows, which must be whole numbers from 0 to 255, into an array of uint8."""
    if isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(
            f"Packed rows are a {ndim}-d array of uint8, such as np.frombuffer(data, np.uint8).reshape(n, "
            "row_bytes). To read a message, use skbsq.codec.loads."
        )
    data = refuse_mask(data, "The array of packed rows")
    rows = _byte_strings(data) if ndim == 2 else None
    if rows is not None:
        return rows
    if ndim == 2:
        data = as_matrix(data, "Packed rows", names, strict=False)
    else:
        data = as_matrix(np.asarray(data)[None], "Packed rows")[0]
    if data.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            cast = data.astype(np.uint8)
        if not np.array_equal(cast, data):
            raise ValueError("Packed rows hold whole numbers from 0 to 255, got other values.")
        data = cast
    return data


def _byte_strings(data):
    """Return the rows of a list or column of byte strings, as Parquet files hold them. None for anything else."""
    if isinstance(data, np.ndarray):  # NumPy drops zeros at the end of byte strings
        return None
    column = data
    if columns_of(data) is not None:
        table = as_table(data, "Packed rows")
        column = columns_in(table)[0] if len(columns_of(table)) == 1 else None
    to_list = next(
        (getattr(column, name) for name in ("to_pylist", "to_list", "tolist") if hasattr(column, name)), None
    )
    holds_objects = getattr(getattr(column, "dtype", None), "kind", "O") == "O"
    values = column if isinstance(column, list) else to_list() if to_list and holds_objects else []
    if not values or not all(isinstance(value, bytes) for value in values):
        return None
    if len(set(map(len, values))) > 1:
        raise ValueError("Packed rows must have one length, got byte strings of several.")
    return np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(values), -1)


def _pieces(n_bits, code_bytes):
    """List the pieces of a row (byte of the codes, byte of the row, shift in that byte, bits), and count its bytes."""
    pieces, at = [], 0
    for j, of_code in enumerate(n_bits.tolist()):
        for low in range(0, of_code, 8):
            bits = min(8, of_code - low)
            pieces.append((j * code_bytes + low // 8, at // 8, at % 8, bits))
            at += bits
    return pieces, -(-at // 8)


def _pack(codes, n_bits):
    """Pack contiguous codes, which are in range, one column of bytes after the other: ``row |= code << place``."""
    pieces, row_bytes = _pieces(n_bits, codes.itemsize)
    data = np.zeros((len(codes), row_bytes), dtype=np.uint8)
    planes = codes.astype(codes.dtype.newbyteorder("<"), copy=False).view(np.uint8)

    def pack(rows):
        source, target = planes[rows], data[rows]
        for plane, byte, shift, bits in pieces:
            piece = source[:, plane]
            # Bits beyond the byte are dropped here and start the next byte.
            target[:, byte] |= piece << np.uint8(shift)
            if shift + bits > 8:
                np.right_shift(piece, np.uint8(8 - shift), out=target[:, byte + 1])
        return True

    for_blocks(lambda: pack, len(codes), _BLOCK // n_bits.size, total=codes.size)
    return data


def _unpack(data, n_bits, dtype):
    """Unpack bytes into codes: ``code = row >> place``, masked to its bits."""
    pieces, _ = _pieces(n_bits, dtype.itemsize)
    codes = np.zeros((len(data), n_bits.size), dtype=dtype.newbyteorder("<"))
    planes = codes.view(np.uint8)

    def unpack(rows):
        source, target = data[rows], planes[rows]
        for plane, byte, shift, bits in pieces:
            piece = source[:, byte] >> np.uint8(shift)
            if shift + bits > 8:
                piece |= source[:, byte + 1] << np.uint8(8 - shift)
            np.bitwise_and(piece, np.uint8(2**bits - 1), out=target[:, plane])
        return True

    for_blocks(lambda: unpack, len(data), _BLOCK // n_bits.size, total=codes.size)
    return codes.astype(dtype, copy=False)
