"""Compare the default fit with fixed bits, simpler training and gradient boosting, on small and difficult data sets."""

from itertools import product

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor

from benchmarks.arguments import make_parser
from benchmarks.command import collect, jobs_of, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import load_several
from benchmarks.methods import BOOSTING, FLOAT_BITS, build, error_of, split

DATASETS = (
    *("german", "caravan", "noisy", "imbalanced", "diabetes", "wine", "iris"),
    *("digits", "breast_cancer", "wage", "oj", "irrelevant"),
)
DEFAULT, STOPPED, QUANTILE, BOOSTED = "default", "early stopping", "quantile bits", "boosting on quantile bits"
FLOATS, CONSTANT = "boosting on floats", "constant"
# Method of `benchmarks.methods.build`, and its parameters.
NETWORKS: dict[str, tuple[str, dict]] = {
    DEFAULT: ("bitwise", {}),
    STOPPED: ("bitwise", {"early_stopping": True}),
    "30 epochs": ("bitwise", {"max_epochs": 30, "batch_size": 256, "hidden_sizes": (256, 256, 256), "dropout": 0.0}),
    QUANTILE: ("quantile", {}),
    BOOSTED: ("quantile+boosting", {}),
}
UNQUANTIZED = (FLOATS, CONSTANT)
KEY = ["dataset", "bits", "method", "seed", "data_sha256"]
COLUMNS = [*KEY, "error", "failure", "versions"]
TEST_SIZE = 0.25


def measure(data, method, bits, seed):
    """Fit one method on three quarters of the rows, and score it on the others.

    Parameters
    ----------
    data : Dataset
    method : str
        A key of `NETWORKS`, or one of `UNQUANTIZED`.
    bits : int
        Per feature.
    seed : int
        Of the split and of the model.

    Returns
    -------
    dict
        error: mean squared error on the standardized target, or log loss.
    """
    parts = split(data, seed, TEST_SIZE)
    X_train, _, y_train, _ = parts
    regression = data.task == "regression"
    if method == CONSTANT:
        model = DummyRegressor() if regression else DummyClassifier(strategy="prior")
    elif method == FLOATS:
        model = BOOSTING[data.task](random_state=seed)
    else:
        name, training = NETWORKS[method]
        model = build(name, bits, data.task, random_state=seed, **training)
    model.fit(X_train, y_train)
    return {"error": error_of(model, data.task, parts)}


def compare(data, bits, seeds, output, *, n_jobs=1):
    """Measure all methods on all splits, except rows that the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    bits, seeds : list of int
    output : Path
        CSV file, see `benchmarks.command.collect`.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
    """
    fits = [*product(data, NETWORKS, bits), *product(data, UNQUANTIZED, [FLOAT_BITS])]
    return collect(shuffled(jobs_of(measure, fits, seeds)), KEY, COLUMNS, output, n_jobs=n_jobs, description="small")


def table(rows):
    """Compute mean errors over the splits.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`, without failures.

    Returns
    -------
    DataFrame
        A row per data set and number of bits: the error of each method, and "level": whether the default is at most one
        standard error worse than the best of the other networks.
    """
    means = rows.pivot_table(index=["dataset", "bits"], columns="method", values="error", sort=False)
    errors = rows[rows["bits"] < FLOAT_BITS].groupby(["dataset", "bits", "method"])["error"].sem().unstack("method")
    found = means[means.index.get_level_values("bits") < FLOAT_BITS].copy()
    for name in UNQUANTIZED:
        of_set = means[name].dropna().droplevel("bits")
        found[name] = of_set.reindex(found.index.get_level_values("dataset")).to_numpy()
    others = [name for name in NETWORKS if name in found and name not in (DEFAULT, BOOSTED)]
    best = found[others].idxmin(axis=1)
    margin = pd.Series([errors.loc[cell, name] for cell, name in best.items()], index=found.index)
    found["level"] = found[DEFAULT] <= found[others].min(axis=1) + margin
    order = [*(name for name in NETWORKS if name in found), *UNQUANTIZED, "level"]
    return found[order].rename_axis(columns=None).reset_index()


def main(argv=None):
    """Run the command line."""
    parser = make_parser(
        __spec__, __doc__, "data_dir", dataset=DATASETS, bits=[2, 3, 4], seeds=range(10), n_jobs=1, output="small.csv"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir)
        rows = compare(data, arguments.bits, arguments.seeds, arguments.output, n_jobs=arguments.n_jobs)
    print_failures(rows, KEY[:4])
    means = table(rows.dropna(subset="error"))
    print("Mean squared error on the standardized target or log loss, means over the splits")
    print_table(means)
    share = means["level"].mean()
    print(f"In {share:.0%} of the cells the default is at most a standard error worse than the best other network.")
    most_bits = means[means["bits"] == means["bits"].max()]
    ratio = np.exp(np.log(most_bits[DEFAULT] / most_bits[BOOSTED]).mean())
    print(f"With {most_bits['bits'].iloc[0]} bits the error is {ratio:.2f} times that of {BOOSTED}, in geometric mean.")


if __name__ == "__main__":
    main()
