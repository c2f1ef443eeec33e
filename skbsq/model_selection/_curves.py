"""Scores of a predictor at several rates."""

import operator
import time

import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from tqdm import tqdm

from skbsq.codebook.matrix import as_table, refuse_mask
from skbsq.model_selection._rates import models_of_rates
from skbsq.model_selection._scorers import row_bits


def rate_curve(estimator, X, y, *, scoring=None, sample_weight=None):
    """Score all rates of one fitted model.

    Parameters
    ----------
    estimator : BitwiseRegressor, BitwiseClassifier, or Pipeline that ends in one
        Fitted with `rates`.
    X : array-like of shape (n, d)
        n rows with d features.
    y : array-like of shape (n,) or (n, k)
        Labels, or k targets.
    scoring : str or callable, default=None
        None: the score of the estimator.
    sample_weight : array-like of shape (n,), default=None
        Given to the scorer.

    Returns
    -------
    DataFrame
        One row per rate, in ascending order: rate, row_bits, score.

    Raises
    ------
    ValueError
        If the estimator is another one, or was fitted without `rates`.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    all_rates : The same as a scorer for searches.
    bits_path : Scores over the splits of a cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import rate_curve
    >>> X, y = make_friedman1(200, random_state=0)
    >>> regressor = BitwiseRegressor(n_bits=3, rates=(1, 2), max_epochs=5, random_state=0).fit(X, y)
    >>> rate_curve(regressor, X, y)[["rate", "row_bits"]]
       rate  row_bits
    0     1        10
    1     2        20
    2     3        30
    """
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return _curve(models_of_rates(estimator), check_scoring(estimator, scoring), X, y, **weights)


def bits_path(estimator, X, y, bits, *, cv=None, scoring=None, verbose=0):
    """Score a predictor at several numbers of bits, with one fit per split.

    The model with the most bits is trained as usual, and has the others as its `rates`. So ``max_epochs="auto"`` finds
    the number of epochs once. The models of fewer bits share the thresholds and the head, and their scores may be a
    little lower than those of separate fits. Then choose the bits, and either keep the rates or fit these bits alone.

    Parameters
    ----------
    estimator : BitwiseRegressor or BitwiseClassifier
        A predictor with learned thresholds (``quantizer=None``) and without a budget. Its head must begin with a linear
        layer, as the default head does. Its own `n_bits` and `rates` are not used.
    X : array-like of shape (n, d)
        n rows with d features.
    y : array-like of shape (n,) or (n, k)
        Labels, or k targets.
    bits : sequence of int
        Numbers of bits per feature.
    cv : int, CV splitter or iterable, default=None
        None: 5 folds, stratified for classes.
    scoring : str or callable, default=None
        None: the score of the estimator.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame
        One row per number of bits, in ascending order: n_bits, row_bits (of the fitted models, mean over the splits),
        score, std and sem (mean, standard deviation and standard error over the splits), fit_seconds (of the one fit,
        mean over the splits, so the same in each row).

    Raises
    ------
    ValueError
        If `estimator` is another one, or `bits` is empty.

    See Also
    --------
    rate_curve : Scores of a model that is fitted already.
    all_rates : The same in a search over other parameters.
    fewest_bits : Choose the bits in a search of separate fits.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import bits_path
    >>> X, y = make_friedman1(200, random_state=0)
    >>> regressor = BitwiseRegressor(max_epochs=10, hidden_sizes=(16,), random_state=0)
    >>> bits_path(regressor, X, y, [1, 2, 3], cv=2)[["n_bits", "row_bits"]]
       n_bits  row_bits
    0       1      10.0
    1       2      20.0
    2       3      30.0
    """
    # The rest of this module needs no torch.
    from skbsq.predictors.base import BasePredictor

    X, bits = as_table(X, "X"), refuse_mask(bits, "bits")
    if type(X).__module__.startswith("pyarrow"):
        X = X.to_pandas()  # scikit-learn 1.6 takes no rows out of a table
    if not isinstance(estimator, BasePredictor):
        raise ValueError(f"bits_path needs a BitwiseRegressor or BitwiseClassifier, got {estimator!r}.")
    for name in ("quantizer", "bit_budget"):
        if getattr(estimator, name) is not None:
            raise ValueError(f"bits_path needs thresholds that the estimator learns: leave {name} at None.")
    descending = sorted({operator.index(b) for b in bits}, reverse=True)
    if not descending:
        raise ValueError("bits is empty: give at least one number of bits.")
    scorer = check_scoring(estimator, scoring)
    splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    curves = []
    for train, test in tqdm(splits, disable=not verbose, unit="fit"):
        start, model = time.perf_counter(), clone(estimator)
        top, *model.rates = descending  # set_params fails if a subclass's constructor lacks them
        model.n_bits = top
        model.fit(_safe_indexing(X, train), _safe_indexing(y, train))
        seconds = time.perf_counter() - start
        models = models_of_rates(model) if model.rates else {top: model}
        curve = _curve(models, scorer, _safe_indexing(X, test), _safe_indexing(y, test))
        curves.append(curve.rename(columns={"rate": "n_bits"}).assign(fit_seconds=seconds))
    groups = pd.concat(curves).groupby("n_bits")
    table = groups.mean()
    table.insert(2, "std", groups["score"].std())
    table.insert(3, "sem", groups["score"].sem())
    return table.reset_index()


def _curve(models, scorer, X, y, **weights):
    """Score each model of a dict rate -> model."""
    rows = [(rate, row_bits(model), scorer(model, X, y, **weights)) for rate, model in models.items()]
    return pd.DataFrame(rows, columns=["rate", "row_bits", "score"])
