"""Identity of an encoder: a hash of what its codes depend on. Needs NumPy alone."""

import hashlib
import struct

import numpy as np


def fingerprint_of(book):
    """Compute `skbsq.Codebook.fingerprint`.

    Parameters
    ----------
    book : Codebook

    Returns
    -------
    bytes of length 8
    """
    is_categorical = book.is_categorical
    numeric = [t for t, without in zip(book.thresholds, is_categorical, strict=True) if not without]
    values = (book.n_features, book.offsets, book.has_missing, np.concatenate([*numeric, np.empty(0)]))
    dtypes = ("<u4", "<u4", "u1", "<f4")
    content = b"".join(np.asarray(v).astype(dtype).tobytes() for v, dtype in zip(values, dtypes, strict=True))
    version = b"skbsq1"
    if is_categorical.any():
        version = b"skbsq2"
        content += categories_text(book.categories, book.has_missing & (book.handle_unknown == "missing"))
    return hashlib.sha256(version + content).digest()[:8]


def categories_text(categories, unknown_is_missing):
    """Return what the fingerprint hashes of categories, see `skbsq.Codebook.fingerprint`.

    Parameters
    ----------
    categories : list of d dicts category -> code, or None
    unknown_is_missing : ndarray of bool of shape (d,)

    Returns
    -------
    bytes

    Examples
    --------
    >>> from skbsq.codebook.fingerprint import categories_text
    >>> categories_text([None, {True: 0}], [False, False]).hex()
    '0100000000010000000000020400000074727565'
    """
    content = b""
    for j, codes in enumerate(categories):
        if codes is None:
            continue
        entries = sorted((code, *_kind_and_text(known)) for known, code in codes.items() if known is not None)
        content += struct.pack("<IBI", j, bool(unknown_is_missing[j]), len(entries))
        for code, kind, text in entries:
            content += struct.pack("<HBI", code, kind, len(text)) + text
    return content


def _kind_and_text(category):
    kind = {str: 0, int: 1, bool: 2}[type(category)]
    return kind, (str(category).lower() if kind == 2 else str(category)).encode()
