"""Tabulate what the candidates of a search cost and score."""

import re

import numpy as np
import pandas as pd

from skbsq.model_selection._rates import ROW_BITS, name_at, score_names, searched_rates


def rate_distortion(cv_results, *, score=None):
    """Tabulate bits per row and score of every candidate of a search, and of each of its rates.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search of scikit-learn.
    score : str, default=None
        Name of the score, if ``scoring`` has several besides `row_bits`. With `all_rates`: without the rate.

    Returns
    -------
    DataFrame
        One row per candidate, sorted by bits, with these columns: candidate (its index), row_bits (mean over the
        splits, NaN without the scorer `row_bits`), score, std and sem (standard deviation and standard error of the
        score over the splits), frontier (true if no candidate with at most as many bits has a better score), and one
        column per parameter. With the scorer `all_rates`: one row per candidate and rate, and a column rate.

    Raises
    ------
    ValueError
        If there is no such score, or several scores and none is named.

    See Also
    --------
    skbsq.plotting.RateDistortionDisplay : A plot of this table.
    fewest_bits, best_rate : Choose a row of it.

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
    name, rates = _score_name(cv_results, score), searched_rates(cv_results)
    keys = [(name_at(name, rate), name_at(ROW_BITS, rate)) for rate in rates] or [(name, ROW_BITS)]
    splits = np.hstack([_scores_of_splits(cv_results, key) for key, _ in keys])
    n_candidates = len(cv_results["params"])
    unknown = np.full(n_candidates, np.nan)
    given = {
        "candidate": np.tile(np.arange(n_candidates), len(keys)),
        **({"rate": np.repeat(rates, n_candidates)} if rates else {}),
        "row_bits": np.hstack([cv_results.get(f"mean_test_{key}", unknown) for _, key in keys]).astype(float),
        "score": np.hstack([cv_results[f"mean_test_{key}"] for key, _ in keys]).astype(float),
        "std": splits.std(axis=0, ddof=1) if len(splits) > 1 else np.tile(unknown, len(keys)),
    }
    given["sem"] = given["std"] / np.sqrt(len(splits))
    taken = {*given, "frontier"}
    for key in sorted({key for params in cv_results["params"] for key in params}):
        values = [params.get(key) for params in cv_results["params"]]
        given[f"param_{key}" if key in taken else key] = values * len(keys)
    table = pd.DataFrame(given)
    table = table.sort_values(["row_bits", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    best_before = table["score"].cummax().shift(fill_value=-np.inf)
    is_best = (table["score"] > best_before) & table["row_bits"].notna()
    table.insert(table.columns.get_loc("sem") + 1, "frontier", is_best)
    return table


def _score_name(cv_results, score):
    names = score_names(cv_results)
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
