"""Compare CPU seconds of a default fit with gradient boosting, in one run on one thread.

The rows are those of Friedman's first function with noise. The table also shows r2 on other rows: less work must not
look faster.
"""

import time
from itertools import product

import lightgbm
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from benchmarks.arguments import add_number, make_parser
from benchmarks.command import collect, plain_errors, print_table
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
    """Fit one method with its default parameters, and score it on other rows.

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
    model = METHODS[method](seed)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        start = time.process_time()
        model.fit(X[train], y[train])
        seconds = time.process_time() - start
        found = model.predict(pd.DataFrame(X[test], columns=getattr(model, "feature_names_in_", None)))
    return {"cpu_seconds": seconds, "error": 1 - r2_score(y[test], found)}


def table(results):
    """Compute medians over the seeds, and the seconds as multiples of LightGBM's.

    Parameters
    ----------
    results : DataFrame
        Result of `benchmarks.command.collect`.

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
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, seeds=range(3), output="default.csv")
    add_number(parser, "--rows", [10**3, 10**4, 10**5, 10**6], "of a fit")
    arguments = parser.parse_args(argv)
    # The methods take turns, because the load of the machine changes during a run.
    cases = product(arguments.seeds, arguments.rows, METHODS)
    fits = [{"rows": rows, "method": method, "seed": seed} for seed, rows, method in cases]
    with plain_errors():
        results = collect([(fit, measure, fit) for fit in fits], KEY, COLUMNS, arguments.output, description="default")
    print_table(table(results))


if __name__ == "__main__":
    main()
