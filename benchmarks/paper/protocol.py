"""Run the comparison of arXiv 2603.05172: every method, with every number of bits, on every split."""

import json
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from sklearn.model_selection import KFold, ParameterSampler

from benchmarks.command import as_text, collect, shuffled
from benchmarks.methods import (
    BOOSTED_METHODS,
    FLOAT_BITS,
    PAPER_METHODS,
    PAPER_TRAINING,
    SAME_TRAINING,
    cells,
    evaluate,
    measure,
    split,
    standardized,
)

DATASETS = ("california", "fried", "superconduct", "cpu_act", "sulfur", "wine_quality")
# The methods of the paper with its training and with ours, the methods that we recommend, and a downstream model.
METHODS = (*PAPER_METHODS, "bitwise", "quantile", "uniform", "floats", *SAME_TRAINING, *BOOSTED_METHODS)
KEY = ["dataset", "bits", "method", "seed"]
# A row depends on these as well: rows that differ here belong to different cells.
SETTINGS = ["n_rows", "data_sha256", "training"]
COLUMNS = [*KEY, "error", "accuracy", "row_bits", "fit_seconds", "failure", *SETTINGS, "versions"]
SEARCH_KEY = ["dataset", "bits", "method", "draw", "n_rows", "data_sha256", "seeds", "training"]
SEARCH_COLUMNS = [*SEARCH_KEY, "error", "failure"]


@dataclass(frozen=True)
class Profile:
    """Defaults of the command line.

    Attributes
    ----------
    bits, seeds : tuple of int
    n_configs : int
        Random configurations to try per data set, number of bits and method; 0: no search.
    paper_training : dict
        Parameters of the methods of the paper, in addition to `benchmarks.methods.PAPER_TRAINING`.
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
# Methods without a search, and the method whose configuration they take.
SEARCHED_AS = {"Po-MQ": "FP", "Po-QQ": "FP", "bitwise+boosting": "bitwise"}


def draw_configs(n_configs):
    """Draw configurations from the search space of the paper, the same ones for every cell.

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
    """Select the part of a configuration that a method takes: ours keep their learning rate and temperature.

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


def rows_for_search(data, seeds):
    """Select the rows that are not a test row of any split, so that the search never sees a test row.

    Parameters
    ----------
    data : Dataset
    seeds : list of int

    Returns
    -------
    ndarray of int

    NOTE[DIFF]: the paper searches on the training rows of its first split, which are test rows of the others.
    """
    rows = np.arange(len(data.X))
    for seed in seeds:
        rows = np.intersect1d(rows, split(data, seed)[0].index)
    return rows


def cross_validate(data, method, bits, rows, training):
    """Compute the mean error of a method over four folds of some rows.

    Parameters
    ----------
    data : Dataset
    method : str
    bits : int
    rows : ndarray of int
    training : dict

    Returns
    -------
    dict
        error.
    """
    errors = []
    for train, test in KFold(4, shuffle=True, random_state=0).split(rows):
        parts = [part.iloc[rows[fold]] for part in (data.X, data.y) for fold in (train, test)]
        scores = evaluate(data.task, standardized(data.task, *parts), method, bits, random_state=0, **training)
        errors.append(scores["error"])
    return {"error": float(np.mean(errors))}


def _given(method, paper_training, training):
    """Join the given parameters of a method."""
    return {**(paper_training if method in PAPER_METHODS else {}), **training}


def search(data, bits, methods, seeds, n_configs, output, *, training, paper_training, n_jobs=1):
    """Choose a configuration per data set, number of bits and method.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
    methods : list of str
    seeds : list of int
        Seeds of the splits whose test rows are left out.
    n_configs : int
        Configurations to try for each.
    output : Path
        CSV file of all trials; a rerun resumes from it.
    training : dict
        Parameters that are given instead of searched.
    paper_training : dict
        The same, only for the methods of the paper.
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
        for (method, n_bits), (draw, config) in product(cells(searched, bits), enumerate(draw_configs(n_configs))):
            parameters = {**configured(method, config), **_given(method, paper_training, training)}
            cell = {"method": method, "bits": n_bits}
            row = {**dataset.identity, **cell, "draw": draw, "seeds": " ".join(map(str, seeds))}
            arguments = {"data": dataset, **cell, "rows": rows, "training": parameters}
            jobs.append((row | {"training": as_text(parameters)}, cross_validate, arguments))
    scores = collect(shuffled(jobs), SEARCH_KEY, SEARCH_COLUMNS, output, n_jobs=n_jobs, description="search")
    scores = scores.dropna(subset="error").sort_values("draw")
    best = scores.loc[scores.groupby(["dataset", "bits", "method"])["error"].idxmin()]
    return {(row.dataset, row.bits, row.method): json.loads(row.training) for row in best.itertuples()}


def compare(data, bits, methods, seeds, output, *, configs, training, paper_training, n_jobs=1):
    """Measure every method with every number of bits on every split, except rows that the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
    methods : list of str
    seeds : list of int
        A seed makes a split, and is the random state of its predictors.
    output : Path
        CSV file, see `benchmarks.command.collect`.
    training : dict
        Parameters of every predictor.
    paper_training : dict
        Parameters of the methods of the paper, in addition to `benchmarks.methods.PAPER_TRAINING`.
    configs : dict
        Result of `search`: parameters by (dataset, bits, method).
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        The requested rows, including those of earlier runs. A cell that failed has a `failure` and no error.
    """
    jobs = []
    for seed, dataset, (method, n_bits) in product(seeds, data, cells(methods, bits)):
        owner = SEARCHED_AS.get(method, method)
        searched = configs.get((dataset.name, FLOAT_BITS if owner == "FP" else n_bits, owner), {})
        recipe = PAPER_TRAINING if method in PAPER_METHODS else {}
        parameters = {**recipe, **searched, **_given(method, paper_training, training)}
        cell = {"method": method, "bits": n_bits, "seed": seed}
        row = {**dataset.identity, **cell, "training": as_text(parameters)}
        jobs.append((row, measure, {"data": dataset, **cell, **parameters}))
    return collect(shuffled(jobs), [*KEY, *SETTINGS], COLUMNS, output, n_jobs=n_jobs, description="paper")
