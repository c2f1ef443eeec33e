"""Fitting on chunks: how far quantiles of a sketch are off, how fast rows go in, how much memory training takes.

Parts: error (of quantiles at 1/256, 2/256, ... in shares of the rows; KLL of the same size beside it, whose error is
another in every run), partial_fit (rows per second), calls (milliseconds per call with few rows), train (fit_chunks on
rows that are made while it reads them: rows per second, and the memory beyond that of a first small fit).
"""

import pickle
import time

import datasketches
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.metrics import r2_score
from tqdm import tqdm

from benchmarks.command import add_output_dir, add_threads, make_parser, plain_errors, positive, print_table
from benchmarks.processes import in_fresh_process, peak_mb, reset_peak
from skbsq import BitwiseRegressor, QuantileQuantizer, UniformQuantizer
from skbsq.thresholds.quantile import averaged_inverted_cdf
from skbsq.thresholds.sketch import Sketch

SEED = 0
SIZES = (256, 1024, 2048, 4096)
SHARES = np.arange(1, 256) / 256
CHUNK = 100_000

_COLUMNS = {
    "normal": lambda x: x,
    "lognormal": lambda x: np.exp(2 * x),
    "integers": lambda x: np.rint(50 * x),
    "many integers": lambda x: np.rint(10_000 * x),
    "mostly zero": lambda x: np.maximum(x, 0),
}
_ORDERS = {
    "drawn": lambda x: x,
    "rising": np.sort,
    "from the ends": lambda x: np.sort(x)[np.argsort(-np.abs(np.arange(x.size) - x.size / 2), kind="stable")],
}


def rank_errors(quantiles, x):
    """How far the share of rows below each quantile is from what it should be.

    Parameters
    ----------
    quantiles : ndarray of shape (255,)
        At `SHARES`.
    x : ndarray of float32 of shape (n,)
        The rows.

    Returns
    -------
    ndarray of float64 of shape (255,)
        0 where the wanted share lies between that of the rows below the quantile, and that of those up to it.
    """
    x = np.sort(x)
    below, up_to = (np.searchsorted(x, quantiles.astype(np.float32), side=side) / x.size for side in ("left", "right"))
    return np.maximum(0, np.maximum(below - SHARES, SHARES - up_to))


def error(rows=1_000_000):
    """Yield a row per kind of column, order of its rows, sketch and size."""
    for kind, make in _COLUMNS.items():
        drawn = make(np.random.default_rng(SEED).standard_normal(rows)).astype(np.float32)
        for order, arrange in _ORDERS.items():
            x = arrange(drawn)
            for size in SIZES:
                for name, summarize in {"skbsq": _by_skbsq, "KLL": _by_kll}.items():
                    quantiles, n_bytes = summarize(np.array_split(x, 10), size)
                    errors = rank_errors(quantiles, x)
                    yield {
                        "column": kind,
                        "order": order,
                        "sketch": name,
                        "size": size,
                        "rows": rows,
                        "largest_error": errors.max(),
                        "mean_error": errors.mean(),
                        "bytes": n_bytes,
                    }


def _by_skbsq(chunks, size):
    sketch = Sketch(size)
    for x in chunks:
        sketch.update(x, np.ones(x.size))
    state = sketch.state()
    n_bytes = sum(
        array.nbytes
        for array in (state["values"], state["mass"], *state["digests"].values(), *state["waiting"].values())
    )
    return averaged_inverted_cdf(*sketch.weighted_unique, SHARES), n_bytes


def _by_kll(chunks, size):
    sketch = datasketches.kll_floats_sketch(size)
    for x in chunks:
        sketch.update(x)
    return np.array(sketch.get_quantiles(SHARES.tolist(), True)), len(sketch.serialize())


