"""Searches over the number of bits: costs, scores, and the choice between them."""

import operator
import re
import time
import traceback
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase, get_active_backend
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

# Epochs after a warm start, as a fraction of those of a whole training.
_WARM_EPOCHS = 0.3


def row_bits(estimator, X=None, y=None):
    """Count the bits per row that a device sends to a fitted model: a scorer for searches.

    Do not maximize it. Use it together with a score, as in ``scoring={"score": "r2", "row_bits": row_bits}``. It is
    then the cost of each candidate for `fewest_bits` and `rate_distortion`.

    Parameters
    ----------
    estimator : estimator or Codebook
        A fitted quantizer, a fitted predictor of this package, or a fitted estimator of scikit-learn with quantizers
        anywhere in it. Other meta-estimators are counted if they keep their fitted members in ``estimators_`` or
        ``estimator_``.
    X, y : object, default=None
        Not used; scorers are called with them.

    Returns
    -------
    int
        Bits per row.

    Raises
    ------
    ValueError
        If an estimator holds a quantizer in a place that `row_bits` does not know. The message names the estimator.
        Inside a search this fails the scorer: pass ``error_score="raise"`` to see the message.
    sklearn.exceptions.NotFittedError
        If the estimator, or a quantizer that it predicts with, is not fitted.

    See Also
    --------
    fewest_bits : Choose the cheapest of the good candidates.
    rate_distortion : A table of bits and scores.

    Notes
    -----
    Only the fitted members of a model are counted, never the templates in its parameters:

    - A quantizer costs the ``row_bits`` of its codebook.
    - A pipeline costs as much as its first step with a quantizer. The device computes the steps before it, and the
      server works on codes from there on.
    - An ensemble costs the sum over its members' codebooks. The device sends a packed row for every codebook, so two
      codebooks that agree only in some features are both counted in full.
    - Codebooks that give equal codes are counted once: equal thresholds and missing codes for the same features. The
      preprocessing before them must be equal too. If it cannot be compared, both are counted.
    - A selector chooses features. A quantizer inside the selector only helped to choose, so it sends nothing.
    - In a chain or a stack, predictions of other members are not sent, and neither are their codes.
    - A member without a quantizer reads floats: 32 bits for each of its features, also next to a quantizer. A feature
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
    """Choose the candidate with the fewest bits among those as good as the best: a ``refit=`` for a search.

    Parameters
    ----------
    tolerance : "1se" or float, default="1se"
        How far the mean score may be below that of the best candidate. "1se": by the best candidate's standard error
        over the splits. A fraction f: down to ``best - f * abs(best)``.
    score : str, default=None
        Name of the score, if ``scoring`` has several besides `row_bits`.

    Returns
    -------
    callable
        From ``cv_results_`` to the index of a candidate. It raises ValueError if the cost of candidates is unknown, or
        no candidate has a score.

    Raises
    ------
    ValueError
        If `tolerance` is neither "1se" nor a fraction of at least 0.

    See Also
    --------
    row_bits : The scorer that counts the bits.

    Notes
    -----
    The cost is the score named row_bits. Without this score, candidates are ordered by `n_bits` or `bit_budget`, if the
    search varies exactly one of these, in whole numbers. Among equal bits the better score wins.

    A search with this callable has no ``best_score_``. The halving searches of scikit-learn never call it: they choose
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
            raise ValueError("No candidate has a score: every fit failed or has the score NaN.")
        scored = scored.dropna(subset="row_bits")
        if scored.empty:
            raise ValueError(
                "No candidate with a score has row_bits, because row_bits failed for them: search with "
                'error_score="raise" to see why.'
            )
        best = scored.loc[scored["score"].idxmax()]
        slack = best["sem"] if tolerance == "1se" else tolerance * abs(best["score"])
        # There is no standard error over a single split.
        good = scored[scored["score"] >= best["score"] - (0.0 if np.isnan(slack) else slack)]
        order = good.sort_values(["row_bits", "score"], ascending=[True, False], kind="stable")
        return int(order["candidate"].iloc[0])

    return refit


def rate_distortion(cv_results, *, score=None):
    """Tabulate bits per row and score of every candidate of a search.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search of scikit-learn.
    score : str, default=None
        Name of the score, if ``scoring`` has several besides `row_bits`.

    Returns
    -------
    DataFrame
        One row per candidate, sorted by bits, with these columns: candidate (its index), row_bits (mean over the
        splits, NaN without the scorer `row_bits`), score, std and sem (standard deviation and standard error of the
        score over the splits), frontier (true if no candidate with at most as many bits has a better score), and one
        column per parameter.

    Raises
    ------
    ValueError
        If there is no such score, or several scores and none is named.

    See Also
    --------
    skbsq.plotting.RateDistortionDisplay : A plot of this table.

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
    splits = _scores_of_splits(cv_results, name)
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
    """Return a dask backend of joblib with which a search survives the loss of workers.

    If a worker dies, the scheduler of dask gives its tasks to other workers. But joblib's dask backend scatters data
    such as the row numbers of a split ahead of the tasks. Such data exist only on workers, so they are lost with them,
    and the search fails. This backend sends data with each task instead. Data named in `shared` are the result of a
    task, which is repeated if the result is lost.

    Parameters
    ----------
    shared : list of array-like, default=()
        Data that a worker receives once instead of with each task, such as ``[X, y]``: the same objects that the search
        receives. The scheduler holds a copy.
    client : dask.distributed.Client, default=None
        None: the current client.

    Returns
    -------
    joblib.parallel.ParallelBackendBase
        For ``joblib.parallel_config(backend=...)``.

    Raises
    ------
    ImportError
        If dask.distributed is not installed: ``pip install 'skbsq[dask]'``.
    ValueError
        If there is no client.

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
    except ImportError as error:
        raise ImportError("dask_backend needs dask.distributed: pip install 'skbsq[dask]'.") from error
    with parallel_config(backend="dask", client=client):
        return _RecoverableBackend(get_active_backend()[0], shared)


