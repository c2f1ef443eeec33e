"""Compare rows per second of training and prediction on a GPU and on the CPU, in one run.

The seconds of training are those of a fit of a few epochs minus those of a fit of one epoch. The difference leaves out
work that is done once, such as finding the initial thresholds. The CPU uses all its threads.
"""

from itertools import product

import numpy as np
import torch
from sklearn.datasets import make_friedman1

from benchmarks.arguments import make_parser
from benchmarks.command import VERSIONS, CommandError, collect, plain_errors, print_table
from benchmarks.processes import timed
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
    settings = {"batch_size": batch_size, "hidden_sizes": (units, units), "init": "quantile"}
    seconds = []
    for epochs in (1, 1, 1 + EPOCHS):  # the first fit warms the device up
        model = BitwiseRegressor(bits, max_epochs=epochs, device=device, random_state=seed, **settings)
        seconds.append(timed(model.fit, X, y)[1])
    codes = model.codebook_.encode(X)
    model.predict_codes(codes)
    _, prediction = timed(model.predict_codes, codes)
    return {"trained": rows * EPOCHS / (seconds[2] - seconds[1]), "predicted": rows / prediction}


def table(results):
    """Compute medians over the seeds, and the speed of the GPU as a multiple of the speed of the CPU.

    Parameters
    ----------
    results : DataFrame
        Result of `benchmarks.command.collect`.

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
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, seeds=range(3), output="gpu.csv")
    arguments = parser.parse_args(argv)
    with plain_errors():
        if not torch.cuda.is_available():
            raise CommandError("There is no GPU that torch can use.")
        machine = f"{VERSIONS} {torch.get_num_threads()} threads, {torch.cuda.get_device_name()}"
        jobs = []
        # The devices take turns, because the load of the machine changes during a run.
        for seed, case, device in product(arguments.seeds, CASES, (CPU, GPU)):
            fit = dict(zip(KEY, (*case, device, seed), strict=True))
            jobs.append(({**fit, "versions": machine}, measure, fit))
        results = collect(jobs, KEY, COLUMNS, arguments.output, description="gpu")
    print_table(table(results))


if __name__ == "__main__":
    main()
