"""Run one experiment on the recipe: every variant, scored on validation rows, never on test rows.

By default, the plan chooses the data sets, the bits and the seeds.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.arguments import add_output_dir, given, make_parser
from benchmarks.command import as_text, collect, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import Dataset, load_several
from benchmarks.experiments.plans import PLANS
from benchmarks.methods import measure, split

KEY = ["dataset", "bits", "variant", "seed", "training", "data_sha256"]
COLUMNS = [*KEY, "error", "row_bits", "fit_seconds", "failure", "versions"]


def training_rows(data, seed):
    """Select the rows that `benchmarks.paper` trains on for a seed, as a separate data set."""
    rows = split(data, seed)[0].index
    return Dataset(data.name, data.X.loc[rows], data.y.loc[rows], data.task)


def explore(plan, data, output, *, n_jobs=1):
    """Measure the variants of a plan: fit on four fifths of the training rows, and score on the others.

    Parameters
    ----------
    plan : Plan
    data : list of Dataset
    output : Path
        CSV file, see `benchmarks.command.collect`.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
    """
    jobs = []
    for seed, dataset, n_bits, (name, training) in product(plan.seeds, data, plan.bits, plan.variants.items()):
        fit = {"bits": n_bits, "seed": seed}
        row = {**dataset.identity, **fit, "variant": name, "training": as_text(training)}
        arguments = {"data": training_rows(dataset, seed), "method": "bitwise", "test_size": 0.2, **fit, **training}
        jobs.append((row, measure, arguments))
    return collect(shuffled(jobs), KEY, COLUMNS, output, n_jobs=n_jobs, description="experiment")


def relative(rows, variants):
    """Compute errors as multiples of the error of the first variant on the same split, as geometric means over splits.

    Parameters
    ----------
    rows : DataFrame
        Result of `explore`.
    variants : list of str

    Returns
    -------
    DataFrame
        A row per variant: a column per data set and number of bits; the geometric mean of all, its standard error as a
        share, and the worst of the columns.
    """
    names = rows["dataset"].unique()
    errors = rows.pivot_table(index=["dataset", "bits", "seed"], columns="variant", values="error")
    errors = errors.reindex(columns=list(variants))
    logs = np.log(errors.div(errors[variants[0]], axis=0))
    table = np.exp(logs.groupby(["dataset", "bits"]).mean()).T
    table = table.reindex(columns=[c for c in product(names, sorted(rows["bits"].unique())) if c in table])
    worst = table.max(axis=1)
    table.columns = [f"{name} {bits}" for name, bits in table]
    table = table.assign(mean=np.exp(logs.mean()), sem=logs.sem(), worst=worst)
    return table.rename_axis("variant").reset_index()


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "dataset", "data_dir", "bits", "seeds", "n_samples", n_jobs=1)
    parser.add_argument("plan", choices=PLANS, help="of %(choices)s", metavar="PLAN")
    add_output_dir(parser, "PLAN.csv; a rerun skips the rows it finds there", "out/experiments")
    arguments = parser.parse_args(argv)
    plan = replace(PLANS[arguments.plan], **given(arguments, "bits", "seeds"))
    with plain_errors():
        data = load_several(arguments.dataset or plan.datasets, arguments.data_dir, n_samples=arguments.n_samples)
        rows = explore(plan, data, arguments.output_dir / f"{arguments.plan}.csv", n_jobs=arguments.n_jobs)
    print_failures(rows, ["dataset", "bits", "variant", "seed"])
    print(plan.question)
    first = next(iter(plan.variants))
    print(f"Validation error as a multiple of the error of {first!r} on the same split, geometric means")
    print_table(relative(rows, list(plan.variants)))


if __name__ == "__main__":
    main()
