"""What is fast, as ratios against a named rival in one run.

Every contest lets the two take turns, takes the best time of each, and prints a checksum beside each time: less work
must not look faster. Parts: encode, decode, pack, predict, train (against the same model in plain PyTorch, on real
data), recipe (the default recipe against plain hard bits), start (initial thresholds and the overhead of a whole fit),
gateway (a process from its start to a row of codes).
"""

import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.command import (
    add_data_dir,
    add_output_dir,
    add_threads,
    make_parser,
    plain_errors,
    positive,
    print_table,
)
from benchmarks.plots import tidy
from benchmarks.speed.contests import PARTS, run


def draw(table):
    """Draw the ratios as bars, with a mark at each target.

    Parameters
    ----------
    table : DataFrame
        Rows of `run`.

    Returns
    -------
    Figure
    """
    table = table[table["ratio"].notna()].iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(9, 0.8 + 0.24 * len(table)), layout="constrained")
    ax = figure.subplots()
    hues = ("#0072B2", "#56B4E9", "#F0E442", "#009E73", "#D55E00", "#999999", "#CC79A7", "#E69F00")
    colors = dict(zip(PARTS, hues, strict=True))
    ax.barh(table.index, table["ratio"] - 1, left=1, color=table["part"].map(colors), height=0.7)
    ax.scatter(table["target"], table.index, marker="|", s=120, color="black", zorder=3, label="target")
    beyond_all = table[["ratio", "target"]].max(axis=1).clip(lower=1)
    for at, ratio in table["ratio"].items():
        ax.annotate(f"{ratio:.3g}", (beyond_all[at], at), (4, 0), textcoords="offset points", va="center", fontsize=7)
    ax.set(xscale="log", xlabel="times as fast as the rival", ylim=(-0.7, len(table) - 0.3))
    ax.set_yticks(table.index, table["part"] + ": " + table["case"], fontsize=7)
    tidy(ax)
    ax.legend(loc="lower right", frameon=False)
    return figure


def parse(argv):
    """The arguments of the command."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, metavar="PART", help="of %(choices)s")
    add_data_dir(parser)
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="of train and recipe (default: 10)")
    add_threads(parser)
    add_output_dir(parser, "speed.csv and speed.png")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = []
    with plain_errors():
        on_data = {"data_dir": arguments.data_dir, "epochs": arguments.epochs}
        for name in arguments.parts:
            contests = PARTS[name](**on_data if name in ("train", "recipe") else {})
            for contest in tqdm(contests, desc=name, unit="contest"):
                rows.append(run(contest))
    table = pd.DataFrame(rows)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output_dir / "speed.csv", index=False)
    print_table(table)
    print("seconds: the best turn of each side; ratio: rival over ours; threads: of torch and of encode")
    draw(table).savefig(arguments.output_dir / "speed.png", dpi=150)
    print(f"picture: {arguments.output_dir / 'speed.png'}")


if __name__ == "__main__":
    main()
