"""Compare a budget of bits per row with the same number of bits for every feature, on the same splits."""

from itertools import product

import numpy as np

from benchmarks.arguments import SEEDS, given, make_parser
from benchmarks.command import as_text, collect, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import load_several
from benchmarks.methods import FLOAT_BITS, measure
from benchmarks.paper.protocol import DATASETS
from benchmarks.paper.ranking import MARGIN, smallest_without_loss

UNIFORM, BUDGET, FLOATS = "uniform widths", "budget", "floats"
KEY = ["dataset", "method", "asked", "seed", "data_sha256", "training"]
COLUMNS = [*KEY, "error", "boosted_error", "row_bits", "float_bits", "fit_seconds", "failure", "versions"]


def compare(data, bits, budgets, seeds, output, *, training, n_jobs=1):
    """Measure floats, equal bits for every feature, and budgets.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
        Bits of every feature.
    budgets : list of float
        Mean bits per feature.
    seeds : list of int
        A seed makes a split, and is the random state of its predictors.
    output : Path
        CSV file, see `benchmarks.command.collect`.
    training : dict
        Parameters of the predictors.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        A row per fit. asked: requested bits per row; boosted_error: error of gradient boosting on the codes.
    """
    jobs = []
    for seed, dataset in product(seeds, data):
        d = dataset.X.shape[1]
        rates = [(FLOATS, FLOAT_BITS * d, {"method": "floats", "bits": FLOAT_BITS})]
        rates += [(UNIFORM, b * d, {"method": "bitwise", "bits": b}) for b in bits]
        for asked in (round(b * d) for b in budgets):
            rates.append((BUDGET, asked, {"method": "bitwise", "bits": None, "bit_budget": asked}))
        for name, asked, parameters in rates:
            row = {**dataset.identity, "method": name, "asked": asked, "seed": seed, "float_bits": FLOAT_BITS * d}
            arguments = {"data": dataset, "seed": seed, "boosted": True, **parameters, **training}
            jobs.append((row | {"training": as_text(training)}, measure, arguments))
    return collect(shuffled(jobs), KEY, COLUMNS, output, n_jobs=n_jobs, description="budget")


def at_equal_bits(rows):
    """Compute the error with a budget as a multiple of the error with as many bits for every feature.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`.

    Returns
    -------
    DataFrame
        dataset, asked, uniform, budget (mean errors), ratio (mean of the ratios on the same split), sem.
    """
    table = rows.pivot_table(index=["dataset", "asked", "seed"], columns="method", values="error", sort=False)
    table = table.reindex(columns=[UNIFORM, BUDGET]).dropna()
    table["ratio"] = table[BUDGET] / table[UNIFORM]
    grouped = table.groupby(["dataset", "asked"], sort=False)
    means = grouped.mean().rename(columns={UNIFORM: "uniform"}).rename_axis(columns=None)
    return means.assign(sem=grouped["ratio"].sem()).reset_index()


def fewest_bits_without_loss(rows, margin=MARGIN):
    """Compute by which factor equal bits and budgets compress a row without loss against floats.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`.
    margin : float, default=1.05
        See `benchmarks.paper.ranking.smallest_without_loss`.

    Returns
    -------
    DataFrame
        A row per data set, then the geometric means; columns: equal bits, budgets, and their ratio.
    """
    on_floats = rows["method"] == FLOATS
    floats = rows.loc[on_floats, ["dataset", "seed", "error"]]
    found = smallest_without_loss(rows[~on_floats], floats, ["dataset", "method"], "asked", margin)
    table = found.unstack("method").reindex(columns=[UNIFORM, BUDGET])
    table.loc["geometric mean"] = np.exp(np.log(table).mean())
    table["ratio"] = table[BUDGET] / table[UNIFORM]
    return table.rename_axis(index="dataset", columns=None).reset_index()


def main(argv=None):
    """Run the command line."""
    optional = ("data_dir", "n_samples", "hidden_sizes", "max_epochs")
    parser = make_parser(
        __spec__, __doc__, *optional, dataset=DATASETS, bits=[1, 2, 3, 4, 6], seeds=SEEDS, n_jobs=1, output="budget.csv"
    )
    budgets = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0]
    parser.add_argument("--budgets", type=float, nargs="+", default=budgets, metavar="B", help="mean bits per feature")
    arguments = parser.parse_args(argv)
    with plain_errors():
        rows = compare(
            load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples),
            arguments.bits,
            arguments.budgets,
            arguments.seeds,
            arguments.output,
            training=given(arguments, "hidden_sizes", "max_epochs"),
            n_jobs=arguments.n_jobs,
        )
    print_failures(rows, KEY[:4])
    print("Error with a budget as a multiple of the error with as many bits for every feature (asked: bits per row)")
    print_table(at_equal_bits(rows))
    print(f"Compression without loss against floats (non-inferior within {MARGIN - 1:.0%}); 1: every rate has a loss")
    print_table(fewest_bits_without_loss(rows))


if __name__ == "__main__":
    main()
