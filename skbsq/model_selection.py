"""Picking the fewest bits that are good enough."""

import operator
import time
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

__all__ = ["bits_path", "dask_backend", "fewest_bits", "rate_distortion", "row_bits"]

FLOAT_BITS = 32
# Epochs of a warm start, as a share of those of a whole training.
_WARM_EPOCHS = 0.3
# What holds a fitted estimator, and under which name.
_HOLDERS = ("best_estimator_", "regressor_", "classifier_", "estimator_")


def row_bits(estimator, X=None, y=None):
    """Bits per row that a fitted model needs of the device: a scorer for searches.

    Not a score to maximize. Beside one, as in ``scoring={"score": "r2", "row_bits": row_bits}``, it lets
    `fewest_bits` and `rate_distortion` see what each candidate costs.

    Parameters
    ----------
    estimator : estimator
        Fitted: a quantizer, a predictor of this package, or a pipeline, column transformer, feature union, search or
        target transformer around one. What is not quantized counts as 32-bit floats.
    X, y : object, default=None
        Not used; scorers are called with them.

    Returns
    -------
    int

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import row_bits
    >>> X, y = make_friedman1(100, random_state=0)
    >>> row_bits(make_pipeline(QuantileQuantizer(n_bits=3), Ridge()).fit(X, y))
    30
    >>> row_bits(Ridge().fit(X, y))
    320
    """
    check_is_fitted(estimator)
    bits = _quantized_bits(estimator)
    return FLOAT_BITS * estimator.n_features_in_ if bits is None else bits


def _quantized_bits(estimator):
    """Bits behind the codebooks in an estimator, None where there is none."""
    codebook = getattr(estimator, "codebook_", None)
    if codebook is not None:
        return int(codebook.row_bits)
    if isinstance(estimator, Pipeline):
        parts = [_quantized_bits(step) for _, step in estimator.steps if step not in (None, "passthrough")]
        # What is sent is what the first quantizer makes; what follows works on its codes.
        return next((bits for bits in parts if bits is not None), None)
    if isinstance(estimator, FeatureUnion):
        steps = [step for _, step in estimator.transformer_list if step != "drop"]
    elif isinstance(estimator, ColumnTransformer):
        steps = [step for _, step, columns in estimator.transformers_ if step != "drop" and _is_any(columns)]
    else:
        held = next((getattr(estimator, name) for name in _HOLDERS if hasattr(estimator, name)), None)
        return None if held is None else _quantized_bits(held)
    found = [_quantized_bits(step) for step in steps]
    if all(bits is None for bits in found):
        return None
    # Beside a quantizer, what another step reads is sent as it is.
    floats = [getattr(step, "n_features_in_", estimator.n_features_in_) for step in steps]
    return sum(FLOAT_BITS * n if bits is None else bits for bits, n in zip(found, floats, strict=True))


