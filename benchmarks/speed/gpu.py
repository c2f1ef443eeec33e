"""Rows per second that training and prediction get through on a GPU and on the CPU, in one run.

A fit of a few epochs is timed against one of a single epoch: their difference leaves out what is done once, such as
finding where the thresholds start. The CPU has all its threads.
"""

import time

import numpy as np
import torch
from sklearn.datasets import make_friedman1

from benchmarks.command import (
    VERSIONS,
    CommandError,
    add_output,
    add_seeds,
    collect,
    make_parser,
    plain_errors,
    print_table,
)
from skbsq import BitwiseRegressor

CPU, GPU = "cpu", "cuda"
# Features, bits per feature, rows per batch, units of the hidden layers.
CASES = [(20, 4, 256, 128), (20, 4, 4096, 256), (80, 4, 4096, 256), (80, 8, 4096, 256)]
ROWS, EPOCHS = 100_000, 3
KEY = ["features", "bits", "batch_size", "units", "device", "seed"]
COLUMNS = [*KEY, "trained", "predicted", "versions"]


def measure(features, bits, batch_size, units, device, seed, *, rows=ROWS):
    """Time training and prediction on one device.

    Parameters
    ----------
    features : int
    bits : int
        Per feature.
    batch_size : int
    units : int
        Of each of two hidden layers.
    device : str
    seed : int
        Of the rows and of the model.
    rows : int, default=100_000

    Returns
    -------
    dict
        trained, predicted: rows per second.
    """
    X, y = make_friedman1(rows, features, random_state=seed)
    X = X.astype(np.float32)
    settings = {"batch_size": batch_size, "hidden_sizes": (units, units), "device": device, "random_state": seed}
    settings |= {"init": "quantile"}
    seconds = []
    for epochs in (1, 1, 1 + EPOCHS):  # the first fit warms the device up
        model = BitwiseRegressor(bits, max_epochs=epochs, **settings)
        start = time.perf_counter()
        model.fit(X, y)
        seconds.append(time.perf_counter() - start)
    codes = model.codebook_.encode(X)
    model.predict_codes(codes)
    start = time.perf_counter()
    model.predict_codes(codes)
    predicted = rows / (time.perf_counter() - start)
    return {"trained": rows * EPOCHS / (seconds[2] - seconds[1]), "predicted": predicted}


def table(results):
    """Medians over the seeds, and what the GPU does as a multiple of what the CPU does.

    Parameters
    ----------
    results : DataFrame
        As `collect` gives them.

    Returns
    -------
    DataFrame
        A row per case: rows per second of training and of prediction on both, and the two ratios.
    """
    found = results.groupby(KEY[:-1], sort=False)[["trained", "predicted"]].median().unstack("device")
    ratios = {f"{what}_ratio": found[what, GPU] / found[what, CPU] for what in ("trained", "predicted")}
    found.columns = [f"{what}_{device}" for what, device in found.columns]
    return found.assign(**ratios).reset_index()


def main(argv=None):
    parser = make_parser(__spec__, __doc__)
    add_seeds(parser, [0, 1, 2])
    add_output(parser, "gpu.csv")
    arguments = parser.parse_args(argv)
    with plain_errors():
        if not torch.cuda.is_available():
            raise CommandError("There is no GPU that torch can use.")
        jobs = []
        for seed in arguments.seeds:
            for case in CASES:
                for device in (CPU, GPU):  # in turns: how busy the machine is changes in the course of a run
                    cell = dict(zip(KEY, (*case, device, seed), strict=True))
                    machine = f"{VERSIONS} {torch.get_num_threads()} threads, {torch.cuda.get_device_name()}"
                    jobs.append((cell | {"versions": machine}, measure, cell))
        results = collect(jobs, KEY, COLUMNS, arguments.output, description="gpu")
    print_table(table(results))


if __name__ == "__main__":
    main()
