"""Evaluate the rows of `benchmarks.paper`: who is best in a cell, by how much, and at which rate nothing is lost."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.command import CommandError, read_rows
from benchmarks.datasets import NAMES
from benchmarks.methods import ALL_METHODS, UNQUANTIZED
from benchmarks.paper.protocol import COLUMNS, KEY

FLOATS = "FP"
REFERENCE = "Bw-SQ"
CELL = ["dataset", "bits", "method"]
# Errors up to this multiple of the error of floats count as no loss.
MARGIN = 1.05
# Test errors of arXiv 2603.05172: mean and standard deviation over 10 splits.
PUBLISHED = Path(__file__).with_name("published.csv")


def check_same(rows, column, groups, what, files=""):
    """Check that the rows of each group agree in a column; otherwise their errors have no common mean.

    Parameters
    ----------
    rows : DataFrame
    column : str
    groups : list of str
    what : str
        Name of the column in the message.
    files : str, default=""
        Names of the files in the message.

    Raises
    ------
    CommandError
        If the rows of a group differ.
    """
    for names, group in rows.groupby(groups):
        values = group[column].dropna().unique()
        if len(values) > 1:
            group_name = ", ".join(map(str, names)) + (f" in {files}" if files else "")
            differing = " and ".join(values)
            raise CommandError(
                f"The rows of {group_name} are from different {what}: {differing}. Keep them in separate files."
            )


def read_measured(*paths, seeds=None):
    """Read the rows of `benchmarks.paper` that have an error, each cell and split once.

    Parameters
    ----------
    *paths : Path
        Files whose rows are joined.
    seeds : list of int, default=None
        Splits; None: all. Means are over the splits that a cell has, so choose splits that all cells have.

    Returns
    -------
    DataFrame

    Raises
    ------
    CommandError
        If a file has no such rows, if rows of one data set come from different data, or if rows of one cell come from
        different training.
    """
    parts = []
    for path in paths:
        rows = read_rows(path, COLUMNS)
        rows = rows[rows["error"].notna()]
        if seeds is not None:
            rows = rows[rows["seed"].isin(seeds)]
        if rows.empty:
            raise CommandError(f"{path} holds no results: run python -m benchmarks.paper --output {path}.")
        parts.append(rows)
    rows = pd.concat(parts).drop_duplicates(KEY, keep="last")
    files = " and ".join(map(str, paths))
    check_same(rows, "data_sha256", ["dataset"], "data", files)
    check_same(rows, "training", CELL, "training", files)
    return _ordered(rows)


def read_published():
    """Read the errors that the paper reports: DataFrame of dataset, bits, method, error, std."""
    return _ordered(pd.read_csv(PUBLISHED))


def _ordered(rows):
    """Sort data sets and methods in our order instead of the alphabetical order."""
    names = [name for name in NAMES if name in set(rows["dataset"])]
    methods = [method for method in ALL_METHODS if method in set(rows["method"])]
    kinds = {"dataset": pd.CategoricalDtype(names), "method": pd.CategoricalDtype(methods)}
    return rows.astype(kinds).sort_values([*CELL, *(["seed"] if "seed" in rows else [])], ignore_index=True)


def quantized(rows):
    """Select the rows of methods that quantize."""
    return rows[~rows["method"].isin(UNQUANTIZED)]


def summarize(measured):
    """Compute mean and spread per cell, and mark the best methods.

    Parameters
    ----------
    measured : DataFrame
        Result of `read_measured`.

    Returns
    -------
    DataFrame
        dataset, bits, method, seeds, error (mean), std, sem, accuracy (mean; NaN for a regression), row_bits (mean),
        best, tied. `best` marks the lowest mean among the quantized methods of a data set and number of bits. `tied`
        marks the best method, and those that are worse on the same splits by at most one standard error of the
        difference.
    """
    cells = measured.groupby(CELL, observed=True, as_index=False).agg(
        seeds=("seed", "nunique"),
        error=("error", "mean"),
        std=("error", "std"),
        sem=("error", "sem"),
        accuracy=("accuracy", "mean"),
        row_bits=("row_bits", "mean"),
    )
    cells["best"] = cells["tied"] = False
    by_split = measured.pivot_table(index=["dataset", "bits", "seed"], columns="method", values="error", observed=True)
    for (dataset, bits), of_cell in quantized(cells).groupby(["dataset", "bits"], observed=True):
        best = of_cell.loc[of_cell["error"].idxmin(), "method"]
        splits = by_split.loc[(dataset, bits)]
        excess = splits[of_cell["method"]].sub(splits[best], axis=0)
        tied = excess.mean() <= excess.sem()
        cells.loc[of_cell.index, "best"] = of_cell["method"] == best
        cells.loc[of_cell.index, "tied"] = (tied | (tied.index == best)).to_numpy()
    return cells


def count_wins(cells):
    """Count how often each method is best, and best or tied.

    Parameters
    ----------
    cells : DataFrame
        Result of `summarize`.

    Returns
    -------
    DataFrame
        Per method: cells, best, best_or_tied.
    """
    by_method = quantized(cells).groupby("method", observed=True)
    counts = by_method.agg(cells=("best", "size"), best=("best", "sum"), best_or_tied=("tied", "sum"))
    return counts.sort_values(["best", "best_or_tied"], ascending=False, kind="stable")


def ratios(cells, reference=REFERENCE):
    """Compute mean errors as multiples of the errors of one method.

    Parameters
    ----------
    cells : DataFrame
        Result of `summarize`.
    reference : str, default="Bw-SQ"

    Returns
    -------
    DataFrame
        A row per method, a column per number of bits and "all": geometric means over the data sets. Empty if the
        reference was not measured.
    """
    errors = quantized(cells).pivot_table(index=["dataset", "bits"], columns="method", values="error", observed=True)
    for method in UNQUANTIZED:
        floats = cells[cells["method"] == method].set_index("dataset")["error"]
        if len(floats):
            errors[method] = errors.index.get_level_values("dataset").map(floats).astype(float)
    if reference not in errors:
        return pd.DataFrame()
    logs = np.log(errors.div(errors[reference], axis=0))
    table = np.exp(logs.groupby("bits").mean().T)
    table["all"] = np.exp(logs.mean())
    return table.reindex([method for method in ALL_METHODS if method in table.index])


def no_loss(measured, margin=MARGIN):
    """Compute by which factor each method compresses a row without loss against floats.

    Parameters
    ----------
    measured : DataFrame
        Result of `read_measured`.
    margin : float, default=1.05
        See `smallest_without_loss`.

    Returns
    -------
    DataFrame
        A row per method, a column per data set: 32 bits per feature over the fewest bits without loss, or 1 if every
        number of bits has a loss; "all" is the geometric mean.
    """
    floats = measured.loc[measured["method"] == FLOATS, ["dataset", "seed", "error", "row_bits"]]
    floats = floats.rename(columns={"row_bits": "float_bits"})
    found = smallest_without_loss(quantized(measured), floats, ["dataset", "method"], "bits", margin)
    table = found.unstack("dataset")
    table.columns = table.columns.astype(str)
    table["all"] = np.exp(np.log(table).mean(axis=1))
    return table


def smallest_without_loss(rows, floats, groups, rate, margin=MARGIN, *, interval=True):
    """Compute the compression at the lowest rate without loss.

    A rate is without loss if the upper end of the 95 % interval of the ratio of its error to the error of floats, over
    the same splits, is at most the margin.

    Parameters
    ----------
    rows : DataFrame
        A row per fit: dataset, seed, error, row_bits, and float_bits unless `floats` has it.
    floats : DataFrame
        Errors of a model on floats: dataset, seed, error.
    groups : list of str
        Columns; a result for each combination of their values.
    rate : str
        Column of the rates that were measured.
    margin : float, default=1.05
    interval : bool, default=True
        False: the mean ratio must be at most the margin, instead of the upper end of its interval.

    Returns
    -------
    Series
        float_bits over the mean row_bits at that rate, or 1 if every rate has a loss.
    """
    paired = rows.merge(floats, on=["dataset", "seed"], suffixes=("", "_floats"))
    paired["ratio"] = paired["error"] / paired["error_floats"]
    cells = paired.groupby([*groups, rate], observed=True)
    found = cells.agg(ratio=("ratio", "mean"), sem=("ratio", "sem"), n=("ratio", "count"))
    half = stats.t.ppf(0.975, (found["n"] - 1).clip(lower=1)) * found["sem"]
    # A single split has no interval, and shows nothing.
    upper = found["ratio"] + half if interval else found["ratio"]
    compression = (cells["float_bits"].mean() / cells["row_bits"].mean()).where(upper <= margin, 1.0)
    return compression.groupby(groups, observed=True).max()


def against_published(cells):
    """Join our errors with those of the paper.

    Parameters
    ----------
    cells : DataFrame
        Result of `summarize`.

    Returns
    -------
    DataFrame
        dataset, bits, method, error, std, published, published_std, ratio, and apart: whether the two means differ by
        more than the spread over splits, sqrt(std^2 + published_std^2).
    """
    published = read_published().rename(columns={"error": "published", "std": "published_std"})
    names = {"dataset": str, "method": str}
    both = cells.astype(names).merge(published.astype(names), on=CELL)
    both["ratio"] = both["error"] / both["published"]
    both["apart"] = (both["error"] - both["published"]).abs() > np.hypot(both["std"], both["published_std"])
    return _ordered(both)
