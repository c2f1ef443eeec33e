"""Compare the rates of one nested fit with a dedicated fit for each rate, on the same splits."""

import json
from itertools import product

import numpy as np
import pandas as pd

from benchmarks.arguments import SEEDS, given, make_parser
from benchmarks.command import as_text, collect, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import load_several
from benchmarks.methods import build, error_of, split
from benchmarks.paper.protocol import DATASETS as PAPER_DATASETS
from benchmarks.processes import timed

DATASETS = (*PAPER_DATASETS, "kin8nm", "air_quality", "occupancy")
NESTED, DEDICATED = "nested", "dedicated"
BITS, BUDGET = "bits", "budget"
KEY = ["dataset", "method", "kind", "top", "rates", "seed", "data_sha256", "training"]
COLUMNS = [*KEY, "n_rows", "error", "errors", "fit_seconds", "failure", "versions"]


def measure(data, kind, top, rates, seed, **training):
    """Fit once on one split, and score every rate on the test rows.

    Parameters
    ----------
    data : Dataset
    kind : str
        `BITS`: rates are bits of every feature. `BUDGET`: they are mean bits per feature.
    top : int or float
        The highest rate.
    rates : list of int or float
        The rates below; empty for a dedicated fit.
    seed : int
        Of the split and of the predictor.
    **training
        Parameters of the predictor.

    Returns
    -------
    dict
        error (mean squared error on the standardized target, or log loss) at the top; errors (of every rate, as JSON);
        fit_seconds.
    """
    parts = X_train, _, y_train, _ = split(data, seed)
    # The numbers that the predictor expects, by the rate.
    numbers = {rate: round(rate * data.X.shape[1]) if kind == BUDGET else rate for rate in (top, *rates)}
    parameters = {"bits": numbers[top]} if kind == BITS else {"bits": None, "bit_budget": numbers[top]}
    if rates:
        parameters["rates"] = [numbers[rate] for rate in rates]
    missing = "code" if data.X.isna().to_numpy().any() else "error"
    model = build("bitwise", task=data.task, missing=missing, random_state=seed, **parameters, **training)
    _, seconds = timed(model.fit, X_train, y_train)
    errors = {top: error_of(model, data.task, parts)}
    errors |= {rate: error_of(model, data.task, parts, rate=numbers[rate]) for rate in rates}
    return {"error": errors[top], "errors": json.dumps(errors), "fit_seconds": seconds}


def fits(kind, top, rates):
    """List the fits to compare: a nested one, and a dedicated one for each of its rates.

    Parameters
    ----------
    kind : str
    top : int or float
    rates : list of int or float
        Those below the top are used.

    Returns
    -------
    list of dict
        method, kind, top, rates.
    """
    below = sorted((rate for rate in rates if rate < top), reverse=True)
    found = [{"method": NESTED, "kind": kind, "top": top, "rates": below}] if below else []
    return found + [{"method": DEDICATED, "kind": kind, "top": rate, "rates": []} for rate in (top, *below)]


def compare(data, compared, seeds, output, *, training, n_jobs=1):
    """Measure fits on all splits, except rows that the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    compared : list of dict
        Of `fits`. A fit that occurs twice is measured once.
    seeds : list of int
    output : Path
        CSV file, see `benchmarks.command.collect`.
    training : dict
        Parameters of the predictors.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        A row per fit.
    """
    jobs = []
    for seed, dataset, fit in product(seeds, data, compared):
        row = {**dataset.identity, **fit, "rates": as_text(fit["rates"]), "seed": seed, "training": as_text(training)}
        arguments = {name: value for name, value in fit.items() if name != "method"}
        jobs.append((row, measure, {"data": dataset, **arguments, "seed": seed, **training}))
    return collect(shuffled(jobs), KEY, COLUMNS, output, n_jobs=n_jobs, description="rates")


