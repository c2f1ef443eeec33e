"""Bytes on the wire: a stream of readings as floats, as packed rows, as messages, and compressed.

The quantizers learn from the first part of the rows, in the order of the file; the rest is the stream that is sent.
"""

import zlib

import numpy as np
import pandas as pd
import zstandard

from benchmarks.command import add_data_dir, add_output, make_parser, plain_errors, positive, print_table
from benchmarks.datasets import NAMES, load
from skbsq import BitwiseQuantizer, QuantileQuantizer
from skbsq.codec import RowCodec, dumps

SEED = 42
TRAINED = 0.7
ZSTD_LEVEL = 19
COLUMNS = ["dataset", "quantizer", "bits", "sent", "rows", "bytes_per_row", "total_bytes", "float32_over_this"]


def measure(data, bits, **training):
    """Bytes of the stream in every form.

    Parameters
    ----------
    data : Dataset
    bits : list of int
        Bits per feature.
    **training
        Parameters of `BitwiseQuantizer`.

    Returns
    -------
    DataFrame
        A row per quantizer, number of bits and form; float32_over_this says how many times the float32 rows of the
        stream are as long.
    """
    X, y = data.X.to_numpy(np.float32), data.y.to_numpy()
    n_trained = int(TRAINED * len(X))
    past, stream = X[:n_trained], X[n_trained:]
    missing = "code" if np.isnan(past).any() else "error"
    forms = [("-", 32, form, size) for form, size in _floats(stream).items()]
    for b in bits:
        for quantizer in (
            QuantileQuantizer(b, missing=missing),
            BitwiseQuantizer(b, missing=missing, task=data.task, random_state=SEED, **training),
        ):
            quantizer.fit(past, y[:n_trained])
            book = quantizer.codebook_
            name = type(quantizer).__name__
            forms += [(name, b, form, size) for form, size in _coded(book, book.encode(stream)).items()]
    table = pd.DataFrame(forms, columns=["quantizer", "bits", "sent", "total_bytes"])
    table["dataset"], table["rows"] = data.name, len(stream)
    table["bytes_per_row"] = table["total_bytes"] / len(stream)
    table["float32_over_this"] = stream.nbytes / table["total_bytes"]
    return table[COLUMNS]


def _floats(stream):
    with np.errstate(over="ignore"):
        half = stream.astype("<f2").tobytes()
    rows, planes = stream.astype("<f4").tobytes(), _planes(stream.astype("<f4"))
    return {
        "float32": len(rows),
        "float16": len(half),
        "float32, zlib": _zlib(rows),
        "float32, zstd": _zstd(rows),
        "float32, bytes side by side, zstd": _zstd(planes),
        "float16, zstd": _zstd(half),
    }


def _coded(book, codes):
    packed = RowCodec(book).pack(codes).tobytes()
    return {
        "packed rows": len(packed),
        "packed rows, zlib": _zlib(packed),
        "packed rows, zstd": _zstd(packed),
        "codes, column by column, zstd": _zstd(_planes(codes)),
        "message": len(dumps(book, codes)),
        "message without padding": len(dumps(book, codes, pad_rows=False)),
        "message, entropy-coded": len(dumps(book, codes, entropy=True)),
    }


def _planes(rows):
    """The first byte of every value of a column, then the second, ...; then the next column."""
    return np.ascontiguousarray(np.ascontiguousarray(rows).view(np.uint8).T).tobytes()


def _zlib(data):
    return len(zlib.compress(data, 9))


def _zstd(data):
    return len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data))


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument(
        "--dataset",
        nargs="+",
        default=["air_quality", "occupancy"],
        choices=NAMES,
        metavar="NAME",
        help="of %(choices)s",
    )
    add_data_dir(parser)
    parser.add_argument("--bits", nargs="+", type=positive, default=[2, 4], metavar="B", help="bits per feature")
    parser.add_argument("--max-epochs", type=positive, default=30, metavar="N", help="of BitwiseQuantizer")
    add_output(parser, "traffic.csv")
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = [load(name, arguments.data_dir) for name in arguments.dataset]
    table = pd.concat([measure(d, arguments.bits, max_epochs=arguments.max_epochs) for d in data], ignore_index=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output, index=False)
    print_table(table)


if __name__ == "__main__":
    main()
