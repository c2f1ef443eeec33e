"""Cost curves: time and peak memory of encode, predict and fit over rows, features and bits.

One factor varies at a time around a base case. Every case runs in a process of its own, so that its peak is that of
nothing else, and leaves a checksum of what it computed: faster code must still give the same.
"""

import platform
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.command import (
    CommandError,
    add_threads,
    collect,
    make_parser,
    plain_errors,
    positive,
    print_table,
)
from benchmarks.plots import tidy
from benchmarks.processes import MB, in_fresh_process, peak_mb, reset_peak
from skbsq import BitwiseRegressor, Codebook

EPOCHS = 2
SAMPLE_ROWS = 10_000  # where the thresholds come from in `encode`, and the model in `predict`
WARM_ROWS = 1_000

VERSIONS = {"python": platform.python_version(), "numpy": np.__version__, "torch": str(torch.__version__)}
FACTORS = ("rows", "features", "bits")
# Times of other versions or threads must not be taken for those of a case.
KEY = ["operation", *FACTORS, "threads", *VERSIONS]
COLUMNS = [
    *("operation", *FACTORS, "repeats", "seconds", "peak_mb", "input_mb", "output_mb", "checksum"),
    *("threads", *VERSIONS),
]
SHOWN = COLUMNS[: COLUMNS.index("checksum")]

COLORS = {"encode": "#0072B2", "predict": "#009E73", "fit": "#D55E00"}
MARKERS = {"encode": "o", "predict": "s", "fit": "^"}
MEASURES = {"seconds": "seconds", "peak_mb": "peak extra memory (MB)"}


class Case(NamedTuple):
    """What is measured."""

    operation: str
    rows: int
    features: int
    bits: int

    @property
    def input_mb(self):
        """Size of the float32 rows."""
        return 4 * self.rows * self.features / MB

    def __str__(self):
        return f"{self.operation} {self.rows} x {self.features}, {self.bits} bits"


def cases_around(base, operations, sizes):
    """Vary one factor at a time.

    Parameters
    ----------
    base : dict
        A size of each of `FACTORS`.
    operations : list of str
    sizes : dict
        Sizes to try of each factor.

    Returns
    -------
    list of Case
        Each once.
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
    """``encode`` of a codebook at the quantiles of the first rows."""
    shares = np.arange(1, 2**bits) / 2**bits
    return Codebook.from_thresholds(list(np.quantile(X[:SAMPLE_ROWS], shares, axis=0).T)).encode


def prepare_predict(X, bits):
    """``predict`` of a model trained on the first rows."""
    return _fit(X[:SAMPLE_ROWS], bits).predict


def prepare_fit(X, bits):
    """Training, to all that it learns as one array."""

    def fit(rows):
        model = _fit(rows, bits)
        weights = [weight.detach().numpy().ravel() for weight in model.head_.parameters()]
        return np.concatenate([*model.thresholds_, *weights])

    return fit


def _fit(rows, bits):
    # The target costs the same whatever it is: the first feature needs no memory of its own.
    return BitwiseRegressor(bits, init="quantile", max_epochs=EPOCHS, random_state=0).fit(rows, rows[:, 0])


# Each takes the rows and the bits, and returns a function of rows whose calls are measured.
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
        A row of the results: the best seconds; peak_mb, the memory at its peak above what was held right before;
        input_mb, output_mb and checksum, the sum of all codes, predictions or learned numbers.
    """
    torch.set_num_threads(threads)
    repeats = 1 if case.operation == "fit" else repeats
    # Written in place in float32: a larger array on the way would lift the high-water mark.
    X = np.random.default_rng(0).standard_normal((case.rows, case.features), dtype=np.float32)
    run = OPERATIONS[case.operation](X, case.bits)
    run(X[:WARM_ROWS])  # the first call of a process is slow, and keeps the memory of what it loads
    seconds = []
    held = reset_peak()
    for _ in range(repeats):
        output = None  # the last one: the peak must not hold two of them
        start = time.perf_counter()
        output = run(X)
        seconds.append(time.perf_counter() - start)
    peak = peak_mb() - held
    return {
        **case._asdict(),
        "repeats": repeats,
        "seconds": min(seconds),
        "peak_mb": peak,
        "input_mb": X.nbytes / MB,
        "output_mb": output.nbytes / MB,
        "checksum": float(output.sum(dtype=np.float64)),
        "threads": threads,
        **VERSIONS,
    }