def side_by_side(rows):
    """Put each rate of a nested fit beside the dedicated fit on the same split.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`, without failures.

    Returns
    -------
    DataFrame
        kind, top, rate, dataset, seed; nested and dedicated (errors); nested_seconds and dedicated_seconds (the latter
        of the dedicated fit at this rate).
    """
    long = pd.DataFrame(
        [
            (row.method, row.kind, row.top, float(rate), row.dataset, row.seed, error, row.fit_seconds)
            for row in rows.itertuples()
            for rate, error in json.loads(row.errors).items()
        ],
        columns=["method", "kind", "top", "rate", "dataset", "seed", "error", "seconds"],
    )
    method, long = long["method"], long.drop(columns="method")
    nested, dedicated = (
        long[method == name].rename(columns={"error": name, "seconds": f"{name}_seconds"})
        for name in (NESTED, DEDICATED)
    )
    return nested.merge(dedicated.drop(columns="top"), on=["kind", "rate", "dataset", "seed"])


def ratios(pairs, nested=NESTED, dedicated=DEDICATED):
    """Compute per data set the mean of one column as a multiple of the mean of another one.

    Parameters
    ----------
    pairs : DataFrame
        Result of `side_by_side`.
    nested, dedicated : str
        The columns.

    Returns
    -------
    DataFrame
        kind, top, rate, dataset, nested, dedicated (means over the splits), ratio (of the means), standard error (of
        the ratio on each split), splits.
    """
    pairs = pairs.assign(each=pairs[nested] / pairs[dedicated])
    grouped = pairs.groupby(["kind", "top", "rate", "dataset"])
    found = grouped[[nested, dedicated]].mean().set_axis([NESTED, DEDICATED], axis=1)
    found["ratio"] = found[NESTED] / found[DEDICATED]
    return found.assign(**{"standard error": grouped["each"].sem(), "splits": grouped.size()}).reset_index()


def table(of_sets):
    """Summarize the ratios of the data sets.

    Parameters
    ----------
    of_sets : DataFrame
        Result of `ratios`.

    Returns
    -------
    DataFrame
        A row per kind, top and rate: number of data sets, geometric mean of the ratios, and the data set with the
        highest ratio.
    """
    found = []
    for cell, group in of_sets.groupby(["kind", "top", "rate"]):
        worst = group.loc[group["ratio"].idxmax()]
        mean = np.exp(np.log(group["ratio"]).mean())
        found.append((*cell, len(group), mean, *worst[["dataset", "ratio", "standard error"]]))
    columns = ["kind", "top", "rate", "data sets", "geometric mean", "worst", "its ratio", "standard error"]
    return pd.DataFrame(found, columns=columns)


def main(argv=None):
    """Run the command line."""
    optional = ("data_dir", "n_samples", "hidden_sizes", "max_epochs")
    parser = make_parser(
        __spec__, __doc__, *optional, dataset=DATASETS, bits=[6], seeds=SEEDS, n_jobs=1, output="rates.csv"
    )
    parser.add_argument("--rates", type=int, nargs="+", default=[1, 2, 3, 4], metavar="B", help="per feature, below")
    text = "also compare budgets: mean bits per feature, of which the most is the top (such as 2 3 4)"
    parser.add_argument("--budgets", type=float, nargs="+", default=[], metavar="B", help=text)
    arguments = parser.parse_args(argv)
    compared = [fit for bits in arguments.bits for fit in fits(BITS, bits, arguments.rates)]
    if arguments.budgets:
        compared += fits(BUDGET, max(arguments.budgets), arguments.budgets)
    with plain_errors():
        rows = compare(
            load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples),
            compared,
            arguments.seeds,
            arguments.output,
            training=given(arguments, "hidden_sizes", "max_epochs"),
            n_jobs=arguments.n_jobs,
        )
    print_failures(rows, KEY[:6])
    pairs = side_by_side(rows.dropna(subset="error"))
    of_sets = ratios(pairs)
    print("Mean squared error on the standardized target or log loss, means over the splits")
    print_table(of_sets)
    print("Error of a nested fit as a multiple of the error of a dedicated fit")
    print_table(table(of_sets))
    print("Seconds of a nested fit as a multiple of those of a dedicated fit at the top")
    at_top = pairs[pairs["rate"] == pairs["top"]]
    print_table(table(ratios(at_top, f"{NESTED}_seconds", f"{DEDICATED}_seconds")))


if __name__ == "__main__":
    main()
