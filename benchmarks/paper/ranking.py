"""What the rows of `benchmarks.paper` say: who is best in a cell, by how much, and at which rate nothing is lost."""

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
# Errors up to this share above those of floats are no loss.
MARGIN = 1.05
# Test errors of arXiv 2603.05172: mean and standard deviation over 10 splits.
PUBLISHED = Path(__file__).with_name("published.csv")


def read_measured(*paths, seeds=None):
    """Rows of `benchmarks.paper` that have an error, each cell and split once.

    Parameters
    ----------
    *paths : Path
        Files whose rows are put together.
    seeds : list of int, default=None
        Splits; None: all. Means are of the splits that a cell has, so take those that were measured whole.

    Returns
    -------
    DataFrame

    Raises
    ------
    CommandError
        If a file has none, or if rows of one data set were measured on different data, or those of a cell with
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
    files, hold = " and ".join(map(str, paths)), "holds" if len(paths) == 1 else "hold"
    for name, of_set in rows.groupby("dataset"):
        if of_set["data_sha256"].nunique() > 1:
            raise CommandError(
                f"{files} {hold} rows of {name} from different data: {', '.join(of_set['data_sha256'].unique())}."
            )
    for cell, of_cell in rows.groupby([*CELL]):
        if of_cell["training"].nunique() > 1:
            raise CommandError(
                f"{files} {hold} rows of {', '.join(map(str, cell))} from different training: "
                f"{' and '.join(of_cell['training'].unique())}. Keep each in a file of its own."
            )
    return _ordered(rows)


def read_published():
    """The figures of the paper: DataFrame of dataset, bits, method, error, std."""
    return _ordered(pd.read_csv(PUBLISHED))


def _ordered(rows):
    """Data sets and methods in our order, not in that of the alphabet."""
    names = [name for name in NAMES if name in set(rows["dataset"])]
    methods = [method for method in ALL_METHODS if method in set(rows["method"])]
    kinds = {"dataset": pd.CategoricalDtype(names), "method": pd.CategoricalDtype(methods)}
    return rows.astype(kinds).sort_values([*CELL, *(["seed"] if "seed" in rows else [])], ignore_index=True)


def quantized(rows):
    """Rows of methods that quantize."""
    return rows[~rows["method"].isin(UNQUANTIZED)]


def summarize(measured):
    """Mean and spread per cell, and who is best in it.

    Parameters
    ----------
    measured : DataFrame
        As `read_measured` gives it.

    Returns
    -------
    DataFrame
        dataset, bits, method, seeds, error (mean), std, sem, accuracy (mean; NaN for a regression), row_bits (mean),
        best, tied. `best` has the lowest mean among the quantized methods of a data set and width; `tied` are those
        that on the same splits are worse by no more than one standard error of the difference, and the best itself.
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
    """How often each method is best, and best or tied.

    Parameters
    ----------
    cells : DataFrame
        As `summarize` gives it.

    Returns
    -------
    DataFrame
        Per method: cells, best, best_or_tied.
    """
    counts = (
        quantized(cells)
        .groupby("method", observed=True)
        .agg(cells=("best", "size"), best=("best", "sum"), best_or_tied=("tied", "sum"))
    )
    return counts.sort_values(["best", "best_or_tied"], ascending=False, kind="stable")


def ratios(cells, reference=REFERENCE):
    """Mean errors as multiples of those of one method.

    Parameters
    ----------
    cells : DataFrame
        As `summarize` gives it.
    reference : str, default="Bw-SQ"

    Returns
    -------
    DataFrame
        A row per method, a column per width and "all": geometric means over the data sets.
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
    """By which factor each method compresses a row without loss against floats.

    A width is without loss if the upper end of the 95 % interval of the ratio of its error to that of floats, over the
    same splits, is at most the margin.

    Parameters
    ----------
    measured : DataFrame
        As `read_measured` gives it.
    margin : float, default=1.05

    Returns
    -------
    DataFrame
        A row per method, a column per data set: 32 bits per feature over the fewest bits without loss, 1 where none of
        the widths is; "all" is the geometric mean.
    """
    floats = measured.loc[measured["method"] == FLOATS, ["dataset", "seed", "error", "row_bits"]]
    paired = quantized(measured).merge(floats, on=["dataset", "seed"], suffixes=("", "_floats"))
    paired["ratio"] = paired["error"] / paired["error_floats"]
    paired["float_bits"] = paired["row_bits_floats"]
    table = smallest_without_loss(paired, ["dataset", "method"], "bits", margin).unstack("dataset")
    table.columns = table.columns.astype(str)
    table["all"] = np.exp(np.log(table).mean(axis=1))
    return table


def smallest_without_loss(paired, groups, width, margin, *, interval=True):
    """Compression at the smallest width without loss.

    Parameters
    ----------
    paired : DataFrame
        A row per fit: ratio of its error to that of floats on the same split, row_bits, float_bits.
    groups : list of str
        Columns; a result for each of their values.
    width : str
        The column of the widths that are tried.
    margin : float
        See `no_loss`.
    interval : bool, default=True
        True: the upper end of the interval must be within the margin. False: the mean must be.

    Returns
    -------
    Series
        float_bits over the mean row_bits of the width, 1 where none is without loss.
    """
    cells = paired.groupby([*groups, width], observed=True)
    found = cells.agg(ratio=("ratio", "mean"), sem=("ratio", "sem"), n=("ratio", "count"))
    half = stats.t.ppf(0.975, (found["n"] - 1).clip(lower=1)) * found["sem"]
    # One split alone has no interval, and shows nothing.
    upper = found["ratio"] + half if interval else found["ratio"]
    compression = (cells["float_bits"].mean() / cells["row_bits"].mean()).where(upper <= margin, 1.0)
    return compression.groupby(groups, observed=True).max()


def against_published(cells):
    """Our errors beside those of the paper.

    Parameters
    ----------
    cells : DataFrame
        As `summarize` gives it.

    Returns
    -------
    DataFrame
        dataset, bits, method, error, std, published, published_std, ratio, apart: whether the two means are further
        apart than the spread over splits, sqrt(std^2 + published_std^2).
    """
    published = read_published().rename(columns={"error": "published", "std": "published_std"})
    both = cells.astype({"dataset": str, "method": str}).merge(
        published.astype({"dataset": str, "method": str}), on=CELL
    )
    both["ratio"] = both["error"] / both["published"]
    both["apart"] = (both["error"] - both["published"]).abs() > np.hypot(both["std"], both["published_std"])
    return _ordered(both)
