"""Show a first result without a download: bits per row against error on fried and digits."""

from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.arguments import add_output_dir, make_parser
from benchmarks.command import collect, print_table
from benchmarks.datasets import load
from benchmarks.methods import cells, measure
from benchmarks.plots import add_legend, draw_rate_error, save_picture

FRIED_ROWS = 8000
BITS = (2, 3, 4)
METHODS = ("bitwise", "uniform", "quantile", "kmeans", "floats")
SEEDS = (0, 1, 2)
TEST_SIZE = 0.25
# Parameters of every predictor.
TRAINING: dict = {}
ERRORS = {"regression": "MSE, standardized target", "classification": "log loss"}
KEY = ["dataset", "method", "bits", "seed"]
MEANS = ["error", "accuracy", "row_bits", "compression", "fit_seconds"]
# Headings of the printed columns.
HEADINGS = {
    **{"dataset": "dataset", "method": "method", "bits": "bits per feature", "error": "error"},
    **{"sem": "standard error", "accuracy": "accuracy", "row_bits": "bits per row"},
    **{"compression": "compression", "fit_seconds": "seconds"},
}


def summarize(results):
    """Compute means over the splits, and the standard error of the mean error.

    Parameters
    ----------
    results : DataFrame
        `KEY` and the scores of `benchmarks.methods.measure`.

    Returns
    -------
    DataFrame
        A row per data set, method and bits per feature, in the order of `METHODS`.
    """
    results = results.assign(method=pd.Categorical(results["method"], METHODS)).astype({"accuracy": float})
    grouped = results.groupby(["dataset", "bits", "method"], observed=True)
    return grouped[MEANS].mean().assign(sem=grouped["error"].sem()).reset_index()


def draw(summary, tasks):
    """Draw a panel per data set.

    Parameters
    ----------
    summary : DataFrame
        Result of `summarize`.
    tasks : dict
        The task of each data set, in the order of the panels.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(4.8 * len(tasks), 4.4), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    for ax, (name, task) in zip(axes, tasks.items(), strict=True):
        draw_rate_error(ax, summary[summary["dataset"] == name], title=name, ylabel=f"test error ({ERRORS[task]})")
    add_legend(figure, axes[0])
    return figure


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, n_jobs=2)
    add_output_dir(parser, "demo.png")
    arguments = parser.parse_args(argv)

    data = [load("fried", n_samples=FRIED_ROWS), load("digits")]
    for dataset in data:
        print(f"{dataset.name}: {len(dataset.X)} rows, {dataset.X.shape[1]} features, {dataset.task}")
    print(f"means over {len(SEEDS)} splits with {TEST_SIZE:.0%} of the rows for testing; the default training for all")
    jobs = []
    for seed, dataset, (method, bits) in product(SEEDS, data, cells(METHODS, BITS)):
        fit = {"method": method, "bits": bits, "seed": seed}
        parameters = {"data": dataset, "test_size": TEST_SIZE, **fit, **TRAINING}
        jobs.append(({**dataset.identity, **fit}, measure, parameters))
    summary = summarize(collect(jobs, KEY, [*KEY, *MEANS], n_jobs=arguments.n_jobs, description="demo"))
    print_table(summary[list(HEADINGS)].rename(columns=HEADINGS))
    print("error: mean squared error on the standardized target (fried), log loss (digits);")
    print("compression: against 32-bit floats; seconds: per fit")
    save_picture(draw(summary, {dataset.name: dataset.task for dataset in data}), arguments.output_dir / "demo.png")


if __name__ == "__main__":
    main()
