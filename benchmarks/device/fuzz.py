"""Damage messages: `loads` must reject each with a ValueError, never misread it, and never raise another error.

A damaged message that gives other rows counts as misread. It may give the same rows: if the damage replaced bytes by
equal ones, or changed the last bits of entropy-coded or deflated rows, which have no meaning.
"""

import io
import random
import struct
import zlib
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_number, make_parser
from benchmarks.command import print_table
from skbsq import Codebook
from skbsq.codec import RowCodec, _entropy, dumps, loads

CODINGS = [(False, False), (True, False), (False, True)]
FORMS = [
    {"pad_rows": pad_rows, "entropy": entropy, "deflate": deflate}
    for pad_rows, (entropy, deflate) in product((True, False), CODINGS)
]
WAYS = ("random bytes", "cut off", "a bit flipped", "bytes changed", "bytes changed, check sum made right")
_HEADER = 18


def fuzz(cases, seed=0):
    """Damage messages and read them.

    Parameters
    ----------
    cases : int
        Messages of each way and form.
    seed : int, default=0

    Returns
    -------
    DataFrame
        A row per way and form: how many messages were refused, gave the same rows, or gave other rows. With a corrected
        check sum, other rows are valid if `dumps` writes them as exactly these bytes.

    Raises
    ------
    Exception
        Any error of `loads` except ValueError.
    """
    draw, rows = random.Random(seed), []
    for form, way in tqdm(list(product(FORMS, WAYS)), desc="fuzz", unit="way"):
        counts: Counter = Counter(refused=0, unchanged=0, valid=0, misread=0)
        for case in range(cases):
            if case % 1000 == 0:
                book, codes = _draw_rows(draw)
                message = dumps(book, codes, **form)
            damaged = _damage(message, way, draw, book)
            counts[_read(damaged, message, book, codes, way)] += 1
        rows.append({"way": way, **form, "cases": cases, **counts})
    return pd.DataFrame(rows)


def _draw_rows(draw):
    """Draw a codebook with any numbers of bits, and rows whose codes are as frequent as its counts."""
    rng = np.random.default_rng(draw.getrandbits(32))
    n_levels = [int(n) for n in rng.choice([1, 2, 3, 4, 7, 16, 200, 256, 700], size=rng.integers(1, 6))]
    counts = [np.ceil(1000 / np.arange(1, n + 1) ** 2).astype(int) for n in n_levels]
    book = Codebook.from_thresholds([np.arange(n - 1) for n in n_levels], counts=counts)
    n = int(rng.integers(0, 80))
    codes = np.column_stack([rng.choice(len(c), size=n, p=c / c.sum()) for c in counts])
    return book, codes.astype(book.dtype)


def _damage(message, way, draw, book):
    if way == "random bytes":
        # Sometimes after a correct beginning, so that later checks are reached as well.
        kept = draw.choice([0, 0, 6, 14, _HEADER])
        return message[:kept] + draw.randbytes(draw.randint(0, 64))
    if way == "cut off":
        return message[: draw.randrange(len(message))]
    damaged = bytearray(message)
    if way == "a bit flipped":
        bit = draw.randrange(8 * len(damaged))
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(damaged) + 1)
        damaged[at : at + draw.randint(0, 4)] = draw.randbytes(draw.randint(0, 4))
    if way.endswith("right") and len(damaged) >= 4:
        damaged[-4:] = struct.pack("<I", _right_check_sum(bytes(damaged[:-4]), book))
    return bytes(damaged)


def _right_check_sum(body, book):
    """Return the CRC of the message, or of header and rows if it is entropy-coded and can be decoded."""
    if len(body) > _HEADER and body[5] & 2:
        words, n = io.BytesIO(body[_HEADER:]), int.from_bytes(body[_HEADER - 4 : _HEADER], "little")
        try:
            codes = _entropy.decompress(book, words.read, n) if n < 1000 else None
            if codes is not None:
                rows = RowCodec(book).pack_tight(codes) if body[5] & 1 else RowCodec(book).pack(codes)
                return zlib.crc32(rows.tobytes(), zlib.crc32(body[:_HEADER]))
        except (ValueError, struct.error):
            pass  # not decodable
    return zlib.crc32(body)


def _read(damaged, message, book, codes, way):
    try:
        found = loads(damaged, book)
    except ValueError:
        return "refused"
    if np.array_equal(found, codes):
        return "unchanged"
    if damaged == message:
        return "misread"
    return "valid" if way.endswith("right") and _holds(damaged, book, found) else "misread"


def _holds(message, book, codes):
    """Tell whether `dumps` writes codes as the bytes of a message, as far as these have a meaning."""
    form = {"pad_rows": not message[5] & 1, "entropy": bool(message[5] & 2)}
    again = dumps(book, codes, **form)
    if message[5] & 4:  # many streams hold the same rows
        try:
            return zlib.decompress(message[_HEADER + 4 : -4], -15) == again[_HEADER:-4]
        except zlib.error:
            return False
    # The last bits of entropy-coded rows have no meaning, so only the decoded rows must be the same.
    return again == message or (form["entropy"] and again[-4:] == message[-4:])


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    add_number(parser, "--cases", 1_000_000, "in all")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the damage (default: %(default)s)")
    arguments = parser.parse_args(argv)
    table = fuzz(-(-arguments.cases // (len(WAYS) * len(FORMS))), arguments.seed)
    print_table(table)
    totals = table[["cases", "refused", "unchanged", "valid", "misread"]].sum()
    print(", ".join(f"{name}: {count}" for name, count in totals.items()))
    if totals["misread"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
