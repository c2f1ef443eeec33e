"""Measure time and peak memory of encode, predict and fit over rows, features and bits.

One factor varies at a time around a base case. Every case runs in a fresh process, so that its peak contains no other
case. Each row has a checksum of the result: faster code must still give the same result.
"""

import platform
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.arguments import add_number, add_output_dir, make_parser, positive
from benchmarks.command import CommandError, collect, plain_errors, print_table
from benchmarks.plots import add_legend, save_picture, tidy
from benchmarks.processes import MB, in_fresh_process, measured
from skbsq import BitwiseRegressor, Codebook

EPOCHS = 2
SAMPLE_ROWS = 10_000  # for the thresholds of `encode`, and the model of `predict`
WARM_ROWS = 1_000

VERSIONS = {"python": platform.python_version(), "numpy": np.__version__, "torch": str(torch.__version__)}
FACTORS = ("rows", "features", "bits")
# Rows of other versions or threads must not count as rows of a case.
KEY = ["operation", *FACTORS, "threads", *VERSIONS]
COLUMNS = [
    *("operation", *FACTORS, "repeats", "seconds", "peak_mb", "input_mb", "output_mb", "checksum"),
    *("threads", *VERSIONS),
]
SHOWN = COLUMNS[: COLUMNS.index("checksum")]

STYLES = {
    "encode": {"color": "#0072B2", "marker": "o"},
    "predict": {"color": "#009E73", "marker": "s"},
    "fit": {"color": "#D55E00", "marker": "^"},
}
MEASURES = {"seconds": "seconds", "peak_mb": "peak extra memory (MB)"}


class Case(NamedTuple):
    """Operation and sizes of one measurement."""

    operation: str
    rows: int
    features: int
    bits: int

    @property
    def input_mb(self):
        """Size of the float32 rows, in MB."""
        return 4 * self.rows * self.features / MB

    def __str__(self):
        return f"{self.operation} {self.rows} x {self.features}, {self.bits} bits"


def cases_around(base, operations, sizes):
    """List the cases that vary one factor at a time.

    Parameters
    ----------
    base : dict
        A size of each of `FACTORS`.
    operations : list of str
    sizes : dict
        Sizes of each factor.

    Returns
    -------
    list of Case
    """
    return list(
        dict.fromkeys(
            Case(operation, **{**base, factor: size})
            for operation in operations
            for factor in FACTORS
            for size in sizes[factor]
        )
    )


def prepare_encode(X, bits):
    """Return ``encode`` of a codebook at the quantiles of the first rows."""
    shares = np.arange(1, 2**bits) / 2**bits
    return Codebook.from_thresholds(list(np.quantile(X[:SAMPLE_ROWS], shares, axis=0).T)).encode


def prepare_predict(X, bits):
    """Return ``predict`` of a model trained on the first rows."""
    return _fit(X[:SAMPLE_ROWS], bits).predict


def prepare_fit(X, bits):
    """Return a function that trains a model, and returns all learned numbers as one array."""

    def fit(rows):
        model = _fit(rows, bits)
        weights = [weight.detach().numpy().ravel() for weight in model.head_.parameters()]
        return np.concatenate([*model.thresholds_, *weights])

    return fit


def _fit(rows, bits):
    # Any target costs the same; the first feature needs no further memory.
    return BitwiseRegressor(bits, init="quantile", max_epochs=EPOCHS, random_state=0).fit(rows, rows[:, 0])


# Each takes the rows and the bits, and returns the function of rows that is measured.
OPERATIONS = {"encode": prepare_encode, "predict": prepare_predict, "fit": prepare_fit}


def measure(case, *, repeats, threads):
    """Measure one case, in this process.

    Parameters
    ----------
    case : Case
    repeats : int
        Repetitions of encode and predict; fit runs once.
    threads : int
        Of torch.

    Returns
    -------
    dict
        A row of the results: the best seconds; peak_mb, the memory at its peak above the memory held before; input_mb,
        output_mb and checksum, the sum of all codes, predictions or learned numbers.
    """
    torch.set_num_threads(threads)
    repeats = 1 if case.operation == "fit" else repeats
    # Made in float32 without a larger temporary array, which would raise the high-water mark.
    X = np.random.default_rng(0).standard_normal((case.rows, case.features), dtype=np.float32)
    run = OPERATIONS[case.operation](X, case.bits)
    run(X[:WARM_ROWS])  # the first call of a process is slow, and loads libraries that stay in memory
    output, seconds, peak = measured(run, X, repeats=repeats)
    return {
        **case._asdict(),
        "repeats": repeats,
        "seconds": seconds,
        "peak_mb": peak,
        "input_mb": X.nbytes / MB,
        "output_mb": output.nbytes / MB,
        "checksum": float(output.sum(dtype=np.float64)),
        "threads": threads,
        **VERSIONS,
    }


def measure_all(cases, path, *, repeats, threads):
    """Measure the cases, except rows that the file already holds.

    Parameters
    ----------
    cases : list of Case
    path : Path
        CSV file, see `benchmarks.command.collect`.
    repeats, threads : int
        See `measure`.

    Returns
    -------
    DataFrame
        A row per case, including those of earlier runs.
    """
    jobs = []
    for case in cases:
        row = {**case._asdict(), "threads": threads, **VERSIONS}
        arguments = {"function": measure, "case": case, "repeats": repeats, "threads": threads}
        jobs.append((row, in_fresh_process, arguments))
    return collect(jobs, KEY, COLUMNS, path, description="cost")


