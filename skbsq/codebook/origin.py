"""Codes of a folded codebook as codes of the one from which it was folded. Needs NumPy alone.

Folding keeps the codes of every feature with bits. Features may change their places, and there may be others of 0 bits.
"""

import numpy as np


def check_folded_order(order, folded_from, n_levels):
    """Return the order of a folded codebook as an array of int64, or None.

    Parameters
    ----------
    order : array-like of int, or None
    folded_from : bytes or None
    n_levels : ndarray of int64 of shape (d,)

    Returns
    -------
    read-only ndarray of int64, or None

    Raises
    ------
    ValueError
        If it does not hold every feature with bits once, or the codebook was not folded.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.origin import check_folded_order
    >>> check_folded_order([2, 0], bytes(8), np.array([4, 1, 2]))
    array([2, 0])
    """
    if order is None:
        return None
    sent = np.flatnonzero(n_levels > 1)
    order = np.array(order)
    if folded_from is None or order.dtype.kind not in "iu" or sorted(order.ravel().tolist()) != sent.tolist():
        raise ValueError(
            f"folded_order must hold the features with bits once each, {sent.tolist()}, in a codebook with "
            f"folded_from, got {order.tolist()}."
        )
    order = order.astype(np.int64).ravel()
    order.flags.writeable = False
    return order


def sent_features(book):
    """Return the features with bits, in the order of the codebook from which this one was folded: int64 array."""
    return np.flatnonzero(book.n_levels > 1) if book.folded_order is None else book.folded_order


def has_codes_of(book, origin):
    """Tell whether the codes of a codebook can be codes of another one: that one itself, or its origin.

    Parameters
    ----------
    book, origin : Codebook

    Returns
    -------
    bool
    """
    same = origin.fingerprint in (book.fingerprint, book.folded_from)
    return same and np.array_equal(book.n_levels[_order(book, origin)], origin.n_levels[origin.n_levels > 1])


def codes_of_origin(book, origin, codes):
    """Turn codes of a folded codebook into codes of the codebook from which it was folded.

    Parameters
    ----------
    book, origin : Codebook
        See `has_codes_of`.
    codes : ndarray of int of shape (n, d)

    Returns
    -------
    ndarray of int of shape (n, d of origin)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.codebook.origin import codes_of_origin
    >>> origin = Codebook.from_thresholds([[1.0, 2.0], [3.0]])
    >>> book = Codebook.from_thresholds([[3.0], [], [1.0, 2.0]], folded_from=origin.fingerprint, folded_order=[2, 0])
    >>> codes_of_origin(book, origin, np.array([[1, 0, 2]]))
    array([[2, 1]], dtype=uint8)
    """
    found = np.zeros((len(codes), origin.n_features), dtype=origin.dtype)
    found[:, np.flatnonzero(origin.n_levels > 1)] = codes[:, _order(book, origin)]
    return found


def _order(book, origin):
    return np.flatnonzero(book.n_levels > 1) if book.fingerprint == origin.fingerprint else sent_features(book)
