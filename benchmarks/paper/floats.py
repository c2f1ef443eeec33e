"""Models that read unquantized rows: the references for "as good as floats".

Three models set that mark: the head on floats, gradient boosting on floats, and gradient boosting on float16. This
command measures the two with boosting, in seconds, and compares the stored rows of `benchmarks.paper` and
`benchmarks.paper.budget` with all of them.
"""

import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error

from benchmarks.command import (
    VERSIONS,
    CommandError,
    add_data_dir,
    add_output,
    add_seeds,
    collect,
    make_parser,
    plain_errors,
    print_table,
    read_rows,
)
from benchmarks.datasets import NAMES, load_several
from benchmarks.methods import split
from benchmarks.paper import budget
from benchmarks.paper.protocol import DATASETS
from benchmarks.paper.ranking import MARGIN, read_measured, smallest_without_loss

FLOAT16 = "boosting on float16"
BOOSTING = {"boosting on floats": 32, FLOAT16: 16}
HEAD, PAPER_HEAD = "the head on floats", "the head on floats, the paper's training"
BEST = "the best of them"
# Mean ratio of errors that is as good as floats.
CLOSE = 1.02
KEY = ["dataset", "method", "seed", "data_sha256"]
COLUMNS = [*KEY, "error", "row_bits", "fit_seconds", "versions"]


def as_float16(X_train, X_test):
    """Round both parts to float16.

    A feature beyond the range of float16 is first divided by a power of two, chosen from the training rows.

    Parameters
    ----------
    X_train, X_test : ndarray

    Returns
    -------
    X_train, X_test : ndarray of float32
        Values that float16 holds; infinite where a test value is out of range.
    """
    largest = np.abs(X_train).max(axis=0)
    _, exponents = np.frexp(largest / np.finfo(np.float16).max)
    shift = -np.maximum(exponents, 0)
    with np.errstate(over="ignore"):
        return [np.ldexp(X, shift).astype(np.float16).astype(np.float32) for X in (X_train, X_test)]


def boost(data, method, seed):
    """Fit gradient boosting with default parameters on one split.

    Parameters
    ----------
    data : Dataset
        A regression without missing values.
    method : str
        A key of `BOOSTING`.
    seed : int
        Of the split, and of the model.

    Returns
    -------
    dict
        error (mean squared error, standardized target), row_bits, fit_seconds.
    """
    X_train, X_test, y_train, y_test = split(data, seed)
    parts = X_train.to_numpy(), X_test.to_numpy()
    X_train, X_test = as_float16(*parts) if method == FLOAT16 else [X.astype(np.float32) for X in parts]
    start = time.perf_counter()
    model = HistGradientBoostingRegressor(random_state=seed).fit(X_train, y_train)
    seconds = time.perf_counter() - start
    return {
        "error": mean_squared_error(y_test, model.predict(X_test)),
        "row_bits": BOOSTING[method] * X_train.shape[1],
        "fit_seconds": seconds,
    }


def measure(data, seeds, output):
    """Measure boosting on every split, except what the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    seeds : list of int
    output : Path
        CSV file; each row is appended once it is known.

    Returns
    -------
    DataFrame
    """
    jobs = []
    for dataset, seed, method in product(data, seeds, BOOSTING):
        row = {"dataset": dataset.name, "method": method, "seed": seed, "data_sha256": dataset.sha256}
        jobs.append(({**row, "versions": VERSIONS}, boost, {"data": dataset, "method": method, "seed": seed}))
    return collect(jobs, KEY, COLUMNS, output, description="floats")


def references(boosting, paper, split_rows):
    """Errors of all models that read unquantized rows.

    Parameters
    ----------
    boosting, paper, split_rows : DataFrame
        Rows of this command, of `benchmarks.paper` and of `benchmarks.paper.budget`. Where both of the latter have
        rows of the head on floats, those of `benchmarks.paper` count.

    Returns
    -------
    DataFrame
        dataset, model, seed, error.

    Raises
    ------
    CommandError
        If rows of one data set were measured on different data.
    """
    rows = pd.concat(
        [
            paper[paper["method"] == "FP"].assign(model=PAPER_HEAD),
            split_rows[split_rows["method"] == budget.FLOATS].assign(model=HEAD),
            paper[paper["method"] == "floats"].assign(model=HEAD),
            boosting.assign(model=boosting["method"]),
        ]
    )
    rows = rows.astype({"dataset": str})
    for name, of_set in rows.groupby("dataset"):
        if of_set["data_sha256"].nunique() > 1:
            raise CommandError(f"The rows of {name} are from different data.")
    rows = rows[rows["error"].notna()].drop_duplicates(["dataset", "model", "seed"], keep="last")
    return rows[["dataset", "model", "seed", "error"]].reset_index(drop=True)


