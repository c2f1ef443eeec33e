"""Rate against error: learned thresholds, fixed ones and floats, behind the same head."""

import argparse
from itertools import product
from pathlib import Path

from benchmarks.command import add_data_dir, collect, plain_errors, positive, print_table
from benchmarks.datasets import NAMES, load_several
from benchmarks.methods import ALL_METHODS, METHODS, cells, measure
from benchmarks.results import COLUMNS, KEY, TEXTS, summarize


def compare(data, bits, methods, seeds, *, max_epochs, hidden_sizes, output=None, n_jobs=1):
    """Measure every method at every width on every split, except what the output file already holds.

    Parameters
    ----------
    data : list of Dataset
    bits : list of int
        Per feature.
    methods : list of str
    seeds : list of int
        A seed makes a split, and is the random state of its predictors.
    max_epochs : int
    hidden_sizes : list of int
    output : Path, default=None
        CSV file; each row is appended as soon as it is known.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
        The rows asked for, those of earlier runs included.
    """
    settings = {"max_epochs": max_epochs, "hidden_sizes": "x".join(map(str, hidden_sizes))}
    jobs = []
    for seed, dataset, (method, width) in product(seeds, data, cells(methods, bits)):
        row = {"dataset": dataset.name, "bits": width, "method": method, "seed": seed, "n_rows": len(dataset.X)}
        cell = {"data": dataset, "method": method, "bits": width, "seed": seed}
        jobs.append(({**row, **settings}, measure, {**cell, "max_epochs": max_epochs, "hidden_sizes": hidden_sizes}))
    return collect(jobs, KEY, COLUMNS, output, dtype=TEXTS, n_jobs=n_jobs, description="compare")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--dataset", nargs="+", default=["california"], metavar="NAME", help=f"of {', '.join(NAMES)}")
    add_data_dir(parser)
    parser.add_argument("--n-samples", type=positive, metavar="N", help="rows of fried; the other sets come whole")
    parser.add_argument("--bits", type=positive, nargs="+", default=[2, 4], metavar="B", help="bits per feature")
    parser.add_argument(
        "--methods", nargs="+", default=METHODS, choices=ALL_METHODS, metavar="METHOD", help="of %(choices)s"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(42, 52)], metavar="SEED", help="one per split")
    parser.add_argument("--max-epochs", type=positive, default=30, metavar="N", help="default: %(default)s")
    parser.add_argument("--hidden-sizes", type=positive, nargs="+", default=[256, 256, 256], metavar="UNITS")
    parser.add_argument("--n-jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, metavar="CSV", help="append each row here once known; a rerun skips the rows it finds"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        results = compare(
            load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples),
            arguments.bits,
            arguments.methods,
            arguments.seeds,
            max_epochs=arguments.max_epochs,
            hidden_sizes=arguments.hidden_sizes,
            output=arguments.output,
            n_jobs=arguments.n_jobs,
        )
    print("error: mean squared error on the standardized target, or log loss; std and sem: over the seeds")
    print_table(summarize(results).dropna(axis="columns", how="all"))


if __name__ == "__main__":
    main()