def _is_any(columns):
    """Whether columns, as a ColumnTransformer holds them, are any: else its step is as it was before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn 1.6, that they will be held otherwise
        columns = np.asarray(columns)
    return columns.any() if columns.dtype == bool else columns.size > 0


def fewest_bits(tolerance="1se", *, score=None):
    """Pick the candidate of the fewest bits among those as good as the best: a ``refit=`` for a search.

    Parameters
    ----------
    tolerance : "1se" or float, default="1se"
        "1se": a mean score of at least that of the best candidate less its standard error over the splits. A fraction
        f: of at least ``best - f * abs(best)``.
    score : str, default=None
        Name of the score, where ``scoring`` has several beside `row_bits`.

    Returns
    -------
    callable
        From ``cv_results_`` to the index of a candidate. It raises ValueError where nothing says what a candidate
        costs.

    See Also
    --------
    row_bits : The scorer that says what a candidate costs.

    Notes
    -----
    Bits are those of a score called row_bits. Without one they are taken to be in the order of `n_bits` or
    `bit_budget`, if just one of these is searched, in whole numbers. Equal bits: the better score.

    A search with such a callable has no ``best_score_``. The halving searches of scikit-learn never call it: they pick
    by the score alone, whatever ``refit`` is.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import fewest_bits, row_bits
    >>> X, y = make_friedman1(300, noise=2.0, random_state=0)
    >>> search = GridSearchCV(
    ...     make_pipeline(QuantileQuantizer(), HistGradientBoostingRegressor(max_iter=20)),
    ...     {"quantilequantizer__n_bits": [1, 2, 3, 4, 5, 6]},
    ...     scoring={"score": "r2", "row_bits": row_bits},
    ...     refit=fewest_bits("1se"),
    ... ).fit(X, y)
    >>> search.best_params_
    {'quantilequantizer__n_bits': 3}
    """
    if tolerance != "1se" and (
        isinstance(tolerance, (bool, str)) or not isinstance(tolerance, Real) or not 0 <= tolerance < np.inf
    ):
        raise ValueError(f'tolerance must be "1se" or a fraction of at least 0, got {tolerance!r}.')

    def refit(cv_results):
        table = rate_distortion(cv_results, score=score)
        if table["row_bits"].isna().all():
            rate = _searched_bits(cv_results)
            table["row_bits"] = rate[table["candidate"]]
        scored = table.dropna(subset=["score", "row_bits"])
        if scored.empty:
            raise ValueError("No candidate has a score: every fit failed or scored NaN.")
        best = scored.loc[scored["score"].idxmax()]
        slack = best["sem"] if tolerance == "1se" else tolerance * abs(best["score"])
        # One split alone has no standard error.
        good = scored[scored["score"] >= best["score"] - (0.0 if np.isnan(slack) else slack)]
        order = good.sort_values(["row_bits", "score"], ascending=[True, False], kind="stable")
        return int(order["candidate"].iloc[0])

    return refit


def rate_distortion(cv_results, *, score=None):
    """Bits per row and score of every candidate of a search.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search of scikit-learn.
    score : str, default=None
        Name of the score, where ``scoring`` has several beside `row_bits`.

    Returns
    -------
    DataFrame
        A row per candidate, in the order of bits: candidate (its index), row_bits (mean over the splits, NaN without
        the scorer `row_bits`), score, std and sem (its standard deviation and standard error over the splits),
        frontier (whether no candidate of as few bits scores better), and a column for each parameter.

    Raises
    ------
    ValueError
        If it is not clear which score is meant.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import rate_distortion, row_bits
    >>> X, y = make_friedman1(300, random_state=0)
    >>> search = GridSearchCV(
    ...     make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
    ...     {"quantilequantizer__n_bits": [3, 1, 2]},
    ...     scoring={"r2": "r2", "row_bits": row_bits},
    ...     refit=False,
    ... ).fit(X, y)
    >>> rate_distortion(search.cv_results_)[["row_bits", "score", "frontier"]].round(2)
       row_bits  score  frontier
    0      10.0   0.55      True
    1      20.0   0.83      True
    2      30.0   0.88      True
    """
    name = _score_name(cv_results, score)
    splits = _splits(cv_results, name)
    n_candidates = len(cv_results["params"])
    parameters = sorted({key for params in cv_results["params"] for key in params})
    taken = {"candidate", "row_bits", "score", "std", "sem", "frontier"}
    table = pd.DataFrame(
        {
            "candidate": np.arange(n_candidates),
            "row_bits": np.asarray(cv_results.get("mean_test_row_bits", np.full(n_candidates, np.nan)), dtype=float),
            "score": np.asarray(cv_results[f"mean_test_{name}"], dtype=float),
            "std": splits.std(axis=0, ddof=1) if len(splits) > 1 else np.full(n_candidates, np.nan),
            **{
                f"param_{key}" if key in taken else key: [params.get(key) for params in cv_results["params"]]
                for key in parameters
            },
        }
    )
    table.insert(4, "sem", table["std"] / np.sqrt(len(splits)))
    table = table.sort_values(["row_bits", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    best_before = table["score"].cummax().shift(fill_value=-np.inf)
    table.insert(5, "frontier", (table["score"] > best_before) & table["row_bits"].notna())
    return table


def dask_backend(*, shared=(), client=None):
    """The dask backend of joblib, such that a search outlives the loss of workers.

    The scheduler of dask gives the tasks of a worker that dies to others. But what joblib's own backend scatters ahead
    of the tasks, such as the row numbers of a split, is held by workers alone: lost with them, and the search too. Here
    it goes with each task, and what `shared` names is a task of its own, which is done again where its result is lost.

    Parameters
    ----------
    shared : list of array-like, default=()
        What a worker gets once and not with each task, such as ``[X, y]``: the very objects that the search is given.
        The scheduler holds a copy.
    client : dask.distributed.Client, default=None
        None: the current one.

    Returns
    -------
    joblib.parallel.ParallelBackendBase
        For ``joblib.parallel_config(backend=...)``.

    Raises
    ------
    ImportError
        Without dask.distributed: ``pip install 'skbsq[dask]'``.
    ValueError
        Where there is no client.

    Examples
    --------
    >>> from dask.distributed import Client, LocalCluster
    >>> from joblib import parallel_config
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import dask_backend
    >>> X, y = make_friedman1(200, random_state=0)
    >>> search = GridSearchCV(BitwiseRegressor(max_epochs=2), {"n_bits": [2, 3], "bit_budget": [None, 15]}, cv=2)
    >>> with LocalCluster(n_workers=2) as cluster, Client(cluster):  # doctest: +SKIP
    ...     with parallel_config(backend=dask_backend(shared=[X, y])):
    ...         search.fit(X, y)
    """
    try:
        import distributed  # noqa: F401
        from joblib._dask import DaskDistributedBackend
    except ImportError as error:
        raise ImportError("dask_backend needs dask.distributed: pip install 'skbsq[dask]'.") from error

    class RecoverableBackend(DaskDistributedBackend):
        def start_call(self):
            super().start_call()
            self.call_data_futures = None  # so that nothing is scattered

        def stop_call(self):
            self.call_data_futures = {}
            super().stop_call()

    backend = RecoverableBackend(client=client)
    backend._scatter = [*shared]  # keeps their ids
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # which advises to scatter
        backend.data_futures = {id(data): backend.client.submit(_same, data, pure=False) for data in shared}
    return backend


def _same(data):
    return data


def bits_path(estimator, X, y, bits, *, cv=None, scoring=None, verbose=0):
    """Score a predictor at several widths, from the widest down, each from what the wider one has learned.

    The widest model of each split is trained as usual. Each narrower one starts warm: neighbouring levels become one,
    the head reads their mean, and both are trained on for a third of the epochs. So the path costs about half of
    separate fits, and its models are not those that ``fit`` at that width would give: take the width from here, then
    fit.

    Parameters
    ----------
    estimator : BitwiseRegressor or BitwiseClassifier
        With thresholds and a head of its own (``quantizer=None, head=None``) and no budget.
    X : array-like of shape (n, d)
    y : array-like of shape (n,) or (n, k)
    bits : sequence of int
        Widths, in bits per feature.
    cv : int, CV splitter or iterable, default=None
        None: 5 folds, stratified for classes.
    scoring : str or callable, default=None
        None: that of the estimator.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame
        A row per width, in rising order: n_bits, row_bits (fitted, mean over the splits), score, std and sem (over the
        splits), fit_seconds (mean).

    Raises
    ------
    ValueError
        For another estimator.

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
    from skbsq.predictors._base import BasePredictor
    from skbsq.quantizers._allocation import go_on_narrower

    if not isinstance(estimator, BasePredictor):
        raise ValueError(f"bits_path takes a BitwiseRegressor or BitwiseClassifier, got {estimator!r}.")
    for name in ("quantizer", "head", "bit_budget"):
        if getattr(estimator, name) is not None:
            raise ValueError(f"bits_path narrows what the estimator has learned itself: leave {name} at None.")
    widths = sorted({operator.index(b) for b in bits}, reverse=True)
    if not widths:
        raise ValueError("bits is empty: give at least one width.")
    scorer = check_scoring(estimator, scoring)
    splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    rows = []
    with tqdm(total=len(splits) * len(widths), disable=not verbose, unit="fit") as bar:
        for train, test in splits:
            model = None
            X_train, y_train = _safe_indexing(X, train), _safe_indexing(y, train)
            for b in widths:
                start = time.perf_counter()
                if model is None:
                    model = clone(estimator).set_params(n_bits=b).fit(X_train, y_train)
                else:
                    model = go_on_narrower(model, X_train, y_train, b, _WARM_EPOCHS)
                seconds = time.perf_counter() - start
                score = scorer(model, _safe_indexing(X, test), _safe_indexing(y, test))
                rows.append((b, row_bits(model), score, seconds))
                bar.update()
    table = pd.DataFrame(rows, columns=["n_bits", "row_bits", "score", "fit_seconds"]).groupby("n_bits", as_index=False)
    return table.agg(
        row_bits=("row_bits", "mean"),
        score=("score", "mean"),
        std=("score", "std"),
        sem=("score", "sem"),
        fit_seconds=("fit_seconds", "mean"),
    )