def measure_all(cases, path, *, repeats, threads):
    """Measure the cases, except what the file already holds.

    Parameters
    ----------
    cases : list of Case
    path : Path
        CSV file; each row is appended as soon as it is known.
    repeats, threads : int
        See `measure`.

    Returns
    -------
    DataFrame
        A row per case, those of earlier runs included.
    """
    jobs = []
    for case in cases:
        row = {**case._asdict(), "threads": threads, **VERSIONS}
        arguments = {"function": measure, "case": case, "repeats": repeats, "threads": threads}
        jobs.append((row, in_fresh_process, arguments))
    return collect(jobs, KEY, COLUMNS, path, description="cost")


def curve(results, operation, factor, base):
    """The rows of one operation in which all but one factor are those of the base case, in the order of that factor."""
    same = results["operation"] == operation
    for other in set(FACTORS) - {factor}:
        same &= results[other] == base[other]
    return results[same].sort_values(factor)


def slopes(results, base):
    """How the time grows with the rows.

    Parameters
    ----------
    results : DataFrame
        As `measure_all` makes it.
    base : dict
        A size of each of `FACTORS`.

    Returns
    -------
    DataFrame
        Per operation: seconds and million values per second at the largest number of rows, and the slope of the
        logarithm of the seconds between the two largest; 1 where time is proportional to rows.
    """
    table = []
    for operation in results["operation"].unique():
        points = curve(results, operation, "rows", base)
        if points.empty:
            continue
        rows, seconds = points["rows"].to_numpy(), points["seconds"].to_numpy()
        slope = np.log(seconds[-1] / seconds[-2]) / np.log(rows[-1] / rows[-2]) if len(points) > 1 else np.nan
        speed = rows[-1] * base["features"] / seconds[-1] / 1e6
        largest = {"operation": operation, "rows": rows[-1], "seconds": seconds[-1], "million values/s": speed}
        table.append({**largest, "slope": slope})
    return pd.DataFrame(table)


def draw(results, base):
    """Draw time and memory over each factor.

    Parameters
    ----------
    results : DataFrame
        As `measure_all` makes it.
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
    entries = {}
    for ax in axes[:, 0]:
        entries |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries), frameon=False)
    return figure


def _draw_panel(ax, results, base, factor, column):
    for operation in results["operation"].unique():
        points = curve(results, operation, factor, base)
        label = f"fit ({EPOCHS} epochs)" if operation == "fit" else operation
        ax.plot(points[factor], points[column], label=label, color=COLORS[operation], marker=MARKERS[operation])
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
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    tidy(ax)


def parse(argv):
    """The arguments of the command."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument(
        "--operations", nargs="+", default=list(OPERATIONS), choices=OPERATIONS, metavar="NAME", help="of %(choices)s"
    )
    parser.add_argument("--rows", type=positive, nargs="+", default=[10**k for k in range(4, 8)], metavar="N")
    parser.add_argument("--features", type=positive, nargs="+", default=[8, 32, 128, 512], metavar="D")
    parser.add_argument("--bits", type=positive, nargs="+", default=[1, 2, 4, 8], metavar="B", help="per feature")
    parser.add_argument(
        "--base",
        type=positive,
        nargs=3,
        default=[100_000, 32, 4],
        metavar=("N", "D", "B"),
        help="rows, features and bits around which one varies (default: 100000 32 4)",
    )
    parser.add_argument("--max-gb", type=float, default=8, metavar="GB", help="skip larger inputs (default: 8)")
    parser.add_argument(
        "--max-fit-rows", type=positive, default=10**6, metavar="N", help="skip longer fits (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=positive, default=3, metavar="N", help="of encode and predict (default: %(default)s)"
    )
    add_threads(parser)
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="of cost.csv and cost.png (default: %(default)s); a rerun skips the rows it finds there",
    )
    return parser.parse_args(argv)


def main(argv=None):
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
    print("seconds: the best repetition; peak_mb: above what was held before; slope: log seconds over log rows,")
    print("between the two largest, 1 is linear")
    print_table(slopes(results, base))
    picture = arguments.output_dir / "cost.png"
    draw(results, base).savefig(picture, dpi=150)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
