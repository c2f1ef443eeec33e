"""A first look that needs no download: rate against error on fried and digits."""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.command import add_output_dir, make_parser, print_table, run_jobs
from benchmarks.datasets import load
from benchmarks.methods import cells, measure
from benchmarks.plots import add_legend, draw_rate_error

FRIED_ROWS = 8000
BITS = (2, 3, 4)
METHODS = ("bitwise", "uniform", "quantile", "kmeans", "floats")
SEEDS = (0, 1, 2)
TEST_SIZE = 0.25
# Of every method; none: that of the predictors.
TRAINING: dict = {}
ERRORS = {"regression": "MSE, standardized target", "classification": "log loss"}


def summarize(results):
    """Means over the splits, and the standard error of the error.

    Parameters
    ----------
    results : DataFrame
        Rows as `benchmarks.methods.measure` makes them.

    Returns
    -------
    DataFrame
        A row per data set, method and bits per feature, in the order of `METHODS`.
    """
    results = results.assign(method=pd.Categorical(results["method"], METHODS), sem=results["error"])
    means = dict.fromkeys(("error", "accuracy", "row_bits", "compression", "fit_seconds"), "mean")
    grouped = results.astype({"accuracy": float}).groupby(["dataset", "bits", "method"], observed=True, as_index=False)
    return grouped.agg({**means, "sem": "sem"})


def draw(summary, tasks):
    """Draw a panel per data set.

    Parameters
    ----------
    summary : DataFrame
        As `summarize` makes it.
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
    parser = make_parser(__spec__, __doc__)
    add_output_dir(parser, "demo.csv and the plots")
    parser.add_argument("--n-jobs", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    arguments = parser.parse_args(argv)

    data = [load("fried", n_samples=FRIED_ROWS), load("digits")]
    for dataset in data:
        print(f"{dataset.name}: {len(dataset.X)} rows, {dataset.X.shape[1]} features, {dataset.task}")
    print(f"means over {len(SEEDS)} splits with {TEST_SIZE:.0%} of the rows for testing; the default training for all")
    jobs = [
        {"data": dataset, "method": method, "bits": bits, "seed": seed, "test_size": TEST_SIZE, **TRAINING}
        for seed in SEEDS
        for dataset in data
        for method, bits in cells(METHODS, BITS)
    ]
    results = pd.DataFrame(run_jobs(measure, jobs, n_jobs=arguments.n_jobs, description="demo"))
    summary = summarize(results)
    shown = {
        "dataset": "dataset",
        "method": "method",
        "bits": "bits per feature",
        "error": "error",
        "sem": "standard error",
        "accuracy": "accuracy",
        "row_bits": "bits per row",
        "compression": "compression",
        "fit_seconds": "seconds",
    }
    print_table(summary[list(shown)].rename(columns=shown))
    print("error: mean squared error on the standardized target (fried), log loss (digits);")
    print("compression: against 32-bit floats; seconds: per fit")

    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    picture = arguments.output_dir / "demo.png"
    draw(summary, {dataset.name: dataset.task for dataset in data}).savefig(picture, dpi=150)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
