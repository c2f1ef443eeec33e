"""A budget of bits per row against as many bits for every feature: the same recipe, the same splits."""

import numpy as np
import pandas as pd

from benchmarks.command import (
    VERSIONS,
    add_data_dir,
    add_n_jobs,
    add_output,
    add_seeds,
    as_text,
    collect,
    make_parser,
    plain_errors,
    positive,
    print_table,
    shuffled,
)
from benchmarks.datasets import NAMES, load_several
from benchmarks.methods import FLOAT_BITS, measure
from benchmarks.paper.protocol import DATASETS
from benchmarks.paper.ranking import MARGIN, smallest_without_loss

UNIFORM, BUDGET, FLOATS = "uniform widths", "budget", "floats"
KEY = ["dataset", "method", "asked", "seed", "data_sha256", "training"]
COLUMNS = [*KEY, "error", "boosted_error", "row_bits", "float_bits", "fit_seconds", "failure", "versions"]


def compare(data, widths, shares, seeds, output, *, training, n_jobs=1):
    """Measure uniform widths, and budgets of given bits per feature on average.

    Parameters
    ----------
    data : list of Dataset
    widths : list of int
        Bits of every feature.
    shares : list of float
        Budgets, in bits per feature.
    seeds : list of int
        A seed makes a split, and is the random state of its predictors.
    output : Path
        CSV file; each row is appended as soon as it is known.
    training : dict
        Parameters of the predictors.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        A row per fit; asked: bits per row that were asked for; boosted_error: that of gradient boosting on the codes.
    """
    jobs = []
    for seed in seeds:
        of_seed = []
        for dataset in data:
            d = dataset.X.shape[1]
            cells = [(FLOATS, FLOAT_BITS * d, "floats", FLOAT_BITS, {})]
            cells += [(UNIFORM, b * d, "bitwise", b, {}) for b in widths]
            cells += [(BUDGET, round(s * d), "bitwise", None, {"bit_budget": round(s * d)}) for s in shares]
            for name, asked, method, bits, given in cells:
                row = {"dataset": dataset.name, "method": name, "asked": asked, "seed": seed}
                row |= {"data_sha256": dataset.sha256, "training": as_text(training), "versions": VERSIONS}
                row["float_bits"] = FLOAT_BITS * d
                arguments = {"data": dataset, "method": method, "bits": bits, "seed": seed, "boosted": True}
                arguments |= {**given, **training}
                of_seed.append((row, measure, arguments))
        jobs += shuffled(of_seed)
    return collect(jobs, KEY, COLUMNS, output, n_jobs=n_jobs, description="budget")


def at_equal_bits(rows):
    """Error with a budget as a multiple of that with uniform widths of as many bits.

    Parameters
    ----------
    rows : DataFrame
        As `compare` gives them.

    Returns
    -------
    DataFrame
        dataset, asked, uniform, budget (mean errors), ratio (mean of the ratios on the same split), sem.
    """
    table = rows.pivot_table(index=["dataset", "asked", "seed"], columns="method", values="error", sort=False)
    table = table.reindex(columns=[UNIFORM, BUDGET]).dropna()
    table["ratio"] = table[BUDGET] / table[UNIFORM]
    grouped = table.groupby(["dataset", "asked"], sort=False)
    return pd.DataFrame(
        {
            "uniform": grouped[UNIFORM].mean(),
            "budget": grouped[BUDGET].mean(),
            "ratio": grouped["ratio"].mean(),
            "sem": grouped["ratio"].sem(),
        }
    ).reset_index()


def fewest_bits_without_loss(rows, margin=MARGIN):
    """By which factor each way compresses a row without loss against floats.

    Parameters
    ----------
    rows : DataFrame
        As `compare` gives them.
    margin : float, default=1.05
        See `benchmarks.paper.ranking.no_loss`.

    Returns
    -------
    DataFrame
        A row per data set, and their geometric mean; a column per way and the ratio of the two.
    """
    floats = rows.loc[rows["method"] == FLOATS, ["dataset", "seed", "error"]]
    paired = rows[rows["method"] != FLOATS].merge(floats, on=["dataset", "seed"], suffixes=("", "_floats"))
    paired["ratio"] = paired["error"] / paired["error_floats"]
    found = smallest_without_loss(paired, ["dataset", "method"], "asked", margin)
    table = found.unstack("method").reindex(columns=[UNIFORM, BUDGET])
    table.loc["geometric mean"] = np.exp(np.log(table).mean())
    table["ratio"] = table[BUDGET] / table[UNIFORM]
    return table.rename_axis(index="dataset", columns=None).reset_index()


def main(argv=None):
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--dataset", nargs="+", default=DATASETS, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add_data_dir(parser)
    parser.add_argument("--n-samples", type=positive, metavar="N", help="rows of fried; the other sets come whole")
    parser.add_argument("--bits", type=positive, nargs="+", default=[1, 2, 3, 4, 6], metavar="B")
    parser.add_argument(
        "--budgets",
        type=float,
        nargs="+",
        default=[0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0],
        metavar="B",
        help="in bits per feature on average",
    )
    add_seeds(parser)
    parser.add_argument("--max-epochs", type=positive, metavar="N", help="default: that of the predictors")
    parser.add_argument("--hidden-sizes", type=positive, nargs="+", metavar="UNITS", help="default: theirs")
    add_n_jobs(parser)
    add_output(parser, "budget.csv")
    arguments = parser.parse_args(argv)
    given = {"hidden_sizes": arguments.hidden_sizes, "max_epochs": arguments.max_epochs}
    training = {name: value for name, value in given.items() if value is not None}
    with plain_errors():
        rows = compare(
            load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples),
            arguments.bits,
            arguments.budgets,
            arguments.seeds,
            arguments.output,
            training=training,
            n_jobs=arguments.n_jobs,
        )
    failed = rows[rows["error"].isna()]
    if len(failed):
        print_table(failed[[*KEY[:4], "failure"]])
    print("Error with a budget as a multiple of that with uniform widths of as many bits (asked, per row)")
    print_table(at_equal_bits(rows))
    print(f"Compression without loss against floats (non-inferior within {MARGIN - 1:.0%}); 1: none of the widths")
    print_table(fewest_bits_without_loss(rows))


if __name__ == "__main__":
    main()
