"""Picking the fewest bits that are good enough."""

import operator
import time
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from skbsq._row_bits import sent_bits
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.matrix import as_table, refuse_mask

__all__ = ["bits_path", "dask_backend", "fewest_bits", "rate_distortion", "row_bits"]

# Epochs of a warm start, as a share of those of a whole training.
_WARM_EPOCHS = 0.3


def row_bits(estimator, X=None, y=None):
    """Count the bits per row that a device sends to a fitted model: a scorer for searches.

    It is not a score to maximize. Put it beside one, as in ``scoring={"score": "r2", "row_bits": row_bits}``, and
    `fewest_bits` and `rate_distortion` see what each candidate costs.

    Parameters
    ----------
    estimator : estimator or Codebook
        Fitted: a quantizer, a predictor of this package, or an estimator of scikit-learn with quantizers anywhere in
        it. Other meta-estimators are counted if they keep their fitted members in ``estimators_`` or ``estimator_``.
    X, y : object, default=None
        Not used; scorers are called with them.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If an estimator holds a quantizer in a place that `row_bits` does not know. The message names the estimator.
        Inside a search this fails the scorer: pass ``error_score="raise"`` to see the message.
    sklearn.exceptions.NotFittedError
        If the estimator, or a quantizer that it predicts with, is not fitted.

    See Also
    --------
    fewest_bits : Picks the cheapest of the good candidates.

    Notes
    -----
    The fitted members of a model are counted, never the templates in its parameters:

    - A quantizer costs the ``row_bits`` of its codebook.
    - A pipeline costs what its first step with a quantizer costs. The device does the steps before it, and the server
      works on codes from there on.
    - An ensemble costs the sum over its members' codebooks. Every codebook is sent as a packed row of its own, so two
      codebooks that agree in some features only are both counted in full.
    - Codebooks that give equal codes are counted once: equal thresholds and missing codes for the same features. The
      preprocessing before them must be equal too. If it cannot be compared, both are counted.
    - A selector chooses features. A quantizer inside it, which only helped to choose, sends nothing.
    - Predictions of other members are not sent, in a chain or a stack, and neither are their codes.
    - A member without a quantizer reads floats: 32 bits for each of its features, also beside a quantizer. A feature
      that several such members read is counted once. `DummyRegressor` and `DummyClassifier` read nothing.
    - A model without any quantizer costs 32 bits for each of its ``n_features_in_`` features.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import VotingRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import row_bits
    >>> X, y = make_friedman1(100, random_state=0)
    >>> coarse, fine = (make_pipeline(QuantileQuantizer(n_bits=b), Ridge()) for b in (1, 3))
    >>> row_bits(fine.fit(X, y))
    30
    >>> row_bits(VotingRegressor([("a", coarse), ("b", fine), ("c", fine)]).fit(X, y))
    40
    >>> row_bits(Ridge().fit(X, y))
    320
    """
    if not isinstance(estimator, Codebook):
        check_is_fitted(estimator)
    return sent_bits(estimator)


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
        if "mean_test_row_bits" not in cv_results:
            rate = _searched_bits(cv_results)
            table["row_bits"] = rate[table["candidate"]]
        scored = table.dropna(subset="score")
        if scored.empty:
            raise ValueError("No candidate has a score: every fit failed or scored NaN.")
        scored = scored.dropna(subset="row_bits")
        if scored.empty:
            raise ValueError(
                "No candidate with a score has row_bits, because row_bits failed for them: search with "
                'error_score="raise" to see why.'
            )
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
    from skbsq.predictors.base import BasePredictor
    from skbsq.predictors.narrower import go_on_narrower

    X, bits = as_table(X, "X"), refuse_mask(bits, "bits")
    if type(X).__module__.startswith("pyarrow"):
        X = X.to_pandas()  # scikit-learn 1.6 takes no rows out of a table
    if not isinstance(estimator, BasePredictor):
        raise ValueError(f"bits_path takes a BitwiseRegressor or BitwiseClassifier, got {estimator!r}.")
    for name in ("quantizer", "head", "bit_budget"):
        if getattr(estimator, name) is not None:
            raise ValueError(f"bits_path narrows what the estimator has learned itself: leave {name} at None.")
    widths = _falling(bits)
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
                    model = clone(estimator)
                    model.n_bits = b  # not set_params: the constructor of a subclass may not take it
                    model.fit(X_train, y_train)
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


def _falling(bits):
    widths = sorted({operator.index(b) for b in bits}, reverse=True)
    if not widths:
        raise ValueError("bits is empty: give at least one width.")
    return widths


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
