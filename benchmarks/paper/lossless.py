"""Compress the floats themselves: bits per row of zlib and Zstandard, without any loss of information.

The held-out rows of a data set, as float32 or float16, are cut into messages one after the other. Each message is
compressed alone, its bytes in the order that gives the shortest result: row by row, feature by feature, or feature by
feature with all first bytes together, then all second bytes, and so on. Headers of messages are not counted.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from benchmarks.arguments import SEEDS, add_number, make_parser
from benchmarks.command import plain_errors, print_table, write_table
from benchmarks.datasets import load_several
from benchmarks.methods import split
from benchmarks.paper.floats import as_float16

COLUMNS = ["dataset", "seed", "dtype", "codec", "rows", "row_bits"]
_ZSTD = pyarrow.Codec("zstd", compression_level=19)
CODECS = {
    "none": lambda data: data,
    "zlib": lambda data: zlib.compress(data, 9),
    "zstd": lambda data: _ZSTD.compress(data, asbytes=True),
}


def measure(data, seed, rows):
    """Count the bits per held-out row of each type, codec and number of rows per message.

    Parameters
    ----------
    data : Dataset
    seed : int
        Of the split.
    rows : list of int
        Rows per message.

    Returns
    -------
    DataFrame
    """
    X_train, X_test, *_ = split(data, seed)
    parts = X_train.to_numpy(), X_test.to_numpy()
    tables = {"float32": parts[1].astype(np.float32), "float16": as_float16(*parts)[1].astype(np.float16)}
    measured = []
    for dtype, X in tables.items():
        for n in rows:
            messages = [X[start : start + n] for start in range(0, len(X) - n + 1, n)]
            for codec, compress in CODECS.items():
                size = sum(min(len(compress(text)) for text in orders(message)) for message in messages)
                measured.append((data.name, seed, dtype, codec, n, 8 * size / (n * len(messages))))
    return pd.DataFrame(measured, columns=COLUMNS)


def orders(message):
    """Return the bytes of a message row by row, feature by feature, and byte by byte of each feature.

    Parameters
    ----------
    message : ndarray of shape (n, d)

    Returns
    -------
    list of bytes
    """
    columns = np.ascontiguousarray(message.T)
    planes = columns.view(np.uint8).reshape(*columns.shape, -1).transpose(0, 2, 1)
    return [message.tobytes(), columns.tobytes(), planes.tobytes()]


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "data_dir", dataset=["california"], seeds=SEEDS)
    add_number(parser, "--rows", [1, 100, 1000], "per message")
    parser.add_argument(
        "--output", type=Path, default="lossless.csv", metavar="CSV", help="file to replace (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir)
    parts = [measure(d, seed, arguments.rows) for d in data for seed in arguments.seeds]
    table = pd.concat(parts, ignore_index=True)
    write_table(table, arguments.output)
    means = table.pivot_table("row_bits", ["dataset", "dtype", "codec"], "rows", sort=False)
    print("\nBits per row, means over the splits, by rows per message:")
    print_table(means)


if __name__ == "__main__":
    main()
