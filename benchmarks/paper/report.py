"""Tables and plots of what `benchmarks.paper` has measured, beside the figures of arXiv 2603.05172."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.command import CommandError, make_parser, plain_errors
from benchmarks.methods import ALL_METHODS, BOOSTED_METHODS, UNQUANTIZED
from benchmarks.paper.ranking import (
    FLOATS,
    MARGIN,
    REFERENCE,
    against_published,
    count_wins,
    no_loss,
    quantized,
    ratios,
    read_measured,
    read_published,
    summarize,
)
from benchmarks.plots import COLORS, LINES, add_legend, draw_rate_error, tidy

ERROR, LOSS = "mean squared error, standardized target", "log loss"
# Two pictures: sixteen methods in one cannot be told apart.
FIXED_RULES = ("Po-MQ", "Pr-MQ", "Bw-MQ", "Po-QQ", "Pr-QQ", "Bw-QQ", "bitwise", FLOATS)
LEARNED = ("SQ", "SQ+", "Bw-SQ", "LSQ", "LLT-9", "LLT-4", "bitwise", *BOOSTED_METHODS, FLOATS)


class Cell(NamedTuple):
    """Text of a table; `mark` is "", "best" or "tied"."""

    text: str
    mark: str = ""


class Table(NamedTuple):
    """A table with its heading, and what is said below it."""

    title: str
    header: list
    rows: list
    note: str


def _kinds(rows):
    """What the errors of rows are: those of classes come with an accuracy."""
    classes = rows["accuracy"].notna()
    return " or ".join([name for name, some in ((ERROR, not classes.all()), (LOSS, classes.any())) if some])


def error_tables(cells):
    """A table per data set, in the layout of the paper's Table 2: a row per method, a column per width.

    Parameters
    ----------
    cells : DataFrame
        As `benchmarks.paper.ranking.summarize` gives it.

    Returns
    -------
    list of Table
    """
    tables = []
    for name, of_set in cells.groupby("dataset", observed=True):
        bits = sorted(quantized(of_set)["bits"].unique())
        rows = []
        for method, of_method in of_set.groupby("method", observed=True):
            by_bits = of_method.set_index("bits")
            if method in UNQUANTIZED:
                by_bits = by_bits.loc[[by_bits.index[0]] * len(bits)].set_axis(bits)
            row = [Cell(method)]
            for b in bits:
                if b not in by_bits.index:
                    row.append(Cell("-"))
                    continue
                at = by_bits.loc[b]
                mark = "best" if at["best"] else "tied" if at["tied"] else ""
                spread = "" if np.isnan(at["std"]) else f" ± {at['std']:.4f}"
                row.append(Cell(f"{at['error']:.4f}{spread}", mark))
            rows.append(row)
        seeds = sorted(of_set["seeds"].unique())
        note = (
            f"Test error ({_kinds(of_set)}), mean ± standard deviation over {' or '.join(map(str, seeds))} splits. "
            "Bold: lowest mean among the quantized methods. Italic (underlined in LaTeX): on the same splits worse by "
            f"no more than one standard error of the difference. {FLOATS} and floats are not quantized."
        )
        tables.append(Table(str(name), ["method", *(f"{b} bits" for b in bits)], rows, note))
    return tables


def overview_tables(measured, cells):
    """Wins, ratios, compression without loss, and how far the paper's figures are away.

    Parameters
    ----------
    measured, cells : DataFrame
        As `benchmarks.paper.ranking.read_measured` and `summarize` give them.

    Returns
    -------
    list of Table
    """
    tables = [_wins("Wins", cells, "Best: lowest mean error of the quantized methods.")]
    nets = measured[~measured["method"].isin(BOOSTED_METHODS)]
    if len(nets) < len(measured):
        note = "Best: lowest mean error of the quantized methods whose receiver is the neural head."
        tables.append(_wins("Wins without boosting", summarize(nets), note))
    relative = ratios(cells)
    if len(relative):
        tables.append(
            Table(
                f"Error as a multiple of that of {REFERENCE}",
                ["method", *(f"{b} bits" if b != "all" else "all" for b in relative)],
                [[Cell(m), *(Cell(f"{value:.3f}") for value in row)] for m, row in relative.iterrows()],
                "Geometric means over the data sets.",
            )
        )
    factors = no_loss(measured)
    if len(factors):
        tables.append(
            Table(
                "Compression without loss",
                ["method", *factors],
                [
                    [Cell(str(m)), *(Cell("-" if np.isnan(value) else f"{value:.1f}") for value in row)]
                    for m, row in factors.iterrows()
                ],
                "32 bits per feature over the bits per row of the smallest width whose error is not inferior to that "
                f"of {FLOATS}: the upper end of the 95 % interval of the ratio, over the same splits, is at most "
                f"{MARGIN}. 1.0: no width is. The last column is the geometric mean.",
            )
        )
    beside = against_published(cells)
    if len(beside):
        rows = []
        for method, of_method in beside.groupby("method", observed=True):
            row = [Cell(str(method))]
            for _, own in of_method.groupby("dataset", observed=False):
                ratio = np.exp(np.log(own["ratio"]).mean()) if len(own) else np.nan
                row.append(Cell("-" if np.isnan(ratio) else f"{ratio:.2f} ({int(own['apart'].sum())}/{len(own)})"))
            rows.append(row)
        names = beside["dataset"].cat.categories
        tables.append(
            Table(
                "Our error as a multiple of the published one",
                ["method", *names],
                rows,
                "Geometric mean over the widths; in brackets in how many of them the two means are further apart than "
                "the standard deviations over splits, added in squares. The published figures come from heads searched "
                "per cell and from other splits.",
            )
        )
    return tables


def _wins(title, cells, note):
    wins = count_wins(cells)
    rows = [
        [Cell(str(method)), *(Cell(str(int(count))) for count in counts)]
        for method, counts in zip(wins.index, wins.to_numpy(), strict=True)
    ]
    header = ["method", "cells", "best", "best or tied"]
    return Table(title, header, rows, f"Cells are pairs of data set and width. {note}")


def to_markdown(tables, level="##"):
    """Write tables as Markdown."""
    marks = {"": "{}", "best": "**{}**", "tied": "*{}*"}
    parts = []
    for table in tables:
        lines = [
            f"| {' | '.join(table.header)} |",
            f"|{'---|' * len(table.header)}",
            *(f"| {' | '.join(marks[cell.mark].format(cell.text) for cell in row)} |" for row in table.rows),
        ]
        parts.append(f"{level} {table.title}\n\n" + "\n".join(lines) + f"\n\n{table.note}\n")
    return "\n".join(parts)


def to_latex(tables):
    """Write tables as LaTeX, for the package booktabs."""
    marks = {"": "{}", "best": r"\textbf{{{}}}", "tied": r"\underline{{{}}}"}
    parts = []
    for table in tables:
        rows = [" & ".join(marks[cell.mark].format(_in_latex(cell.text)) for cell in row) for row in table.rows]
        lines = [
            r"\begin{table}",
            rf"\caption{{{_in_latex(table.title)}. {_in_latex(table.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(_in_latex, table.header)) + r" \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _in_latex(text):
    for plain, latex in (("_", r"\_"), ("%", r"\%"), ("±", r"$\pm$")):
        text = text.replace(plain, latex)
    return text


def draw_errors(cells, methods):
    """Draw error against bits per feature, a panel per data set, the paper's figures as faint lines.

    Parameters
    ----------
    cells : DataFrame
        As `benchmarks.paper.ranking.summarize` gives it.
    methods : tuple of str

    Returns
    -------
    Figure
    """
    cells = cells[cells["method"].isin(methods)]
    published = read_published()
    published = published[published["method"].isin(set(cells["method"]) - set(UNQUANTIZED))]
    published = published[published["bits"].between(*quantized(cells)["bits"].agg(["min", "max"]))]
    names = cells["dataset"].cat.remove_unused_categories().cat.categories
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(5.2 * n_columns, 4.6 * n_rows + 0.8), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        of_set = cells[cells["dataset"] == name]
        draw_rate_error(ax, of_set, title=name, ylabel="test error", rate="bits", xlabel="bits per feature")
        for method, points in published[published["dataset"] == name].groupby("method", observed=True):
            line = {"color": COLORS[method], "linestyle": LINES.get(method, "-"), "linewidth": 1, "alpha": 0.4}
            ax.plot(points["bits"], points["error"], zorder=1, **line)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    add_legend(figure, axes[0])
    figure.suptitle(f"Test error ({_kinds(cells)}); bars: standard errors; thin and faint: as published", fontsize=11)
    return figure


def draw_spread(measured):
    """Draw the errors of all splits as boxes, a row per data set and a column per width.

    Parameters
    ----------
    measured : DataFrame
        As `benchmarks.paper.ranking.read_measured` gives it.

    Returns
    -------
    Figure
    """
    names = measured["dataset"].cat.remove_unused_categories().cat.categories
    bits = sorted(quantized(measured)["bits"].unique())
    methods = [method for method in ALL_METHODS if method in set(measured["method"])]
    figure = Figure(figsize=(1 + 3.4 * len(bits), 1.2 + 2.5 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(bits), squeeze=False, sharex=True, sharey="row")
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(name)
        for ax, b in zip(row, bits, strict=True):
            of_cell = measured[
                (measured["dataset"] == name) & (measured["bits"].eq(b) | measured["method"].isin(UNQUANTIZED))
            ]
            for place, method in enumerate(methods):
                errors = of_cell.loc[of_cell["method"] == method, "error"]
                color = {"color": COLORS[method]}
                ax.boxplot(
                    errors,
                    positions=[place],
                    widths=0.6,
                    boxprops=color,
                    medianprops=color,
                    whiskerprops=color,
                    capprops=color,
                    flierprops={"markeredgecolor": COLORS[method], "markersize": 3},
                )
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
            tidy(ax)
            ax.set_xticks(range(len(methods)), methods, rotation=90)
            if name == names[0]:
                ax.set_title(f"{b} bits")
    figure.suptitle(f"Test error of each split ({_kinds(measured)})", fontsize=11)
    return figure


def main(argv=None):
    parser = make_parser(__spec__, __doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("paper.csv"), metavar="CSV", help="default: %(default)s"
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="splits to report (default: all)")
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="where paper.md, paper.tex and paper-*.png go (default: beside CSV)",
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        measured = read_measured(arguments.results, seeds=arguments.seeds)
        if measured["method"].isin(UNQUANTIZED).all():
            raise CommandError(f"{arguments.results} holds rows of {FLOATS} alone: there is nothing to compare.")
    folder = arguments.output_dir or arguments.results.parent
    folder.mkdir(parents=True, exist_ok=True)
    cells = summarize(measured)
    tables = [*overview_tables(measured, cells), *error_tables(cells)]
    text = to_markdown(tables)
    (folder / "paper.md").write_text(f"# The comparison of arXiv 2603.05172, measured\n\n{text}")
    (folder / "paper.tex").write_text(to_latex(tables))
    pictures = {
        "paper-learned": draw_errors(cells, LEARNED),
        "paper-fixed": draw_errors(cells, FIXED_RULES),
        "paper-spread": draw_spread(measured),
    }
    for name, figure in pictures.items():
        # Without the name of the program the same rows give the same bytes.
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
    print(text)
    print(f"written: paper.md, paper.tex, {', '.join(f'{name}.png' for name in pictures)} in {folder}")


if __name__ == "__main__":
    main()
