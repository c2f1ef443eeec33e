"""Seconds per epoch: BitwiseRegressor against bare PyTorch loops that train the same model.

One loop reads its rows through a DataLoader, as the code of the paper does, the other takes slices of tensors. The
repetitions of the three are interleaved, and each says with what training error it ended, because a loop that does
less work must not look faster.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.bare import RECIPE, Task, fit_bare
from benchmarks.command import add_data_dir, plain_errors, positive, print_table
from benchmarks.datasets import load
from skbsq import BitwiseRegressor

TARGETS = {"dataloader": 0.85, "slices": 1.2}
# The random starts alone move the training error by a few per cent.
COMPARABLE = 1.1


def fit_skbsq(task, seed, recipe=RECIPE):
    """Train a `BitwiseRegressor`, by default of the same model; returns its ``predict``."""
    model = BitwiseRegressor(
        task.n_bits,
        hidden_sizes=task.hidden_sizes,
        batch_size=task.batch_size,
        max_epochs=task.max_epochs,
        random_state=seed,
        **recipe,
    )
    return model.fit(task.x, task.y.ravel()).predict


LOOPS = {
    "skbsq": fit_skbsq,
    "dataloader": partial(fit_bare, loader="dataloader"),
    "slices": partial(fit_bare, loader="slices"),
}


def time_loops(tasks, repeats):
    """Time every loop on every task, in turns.

    Parameters
    ----------
    tasks : list of Task
    repeats : int

    Returns
    -------
    DataFrame
        A row per fit: batch_size, loop, seconds per epoch of the whole fit, mse on the training rows afterwards.
    """
    for fit in LOOPS.values():
        fit(replace(tasks[0], max_epochs=1), 0)  # the first steps of a process are slow
    rows = []
    turns = [(seed, task, loop) for seed in range(repeats) for task in tasks for loop in LOOPS]
    for seed, task, loop in tqdm(turns, desc="fit_time", unit="fit"):
        start = time.perf_counter()
        predict = LOOPS[loop](task, seed)
        seconds = (time.perf_counter() - start) / task.max_epochs
        mse = float(np.mean((predict(task.x) - task.y.ravel()) ** 2))
        rows.append({"batch_size": task.batch_size, "loop": loop, "seconds": seconds, "mse": mse})
    return pd.DataFrame(rows)


def summarize_times(times):
    """Spread of the seconds per epoch, and how skbsq stands to each bare loop.

    Parameters
    ----------
    times : DataFrame
        As `time_loops` makes it.

    Returns
    -------
    DataFrame
        Per batch size and loop: minimum, median and maximum of the seconds per epoch, median of the training error,
        the ratio of the median seconds of skbsq to those of the loop, and the target of that ratio.
    """
    summary = times.groupby(["batch_size", "loop"], sort=False, as_index=False).agg(
        min=("seconds", "min"), median=("seconds", "median"), max=("seconds", "max"), mse=("mse", "median")
    )
    own = summary[summary["loop"] == "skbsq"].set_index("batch_size")["median"]
    summary["skbsq_ratio"] = summary["batch_size"].map(own) / summary["median"]
    summary["target"] = summary["loop"].map(TARGETS)
    return summary


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_time", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="california", metavar="NAME", help="default: %(default)s")
    add_data_dir(parser)
    parser.add_argument("--bits", type=positive, default=4, metavar="B", help="default: %(default)s")
    parser.add_argument("--hidden-sizes", type=positive, nargs="+", default=[256, 256, 256], metavar="UNITS")
    parser.add_argument("--batch-sizes", type=positive, nargs="+", default=[512, 256], metavar="ROWS")
    parser.add_argument("--max-epochs", type=positive, default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of torch (default: its own choice)")
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load(arguments.dataset, arguments.data_dir)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    x, y = data.X.to_numpy(), data.y.to_numpy()[:, None]
    x, y = (((z - z.mean(axis=0)) / z.std(axis=0)).astype(np.float32) for z in (x, y))
    tasks = [
        Task(x, y, arguments.bits, arguments.hidden_sizes, batch_size, arguments.max_epochs)
        for batch_size in arguments.batch_sizes
    ]
    times = time_loops(tasks, arguments.repeats)
    summary = summarize_times(times)
    print(f"{data.name}: {x.shape[0]} rows, {x.shape[1]} features, {torch.get_num_threads()} threads")
    print("seconds per epoch over the repetitions; mse: on the training rows, standardized target, median")
    print_table(summary)
    spread = (
        times.groupby(["batch_size", "loop"])["mse"].median().groupby("batch_size").agg(lambda m: m.max() / m.min())
    )
    for batch_size, ratio in spread.items():
        verdict = "comparable" if ratio <= COMPARABLE else "NOT comparable: these times do not measure the same work"
        print(f"batches of {batch_size}: training errors within a factor of {ratio:.3f}, {verdict}")


if __name__ == "__main__":
    main()
