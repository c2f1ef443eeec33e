"""The comparison of arXiv 2603.05172: every method, at every width, on every split."""

import json
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from sklearn.model_selection import KFold, ParameterSampler, train_test_split

from benchmarks.command import VERSIONS, as_text, collect, shuffled
from benchmarks.methods import (
    BOOSTED_METHODS,
    FLOAT_BITS,
    PAPER_METHODS,
    PAPER_TRAINING,
    SAME_TRAINING,
    cells,
    evaluate,
    measure,
    standardized,
)

DATASETS = ("california", "fried", "superconduct", "cpu_act", "sulfur", "wine_quality")
# What the paper compares, as it trains it and as we do, what we recommend, and another receiver.
METHODS = (*PAPER_METHODS, "bitwise", "quantile", "uniform", "floats", *SAME_TRAINING, *BOOSTED_METHODS)
KEY = ["dataset", "bits", "method", "seed"]
# What else a row depends on: rows that differ here are not the same cell.
SETTINGS = ["n_rows", "data_sha256", "training"]
COLUMNS = [*KEY, "error", "accuracy", "row_bits", "fit_seconds", "failure", *SETTINGS, "versions"]
SEARCH_KEY = ["dataset", "bits", "method", "draw", "n_rows", "data_sha256", "seeds", "training"]
SEARCH_COLUMNS = [*SEARCH_KEY, "error", "failure"]


@dataclass(frozen=True)
class Profile:
    """What is run where the command line leaves it open.

    Attributes
    ----------
    bits, seeds : tuple of int
    n_configs : int
        Random configurations that are tried per data set, width and method; 0: no search.
    paper_training : dict
        Parameters of the methods of the paper, beside `benchmarks.methods.PAPER_TRAINING`.
    """

    bits: tuple
    seeds: tuple
    n_configs: int = 0
    paper_training: dict = field(default_factory=dict)


