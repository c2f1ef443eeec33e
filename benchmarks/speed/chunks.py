"""Measure fitting on chunks: errors of quantiles from a sketch, rows per second, memory of training.

Parts: error (of quantiles at 1/256, 2/256, ... as shares of the rows, beside KLL of the same size, whose error differs
in every run), partial_fit (rows per second), calls (milliseconds per call with few rows), train (fit_chunks on rows
that are made while it reads them: rows per second, and the memory above that of a first small fit).
"""

import pickle

import datasketches
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.metrics import r2_score
from tqdm import tqdm

from benchmarks.arguments import add_number, add_output_dir, add_parts, make_parser
from benchmarks.command import plain_errors, write_table
from benchmarks.processes import MB, in_fresh_process, measured, timed
from skbsq import BitwiseRegressor, QuantileQuantizer, UniformQuantizer
from skbsq.thresholds.quantile import averaged_inverted_cdf
from skbsq.thresholds.sketch import Sketch

SEED = 0
SIZES = (256, 1024, 2048, 4096)
SHARES = np.arange(1, 256) / 256
CHUNK = 100_000
QUANTIZERS = (UniformQuantizer(levels="midpoint"), UniformQuantizer(), QuantileQuantizer())

_DISTRIBUTIONS = {
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
    """Compute how far the share of rows below each quantile is from the wanted share.

    Parameters
    ----------
    quantiles : ndarray of shape (255,)
        At `SHARES`.
    x : ndarray of float32 of shape (n,)
        The rows.

    Returns
    -------
    ndarray of float64 of shape (255,)
        0 where the wanted share lies between the share of the rows below the quantile, and the share up to it.
    """
    x = np.sort(x)
    below, up_to = (np.searchsorted(x, quantiles.astype(np.float32), side=side) / x.size for side in ("left", "right"))
    return np.maximum(0, np.maximum(below - SHARES, SHARES - up_to))


def error(rows=1_000_000):
    """Yield a row per distribution, order of the rows, sketch and size."""
    for kind, make in _DISTRIBUTIONS.items():
        drawn = make(np.random.default_rng(SEED).standard_normal(rows)).astype(np.float32)
        for order, arrange in _ORDERS.items():
            x = arrange(drawn)
            for size in SIZES:
                for name, quantiles_of in {"skbsq": _by_skbsq, "KLL": _by_kll}.items():
                    quantiles, n_bytes = quantiles_of(np.array_split(x, 10), size)
                    errors = rank_errors(quantiles, x)
                    yield {
                        **{"column": kind, "order": order, "sketch": name, "size": size, "rows": rows},
                        **{"largest_error": errors.max(), "mean_error": errors.mean(), "bytes": n_bytes},
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
    """Yield a row per quantizer: rows per second of `partial_fit` on chunks, and of `fit` on all rows."""
    X = np.random.default_rng(SEED).standard_normal((rows, d), dtype=np.float32)
    chunks = np.array_split(X, max(1, rows // CHUNK))
    for quantizer in QUANTIZERS:
        by_chunks, at_once = clone(quantizer), clone(quantizer)
        seconds = sum(timed(by_chunks.partial_fit, chunk)[1] for chunk in chunks)
        _, seconds_of_fit = timed(at_once.fit, X)
        yield {
            "quantizer": str(quantizer),
            "rows": rows,
            "features": d,
            "rows_per_second": rows / seconds,
            "fit_rows_per_second": rows / seconds_of_fit,
            "equal_codes": np.mean(by_chunks.transform(chunks[0]) == at_once.transform(chunks[0])),
            "pickled_bytes": len(pickle.dumps(by_chunks)),
        }


def calls(rows=10_000, d=20, repeats=50):
    """Yield a row per quantizer and size of a chunk: milliseconds of a `partial_fit`, with and without a codebook.

    Before, the quantizer has read more distinct values than a sketch keeps exactly.
    """
    X = np.random.default_rng(SEED).standard_normal((rows, d), dtype=np.float32)
    for quantizer in QUANTIZERS:
        for n in (1, 100):
            chunks = np.random.default_rng(n).standard_normal((repeats, n, d), dtype=np.float32)
            seconds = {}
            for with_codebook in (False, True):
                fitted = clone(quantizer).partial_fit(X)
                seconds[with_codebook] = timed(_fit_each, fitted, chunks, with_codebook)[1] / repeats
            yield {
                "quantizer": str(quantizer),
                "rows_before": rows,
                "features": d,
                "rows": n,
                "milliseconds": 1e3 * seconds[False],
                "milliseconds_with_codebook": 1e3 * seconds[True],
                "ratio": seconds[True] / seconds[False],
            }


def _fit_each(quantizer, chunks, with_codebook):
    for chunk in chunks:
        quantizer.partial_fit(chunk)
        if with_codebook:
            quantizer.codebook_  # noqa: B018


def train(values=100_000_000, epochs=1, d=20):
    """Yield a row: time and memory of `BitwiseRegressor.fit_chunks`, in a fresh process."""
    yield in_fresh_process(_train, values=values, epochs=epochs, d=d, threads=torch.get_num_threads())


def _train(values, epochs, d, threads):
    torch.set_num_threads(threads)
    rows = max(values // d, 1000)
    regressor = BitwiseRegressor(batch_size=1024, max_epochs=epochs, random_state=SEED)
    regressor.fit_chunks([_chunk(0, 1000, d)])  # loads the libraries, whose memory does not count
    _, seconds, megabytes = measured(
        regressor.fit_chunks, lambda: (_chunk(i, min(CHUNK, rows - i), d) for i in range(0, rows, CHUNK))
    )
    X, y = _chunk(-1, 20_000, d)
    return {
        "values": rows * d,
        "rows": rows,
        "features": d,
        "epochs": epochs,
        "seconds": seconds,
        "rows_per_second": rows * epochs / seconds,
        "megabytes_of_rows": rows * d * 4 / MB,
        "megabytes_taken": megabytes,
        "r2": r2_score(y, regressor.predict(X)),
        "threads": threads,
    }


def _chunk(i, n, d):
    """Make rows and a target with waves, products and noise; equal for equal i."""
    random = np.random.default_rng([SEED, i + 1])
    X = random.standard_normal((n, d), dtype=np.float32)
    y = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3] + 0.1 * random.standard_normal(n)
    return X, y


PARTS = {part.__name__: part for part in (error, partial_fit, calls, train)}


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "threads")
    add_parts(parser, PARTS)
    add_number(parser, "--rows", 1_000_000, "in error and partial_fit")
    add_number(parser, "--values", 100_000_000, "rows x features of train")
    add_number(parser, "--epochs", 1, "of train")
    add_output_dir(parser, "chunks_*.csv")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with plain_errors():
        for name in arguments.parts:
            options = {} if name == "calls" else {"rows": arguments.rows}
            if name == "train":
                options = {"values": arguments.values, "epochs": arguments.epochs}
            table = pd.DataFrame(tqdm(PARTS[name](**options), desc=name))
            write_table(table, arguments.output_dir / f"chunks_{name}.csv")


if __name__ == "__main__":
    main()
