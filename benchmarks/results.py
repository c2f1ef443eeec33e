"""The rows that `compare` collects: kept in a file, summarized over seeds."""

import pandas as pd

from benchmarks.datasets import NAMES
from benchmarks.methods import ALL_METHODS

# Beside the cell itself, what it was run with: rows of other settings must not be taken for it.
SETTINGS = ["n_rows", "max_epochs", "hidden_sizes"]
KEY = ["dataset", "bits", "method", "seed", *SETTINGS]
TEXTS = {"hidden_sizes": str}
COLUMNS = [*KEY[:4], "error", "accuracy", "row_bits", "compression", "fit_seconds", *SETTINGS]


def summarize(results):
    """Mean and spread over the seeds.

    Parameters
    ----------
    results : DataFrame
        Rows as `benchmarks.methods.measure` makes them.

    Returns
    -------
    DataFrame
        Per data set, bits and method: the mean error, its standard deviation over the seeds and its standard
        error; the ratio to the error of "floats" on the same split, mean and standard error; the means of
        accuracy, bits per row, compression and seconds.
    """
    floats = results.loc[results["method"] == "floats", ["dataset", "seed", "error"]]
    paired = results.merge(floats, on=["dataset", "seed"], how="left", suffixes=("", "_floats"))
    paired["ratio"] = paired["error"] / paired["error_floats"]
    paired["dataset"] = pd.Categorical(paired["dataset"], NAMES)
    paired["method"] = pd.Categorical(paired["method"], ALL_METHODS)
    paired["accuracy"] = paired["accuracy"].astype(float)  # all None where every set is a regression
    return paired.groupby(["dataset", "bits", "method"], observed=True, as_index=False).agg(
        seeds=("seed", "nunique"),
        error=("error", "mean"),
        std=("error", "std"),
        sem=("error", "sem"),
        ratio_to_floats=("ratio", "mean"),
        ratio_sem=("ratio", "sem"),
        accuracy=("accuracy", "mean"),
        row_bits=("row_bits", "mean"),
        compression=("compression", "mean"),
        fit_seconds=("fit_seconds", "mean"),
    )
