"""Choose the fewest bits that are good enough."""

from numbers import Integral, Real

import numpy as np

from skbsq.model_selection._rates import searched_rates
from skbsq.model_selection._table import rate_distortion


def fewest_bits(tolerance="1se", *, score=None):
    """Choose the candidate with the fewest bits among those as good as the best: a ``refit=`` for a search.

    With the scorer `all_rates` each rate of a candidate competes, and `best_rate` names the rate that was chosen.

    Parameters
    ----------
    tolerance : "1se" or float, default="1se"
        How far the mean score may be below that of the best candidate. "1se": by the best candidate's standard error
        over the splits. A fraction f: down to ``best - f * abs(best)``.
    score : str, default=None
        Name of the score, if ``scoring`` has several besides `row_bits`. With `all_rates`: without the rate.

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
    all_rates : The scorer for models with several rates.
    best_rate : The rate of the chosen candidate.

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
    _check_tolerance(tolerance)

    def refit(cv_results):
        return int(_chosen(cv_results, tolerance, score)["candidate"])

    return refit


def best_rate(cv_results, tolerance="1se", *, score=None):
    """Return the rate with the fewest bits among those as good as the best, after a search with `all_rates`.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search with ``scoring=all_rates(...)``.
    tolerance : "1se" or float, default="1se"
        As in `fewest_bits`.
    score : str, default=None
        As in `fewest_bits`.

    Returns
    -------
    int
        A rate of the candidate that `fewest_bits` chooses with the same `tolerance` and `score`.

    Raises
    ------
    ValueError
        If the search did not use `all_rates`, no candidate has a score, or `tolerance` is invalid.

    See Also
    --------
    fewest_bits : Choose the candidate.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import all_rates, best_rate, fewest_bits
    >>> X, y = make_friedman1(100, random_state=0)
    >>> search = GridSearchCV(
    ...     BitwiseRegressor(n_bits=3, rates=(1, 2), max_epochs=2, random_state=0),
    ...     {"hidden_sizes": [(8,), (64,)]},
    ...     scoring=all_rates("r2"),
    ...     refit=fewest_bits(0.3),
    ...     cv=2,
    ... ).fit(X, y)
    >>> rate = best_rate(search.cv_results_, 0.3)
    >>> search.best_estimator_.at(rate).codebook_.row_bits == 10 * rate
    True
    """
    _check_tolerance(tolerance)
    if not searched_rates(cv_results):
        raise ValueError("cv_results has no scores of rates: search with scoring=all_rates(...).")
    return int(_chosen(cv_results, tolerance, score)["rate"])


def _check_tolerance(tolerance):
    if tolerance != "1se" and (
        isinstance(tolerance, (bool, str)) or not isinstance(tolerance, Real) or not 0 <= tolerance < np.inf
    ):
        raise ValueError(f'tolerance must be "1se" or a fraction of at least 0, got {tolerance!r}.')


def _chosen(cv_results, tolerance, score):
    """Return the row with the fewest bits among those as good as the best."""
    table = rate_distortion(cv_results, score=score)
    if "rate" not in table and "mean_test_row_bits" not in cv_results:
        table["row_bits"] = _searched_bits(cv_results)[table["candidate"]]
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
    return good.sort_values(["row_bits", "score"], ascending=[True, False], kind="stable").iloc[0]


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
