"""Draw rate against error in one picture: fixed bits, learned bits, and models of unquantized rows.

The command measures nothing: it draws the stored rows of `benchmarks.paper`, `benchmarks.paper.budget` and
`benchmarks.paper.floats`.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.command import CommandError, add_seeds, make_parser, plain_errors, print_table, read_rows
from benchmarks.paper.budget import BUDGET, FLOATS, UNIFORM
from benchmarks.paper.budget import COLUMNS as BUDGET_COLUMNS
from benchmarks.paper.floats import BOOSTING, FLOAT16
from benchmarks.paper.floats import COLUMNS as FLOATS_COLUMNS
from benchmarks.paper.ranking import read_measured
from benchmarks.paper.report import ERROR
from benchmarks.plots import draw_rate_error

PAPER = ("quantile", "tree", "Bw-SQ")
NAMES = {UNIFORM: "bitwise", BUDGET: "budget", FLOATS: "floats"}
LABELS = {
    "quantile": "quantile thresholds",
    "tree": "thresholds of small trees",
    "Bw-SQ": "Bw-SQ as the paper trains it",
    "bitwise": "skbsq, the same number of bits for each feature",
    "budget": "skbsq, a budget of bits per row",
}
# Models of unquantized rows: label, line, and where the label stands.
LINES = {
    "floats": ("same network on floats", {"color": "#000000", "linestyle": "--"}, ("right", "bottom")),
    FLOAT16: ("gradient boosting on float16", {"color": "#7F7F7F", "linestyle": ":"}, ("left", "bottom")),
    "boosting on floats": ("gradient boosting on floats", {"color": "#7F7F7F", "linestyle": "--"}, ("left", "top")),
}
METHODS = (*PAPER, *NAMES.values(), *BOOSTING)


def curves(paper, budget, floats, dataset, seeds):
    """Mean error of each method and rate, on the splits that all were measured on.

    Parameters
    ----------
    paper, budget, floats : DataFrame
        Rows of `benchmarks.paper`, `benchmarks.paper.budget` and `benchmarks.paper.floats`.
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
        If a method was not measured on every split, or on other data than the others, or budgets with different
        training.
    """
    paper, budget, floats = (rows[rows["dataset"] == dataset] for rows in (paper, budget, floats))
    paper = paper[paper["method"].isin(PAPER)]
    if budget["training"].nunique() > 1:
        raise CommandError(f"The rows of benchmarks.paper.budget for {dataset} are from different training.")
    rows = pd.concat(
        [
            paper.assign(asked=paper["bits"]),
            budget[budget["method"].isin(NAMES)].replace({"method": NAMES}),
            floats.assign(asked=floats["row_bits"]),
        ]
    )
    rows = rows[rows["seed"].isin(seeds) & rows["error"].notna()]
    rows = rows.drop_duplicates(["method", "asked", "seed"], keep="last")
    hashes = rows["data_sha256"].dropna().unique()
    if len(hashes) > 1:
        raise CommandError(f"The rows of {dataset} are from different data: {', '.join(hashes)}.")
    grouped = rows.groupby(["method", "asked"])
    summary = pd.DataFrame(
        {
            "row_bits": grouped["row_bits"].mean(),
            "error": grouped["error"].mean(),
            "sem": grouped["error"].sem(),
            "n_splits": grouped.size(),
        }
    ).reset_index()
    summary = summary[summary["n_splits"] == len(seeds)]
    for method in METHODS:
        if method not in set(summary["method"]):
            raise CommandError(f"{method} was not measured on {dataset} with all of the seeds {seeds}.")
    return summary.drop(columns="asked").reset_index(drop=True)


def draw(summary, dataset, most_bits):
    """Draw a curve per way to spend bits, and a line per model of unquantized rows.

    Parameters
    ----------
    summary : DataFrame
        As `curves` returns it.
    dataset : str
    most_bits : int
        Bits per row at the right end.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    ax = figure.subplots()
    models = summary[summary["method"].isin(LINES)].set_index("method")
    seen = summary[(summary["row_bits"] <= most_bits) & summary["method"].isin(LABELS)]
    for method, (label, line, (side, edge)) in LINES.items():
        error, row_bits = models.loc[method, ["error", "row_bits"]]
        ax.axhline(error, linewidth=1.2, zorder=1, **line)
        ax.annotate(
            f"{label}, {row_bits:.0f} bits: {error:.3f}",
            (0.01 if side == "left" else 0.99, error),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2 if edge == "bottom" else -2),
            textcoords="offset points",
            horizontalalignment=side,
            verticalalignment=edge,
            fontsize=9,
        )
    draw_rate_error(ax, seen, title=dataset, ylabel=ERROR)
    ax.set_ylim(bottom=0.93 * min(seen["error"].min(), models["error"].min()))
    handles, methods = ax.get_legend_handles_labels()
    entries = dict(zip(methods, handles, strict=True))
    ax.legend([entries[method] for method in LABELS], LABELS.values(), loc="upper right", frameon=False)
    return figure


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--paper", type=Path, nargs="+", required=True, metavar="CSV", help="of benchmarks.paper")
    parser.add_argument("--budget", type=Path, required=True, metavar="CSV", help="of benchmarks.paper.budget")
    parser.add_argument("--floats", type=Path, required=True, metavar="CSV", help="of benchmarks.paper.floats")
    parser.add_argument("--dataset", default="california", metavar="NAME", help="default: %(default)s")
    add_seeds(parser)
    parser.add_argument("--most-bits", type=int, default=50, metavar="B", help="per row (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("rate.png"), metavar="PNG", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    with plain_errors():
        summary = curves(
            read_measured(*arguments.paper),
            read_rows(arguments.budget, BUDGET_COLUMNS),
            read_rows(arguments.floats, FLOATS_COLUMNS),
            arguments.dataset,
            arguments.seeds,
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    draw(summary, arguments.dataset, arguments.most_bits).savefig(arguments.output, dpi=150)
    print_table(summary)


if __name__ == "__main__":
    main()
