"""Compare the speed of each part with a named rival, in one run.

Both sides of a contest take turns. Their best times count, and a checksum beside each time shows that less work does
not look faster. Parts: encode, categories (columns of strings), decode, pack, predict, train (against the same model
in plain PyTorch, on real data), recipe (the default recipe against plain hard bits), start (initial thresholds and the
overhead of a fit), gateway (a process from its start to a row of codes).
"""

import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.arguments import add_number, add_output_dir, add_parts, make_parser
from benchmarks.command import plain_errors, print_table
from benchmarks.plots import save_picture, tidy
from benchmarks.speed.contests import PARTS, run


def draw(table):
    """Draw the ratios as bars, with a mark at each target.

    Parameters
    ----------
    table : DataFrame
        Rows of `benchmarks.speed.contests.run`.

    Returns
    -------
    Figure
    """
    table = table[table["ratio"].notna()].iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(9, 0.8 + 0.24 * len(table)), layout="constrained")
    ax = figure.subplots()
    hues = ("#0072B2", "#56B4E9", "#F0E442", "#009E73", "#D55E00", "#999999", "#CC79A7", "#E69F00", "#882255")
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


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "data_dir", "threads")
    add_parts(parser, PARTS)
    add_number(parser, "--epochs", 10, "of train and recipe")
    add_output_dir(parser, "speed.csv and speed.png")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    rows = []
    with plain_errors():
        of_training = {"data_dir": arguments.data_dir, "epochs": arguments.epochs}
        for name in arguments.parts:
            contests = PARTS[name](**of_training if name in ("train", "recipe") else {})
            for contest in tqdm(contests, desc=name, unit="contest"):
                rows.append(run(name, contest))
            # After each part, so that an error in a later one loses nothing.
            table = pd.DataFrame(rows)
            table.to_csv(arguments.output_dir / "speed.csv", index=False)
    print_table(table)
    print("seconds: the best turn of each side; ratio: rival over ours; threads: of torch and of encode")
    save_picture(draw(table), arguments.output_dir / "speed.png")


if __name__ == "__main__":
    main()
