"""Compare learned codes of mixed tables with the same head on one-hot floats, and with boosting on ordinal codes."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from benchmarks.arguments import make_parser
from benchmarks.command import collect, jobs_of, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import load_several
from benchmarks.methods import BOOSTING, FLOAT_BITS, build, error_of, split
from benchmarks.processes import timed
from skbsq import QuantileQuantizer

DATASETS = ("german", "wage", "oj", "flights", "mixed")
LEARNED, BUDGET, BOOSTED_CODES = "learned", "budget", "boosting on ordinal codes"
# Learned, with one more feature: a category of chance.
CONTROL = "with chance"
ONE_HOT, BOOSTED = "one-hot floats", "boosting"
CODED = (LEARNED, CONTROL, BUDGET, BOOSTED_CODES)
UNQUANTIZED = (ONE_HOT, BOOSTED)
RATIOS = ((LEARNED, ONE_HOT), (LEARNED, BOOSTED_CODES), (BUDGET, LEARNED), (BUDGET, ONE_HOT), (CONTROL, LEARNED))
KEY = ["dataset", "bits", "method", "seed", "data_sha256"]
COLUMNS = [*KEY, "error", "row_bits", "fit_seconds", "failure", "versions"]
TEST_SIZE = 0.25
# Of a feature, for boosting of scikit-learn.
MOST_CATEGORIES = 255
ROWS_PER_CATEGORY_OF_CHANCE = 20


def measure(data, method, bits, seed):
    """Fit one method on three quarters of the rows, and score it on the others.

    Parameters
    ----------
    data : Dataset
    method : str
        One of `CODED` or `UNQUANTIZED`.
    bits : int
        Per feature. With `BUDGET` a row has as many bits as the row of a quantile quantizer with these bits.
    seed : int
        Of the split and of the model.

    Returns
    -------
    dict
        error: mean squared error on the standardized target, or log loss; row_bits; fit_seconds.
    """
    if method == CONTROL:
        data = replace(data, X=data.X.assign(chance=_chance(len(data.X), seed)))
    parts = X_train, X_test, y_train, _ = split(data, seed, TEST_SIZE)
    categorical = list(X_train.select_dtypes("category"))
    given = {"handle_unknown": "missing" if _has_unknown(X_train[categorical], X_test[categorical]) else "error"}
    quantile = QuantileQuantizer(bits, **given).fit(X_train) if method in CODED else None
    row_bits = quantile.codebook_.row_bits if method in CODED else FLOAT_BITS * X_train.shape[1]
    if method in (LEARNED, CONTROL):
        model = build("bitwise", bits, data.task, random_state=seed, **given)
    elif method == BUDGET:
        model = build("bitwise", None, data.task, random_state=seed, bit_budget=row_bits, **given)
    elif method == BOOSTED_CODES:
        model = _boosting(data.task, categorical, seed, 2**bits, QuantileQuantizer(bits))
    elif method == ONE_HOT:
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        encoder = make_column_transformer((one_hot, categorical), remainder="passthrough")
        model = make_pipeline(encoder, build("floats", bits, data.task, random_state=seed))
    else:
        model = _boosting(data.task, categorical, seed, MOST_CATEGORIES, "passthrough")
    _, seconds = timed(model.fit, X_train, y_train)
    row_bits = model.codebook_.row_bits if hasattr(model, "codebook_") else row_bits
    return {"error": error_of(model, data.task, parts), "row_bits": row_bits, "fit_seconds": seconds}


def _chance(n_rows, seed):
    """Draw a category for each row."""
    random = np.random.default_rng(seed)
    return pd.Categorical(random.integers(n_rows // ROWS_PER_CATEGORY_OF_CHANCE, size=n_rows).astype(str))


def _has_unknown(train, test):
    return any(set(test[name].dropna()) - set(train[name]) for name in train)


def _boosting(task, categorical, seed, max_categories, of_numbers):
    """Boosting in which the most frequent categories have a code, and the others share one."""
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": np.nan}
    ordinal = OrdinalEncoder(max_categories=max_categories, **unknown)
    encoder = make_column_transformer((ordinal, categorical), remainder=of_numbers)
    return make_pipeline(encoder, BOOSTING[task](categorical_features=range(len(categorical)), random_state=seed))


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
    fits = [*product(data, CODED, bits), *product(data, UNQUANTIZED, [FLOAT_BITS])]
    return collect(shuffled(jobs_of(measure, fits, seeds)), KEY, COLUMNS, output, n_jobs=n_jobs, description="mixed")


def table(rows):
    """Compute mean errors over the splits, and their ratios.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`, without failures.

    Returns
    -------
    DataFrame
        A row per data set and number of bits. splits; row_bits (mean of `LEARNED`); the mean error of each method; and
        each of `RATIOS` of these means, with the standard error of the ratio on each split.
    """
    errors = rows.pivot(index=["dataset", "seed"], columns=["method", "bits"], values="error")
    row_bits = rows[rows["method"] == LEARNED].groupby(["dataset", "bits"])["row_bits"].mean()
    found = []
    for (dataset, bits), mean_bits in row_bits.items():
        of_set = errors.loc[dataset]
        columns = {name: of_set[name, FLOAT_BITS if name in UNQUANTIZED else bits] for name in (*CODED, *UNQUANTIZED)}
        row = {"dataset": dataset, "bits": bits, "splits": len(of_set), "row_bits": mean_bits}
        row |= {name: column.mean() for name, column in columns.items()}
        for above, below in RATIOS:
            row[f"{above} / {below}"] = row[above] / row[below]
            row[f"se {above} / {below}"] = (columns[above] / columns[below]).sem()
        found.append(row)
    return pd.DataFrame(found)


def main(argv=None):
    """Run the command line."""
    parser = make_parser(
        __spec__, __doc__, "data_dir", dataset=DATASETS, bits=[2, 3], seeds=range(3), n_jobs=1, output="mixed.csv"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir, categories=True)
        rows = compare(data, arguments.bits, arguments.seeds, arguments.output, n_jobs=arguments.n_jobs)
    print_failures(rows, KEY[:4])
    found = table(rows.dropna(subset="error"))
    means = ["dataset", "bits", "splits", "row_bits", *CODED, *UNQUANTIZED]
    print("Mean squared error on the standardized target or log loss, means over the splits")
    print_table(found[means])
    print("Ratios of the means, and their standard errors over the splits")
    for above, below in RATIOS:
        name = f"{above} / {below}"
        print_table(found[["dataset", "bits", name, f"se {name}"]].rename(columns={f"se {name}": "standard error"}))


if __name__ == "__main__":
    main()