def _score_name(cv_results, score):
    names = [key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_")]
    names = [name for name in names if name != "row_bits"]
    if score is not None:
        if score not in names:
            raise ValueError(f"There is no score {score!r}: cv_results holds {names}.")
        return score
    if len(names) != 1:
        raise ValueError(f"cv_results holds {len(names)} scores beside row_bits, {names}: say which one, as score=.")
    return names[0]


def _splits(cv_results, name):
    """Scores of all splits: (n_splits, n_candidates)."""
    keys = [key for key in cv_results if key.startswith("split") and key.endswith(f"_test_{name}")]
    keys = [key for key in keys if key.removeprefix("split").removesuffix(f"_test_{name}").isdigit()]
    return np.array([cv_results[key] for key in keys], dtype=float)


def _searched_bits(cv_results):
    """For each candidate the one n_bits or bit_budget that is searched."""
    way_out = 'score the bits too, as in scoring={"score": ..., "row_bits": row_bits}'
    searched = {
        key for params in cv_results["params"] for key in params if key.rpartition("__")[2] in ("n_bits", "bit_budget")
    }
    varying = {key for key in searched if len({repr(params.get(key)) for params in cv_results["params"]}) > 1}
    if len(varying) != 1:
        found = f"{len(varying)} ({', '.join(sorted(varying))})" if varying else "none"
        raise ValueError(f"Candidates are ordered by one n_bits or bit_budget, and {found} is searched: {way_out}.")
    (key,) = varying
    values = [params.get(key) for params in cv_results["params"]]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ValueError(f"{key}={value!r} has no place in an order of bits: {way_out}.")
    return np.array(values, dtype=float)
