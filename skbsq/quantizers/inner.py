"""Fit a quantizer that is a parameter of another estimator, on rows that are already checked."""

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbsq.codebook.guards import inner_thresholds
from skbsq.quantizers.base import BaseQuantizer, FixedQuantizer
from skbsq.training.rows import Rows


def clone_with(quantizer, what, *, seed, **parameters):
    """Copy a quantizer, and set those of the given parameters that it has.

    Parameters
    ----------
    quantizer : BaseQuantizer
    what : str
        The parameter that holds the quantizer, for the message.
    seed : int, RandomState or None
        Used as its random_state, if it has one that is None.
    **parameters
        Values for n_bits, missing, task and the like.

    Returns
    -------
    BaseQuantizer

    Raises
    ------
    ValueError
        If `quantizer` is none of this package.
    """
    if not isinstance(quantizer, BaseQuantizer):
        raise ValueError(f"{what} must be one of the quantizers of skbsq, got {quantizer!r}.")
    if getattr(quantizer, "random_state", seed) is None:
        parameters["random_state"] = seed
    made = clone(quantizer)
    for key, value in parameters.items():
        if key in vars(made):  # not set_params: a subclass may set a parameter that its constructor does not take
            setattr(made, key, value)
    return made


def parameters_of(estimator, kind):
    """Return the values that an estimator has for the parameters of a related class.

    They are read from its attributes, because a subclass may add constructor parameters and drop others.

    Parameters
    ----------
    estimator : BaseEstimator
    kind : type

    Returns
    -------
    dict
    """
    return {name: getattr(estimator, name) for name in kind._get_param_names() if hasattr(estimator, name)}


def fit_thresholds_on(quantizer, rows):
    """Fit a quantizer on training rows, or on the summary of rows that come in chunks.

    Parameters
    ----------
    quantizer : BaseQuantizer
        Changed in place.
    rows : Rows or ChunkedRows
        Levels and counts of chunked rows are estimated from their summary.

    Returns
    -------
    BaseQuantizer
        The same quantizer, fitted.

    Raises
    ------
    ValueError
        For chunked rows, if the quantizer needs all rows at once.
    """
    if isinstance(rows, Rows):
        X = rows.X if rows.names is None else pd.DataFrame(rows.X, columns=rows.names, copy=False)
        if rows.categories:
            X = _with_categories(X, rows.categories)
        return quantizer.fit(X, rows.y, sample_weight=rows.weights)
    if not isinstance(quantizer, FixedQuantizer):
        raise ValueError(
            f"{type(quantizer).__name__} learns from all rows at once, which is not possible in chunks: fit it on "
            "some of the rows and give its thresholds_ to a ThresholdQuantizer."
        )
    quantizer._validate_params()
    quantizer.n_features_in_ = rows.n_features
    if rows.names is not None:
        quantizer.feature_names_in_ = rows.names
    quantizer.codebook_ = quantizer._codebook_of(rows.summary, rows.names)
    return quantizer


def _with_categories(X, categories):
    """Return rows as a frame or an array of objects, with categories in place of their numbers."""
    columns = {}
    for j, known in categories.items():
        numbers = X[:, j] if isinstance(X, np.ndarray) else X.iloc[:, j].to_numpy()
        codes = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
        columns[j] = pd.Categorical.from_codes(codes, categories=pd.Index(known.names, dtype=object))
    if isinstance(X, np.ndarray):
        X = X.astype(object)
        for j, column in columns.items():
            X[:, j] = column.astype(object)
        return X
    return X.assign(**{X.columns[j]: column for j, column in columns.items()})


def fit_on(quantizer, rows):
    """Fit a quantizer on training rows, with levels and counts from all of them.

    Parameters
    ----------
    quantizer : BaseQuantizer
        Changed in place.
    rows : Rows or ChunkedRows
        Chunks are read once more for levels and counts.
    """
    book = fit_thresholds_on(quantizer, rows).codebook_
    if not isinstance(rows, Rows):
        codes = {"has_missing": book.has_missing, "has_guard": book.has_guard}
        rows = rows.in_order_of(book)
        quantizer.codebook_ = rows.codebook(inner_thresholds(book), levels=quantizer.levels, **codes)
