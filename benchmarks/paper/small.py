"""Small, noisy and imbalanced tables: the default fit against fixed bits, fewer choices, and gradient boosting."""

from itertools import product

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor

from benchmarks.command import (
    VERSIONS,
    add_data_dir,
    add_n_jobs,
    add_output,
    add_seeds,
    collect,
    make_parser,
    plain_errors,
    positive,
    print_table,
    shuffled,
)
from benchmarks.datasets import load_several
from benchmarks.methods import BOOSTING, FLOAT_BITS, build, error_of, split

DATASETS = (
    *("german", "caravan", "noisy", "imbalanced", "diabetes", "wine", "iris"),
    *("digits", "breast_cancer", "wage", "oj", "irrelevant"),
)
DEFAULT, STOPPED, QUANTILE, BOOSTED = "default", "early stopping", "quantile bits", "boosting on quantile bits"
FLOATS, CONSTANT = "boosting on floats", "constant"
# Method of `benchmarks.methods.build`, and parameters.
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
    """Fit one method on three quarters of the rows, and score it on the rest.

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
        error: mean squared error of the standardized target, or log loss.
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
    """Measure all methods on all splits, except what the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    bits, seeds : list of int
    output : Path
        CSV file; each row is appended once it is known.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
    """
    jobs = []
    for seed in seeds:
        cells = [*product(data, NETWORKS, bits), *product(data, UNQUANTIZED, [FLOAT_BITS])]
        of_seed = []
        for dataset, method, width in cells:
            row = {"dataset": dataset.name, "bits": width, "method": method, "seed": seed}
            row |= {"data_sha256": dataset.sha256, "versions": VERSIONS}
            of_seed.append((row, measure, {"data": dataset, "method": method, "bits": width, "seed": seed}))
        jobs += shuffled(of_seed)
    return collect(jobs, KEY, COLUMNS, output, n_jobs=n_jobs, description="small")


def table(rows):
    """Mean errors over the splits.

    Parameters
    ----------
    rows : DataFrame
        As `compare` gives them.

    Returns
    -------
    DataFrame
        A row per data set and number of bits: the error of each method; "level": whether the default is better than the
        best of the other networks, or within one standard error of it.
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
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--dataset", nargs="+", default=DATASETS, metavar="NAME", help="default: all of them")
    add_data_dir(parser)
    parser.add_argument("--bits", type=positive, nargs="+", default=[2, 3, 4], metavar="B", help="per feature")
    add_seeds(parser, list(range(10)))
    add_n_jobs(parser)
    add_output(parser, "small.csv")
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir)
        rows = compare(data, arguments.bits, arguments.seeds, arguments.output, n_jobs=arguments.n_jobs)
    failed = rows[rows["error"].isna()]
    if len(failed):
        print_table(failed[[*KEY[:4], "failure"]])
    means = table(rows.dropna(subset="error"))
    print("Mean squared error of the standardized target or log loss, means over the splits")
    print_table(means)
    print(f"{means['level'].mean():.0%} of the cells are level with the best of the other networks, or better.")
    four = means[means["bits"] == means["bits"].max()]
    ratio = np.exp(np.log(four[DEFAULT] / four[BOOSTED]).mean())
    print(f"With {four['bits'].iloc[0]} bits the error is {ratio:.2f} times that of {BOOSTED}, in geometric mean.")


if __name__ == "__main__":
    main()
