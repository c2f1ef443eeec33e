"""Rate against error in one picture: floats, quantile bits, the paper's recipe, ours with one width and with a budget.

It draws what `benchmarks.paper` and `benchmarks.budget` have measured, and measures nothing.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.budget import BUDGET, UNIFORM
from benchmarks.budget import COLUMNS as BUDGET_COLUMNS
from benchmarks.command import CommandError, plain_errors, print_table, read_rows
from benchmarks.paper import TEXTS
from benchmarks.plots import draw_rate_error
from benchmarks.ranking import read_measured
from benchmarks.report import ERROR

METHODS = ("FP", "Bw-QQ", "Bw-SQ")
NAMES = {UNIFORM: "bitwise", BUDGET: "budget"}
LABELS = {
    "FP": "floats",
    "Bw-QQ": "quantile bits",
    "Bw-SQ": "the paper's Bw-SQ",
    "bitwise": "skbsq, the same width for all features",
    "budget": "skbsq, a budget for the row",
}


def curves(paper, budget, dataset, seeds):
    """Mean error of each way to spend bits, on the splits that all were measured on.

    Parameters
    ----------
    paper : DataFrame
        Rows of `benchmarks.paper`.
    budget : DataFrame
        Rows of `benchmarks.budget`.
    dataset : str
    seeds : list of int
        Splits.

    Returns
    -------
    DataFrame
        method, row_bits, error, sem, n_splits.

    Raises
    ------
    CommandError
        If a method was not measured on every split, or on other data than another.
    """
    rows = pd.concat(
        [
            paper[paper["method"].isin(METHODS)].assign(asked=paper["bits"]),
            budget[budget["method"].isin(NAMES)].replace({"method": NAMES}),
        ]
    )
    rows = rows[(rows["dataset"] == dataset) & rows["seed"].isin(seeds) & rows["error"].notna()]
    rows = rows.drop_duplicates(["method", "asked", "seed"], keep="last")
    if rows["data_sha256"].nunique() > 1:
        raise CommandError(f"The rows of {dataset} are from different data: {', '.join(rows['data_sha256'].unique())}.")
    grouped = rows.groupby(["method", "asked"])
    summary = pd.DataFrame(
        {
            "row_bits": grouped["row_bits"].mean(),
            "error": grouped["error"].mean(),
            "sem": grouped["error"].sem(),
            "n_splits": grouped.size(),
        }
    ).reset_index()
    for method in (*METHODS, *NAMES.values()):
        if not (summary.loc[summary["method"] == method, "n_splits"] == len(seeds)).any():
            raise CommandError(f"{method} was not measured on {dataset} with all of the seeds {seeds}.")
    return summary[summary["n_splits"] == len(seeds)].drop(columns="asked").reset_index(drop=True)


def draw(summary, dataset, most_bits):
    """Draw the curves.

    Parameters
    ----------
    summary : DataFrame
        As `curves` gives it.
    dataset : str
    most_bits : int
        Of a row, at the right end.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    ax = figure.subplots()
    seen = summary[(summary["row_bits"] <= most_bits) | (summary["method"] == "FP")]
    draw_rate_error(ax, seen, title=dataset, ylabel=ERROR)
    handles, methods = ax.get_legend_handles_labels()
    ax.legend(handles, [LABELS[method] for method in methods], loc="upper right", frameon=False)
    return figure


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rate", description=__doc__)
    parser.add_argument("--paper", type=Path, required=True, metavar="CSV", help="of benchmarks.paper")
    parser.add_argument("--budget", type=Path, required=True, metavar="CSV", help="of benchmarks.budget")
    parser.add_argument("--dataset", default="california", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], metavar="SEED", help="splits")
    parser.add_argument("--most-bits", type=int, default=50, metavar="B", help="of a row (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("rate.png"), metavar="PNG", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    with plain_errors():
        paper = read_measured(arguments.paper)
        split = read_rows(arguments.budget, BUDGET_COLUMNS, dtype=TEXTS)
        summary = curves(paper, split, arguments.dataset, arguments.seeds)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    draw(summary, arguments.dataset, arguments.most_bits).savefig(arguments.output, dpi=150)
    print_table(summary)


if __name__ == "__main__":
    main()
