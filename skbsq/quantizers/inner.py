"""A quantizer that is a parameter of another estimator: its copy, fitted on rows that are checked already."""

import pandas as pd
from sklearn.base import clone

from skbsq.quantizers.base import BaseQuantizer, FixedQuantizer
from skbsq.training.rows import Rows


def adapted(quantizer, what, *, seed, **given):
    """A copy of somebody's quantizer with those of the `given` parameters that it has.

    Parameters
    ----------
    quantizer : BaseQuantizer
    what : str
        The parameter it came in, for the message.
    seed : int, RandomState or None
        Its random_state, where it has one and that is None.
    **given
        Values for n_bits, missing, task and the like.

    Returns
    -------
    BaseQuantizer
    """
    if not isinstance(quantizer, BaseQuantizer):
        raise ValueError(f"{what} must be one of the quantizers of skbsq, got {quantizer!r}.")
    if getattr(quantizer, "random_state", seed) is None:
        given["random_state"] = seed
    made = clone(quantizer)
    for key, value in given.items():
        if key in vars(made):  # not set_params: a subclass may set a parameter that its constructor does not take
            setattr(made, key, value)
    return made


def parameters_of(estimator, kind):
    """The parameters of a class as an estimator of a related class has them.

    Read from its attributes, because a subclass may add constructor parameters and drop others.

    Parameters
    ----------
    estimator : BaseEstimator
    kind : type

    Returns
    -------
    dict
        Those that the estimator has.
    """
    return {name: getattr(estimator, name) for name in kind._get_param_names() if hasattr(estimator, name)}


def cut_rows(quantizer, rows):
    """Thresholds that an unfitted quantizer finds on training rows.

    Parameters
    ----------
    quantizer : BaseQuantizer
        Changed: it may be fitted.
    rows : Rows or ChunkedRows

    Returns
    -------
    list of d ndarrays of float32
    """
    return (_fit_in_memory(quantizer, rows) if isinstance(rows, Rows) else _fit_on_summary(quantizer, rows)).thresholds_


def fit_on(quantizer, rows):
    """Fit a quantizer on training rows.

    Parameters
    ----------
    quantizer : BaseQuantizer
        Changed in place.
    rows : Rows or ChunkedRows
        Levels and counts come from all of them.
    """
    if isinstance(rows, Rows):
        _fit_in_memory(quantizer, rows)
        return
    book = _fit_on_summary(quantizer, rows).codebook_
    given = {"missing": book.missing, "has_missing": book.has_missing, "levels": quantizer.levels}
    quantizer.codebook_ = rows.codebook(book.thresholds, **given)


def _fit_in_memory(quantizer, rows):
    X = rows.X if rows.names is None else pd.DataFrame(rows.X, columns=rows.names, copy=False)
    return quantizer.fit(X, rows.y, sample_weight=rows.weights)


def _fit_on_summary(quantizer, rows):
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
