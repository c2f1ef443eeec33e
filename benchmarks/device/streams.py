"""Compare codings of messages: bytes per row of streams, in messages of 1 to 1000 rows.

A quantile quantizer learns from the first half of a file. The other half is the stream, cut into messages one after the
other. A message is 22 bytes and its payload. A coded payload that is not shorter is replaced by the packed rows. The
forms:

packed, without padding, entropy, deflate    what `dumps` writes
deflate, ...                                 another level, other layouts of the rows, or a zlib header, in its place
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_number, make_parser
from benchmarks.command import as_markdown, plain_errors, write_table
from benchmarks.datasets import load_several
from skbsq import QuantileQuantizer
from skbsq.codec import RowCodec, dumps

COLUMNS = ["dataset", "bits", "rows", "form", "messages", "bytes_per_row"]
# Of a message, and of the length in a deflated payload.
AROUND, LENGTH = 22, 4
PLAIN = ["packed", "without padding"]
WRITTEN = [*PLAIN, "entropy", "deflate"]
# What deflate has to save to be worth a flag.
SAVING = 0.1


def measure(data, bits, rows):
    """Count the bytes of a stream in messages of each form.

    Parameters
    ----------
    data : Dataset
    bits : list of int
        Bits per feature.
    rows : list of int
        Rows per message.

    Returns
    -------
    DataFrame
        A row per number of bits, rows per message and form.
    """
    X = data.X.to_numpy(np.float32)
    past, stream = X[: len(X) // 2], X[len(X) // 2 :]
    measured = []
    for b in bits:
        book = QuantileQuantizer(b, missing="code" if np.isnan(X).any() else "error").fit(past).codebook_
        codes = book.encode(stream)
        for n in tqdm(rows, desc=f"{data.name}, {b} bits", unit="size"):
            starts = range(0, len(codes) - n + 1, n)
            sizes = pd.DataFrame([message_bytes(book, codes[start : start + n]) for start in starts])
            per_row = sizes.sum() / (n * len(sizes))
            measured += [(data.name, b, n, form, len(sizes), size) for form, size in per_row.items()]
    return pd.DataFrame(measured, columns=COLUMNS)


def message_bytes(book, codes):
    """Count the bytes of a message of each form: dict."""
    packed = RowCodec(book).pack(codes)
    rows, tight = packed.tobytes(), RowCodec(book).pack_tight(codes).tobytes()
    others = {
        "level 6": deflated(rows, level=6),
        "with zlib header": len(zlib.compress(rows, 9)),
        "without padding": deflated(tight),
        "bytes side by side": deflated(packed.T.tobytes()),
        "bits side by side": deflated(_bit_planes(book, codes)),
        "codes side by side": deflated(codes.T.tobytes()),
    }
    return {
        "packed": len(dumps(book, codes)),
        "without padding": len(dumps(book, codes, pad_rows=False)),
        "entropy": len(dumps(book, codes, entropy=True)),
        "deflate": len(dumps(book, codes, deflate=True)),
        **{f"deflate, {form}": AROUND + min(len(rows), LENGTH + size) for form, size in others.items()},
    }


def deflated(data, level=9):
    """Count the bytes of a raw deflate stream."""
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return len(encoder.compress(data) + encoder.flush())


def _bit_planes(book, codes):
    """Return the lowest bit of a feature of all rows, then the next one, ...; then the next feature."""
    planes = [codes[:, j] >> bit & 1 for j, bits in enumerate(book.n_bits.tolist()) for bit in range(bits)]
    return np.packbits(np.array(planes, dtype=np.uint8), bitorder="little").tobytes()


def page_table(table):
    """Write the table of docs/reference/bytes.md: bytes per row of the forms that `dumps` writes.

    Parameters
    ----------
    table : DataFrame
        What `main` stores.

    Returns
    -------
    str
        A table in Markdown.
    """
    cases = _by_case(table)
    columns = cases.droplevel("rows").index.unique()
    lines = [["rows per message", "coding", *(f"{name}, {bits} bits" for name, bits in columns)]]
    for n in cases.index.unique("rows"):
        of_size = cases.xs(n, level="rows").loc[columns]
        for form in WRITTEN:
            lines.append([str(n), form, *(f"{size:.3g}" for size in of_size[form])])
    return as_markdown(lines)


def savings(table, others):
    """Compute what deflate saves against the best of the other forms, by case: a Series of shares."""
    cases = _by_case(table)
    return 1 - cases["deflate"] / cases[others].min(axis=1)


def layouts(table):
    """Compute the bytes of other layouts as a multiple of those of deflate: geometric means over the cases."""
    cases = _by_case(table)
    others = cases.drop(columns=WRITTEN)
    return np.exp(np.log(others.div(cases["deflate"], axis=0)).mean())


def _by_case(table):
    order = table["form"].unique()
    return table.pivot(index=["dataset", "bits", "rows"], columns="form", values="bytes_per_row").loc[
        pd.MultiIndex.from_frame(table[["dataset", "bits", "rows"]].drop_duplicates()), order
    ]


def main(argv=None):
    """Run the command line."""
    sets = ["occupancy", "sulfur", "air_quality", "cpu_act"]
    parser = make_parser(__spec__, __doc__, "data_dir", dataset=sets, bits=[2, 4])
    add_number(parser, "--rows", [1, 10, 100, 1000], "per message")
    parser.add_argument(
        "--output", type=Path, default="streams.csv", metavar="CSV", help="file to replace (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir)
    table = pd.concat([measure(d, arguments.bits, arguments.rows) for d in data], ignore_index=True)
    write_table(table, arguments.output)
    print("", page_table(table), "", sep="\n")
    for what, others in (("all other forms", [*PLAIN, "entropy"]), ("forms that need no package", PLAIN)):
        saved = savings(table, others)
        n_worth, most = (saved >= SAVING).sum(), saved.max()
        print(f"against {what}: deflate saves {SAVING:.0%} in {n_worth} of {len(saved)} cases, at most {most:.0%}")
    print("\nother layouts, as a multiple of deflate:", layouts(table).round(3).to_string(header=False), sep="\n")


if __name__ == "__main__":
    main()