def on_splits(rows, seeds):
    """Mean error of each model on the same splits.

    Parameters
    ----------
    rows : DataFrame
        References of one data set.
    seeds : collection of int

    Returns
    -------
    Series
        Of the models that were measured on all of these splits.
    """
    rows = rows[rows["seed"].isin(seeds)]
    errors = rows.groupby("model")["error"].agg(["mean", "size"])
    return errors.loc[errors["size"] == len(set(seeds)), "mean"]


def against_floats(paper, models):
    """Error of learned bits as a multiple of that of each model of floats.

    Parameters
    ----------
    paper : DataFrame
        Rows of `benchmarks.paper`; those of "bitwise" are compared.
    models : DataFrame
        As `references` returns them.

    Returns
    -------
    DataFrame
        dataset, model, a column per number of bits: ratios of mean errors on the same splits. The best model of each
        data set is repeated as "the best of them". The geometric means over the data sets come last.
    """
    ours = paper[paper["method"] == "bitwise"].astype({"dataset": str})
    tables = {}
    for name, of_set in ours.groupby("dataset", sort=False):
        errors = on_splits(models[models["dataset"] == name], of_set["seed"].unique())
        errors = pd.concat([errors, pd.Series({BEST: errors.min()})])
        by_bits = of_set.groupby("bits")["error"].mean()
        tables[name] = pd.DataFrame({bits: error / errors for bits, error in by_bits.items()})
    table = pd.concat(tables, names=["dataset", "model"])
    means = np.exp(np.log(table).groupby("model").mean())
    order = [model for model in (HEAD, PAPER_HEAD, *BOOSTING, BEST) if model in means.index]
    return pd.concat([table, pd.concat({"geometric mean": means.loc[order]})]).rename_axis(index=["dataset", "model"])


def without_loss(split_rows, models, *, margin=MARGIN, interval=True):
    """Compression without loss against the best model of floats of each data set.

    The codes may be read by the head or by gradient boosting; the one that needs fewer bits counts.

    Parameters
    ----------
    split_rows : DataFrame
        Rows of `benchmarks.paper.budget`.
    models : DataFrame
        As `references` returns them.
    margin : float, default=1.05
    interval : bool, default=True
        See `benchmarks.paper.ranking.smallest_without_loss`.

    Returns
    -------
    DataFrame
        dataset, best (a model of floats), its error, and a column each for uniform widths and budgets. The geometric
        means come last.
    """
    rows = []
    for name, of_set in split_rows[split_rows["method"] != budget.FLOATS].groupby("dataset"):
        of_models = models[models["dataset"] == name]
        errors = on_splits(of_models, of_set["seed"].unique())
        best = errors.idxmin()
        floats = of_models[of_models["model"] == best].set_index("seed")["error"]
        paired = [
            of_set.assign(ratio=of_set[model] / of_set["seed"].map(floats), model=model)
            for model in ("error", "boosted_error")
        ]
        found = smallest_without_loss(pd.concat(paired), ["method", "model"], "asked", margin, interval=interval)
        rows.append({"dataset": name, "best": best, "error": errors.min(), **found.groupby("method").max()})
    table = pd.DataFrame(rows)
    means = np.exp(np.log(table.drop(columns=["dataset", "best", "error"])).mean())
    return pd.concat([table, pd.DataFrame([{"dataset": "geometric mean", **means}])], ignore_index=True)


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--dataset", nargs="+", default=DATASETS, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add_data_dir(parser)
    add_seeds(parser, [*range(42, 52)])
    parser.add_argument("--paper", type=Path, nargs="+", required=True, metavar="CSV", help="of benchmarks.paper")
    parser.add_argument("--budget", type=Path, required=True, metavar="CSV", help="of benchmarks.paper.budget")
    add_output(parser, "floats.csv")
    arguments = parser.parse_args(argv)
    with plain_errors():
        paper = read_measured(*arguments.paper).astype({"dataset": str})
        split_rows = read_rows(arguments.budget, budget.COLUMNS)
        data = load_several(arguments.dataset, arguments.data_dir)
        boosting = measure(data, arguments.seeds, arguments.output)
        names = set(arguments.dataset)
        paper, split_rows = (rows[rows["dataset"].isin(names)] for rows in (paper, split_rows))
        models = references(boosting, paper, split_rows)
    print("Mean error on the splits of benchmarks.paper")
    seeds = paper[paper["method"] == "bitwise"].groupby("dataset")["seed"].unique()
    errors = {name: on_splits(models[models["dataset"] == name], seeds[name]) for name in seeds.index}
    print_table(pd.DataFrame(errors).rename_axis("model").reset_index())
    print("Error of learned bits as a multiple of that of each model, per bits of a feature")
    print_table(against_floats(paper, models).reset_index())
    print(f"Compression without loss against the best model of floats (non-inferior within {MARGIN - 1:.0%}); 1: none")
    print_table(without_loss(split_rows, models))
    print(f"The same, where the mean ratio of the errors is at most {CLOSE}")
    print_table(without_loss(split_rows, models, margin=CLOSE, interval=False))


if __name__ == "__main__":
    main()
