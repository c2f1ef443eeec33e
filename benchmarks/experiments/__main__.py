"""Run one experiment on the recipe: every variant on validation rows, none of which is a test row."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.command import (
    VERSIONS,
    add_data_dir,
    add_n_jobs,
    as_text,
    collect,
    make_parser,
    plain_errors,
    positive,
    print_table,
    shuffled,
)
from benchmarks.datasets import Dataset, load_several
from benchmarks.experiments.plans import PLANS
from benchmarks.methods import measure, split

KEY = ["dataset", "bits", "variant", "seed", "training", "data_sha256"]
COLUMNS = [*KEY, "error", "row_bits", "fit_seconds", "failure", "versions"]


def training_rows(data, seed):
    """The rows that `benchmarks.paper` trains on for a seed, as a data set of their own."""
    rows = split(data, seed)[0].index
    return Dataset(data.name, data.X.loc[rows], data.y.loc[rows], data.task)


def explore(plan, data, output, *, n_jobs=1):
    """Measure the variants of a plan: fitted on four fifths of the training rows, scored on the rest.

    Parameters
    ----------
    plan : Plan
    data : list of Dataset
    output : Path
        CSV file; each row is appended as soon as it is known.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
    """
    jobs = []
    for seed in plan.seeds:
        of_seed = []
        for dataset, bits, (name, training) in product(data, plan.bits, plan.variants.items()):
            row = {"dataset": dataset.name, "bits": bits, "variant": name, "seed": seed, "training": as_text(training)}
            row |= {"data_sha256": dataset.sha256, "versions": VERSIONS}
            cell = {"data": training_rows(dataset, seed), "method": "bitwise", "bits": bits, "seed": seed}
            of_seed.append((row, measure, {**cell, "test_size": 0.2, **training}))
        jobs += shuffled(of_seed)
    return collect(jobs, KEY, COLUMNS, output, n_jobs=n_jobs, description="experiment")


def relative(rows, variants):
    """Errors as multiples of that of the first variant on the same split, geometric means over splits.

    Parameters
    ----------
    rows : DataFrame
        As `explore` gives them.
    variants : list of str

    Returns
    -------
    DataFrame
        A row per variant: a column per data set and width; the geometric mean of all, its standard error as a share,
        and the worst of the columns.
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
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("plan", choices=PLANS, help="of %(choices)s", metavar="PLAN")
    add_data_dir(parser)
    parser.add_argument("--dataset", nargs="+", metavar="NAME", help="default: those of the plan")
    parser.add_argument("--bits", type=positive, nargs="+", metavar="B", help="default: those of the plan")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="default: those of the plan")
    parser.add_argument("--n-samples", type=positive, metavar="N", help="rows of fried; the other sets come whole")
    add_n_jobs(parser)
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("out/experiments"),
        metavar="DIR",
        help="where PLAN.csv is kept; a rerun skips the rows it finds (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    given = {name: tuple(getattr(arguments, name) or ()) for name in ("bits", "seeds")}
    plan = replace(PLANS[arguments.plan], **{name: values for name, values in given.items() if values})
    with plain_errors():
        data = load_several(arguments.dataset or plan.datasets, arguments.data_dir, n_samples=arguments.n_samples)
        rows = explore(plan, data, arguments.output_dir / f"{arguments.plan}.csv", n_jobs=arguments.n_jobs)
    failed = rows[rows["error"].isna()]
    if len(failed):
        print_table(failed[["dataset", "bits", "variant", "seed", "failure"]])
    print(plan.question)
    print(f"Validation error as a multiple of that of {next(iter(plan.variants))!r} on the same split, geometric means")
    print_table(relative(pd.DataFrame(rows), list(plan.variants)))


if __name__ == "__main__":
    main()
