"""Run one experiment on the recipe: every variant, scored on validation rows, never on test rows.

By default, the plan chooses the data sets, the bits and the seeds.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.arguments import add_output_dir, given, make_parser
from benchmarks.command import CommandError, as_text, collect, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import Dataset, load_several
from benchmarks.experiments.heads import with_objects
from benchmarks.experiments.plans import PLANS
from benchmarks.methods import measure, split

KEY = ["dataset", "bits", "variant", "seed", "training", "data_sha256"]
COLUMNS = [*KEY, "error", "row_bits", "fit_seconds", "failure", "versions"]


def at_most(data, n_rows):
    """Draw rows from a data set that has more, as a separate data set; None: keep all."""
    if n_rows is None or len(data.X) <= n_rows:
        return data
    X = data.X.sample(n_rows, random_state=0)
    return Dataset(data.name, X, data.y.loc[X.index], data.task)


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
        arguments = {"data": training_rows(dataset, seed), "method": "bitwise", "test_size": 0.2, **fit}
        arguments |= with_objects(training, n_bits)
        jobs.append((row, measure, arguments))
    return collect(shuffled(jobs), KEY, [*COLUMNS, *plan.more], output, n_jobs=n_jobs, description="experiment")


def relative(rows, variants, score="error"):
    """Compute errors as multiples of the error of the first variant on the same split, as geometric means over splits.

    Parameters
    ----------
    rows : DataFrame
        Result of `explore`.
    variants : list of str
    score : str, default="error"
        Column to compare.

    Returns
    -------
    DataFrame
        A row per variant: a column per data set and number of bits; the geometric mean of all, its standard error as a
        share, and the worst of the columns.
    """
    names = rows["dataset"].unique()
    errors = rows.pivot_table(index=["dataset", "bits", "seed"], columns="variant", values=score)
    errors = errors.reindex(columns=list(variants))
    logs = np.log(errors.div(errors[variants[0]], axis=0))
    table = np.exp(logs.groupby(["dataset", "bits"]).mean()).T
    table = table.reindex(columns=[c for c in product(names, sorted(rows["bits"].unique())) if c in table])
    worst = table.max(axis=1)
    table.columns = [f"{name} {bits}" for name, bits in table]
    table = table.assign(mean=np.exp(logs.mean()), sem=logs.sem(), worst=worst)
    return table.rename_axis("variant").reset_index()


def clipping(rows):
    """Compare the errors of clipped predictions with those of the same predictions as they are.

    Parameters
    ----------
    rows : DataFrame
        Result of `explore`.

    Returns
    -------
    DataFrame
        A row per data set, of regressions only: geometric mean, lowest and highest of the ratios.
    """
    ratios = (rows["clipped_error"] / rows["error"].astype(float)).astype(float)
    logs = np.log(ratios).groupby(rows["dataset"], sort=False)
    table = np.exp(logs.agg(["mean", "min", "max"])).assign(fits=logs.count())
    return table.dropna().rename_axis("dataset").reset_index()


def _selected(variants, names):
    """Select variants by name, beside the first one; None: all."""
    if unknown := set(names or ()) - set(variants):
        raise CommandError(f"There is no variant {min(unknown)!r}: choose from {', '.join(map(repr, variants))}.")
    first = next(iter(variants))
    return {name: variants[name] for name in variants if names is None or name == first or name in names}


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "dataset", "data_dir", "bits", "seeds", "n_samples", n_jobs=1)
    parser.add_argument("plan", choices=PLANS, help="of %(choices)s", metavar="PLAN")
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help="of the plan, beside its first one (default: all)"
    )
    add_output_dir(parser, "PLAN.csv; a rerun skips the rows it finds there", "out/experiments")
    arguments = parser.parse_args(argv)
    plan = replace(PLANS[arguments.plan], **given(arguments, "bits", "seeds"))
    with plain_errors():
        plan = replace(plan, variants=_selected(plan.variants, arguments.variants))
        data = load_several(arguments.dataset or plan.datasets, arguments.data_dir, n_samples=arguments.n_samples)
        data = [at_most(dataset, plan.max_rows) for dataset in data]
        rows = explore(plan, data, arguments.output_dir / f"{arguments.plan}.csv", n_jobs=arguments.n_jobs)
    print_failures(rows, ["dataset", "bits", "variant", "seed"])
    print(plan.question)
    first = next(iter(plan.variants))
    print(f"Validation error as a multiple of the error of {first!r} on the same split, geometric means")
    print_table(relative(rows, list(plan.variants)))
    if "cpu_seconds" in plan.more:
        print(f"CPU seconds of a fit as a multiple of those of {first!r} on the same split")
        print_table(relative(rows, list(plan.variants), "cpu_seconds"))
    if "clipped_error" in plan.more:
        print("Error of predictions clipped to the range of the training targets, as a multiple of the error without")
        print_table(clipping(rows))


if __name__ == "__main__":
    main()
