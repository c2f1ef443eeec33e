"""Damaged messages: each must be refused by a ValueError, never misread, never answered by another error.

A damaged message that gives other rows counts as misread. It may give the same rows: where the damage put bytes in
place of equal ones, or changed the last bits of entropy-coded rows, which carry nothing.
"""

import io
import random
import struct
import zlib
from collections import Counter

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.command import make_parser, positive, print_table
from skbsq import Codebook
from skbsq.codec import RowCodec, _entropy, dumps, loads

FORMS = [{"pad_rows": pad_rows, "entropy": entropy} for pad_rows in (True, False) for entropy in (False, True)]
WAYS = ("random bytes", "cut off", "a bit flipped", "bytes changed", "bytes changed, check sum made right")
_HEADER = 18


def fuzz(cases, seed=0):
    """Damage messages and read them.

    Parameters
    ----------
    cases : int
        Of each way and form.
    seed : int, default=0

    Returns
    -------
    DataFrame
        A row per way and form: how many were refused, gave the same rows, or others. Under a check sum that was made
        right others are valid: they must then be rows that `dumps` writes as just these bytes.

    Raises
    ------
    Exception
        Whatever `loads` raises beside ValueError.
    """
    draw, rows = random.Random(seed), []
    progress = tqdm(total=cases * len(WAYS) * len(FORMS), desc="fuzz", unit="message", mininterval=1)
    for form in FORMS:
        for way in WAYS:
            counts: Counter = Counter(refused=0, unchanged=0, valid=0, misread=0)
            for case in range(cases):
                if case % 1000 == 0:
                    book, codes = _draw_rows(draw)
                    message = dumps(book, codes, **form)
                damaged = _damage(message, way, draw, book)
                counts[_read(damaged, message, book, codes, form, way)] += 1
                progress.update()
            rows.append({"way": way, **form, "cases": cases, **counts})
    progress.close()
    return pd.DataFrame(rows)


def _draw_rows(draw):
    """A codebook of any widths, and rows of it with codes as frequent as it counts."""
    rng = np.random.default_rng(draw.getrandbits(32))
    n_levels = [int(n) for n in rng.choice([1, 2, 3, 4, 7, 16, 200, 256, 700], size=rng.integers(1, 6))]
    counts = [np.ceil(1000 / np.arange(1, n + 1) ** 2).astype(int) for n in n_levels]
    book = Codebook.from_thresholds([np.arange(n - 1) for n in n_levels], counts=counts)
    n = int(rng.integers(0, 80))
    codes = np.column_stack([rng.choice(len(c), size=n, p=c / c.sum()) for c in counts])
    return book, codes.astype(book.dtype)


def _damage(message, way, draw, book):
    if way == "random bytes":
        # Now and then behind a right beginning, so that more than the first check is reached.
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
    """The CRC of all of it; of an entropy-coded message, where its words can be read, of the header and the rows."""
    if len(body) > _HEADER and body[5] & 2:
        words, n = io.BytesIO(body[_HEADER:]), int.from_bytes(body[_HEADER - 4 : _HEADER], "little")
        try:
            codes = _entropy.decompress(book, words.read, n) if n < 1000 else None
            if codes is not None:
                rows = RowCodec(book).pack_tight(codes) if body[5] & 1 else RowCodec(book).pack(codes)
                return zlib.crc32(rows.tobytes(), zlib.crc32(body[:_HEADER]))
        except (ValueError, struct.error):
            pass  # words of no codes
    return zlib.crc32(body)


def _read(damaged, message, book, codes, form, way):
    try:
        found = loads(damaged, book)
    except ValueError:
        return "refused"
    if np.array_equal(found, codes):
        return "unchanged"
    if damaged == message:
        return "misread"
    form = {**form, "entropy": bool(damaged[5] & 2), "pad_rows": not damaged[5] & 1}
    again = dumps(book, found, **form)
    # The last bits of entropy-coded rows carry nothing: what they give must be what is written, not they themselves.
    valid = way.endswith("right") and (again == damaged or (form["entropy"] and again[-4:] == damaged[-4:]))
    return "valid" if valid else "misread"


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument("--cases", type=positive, default=1_000_000, metavar="N", help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    arguments = parser.parse_args(argv)
    table = fuzz(-(-arguments.cases // (len(WAYS) * len(FORMS))), arguments.seed)
    print_table(table)
    totals = table[["cases", "refused", "unchanged", "valid", "misread"]].sum()
    print(", ".join(f"{name}: {count}" for name, count in totals.items()))
    if totals["misread"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
