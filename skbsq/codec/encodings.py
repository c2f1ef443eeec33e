"""What codes become in a table: codes as they are, thermometer bits, levels or packed bytes. NumPy alone."""

from skbsq.codec import RowCodec

ENCODINGS = ("ordinal", "thermometer", "value", "packed")


def check_encode(encode):
    if encode not in ENCODINGS:
        raise ValueError(f"encode must be one of {list(ENCODINGS)}, got {encode!r}.")


def encoded(book, codes, encode):
    """Codes in one of `ENCODINGS`.

    Parameters
    ----------
    book : Codebook
    codes : ndarray of int of shape (n, d)
        In range.
    encode : str

    Returns
    -------
    ndarray of shape (n, d), (n, n_columns) or (n, row_bytes)

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec.encodings import encoded
    >>> book = Codebook.from_thresholds([[0.0, 1.0], [5.0]])
    >>> encoded(book, book.encode([[0.5, 6.0]]), "packed")
    array([[5]], dtype=uint8)
    """
    if encode == "ordinal":
        return codes
    if encode == "thermometer":
        return book.thermometer(codes)
    if encode == "packed":
        return RowCodec(book).pack(codes)
    return book.decode(codes)


def encoded_names(book, names, encode):
    """Names of the columns that `encoded` returns.

    Parameters
    ----------
    book : Codebook
    names : sequence of str
        Of the features.
    encode : str

    Returns
    -------
    list of str
    """
    if encode == "thermometer":
        return book.column_names(names)
    if encode == "packed":
        return RowCodec(book).byte_names()
    return list(names)