def curve(results, operation, factor, base):
    """Select the rows of one operation that differ from the base case only in one factor, sorted by that factor."""
    same = results["operation"] == operation
    for other in set(FACTORS) - {factor}:
        same &= results[other] == base[other]
    return results[same].sort_values(factor)


def slopes(results, base):
    """Compute how the time grows with the rows.

    Parameters
    ----------
    results : DataFrame
        Result of `measure_all`.
    base : dict
        A size of each of `FACTORS`.

    Returns
    -------
    DataFrame
        Per operation: seconds and million values per second at the largest number of rows, and the slope of log seconds
        over log rows between the two largest. The slope is 1 if time is proportional to rows.
    """
    table = []
    for operation in results["operation"].unique():
        points = curve(results, operation, "rows", base)
        if points.empty:
            continue
        rows, seconds = points["rows"].to_numpy(), points["seconds"].to_numpy()
        slope = np.log(seconds[-1] / seconds[-2]) / np.log(rows[-1] / rows[-2]) if len(points) > 1 else np.nan
        speed = rows[-1] * base["features"] / seconds[-1] / 1e6
        row = {"operation": operation, "rows": rows[-1], "seconds": seconds[-1], "million values/s": speed}
        table.append(row | {"slope": slope})
    return pd.DataFrame(table)


def draw(results, base):
    """Draw time and memory over each factor.

    Parameters
    ----------
    results : DataFrame
        Result of `measure_all`.
    base : dict
        A size of each of `FACTORS`.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(len(MEASURES), len(FACTORS), sharex="col", sharey="row")
    for line, (column, ylabel) in zip(axes, MEASURES.items(), strict=True):
        for ax, factor in zip(line, FACTORS, strict=True):
            _draw_panel(ax, results, base, factor, column)
        line[0].set_ylabel(ylabel)
    for top, bottom, factor in zip(*axes, FACTORS, strict=True):
        others = ", ".join(f"{base[other]:,} {other}" for other in FACTORS if other != factor)
        top.set_title(f"over {factor} ({others})", fontsize="medium")
        bottom.set_xlabel(factor)
    figure.align_labels()
    add_legend(figure, *axes[:, 0])
    return figure


def _draw_panel(ax, results, base, factor, column):
    for operation in results["operation"].unique():
        points = curve(results, operation, factor, base)
        label = f"fit ({EPOCHS} epochs)" if operation == "fit" else operation
        ax.plot(points[factor], points[column], label=label, **STYLES[operation])
    sizes = sorted(results[factor].unique())
    if column == "peak_mb":
        input_mb = [Case("", **{**base, factor: size}).input_mb for size in sizes]
        ax.plot(sizes, input_mb, label="size of X", color="0.5", linestyle="--", linewidth=1.2)
    elif factor == "rows":
        for rows, seconds in [line.get_data() for line in ax.lines]:
            linear = seconds[-1:] * rows / rows[-1:]
            ax.plot(rows, linear, label="linear in rows", color="0.5", linestyle=":", linewidth=1.2)
    ax.set(xscale="log", yscale="log")
    if factor != "rows":
        ax.set_xticks(sizes, labels=[str(size) for size in sizes])
        ax.set_xticks([], minor=True)
    ax.yaxis.set_major_formatter("{x:g}")
    tidy(ax)


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__, "threads", bits=[1, 2, 4, 8])
    parser.add_argument(
        "--operations", nargs="+", default=list(OPERATIONS), choices=OPERATIONS, metavar="NAME", help="of %(choices)s"
    )
    add_number(parser, "--rows", [10**k for k in range(4, 8)], "to encode, to predict and to fit on")
    add_number(parser, "--features", [8, 32, 128, 512], "of the rows")
    parser.add_argument(
        "--base",
        type=positive,
        nargs=3,
        default=[100_000, 32, 4],
        metavar=("N", "D", "B"),
        help="rows, features and bits of the base case (default: 100000 32 4)",
    )
    parser.add_argument("--max-gb", type=float, default=8, metavar="GB", help="skip larger inputs (default: 8)")
    add_number(parser, "--max-fit-rows", 10**6, "skip longer fits")
    add_number(parser, "--repeats", 3, "of encode and predict")
    add_output_dir(parser, "cost.csv and cost.png; a rerun skips the rows it finds there")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments = parse(argv)
    base = dict(zip(FACTORS, arguments.base, strict=True))
    kept, skipped = [], []
    for case in cases_around(base, arguments.operations, {factor: getattr(arguments, factor) for factor in FACTORS}):
        too_long = case.operation == "fit" and case.rows > arguments.max_fit_rows
        too_large = case.input_mb > 1000 * arguments.max_gb
        (skipped if too_long or too_large else kept).append(case)
    for case in skipped:
        print(f"skipped: {case} ({case.input_mb:,.0f} MB); see --max-gb and --max-fit-rows")
    with plain_errors():
        if not kept:
            raise CommandError("There is nothing left to measure.")
        results = measure_all(
            kept,
            arguments.output_dir / "cost.csv",
            repeats=arguments.repeats,
            threads=arguments.threads or torch.get_num_threads(),
        )
    print_table(results[SHOWN])
    print("seconds: the best repetition; peak_mb: above the memory held before; slope: log seconds over log rows,")
    print("between the two largest, 1 is linear")
    print_table(slopes(results, base))
    save_picture(draw(results, base), arguments.output_dir / "cost.png")


if __name__ == "__main__":
    main()