PROFILES = {
    "quick": Profile((2, 3, 4, 6, 8), (42, 43, 44), paper_training={"hidden_sizes": [256, 256, 256]}),
    "full": Profile((2, 3, 4, 5, 6, 7, 8), tuple(range(42, 52)), n_configs=100),
}
SEARCH_SPACE = {
    "lr": [1e-3, 1e-4],
    "n_layers": [5, 6, 8, 10],
    "n_units": [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
    "max_epochs": [30, 50, 70],
    "temperature_end": [1e-3, 1e-4],
    "dropout": [0.0, 0.2, 0.4, 0.5],
}
# These have no training of their own to search for: whose they take.
SEARCHED_AS = {"Po-MQ": "FP", "Po-QQ": "FP", "bitwise+boosting": "bitwise"}


def draw_configs(n_configs):
    """Configurations drawn from the search space of the paper, the same for every cell.

    Parameters
    ----------
    n_configs : int

    Returns
    -------
    list of dict
        Parameters of the predictor.
    """
    configs = [dict(drawn) for drawn in ParameterSampler(SEARCH_SPACE, n_configs, random_state=0)]
    for config in configs:
        config["hidden_sizes"] = [config.pop("n_units")] * config.pop("n_layers")
    return configs


def configured(method, config):
    """The part of a configuration that a method takes: ours keep their own rate and temperature.

    Parameters
    ----------
    method : str
    config : dict

    Returns
    -------
    dict
    """
    if method in PAPER_METHODS:
        return config
    return {key: config[key] for key in ("hidden_sizes", "max_epochs", "dropout")}


def rows_for_search(data, seeds, test_size=0.1):
    """Rows that are a test row of none of the splits, so that no choice has seen one.

    Parameters
    ----------
    data : Dataset
    seeds : list of int
    test_size : float, default=0.1

    Returns
    -------
    ndarray of int

    NOTE[DIFF]: the paper searches on the training rows of its first split, which are test rows of the others.
    """
    labels = data.y if data.task == "classification" else None
    rows = np.arange(len(data.X))
    for seed in seeds:
        train, _ = train_test_split(np.arange(len(data.X)), test_size=test_size, random_state=seed, stratify=labels)
        rows = np.intersect1d(rows, train)
    return rows


def cross_validate(data, method, bits, rows, training, n_folds=4):
    """Mean error of a method over the folds of some rows.

    Parameters
    ----------
    data : Dataset
    method : str
    bits : int
    rows : ndarray of int
    training : dict
    n_folds : int, default=4

    Returns
    -------
    float
    """
    errors = []
    for train, test in KFold(n_folds, shuffle=True, random_state=0).split(rows):
        parts = [part.iloc[rows[fold]] for part in (data.X, data.y) for fold in (train, test)]
        scores = evaluate(data.task, standardized(data.task, *parts), method, bits, random_state=0, **training)
        errors.append(scores["error"])
    return float(np.mean(errors))


def _score(data, method, bits, rows, training):
    return {"error": cross_validate(data, method, bits, rows, training)}


def _given(method, paper_training, training):
    """Parameters that are given for a method."""
    return {**((paper_training or {}) if method in PAPER_METHODS else {}), **(training or {})}


def search(data, bits, methods, seeds, n_configs, output, *, training=None, paper_training=None, n_jobs=1):
    """Choose a configuration per data set, width and method.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
    methods : list of str
    seeds : list of int
        Of the splits whose test rows are left out.
    n_configs : int
        Tried for each.
    output : Path
        CSV file of all that was tried; a rerun goes on from there.
    training : dict, default=None
        Parameters that are given and not searched.
    paper_training : dict, default=None
        Those of the methods of the paper.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    dict
        The best configuration by (dataset, bits, method).
    """
    searched = dict.fromkeys(SEARCHED_AS.get(method, method) for method in methods if method != "quantile+boosting")
    jobs = []
    for dataset in data:
        rows = rows_for_search(dataset, seeds)
        for (method, width), (draw, config) in product(cells(searched, bits), enumerate(draw_configs(n_configs))):
            own = {**configured(method, config), **_given(method, paper_training, training)}
            row = {"dataset": dataset.name, "bits": width, "method": method, "draw": draw, "n_rows": len(dataset.X)}
            row |= {"data_sha256": dataset.sha256, "seeds": " ".join(map(str, seeds)), "training": as_text(own)}
            arguments = {"data": dataset, "method": method, "bits": width, "rows": rows, "training": own}
            jobs.append((row, _score, arguments))
    scores = collect(shuffled(jobs), SEARCH_KEY, SEARCH_COLUMNS, output, n_jobs=n_jobs, description="search")
    scores = scores.dropna(subset="error").sort_values("draw")
    best = scores.loc[scores.groupby(["dataset", "bits", "method"])["error"].idxmin()]
    return {(row.dataset, row.bits, row.method): json.loads(row.training) for row in best.itertuples()}


def compare(data, bits, methods, seeds, output, *, training=None, paper_training=None, configs=None, n_jobs=1):
    """Measure every method at every width on every split, except what the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
    methods : list of str
    seeds : list of int
        A seed makes a split, and is the random state of its predictors.
    output : Path
        CSV file; each row is appended as soon as it is known.
    training : dict, default=None
        Parameters of every predictor.
    paper_training : dict, default=None
        Those of the methods of the paper, beside `benchmarks.methods.PAPER_TRAINING`.
    configs : dict, default=None
        Those of one alone, by (dataset, bits, method), as `search` finds them.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        The rows asked for, those of earlier runs included. A cell that failed has a `failure` and no error.
    """
    jobs = []
    for seed in seeds:  # whole splits first: a run that is stopped leaves some that can be compared
        of_seed = []
        for dataset, (method, width) in product(data, cells(methods, bits)):
            owner = SEARCHED_AS.get(method, method)
            searched = (configs or {}).get((dataset.name, FLOAT_BITS if owner == "FP" else width, owner), {})
            recipe = PAPER_TRAINING if method in PAPER_METHODS else {}
            own = {**recipe, **searched, **_given(method, paper_training, training)}
            row = {"dataset": dataset.name, "bits": width, "method": method, "seed": seed, "n_rows": len(dataset.X)}
            row |= {"data_sha256": dataset.sha256, "training": as_text(own), "versions": VERSIONS}
            cell = {"data": dataset, "method": method, "bits": width, "seed": seed}
            of_seed.append((row, measure, {**cell, **own}))
        jobs += shuffled(of_seed)
    return collect(jobs, [*KEY, *SETTINGS], COLUMNS, output, n_jobs=n_jobs, description="paper")
