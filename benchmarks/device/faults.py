"""Measure the flash of the C functions for sensors that fail, on two Cortex-M cores.

A program puts the features of a row one at a time, and writes a message of that row. Further programs call one function
more at a time. The flash is that beyond a program with an empty function, or beyond the program with one call less. The
messages are compared with those of Python.

missing: none, half or all of the features have a missing code.

Needs arm-none-eabi-gcc with newlib, and qemu-arm. On Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-user
"""

from itertools import product

import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_output_dir, make_parser
from benchmarks.command import plain_errors, write_table
from benchmarks.device.chips import add_chips, check_tools, flash_of_messages, gcc_version
from benchmarks.device.encoders import make_job
from skbsq import Codebook
from skbsq.export import to_c

SIZES = [(8, 4), (81, 4)]
# Every how many features one has a missing code.
MISSING = {"none": 0, "half": 2, "all": 1}
FUNCTIONS = ["put", "clear", "put_missing", "fill", "ready", "fill_missing"]
COLUMNS = ["features", "bits", "missing", "core", *FUNCTIONS, "gcc"]

PROGRAM = """
void encode(const value_t *x, uint8_t *out)
{{
    static uint8_t row[BOOK_ROW_BYTES];
    uint8_t *at;
    uint32_t j;
    {begin}
    for (j = 0; j < VALUES; ++j) {{
        {each}
    }}
    at = out + book_message_begin(out, 1);
    {end}
}}
"""
PUT = "book_put(row, j, x[j]);"
COPY = "memcpy(at, row, BOOK_ROW_BYTES); book_message_end(out, 1);"
CLEAR = "book_clear(row);"
CLEAR_MASK = "static uint8_t mask[BOOK_MASK_BYTES]; book_clear(row, mask);"
FILL = "book_fill(row, mask, j, x[j]);"
COPY_IF_READY = "if (book_copy_ready(row, mask, at) == 0) book_message_end(out, 1);"


def make_book(n_features, bits, missing):
    """Make a codebook in which some features have a missing code.

    Examples
    --------
    >>> make_book(4, 2, "half").has_missing.tolist()
    [True, False, True, False]
    """
    every = MISSING[missing]
    has_missing = [every > 0 and j % every == 0 for j in range(n_features)]
    return Codebook.from_thresholds(make_job(n_features, bits).book.thresholds, missing="seen", has_missing=has_missing)


def measure(book, core):
    """Measure the flash of each function.

    Parameters
    ----------
    book : Codebook
    core : str
        Of `benchmarks.device.chips.CORES`.

    Returns
    -------
    dict
        put: bytes of the program without the other functions. The others: bytes that each function adds, fill in place
        of put, and ready with copy_ready. Without a mask the header has only clear and put_missing.
    """

    def flash(begin, each, end):
        source = to_c(book, "book") + PROGRAM.format(begin=begin, each=each, end=end)
        return flash_of_messages(source, [book], core)

    has_mask = bool(book.refuses_nan.any())
    put = flash("", PUT, COPY)
    clear = flash(CLEAR_MASK if has_mask else CLEAR, PUT, COPY)
    put_missing = flash("", "book_put_missing(row, j); " + PUT, COPY)
    row = {"put": put, "clear": clear - put, "put_missing": put_missing - put}
    if has_mask:
        fill = flash(CLEAR_MASK, FILL, COPY)
        ready = flash(CLEAR_MASK, FILL, COPY_IF_READY)
        fill_missing = flash(CLEAR_MASK, "book_fill_missing(row, mask, j); " + FILL, COPY_IF_READY)
        row |= {"fill": fill - clear, "ready": ready - fill, "fill_missing": fill_missing - ready}
    return row


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__)
    add_chips(parser, SIZES)
    add_output_dir(parser, "device_faults.csv")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments, rows = parse(argv), []
    with plain_errors():
        check_tools()
        for (n_features, bits), missing in tqdm([*product(arguments.sizes, MISSING)], desc="faults", unit="codebook"):
            book = make_book(n_features, bits, missing)
            for core in arguments.cores:
                about = {"features": n_features, "bits": bits, "missing": missing, "core": core}
                rows.append(about | measure(book, core))
    table = pd.DataFrame(rows).assign(gcc=gcc_version()).reindex(columns=COLUMNS)
    write_table(table.astype(dict.fromkeys(FUNCTIONS, "Int64")), arguments.output_dir / "device_faults.csv")
    print("put: bytes of a program that puts features and writes a message; the others: bytes that they add,")
    print("fill in place of put, ready with copy_ready")


if __name__ == "__main__":
    main()
