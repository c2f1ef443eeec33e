"""Colours, panels and legends: a method looks the same in every picture."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from benchmarks.methods import SAME_TRAINING, UNQUANTIZED

# Okabe and Ito's colours, which colour-blind readers can distinguish. Methods of one family share a colour, and differ
# in their lines. Two families share a colour only if no picture shows both.
COLORS = {
    "bitwise": "#D55E00",
    "uniform": "#56B4E9",
    "quantile": "#0072B2",
    "kmeans": "#009E73",
    "tree": "#CC79A7",
    "floats": "#000000",
    **dict.fromkeys(["Po-MQ", "Pr-MQ", "Bw-MQ"], "#56B4E9"),
    **dict.fromkeys(["Po-QQ", "Pr-QQ", "Bw-QQ"], "#0072B2"),
    **dict.fromkeys(["SQ", "SQ+"], "#E69F00"),
    "Bw-SQ": "#009E73",
    "LSQ": "#CC79A7",
    **dict.fromkeys(["LLT-9", "LLT-4"], "#7A3E9D"),
    "quantile+boosting": "#8C8C8C",
    "bitwise+boosting": "#4D4D4D",
    "budget": "#7A3E9D",
    "FP": "#000000",
}
COLORS |= {method: COLORS[method.removesuffix("*")] for method in SAME_TRAINING}
MARKERS = {
    **{"bitwise": "o", "uniform": "s", "quantile": "^", "kmeans": "D", "tree": "v"},
    **{"Po-MQ": "x", "Pr-MQ": "<", "Bw-MQ": "s", "Po-QQ": "x", "Pr-QQ": ">", "Bw-QQ": "^"},
    **{"SQ": "d", "SQ+": "D", "Bw-SQ": "P", "LSQ": "v", "LLT-9": "h", "LLT-4": "*"},
    **{"quantile+boosting": "^", "bitwise+boosting": "o", "budget": "*"},
}
LINES = {
    **dict.fromkeys(["Po-MQ", "Po-QQ"], ":"),
    **dict.fromkeys(["Pr-MQ", "Pr-QQ", "SQ", "LLT-4", "quantile+boosting", "bitwise+boosting"], "--"),
}


def draw_rate_error(ax: Axes, summary, *, title, ylabel, rate="row_bits", xlabel="bits per row"):
    """Draw the error of each method against its bits.

    Parameters
    ----------
    ax : Axes
    summary : DataFrame
        Rows of one data set with method, error, sem and the rate. Methods on floats become dashed lines; the bars
        are standard errors.
    title, ylabel : str
    rate : str, default="row_bits"
        Column of the horizontal axis.
    xlabel : str, default="bits per row"
    """
    for method, points in summary.groupby("method", observed=True):
        if method in UNQUANTIZED:
            ax.axhline(points["error"].item(), color=COLORS[method], linestyle="--", linewidth=1.2, label=method)
            continue
        points = points.sort_values(rate)
        ax.errorbar(
            points[rate],
            points["error"],
            yerr=points["sem"],
            color=COLORS[method],
            marker=MARKERS[method],
            linestyle=LINES.get(method, "-"),
            markersize=7,
            markerfacecolor=COLORS[method] if method == "bitwise" else "none",
            markeredgewidth=1.6,
            linewidth=1.6,
            elinewidth=1,
            capsize=3,
            zorder=3 if method == "bitwise" else 2,
            label=method,
        )
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high < 10 * low else (1, 2, 5)))
    label_plainly(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    tidy(ax)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def label_plainly(ax: Axes):
    """Label the major ticks of a logarithmic vertical axis with plain numbers, and the minor ones not at all."""
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def tidy(ax: Axes):
    """Draw a faint grid behind the curves, and no frame above or on the right."""
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def add_legend(figure: Figure, *axes: Axes):
    """Put one legend for the panels below all of them, where it covers nothing; methods in the order of `COLORS`."""
    entries: dict = {}
    for ax in axes:
        entries |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ranks = {method: rank for rank, method in enumerate(COLORS)}
    labels = sorted(entries, key=lambda label: ranks.get(label, 0))
    handles = [entries[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def save_picture(figure: Figure, path):
    """Save a figure, and print where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"picture: {path}")
