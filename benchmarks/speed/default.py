"""CPU seconds of a default fit beside those of gradient boosting, in one run on one thread.

The rows are those of Friedman's first function with noise. Each says with what r2 on other rows a fit ended: less work
must not look faster.
"""

import time

import lightgbm
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from benchmarks.command import (
    VERSIONS,
    add_output,
    add_seeds,
    collect,
    make_parser,
    plain_errors,
    positive,
    print_table,
)
from skbsq import BitwiseRegressor

N_FEATURES, NOISE, N_TEST = 20, 1.0, 10_000
N_BITS = 4
OURS, RIVAL = "BitwiseRegressor", "LightGBM"
METHODS = {
    OURS: lambda seed: BitwiseRegressor(N_BITS, random_state=seed),
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
    RIVAL: lambda seed: lightgbm.LGBMRegressor(random_state=seed, n_jobs=1, verbose=-1),
}
KEY = ["rows", "method", "seed"]
COLUMNS = [*KEY, "cpu_seconds", "error", "versions"]


def measure(rows, method, seed):
    """Fit one method with its defaults, and score it on other rows.

    Parameters
    ----------
    rows : int
    method : str
        A key of `METHODS`.
    seed : int
        Of the rows and of the model.

    Returns
    -------
    dict
        cpu_seconds of the fit; error: 1 - r2 on 10,000 rows.
    """
    X, y = make_friedman1(rows + N_TEST, N_FEATURES, noise=NOISE, random_state=seed)
    X, train, test = X.astype(np.float32), slice(N_TEST, None), slice(N_TEST)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            model = METHODS[method](seed)
            start = time.process_time()
            model.fit(X[train], y[train])
            seconds = time.process_time() - start
            found = model.predict(pd.DataFrame(X[test], columns=getattr(model, "feature_names_in_", None)))
    finally:
        torch.set_num_threads(n_threads)
    return {"cpu_seconds": seconds, "error": 1 - r2_score(y[test], found)}


def table(results):
    """Medians over the seeds, and the seconds as multiples of LightGBM's.

    Parameters
    ----------
    results : DataFrame
        As `collect` gives them.

    Returns
    -------
    DataFrame
        A row per number of rows and method: cpu_seconds, r2, ratio.
    """
    found = results.groupby(["rows", "method"], sort=False)[["cpu_seconds", "error"]].median()
    found["r2"] = 1 - found.pop("error")
    rival = found["cpu_seconds"].xs(RIVAL, level="method")
    found["ratio"] = found["cpu_seconds"] / rival.reindex(found.index.get_level_values("rows")).to_numpy()
    return found.reset_index().sort_values("rows", kind="stable", ignore_index=True)


def main(argv=None):
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--rows", type=positive, nargs="+", default=[10**3, 10**4, 10**5, 10**6], metavar="N")
    add_seeds(parser, [0, 1, 2])
    add_output(parser, "default.csv")
    arguments = parser.parse_args(argv)
    jobs = []
    for seed in arguments.seeds:
        for rows in arguments.rows:
            for method in METHODS:  # in turns: how busy the machine is changes in the course of a run
                row = {"rows": rows, "method": method, "seed": seed, "versions": VERSIONS}
                jobs.append((row, measure, {"rows": rows, "method": method, "seed": seed}))
    with plain_errors():
        results = collect(jobs, KEY, COLUMNS, arguments.output, description="default")
    print_table(table(results))


if __name__ == "__main__":
    main()
