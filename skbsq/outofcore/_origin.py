"""What the metadata of a table says about the codebook that made it. NumPy alone."""

from functools import lru_cache

from skbsq.codebook.codebook import Codebook

_CODEBOOK = "skbsq-codebook"
_ENCODE = "skbsq-encode"


def metadata_of(text, encode):
    """Return the metadata of a table of results.

    Parameters
    ----------
    text : str
        The codebook as JSON.
    encode : {"ordinal", "thermometer", "value", "packed"}

    Returns
    -------
    dict of str to str
    """
    return {_CODEBOOK: text, _ENCODE: encode}


def origin_of(metadata):
    """Return the codebook that made a table, and the encoding.

    Parameters
    ----------
    metadata : dict of bytes to bytes, or None
        Of an Arrow schema.

    Returns
    -------
    book : Codebook or None
    encode : str or None
        None where the metadata does not say.

    Raises
    ------
    ValueError
        If the metadata holds a codebook that cannot be read.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.outofcore._origin import origin_of
    >>> origin_of({b"skbsq-codebook": Codebook.from_thresholds([[0.5]]).to_json().encode()})
    (Codebook(n_features=1, row_bits=1, missing='error'), None)
    """
    metadata = metadata or {}
    text, encode = metadata.get(_CODEBOOK.encode()), metadata.get(_ENCODE.encode())
    try:
        return None if text is None else read_once(text), None if encode is None else encode.decode()
    except ValueError as error:
        raise ValueError(f"The source's metadata {_CODEBOOK!r} cannot be read: {error}") from error


@lru_cache(maxsize=16)
def read_once(text):
    """Read a codebook from JSON, once for all chunks and tasks."""
    return Codebook.from_json(text)