class _RecoverableBackend(ParallelBackendBase):
    """Run the tasks of joblib on the client of joblib's dask backend, without scattering data."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, dask, shared):
        super().__init__()
        self._dask, self._client, self._running = dask, dask.client, set()
        self._shared = [*shared]  # no other object can then have the same id
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # it recommends to scatter
            self._futures = {id(data): self._client.submit(_same, data, pure=False) for data in self._shared}

    def effective_n_jobs(self, n_jobs):
        return self._dask.effective_n_jobs(n_jobs)

    def retrieval_context(self):
        return self._dask.retrieval_context()

    def submit(self, func, callback):
        calls = [
            (function, [*map(self._to_send, args)], {name: self._to_send(value) for name, value in kwargs.items()})
            for function, args, kwargs in func.items
        ]
        future = self._client.submit(_run, calls, pure=False)
        self._running.add(future)
        future.add_done_callback(callback)
        return future

    apply_async = submit  # the name before joblib 1.5

    def retrieve_result_callback(self, out):
        self._running.discard(out)
        try:
            return out.result()
        except Exception as error:
            # joblib drops the traceback, which shows what happened on the worker.
            error.add_note("".join(traceback.format_tb(error.__traceback__)))
            raise

    def abort_everything(self, ensure_ready=True):
        self._client.cancel([*self._running])
        self._running.clear()

    def _to_send(self, value):
        return self._futures.get(id(value), value)


def _same(data):
    return data


def _run(calls):
    with parallel_config(backend="dask"):  # for parallel parts of the calls
        return [function(*args, **kwargs) for function, args, kwargs in calls]


def bits_path(estimator, X, y, bits, *, cv=None, scoring=None, verbose=0):
    """Score a predictor at several rates, from the highest down, where each model continues the one before.

    The model with the most bits is trained as usual, for each split. Each model with fewer bits starts from it:
    neighbouring levels are merged, the head reads their mean, and both are trained for a third of the epochs. So the
    path costs about half of separate fits. Its models differ from those of ``fit`` with as many bits: choose the bits
    here, then fit.

    Parameters
    ----------
    estimator : BitwiseRegressor or BitwiseClassifier
        A predictor with learned thresholds and the default head (``quantizer=None, head=None``), without a budget.
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
        score, std and sem (mean, standard deviation and standard error over the splits), fit_seconds (mean).

    Raises
    ------
    ValueError
        If `estimator` is another one, or `bits` is empty.

    See Also
    --------
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
    for name in ("quantizer", "head", "bit_budget"):
        if getattr(estimator, name) is not None:
            raise ValueError(f"bits_path needs thresholds and a head that the estimator learns: leave {name} at None.")
    descending = sorted({operator.index(b) for b in bits}, reverse=True)
    if not descending:
        raise ValueError("bits is empty: give at least one number of bits.")
    scorer = check_scoring(estimator, scoring)
    splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    rows = []
    with tqdm(total=len(splits) * len(descending), disable=not verbose, unit="fit") as bar:
        for train, test in splits:
            model = None
            X_train, y_train = _safe_indexing(X, train), _safe_indexing(y, train)
            for b in descending:
                start = time.perf_counter()
                if model is None:
                    model = clone(estimator)
                    model.n_bits, model.rates = b, ()  # set_params fails if a subclass's constructor lacks them
                    model.fit(X_train, y_train)
                else:
                    model = go_on_narrower(model, X_train, y_train, b, _WARM_EPOCHS)
                seconds = time.perf_counter() - start
                score = scorer(model, _safe_indexing(X, test), _safe_indexing(y, test))
                rows.append((b, row_bits(model), score, seconds))
                bar.update()
    groups = pd.DataFrame(rows, columns=["n_bits", "row_bits", "score", "fit_seconds"]).groupby("n_bits")
    table = groups.mean()
    table.insert(2, "std", groups["score"].std())
    table.insert(3, "sem", groups["score"].sem())
    return table.reset_index()


def _score_name(cv_results, score):
    names = [key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_")]
    names = [name for name in names if name != "row_bits"]
    if score is not None:
        if score not in names:
            raise ValueError(f"cv_results has no score {score!r}, only {names}.")
        return score
    if len(names) != 1:
        raise ValueError(f"cv_results has {len(names)} scores besides row_bits, {names}: name one with score=.")
    return names[0]


def _scores_of_splits(cv_results, name):
    """Return the scores of all splits: (n_splits, n_candidates)."""
    is_split = re.compile(rf"split\d+_test_{re.escape(name)}").fullmatch
    return np.array([scores for key, scores in cv_results.items() if is_split(key)], dtype=float)


def _searched_bits(cv_results):
    """Return for each candidate the only n_bits or bit_budget that the search varies."""
    way_out = 'score the bits too, as in scoring={"score": ..., "row_bits": row_bits}'
    candidates = cv_results["params"]
    searched = {key for params in candidates for key in params if key.rpartition("__")[2] in ("n_bits", "bit_budget")}
    varying = {key for key in searched if len({repr(params.get(key)) for params in candidates}) > 1}
    if len(varying) != 1:
        found = f"{len(varying)} of them ({', '.join(sorted(varying))})" if varying else "none"
        raise ValueError(
            f"Candidates are ordered by n_bits or bit_budget if the search varies one of these, but it varies {found}: "
            f"{way_out}."
        )
    (key,) = varying
    values = [params.get(key) for params in candidates]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ValueError(f"{key}={value!r} is not a whole number, so candidates cannot be ordered: {way_out}.")
    return np.array(values, dtype=float)
