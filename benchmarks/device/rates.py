"""Measure the flash of an encoder with several rates on two Cortex-M cores, for one rate more at a time.

A program writes one message per rate for each row. It is linked with the header of all rates, and, for comparison, with
a header per rate. The flash is that beyond a program with an empty function. The messages are compared with those of
Python.

every second: each rate has every second threshold of the rate before it, as in `Codebook.coarsened`. chosen: the
thresholds are those that a fit with `rates` chooses.

Needs arm-none-eabi-gcc with newlib, and qemu-arm. On Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-user
"""

from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_output_dir, make_parser
from benchmarks.command import plain_errors, write_table
from benchmarks.device.chips import add_chips, check_tools, flash_of_messages, gcc_version
from benchmarks.device.encoders import make_job
from skbsq import BitwiseQuantizer
from skbsq.export import to_c

SIZES = [(8, 4), (20, 4), (20, 6), (81, 4)]
COLUMNS = ["features", "bits", "nesting", "core", "rates", "flash", "flash_of_last_rate", "flash_of_headers", "gcc"]

ONE_HEADER = """
void encode(const value_t *x, uint8_t *out)
{
    uint32_t rate;
    for (rate = 0; rate < BOOK_RATES; ++rate) {
        (void)book_encode_at(rate, x, out + book_message_begin_at(rate, out, 1));
        out += book_message_end_at(rate, out, 1);
    }
}
"""
A_HEADER_PER_RATE = """
void encode(const value_t *x, uint8_t *out)
{
CALLS}
"""
CALLS = """\
    (void)book_encode(x, out + book_message_begin(out, 1));
    out += book_message_end(out, 1);
"""


def every_second(n_features, bits, rates):
    """Make a codebook, and what is left of it at the rates."""
    fine = make_job(n_features, bits).book
    return [fine, *map(fine.coarsened, rates)]


def chosen(n_features, bits, rates):
    """Fit a quantizer with the rates."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, n_features)).astype(np.float32)
    y = np.sin(2 * X).sum(axis=1) + X[:, 0] * X[:, -1]
    quantizer = BitwiseQuantizer(bits, rates=tuple(rates), max_epochs=10, random_state=0).fit(X, y)
    return list(quantizer.codebooks_.values())


NESTINGS = {"every second": every_second, "chosen": chosen}


def measure(books, core):
    """Measure the flash for the first of the codebooks, for the first two, and so on.

    Parameters
    ----------
    books : list of Codebook
        From the finest to the coarsest.
    core : str
        Of `CORES`.

    Returns
    -------
    list of dict
        rates (how many), flash (one header), flash_of_last_rate (beyond the row before), flash_of_headers (one per
        rate), in bytes.
    """
    rows: list = []
    for n in range(1, len(books) + 1):
        some = books[:n]
        flash, flash_of_headers = (flash_of_messages(source(some), some, core) for source in (one_header, headers))
        more = flash - rows[-1]["flash"] if rows else None
        rows.append(
            {"rates": n, "flash": flash, "flash_of_last_rate": more, "flash_of_headers": flash_of_headers},
        )
    return rows


def one_header(books):
    """Write the C with all codebooks in one header."""
    fine, *coarser = books
    return to_c(fine, "book", coarser=coarser) + ONE_HEADER if coarser else headers(books)


def headers(books):
    """Write the C with a header for each codebook."""
    names = [f"book{i}" for i in range(len(books))]
    text = "".join(to_c(book, name) for book, name in zip(books, names, strict=True))
    return text + A_HEADER_PER_RATE.replace("CALLS", "".join(CALLS.replace("book_", f"{name}_") for name in names))


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__)
    add_chips(parser, SIZES)
    add_output_dir(parser, "device_rates.csv")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments, rows = parse(argv), []
    with plain_errors():
        check_tools()
        for (n_features, bits), nesting in tqdm([*product(arguments.sizes, NESTINGS)], desc="rates", unit="codebook"):
            books = NESTINGS[nesting](n_features, bits, range(bits - 1, 0, -1))
            for core in arguments.cores:
                about = {"features": n_features, "bits": bits, "nesting": nesting, "core": core}
                rows += [about | row for row in measure(books, core)]
    table = pd.DataFrame(rows).assign(gcc=gcc_version())[COLUMNS]
    write_table(table.astype({"flash_of_last_rate": "Int64"}), arguments.output_dir / "device_rates.csv")
    print(
        "rates: how many; flash: bytes with one header; flash_of_last_rate: beyond the row before, the second rate with"
    )
    print("the functions for all; flash_of_headers: bytes with a header per rate")


if __name__ == "__main__":
    main()
