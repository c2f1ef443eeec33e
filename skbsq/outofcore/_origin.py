"""Find the codebook of a table in its metadata. NumPy alone."""

from functools import lru_cache

from skbsq.codebook.codebook import Codebook

CODEBOOK_KEY = "skbsq-codebook"
ENCODE_KEY = "skbsq-encode"


def origin_of(metadata):
    """Return the codebook and the encoding of a table that `transform` wrote.

    Parameters
    ----------
    metadata : dict of bytes to bytes, or None
        Metadata of an Arrow schema.

    Returns
    -------
    book : Codebook or None
    encode : str or None
        None if the metadata does not contain it.

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
    text, encode = metadata.get(CODEBOOK_KEY.encode()), metadata.get(ENCODE_KEY.encode())
    try:
        return None if text is None else read_once(text), None if encode is None else encode.decode()
    except ValueError as error:
        raise ValueError(f"The source's metadata {CODEBOOK_KEY!r} cannot be read: {error}") from error


@lru_cache(maxsize=16)
def read_once(text):
    """Read a codebook from JSON; all chunks and tasks share the result."""
    return Codebook.from_json(text)
