"""Report the codes of a feature: their intervals or categories, how many rows they have, and their targets."""

from itertools import pairwise
from numbers import Integral

import numpy as np

from skbsq._targets import check_target
from skbsq._validation import check_weights, check_X
from skbsq.codebook.labels import shortened


def binning_table(estimator, feature, X=None, y=None, sample_weight=None):
    """Report the codes of a feature.

    Parameters
    ----------
    estimator : quantizer or predictor
        Fitted, with ``codebook_``.
    feature, X, y, sample_weight
        See `skbsq.BitwiseQuantizer.table`.

    Returns
    -------
    DataFrame
    """
    import pandas as pd  # not at the top, because encoding works without pandas

    book = estimator.codebook_
    j = _number_of(feature, book.n_features, getattr(estimator, "feature_names_in_", book.feature_names))
    table = pd.DataFrame({"bin": bins_of(book, j)})
    if X is None:
        if y is not None or sample_weight is not None:
            raise ValueError(f"{'sample_weight' if y is None else 'y'} belongs to rows: give X too.")
        if book.counts is None:
            raise ValueError("The codebook has no counts of its training rows: give X.")
        rows = book.counts[j]
        return table.assign(rows=rows, share=rows / max(rows.sum(), 1))
    X = check_X(estimator, X, reset=False, readers=book.category_readers)
    weights = check_weights(sample_weight, X)
    kept = weights > 0
    codes = book.encode_numbers(X)[kept, j].astype(np.intp)
    weight = np.bincount(codes, weights[kept], minlength=len(table))
    table = table.assign(rows=np.bincount(codes, minlength=len(table)), share=weight / weight.sum())
    if y is None:
        return table
    event, target = _as_numbers(check_target(y, X, "auto", estimator, weights)[0], kept)
    total = np.bincount(codes, weights[kept] * target, minlength=len(table))
    mean = np.divide(total, weight, out=np.full(len(table), np.nan), where=weight > 0)
    if event is None:
        return table.assign(target_mean=mean)
    woe, iv = weights_of_evidence(total, weight - total, 0.5 * weights[kept].mean())
    table = table.assign(event_rate=mean, woe=woe, iv=iv)
    table.attrs = {"event": event, "iv": float(iv.sum())}
    return table


def bins_of(book, j):
    """Return what each code of a feature stands for.

    Parameters
    ----------
    book : Codebook
    j : int

    Returns
    -------
    list of str
        An interval, or the categories; "missing" for the missing code.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.quantizers.report import bins_of
    >>> book = Codebook.from_thresholds([[0.5, 2], {"a": 0, "b": 0, "c": 1, None: 2}])
    >>> bins_of(book, 0)
    ['(-inf, 0.5]', '(0.5, 2.0]', '(2.0, inf)']
    >>> bins_of(book, 1)
    ['a, b', 'c', 'missing']
    """
    n_regular = int(book.n_levels[j] - book.has_missing[j])
    if (codes := book.categories[j]) is None:
        ends = [-np.inf, *book.thresholds[j], np.inf]
        texts = [f"({low}, {high}{')' if high == np.inf else ']'}" for low, high in pairwise(ends)]
    else:
        texts = [", ".join(str(name) for name, c in codes.items() if c == code) for code in range(n_regular)]
    return texts + ["missing"] * bool(book.has_missing[j])


def weights_of_evidence(events, others, half_row):
    """Compute weight of evidence and information value of each code.

    Parameters
    ----------
    events, others : ndarray of float64 of shape (n_codes,)
        Weight of the rows with the event, and without it.
    half_row : float
        Added to both where a code has only one of them.

    Returns
    -------
    woe : ndarray of float64 of shape (n_codes,)
        The logarithm of a code's share of the other rows over its share of the events; NaN for a code without rows.
    iv : ndarray of float64 of shape (n_codes,)
        The difference of these shares times `woe`; 0 for a code without rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.quantizers.report import weights_of_evidence
    >>> weights_of_evidence(np.array([1.0, 3.0]), np.array([3.0, 1.0]), 0.5)
    (array([ 1.09861229, -1.09861229]), array([0.54930614, 0.54930614]))
    """
    has_rows = events + others > 0
    filler = np.where(has_rows & ((events <= 0) | (others <= 0)), half_row, 0.0)
    share_of_events, share_of_others = (events + filler) / events.sum(), (others + filler) / others.sum()
    woe = np.full(events.size, np.nan)
    woe[has_rows] = np.log(share_of_others[has_rows] / share_of_events[has_rows])
    return woe, np.where(has_rows, (share_of_others - share_of_events) * woe, 0.0)


def _number_of(feature, n_features, names):
    """Return the number of a feature."""
    known = [] if names is None else list(names)
    if feature in known:
        return known.index(feature)
    if isinstance(feature, Integral) and not isinstance(feature, bool) and 0 <= feature < n_features:
        return int(feature)
    named = f", or a name among {shortened(known)}" if known else ""
    raise ValueError(f"There is no feature {feature!r}: give a number from 0 to {n_features - 1}{named}.")


def _as_numbers(y, kept):
    """Return the event, or None, and numbers of the rows with weight: 1 for the event, or the target itself."""
    y = y[kept]
    values = np.unique(y)
    if y.ndim > 1:
        raise ValueError(f"y has {y.shape[1]} targets: give one of them.")
    if values.size == 2 and (y.dtype.kind != "f" or values.tolist() == [0, 1]):
        return values[1:].tolist()[0], (y == values[1]).astype(np.float64)
    if y.dtype.kind not in "biuf":
        raise ValueError(
            f"y has {values.size} classes, and the report needs numbers or two classes: give, for example, "
            f"y == {values.tolist()[0]!r}."
        )
    return None, y.astype(np.float64)