def partial_fit(rows=1_000_000, d=20):
    """Yield a row per quantizer: seconds of `partial_fit` on chunks, beside those of `fit` on all rows."""
    X = np.random.default_rng(SEED).standard_normal((rows, d), dtype=np.float32)
    chunks = np.array_split(X, max(1, rows // CHUNK))
    for quantizer in (UniformQuantizer(levels="midpoint"), UniformQuantizer(), QuantileQuantizer()):
        by_chunks, at_once = clone(quantizer), clone(quantizer)
        start = time.perf_counter()
        for chunk in chunks:
            by_chunks.partial_fit(chunk)
        between = time.perf_counter()
        at_once.fit(X)
        seconds, of_fit = between - start, time.perf_counter() - between
        same = np.mean(by_chunks.transform(chunks[0]) == at_once.transform(chunks[0]))
        yield {
            "quantizer": str(quantizer),
            "rows": rows,
            "features": d,
            "rows_per_second": rows / seconds,
            "fit_rows_per_second": rows / of_fit,
            "equal_codes": same,
            "pickled_bytes": len(pickle.dumps(by_chunks)),
        }


def calls(rows=10_000, d=20, repeats=50):
    """Yield a row per quantizer and size of a chunk: milliseconds of a `partial_fit`, with and without a codebook.

    The quantizer has seen more distinct values before than a sketch keeps exactly.
    """
    X = np.random.default_rng(SEED).standard_normal((rows, d), dtype=np.float32)
    for quantizer in (UniformQuantizer(levels="midpoint"), UniformQuantizer(), QuantileQuantizer()):
        for n in (1, 100):
            seconds = {}
            for asks in (False, True):
                fitted = clone(quantizer).partial_fit(X)
                chunks = np.random.default_rng(n).standard_normal((repeats, n, d), dtype=np.float32)
                start = time.perf_counter()
                for chunk in chunks:
                    fitted.partial_fit(chunk)
                    if asks:
                        fitted.codebook_  # noqa: B018
                seconds[asks] = (time.perf_counter() - start) / repeats
            yield {
                "quantizer": str(quantizer),
                "rows_before": rows,
                "features": d,
                "rows": n,
                "milliseconds": 1e3 * seconds[False],
                "milliseconds_with_codebook": 1e3 * seconds[True],
                "ratio": seconds[True] / seconds[False],
            }


def train(values=100_000_000, epochs=1, d=20):
    """Yield a row: `BitwiseRegressor.fit_chunks` in a process of its own, so that its memory is its own."""
    yield in_fresh_process(_train, values=values, epochs=epochs, d=d, threads=torch.get_num_threads())


def _train(values, epochs, d, threads):
    torch.set_num_threads(threads)
    rows = max(values // d, 1000)
    regressor = BitwiseRegressor(batch_size=1024, max_epochs=epochs, random_state=SEED)
    regressor.fit_chunks([_chunk(0, 1000, d)])  # what libraries load is none of the rows' memory
    before, start = reset_peak(), time.perf_counter()
    regressor.fit_chunks(lambda: (_chunk(i, min(CHUNK, rows - i), d) for i in range(0, rows, CHUNK)))
    seconds, after = time.perf_counter() - start, peak_mb()
    X, y = _chunk(-1, 20_000, d)
    return {
        "values": rows * d,
        "rows": rows,
        "features": d,
        "epochs": epochs,
        "seconds": seconds,
        "rows_per_second": rows * epochs / seconds,
        "megabytes_of_rows": rows * d * 4 / 1e6,
        "megabytes_taken": after - before,
        "r2": r2_score(y, regressor.predict(X)),
        "threads": threads,
    }


def _chunk(i, n, d):
    """Rows and a target with waves, products and noise; the same for the same i."""
    random = np.random.default_rng([SEED, i + 1])
    X = random.standard_normal((n, d), dtype=np.float32)
    y = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3] + 0.1 * random.standard_normal(n)
    return X, y


PARTS = {part.__name__: part for part in (error, partial_fit, calls, train)}


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, metavar="PART", help="of %(choices)s")
    parser.add_argument(
        "--rows", type=positive, default=1_000_000, metavar="N", help="in error and partial_fit (default: %(default)s)"
    )
    parser.add_argument(
        "--values", type=positive, default=100_000_000, metavar="N", help="rows x features of train (%(default)s)"
    )
    parser.add_argument("--epochs", type=positive, default=1, metavar="N", help="of train (default: %(default)s)")
    add_threads(parser)
    add_output_dir(parser, "chunks_*.csv")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    with plain_errors():
        for name in arguments.parts:
            options = {} if name == "calls" else {"rows": arguments.rows}
            if name == "train":
                options = {"values": arguments.values, "epochs": arguments.epochs}
            table = pd.DataFrame(tqdm(PARTS[name](**options), desc=name))
            table.to_csv(arguments.output_dir / f"chunks_{name}.csv", index=False)
            print_table(table)


if __name__ == "__main__":
    main()
