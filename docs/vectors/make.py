"""Write the conformance files of this folder: python docs/vectors/make.py

docs/deploy/languages.md says what they hold. The expected results are those of this package.
"""

import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np

from skbsq import Codebook
from skbsq.codec import ChangeSender, RowCodec, dumps
from skbsq.codec.crc import crc8, crc16

FOLDER = Path(__file__).parent
LARGEST = float(np.finfo(np.float32).max)
SPECIAL = [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF]
NANS = [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF]
# Most thresholds of a feature whose neighbours are tried.
MOST_THRESHOLDS = 12


def codebooks():
    """Return the codebooks by name. The names can be C identifiers."""
    fine = Codebook.from_thresholds([[-3, -2, -1, 0, 1, 2, 3], [10, 20, 30], [0.5]], missing="code")
    return {
        "plain": Codebook.from_thresholds([[0, 1, 2], [0, 1, 2, 3, 4, 5]]),
        "hut": Codebook.from_thresholds(
            [[12.5, 16.1, 18.3, 19.7, 21.2, 23.9, 28.0], [30, 45.5, 60], [], [3.3], [0.2, 1.7]],
            levels=[[9.1, 14.2, 17.4, 19.1, 20.3, 22.4, 25.6, 31.7], [22, 38, 53, 71], [7], [3, 3.6], [0, 0.8, 4.4]],
            counts=[[9, 8, 7, 6, 5, 4, 3, 2, 1], [10, 20, 10, 4, 1], [45], [40, 5], [15, 15, 15]],
            missing="seen",
            has_missing=[True, True, False, False, False],
            feature_names=["temperature", "humidity", "floor", "battery", "wind"],
        ),
        "all_missing": Codebook.from_thresholds(
            [[0.0], [1.0, 2.0, 3.0], []], missing="seen", has_missing=[True, True, True]
        ),
        "edges": Codebook.from_thresholds(
            [[-LARGEST, -1e-45, 0.0, 1e-45, 1e-40, LARGEST], [-1.17549435e-38, 1.17549435e-38], [0.1, 16777216.0]]
        ),
        "crossing": Codebook.from_thresholds([[j / 8 - b for j in range(2**b - 1 - b // 3)] for b in range(1, 10)]),
        "one_bit": Codebook.from_thresholds([[0.0]]),
        "names": Codebook.from_thresholds(
            [[0.0, 1.0]] * 7,
            feature_names=["a", "__proto__", 'quote " \\ */', "Grad \N{DEGREE SIGN}C", "toString", "1", "\N{HUT}"],
        ),
        "fine": fine,
        "middle": fine.coarsened(2),
        "coarse": fine.coarsened(1),
    }


BOOKS = codebooks()


def files():
    """Return the text of each file by its name."""
    cases = {
        "codebooks": codebook_cases(),
        "codes": code_cases(),
        "levels": level_cases(),
        "rows": row_cases(),
        "messages": message_cases(),
        "short": short_cases(),
        "recode": recode_cases(),
        "change": change_cases(),
    }
    return {f"{kind}.json": _text(kind, **of_kind) for kind, of_kind in cases.items()}


def _text(kind, **lists):
    """Write a case per line."""
    parts = [f'"format": "skbsq-vectors",\n"version": 1,\n"kind": "{kind}"']
    for name, cases in lists.items():
        lines = ",\n".join(json.dumps(case) for case in cases)
        parts.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def codebook_cases():
    good = [
        {
            "name": name,
            "text": book.to_json(),
            "fingerprint": book.fingerprint.hex(),
            "n_levels": book.n_levels.tolist(),
            "n_bits": book.n_bits.tolist(),
            "row_bits": book.row_bits,
            "row_bytes": RowCodec(book).row_bytes,
            "crc16_start": crc16(book.fingerprint),
            "crc8_start": crc8(book.fingerprint),
        }
        for name, book in BOOKS.items()
    ]
    of_book = {"format": {"format": "another"}, "version": {"version": 3}, "unknown field": {"unit": "m"}}
    of_feature = {
        "order": {"thresholds": ["0x1.0p+0", "0x1.0p+0"]},
        "not finite": {"thresholds": ["0x1.0p+0", "inf"]},
        "not float32": {"thresholds": ["0x1.0p+0", "0x1.000000001p+0"]},
        "levels": {"levels": ["0x1.0p+0", "0x1.0p+0"]},
    }
    whole = json.loads(BOOKS["hut"].to_json())
    *others, last = whole["features"]
    changed = {reason: whole | change for reason, change in of_book.items()}
    changed |= {reason: whole | {"features": [*others, last | change]} for reason, change in of_feature.items()}
    bad = [{"text": json.dumps(book), "reason": reason} for reason, book in changed.items()]
    return {"good": good, "bad": bad}


def code_cases():
    good, refused = [], []
    for seed, (name, book) in enumerate(BOOKS.items()):
        draw = random.Random(seed)
        columns = []
        for thresholds, has_missing in zip(book.thresholds, book.has_missing.tolist(), strict=True):
            tried = thresholds[:MOST_THRESHOLDS]
            with np.errstate(over="ignore"):
                near = [np.nextafter(tried, np.float32(side)) for side in (-np.inf, np.inf)]
            values = np.concatenate([tried, *near]).view(np.uint32).tolist() + SPECIAL + NANS * has_missing
            columns.append(values + [draw.choice(values) for _ in range(10)])
        n = max(map(len, columns))
        columns = [column + [draw.choice(column) for _ in range(n - len(column))] for column in columns]
        for column in columns:
            draw.shuffle(column)
        rows = [list(row) for row in zip(*columns, strict=True)]
        good.append({"codebook": name, "floats": rows, "codes": book.encode(_floats(rows)).tolist()})
        for j in np.flatnonzero(book.refuses_nan).tolist():
            row = [NANS[(j + k) % len(NANS)] if k == j else SPECIAL[0] for k in range(book.n_features)]
            refused.append({"codebook": name, "floats": row, "feature": j})
    return {"good": good, "refused": refused}


def _floats(rows):
    return np.array(rows, dtype=np.uint32).view(np.float32)


def _rows(book, n, seed):
    """Draw rows of codes; the lowest and the highest codes come first."""
    draw = random.Random(seed)
    levels = book.n_levels.tolist()
    return [[0] * len(levels), [k - 1 for k in levels], *([draw.randrange(k) for k in levels] for _ in range(n - 2))][
        :n
    ]


def level_cases():
    good = []
    for name, book in BOOKS.items():
        levels = [[None if np.isnan(x) else int(x.view(np.uint32)) for x in of_feature] for of_feature in book.levels]
        good.append({"codebook": name, "levels": levels})
    return {"good": good}


def row_cases():
    good, bad = [], []
    for seed, (name, book) in enumerate(BOOKS.items()):
        codes, codec = _rows(book, 12, seed), RowCodec(book)
        padded, tight = codec.pack(codes).tobytes(), codec.pack_tight(codes).tobytes()
        good.append({"codebook": name, "codes": codes, "padded": padded.hex(), "tight": tight.hex()})
        if codec.row_bytes > 1:
            bad.append({"codebook": name, "hex": padded[:-1].hex(), "reason": "length"})
        bad.append({"codebook": name, "hex": "", "reason": "length"})
        bad += [{"codebook": name, "hex": row.hex(), "reason": reason} for reason, row in _bad_rows(book)]
    return {"good": good, "bad": bad}


def _bad_rows(book):
    """Return a row with padding that is not zero, and rows with a code beyond those of a feature, if there are any."""
    row = bytearray(RowCodec(book).pack([[0] * book.n_features])[0].tobytes())
    bad = []
    if book.row_bits % 8:
        bad.append(("padding", bytes([*row[:-1], 1 << book.row_bits % 8])))
    at = 0
    for levels, bits in zip(book.n_levels.tolist(), book.n_bits.tolist(), strict=True):
        if levels < 2**bits:
            bad.append(("code", (levels << at).to_bytes(len(row), "little")))
        at += bits
    return bad


def message_cases():
    good = []
    for seed, (name, book) in enumerate(BOOKS.items()):
        for n, pad_rows in ((1, True), (5, True), (5, False)):
            codes = _rows(book, n, 100 + seed)
            good.append(_message(name, codes, dumps(book, codes, pad_rows=pad_rows)))
    good.append(_message("plain", [], dumps(BOOKS["plain"], np.empty((0, 2), dtype=np.uint8))))
    # A block with the fixed codes of RFC 1951: the literal 22, 39 bytes at distance 1, the end.
    bits = "1 10" + "01000110" + "0010001 001 00000" + "0000000"
    stream = np.packbits([int(bit) for bit in bits.replace(" ", "")], bitorder="little").tobytes()
    body = _header("plain", 4, 40) + struct.pack("<I", len(stream)) + stream
    good.append(_message("plain", [[2, 5]] * 40, _sealed(body)))

    whole = dumps(BOOKS["hut"], _rows(BOOKS["hut"], 3, 7))
    body, rows = whole[:-4], whole[18:-4]
    bad = [("cut off", whole[:size]) for size in (0, 3, 17, 18, 21, len(whole) - 1)]
    bad += [
        ("trailing bytes", whole + b"\0"),
        ("magic", _sealed(b"SBSR" + body[4:])),
        ("version", _sealed(body[:4] + b"\2" + body[5:])),
        ("flags", _sealed(body[:5] + b"\x08" + body[6:])),
        ("flags", _sealed(body[:5] + b"\x06" + body[6:])),
        ("codebook", _sealed(body[:6] + bytes(8) + body[14:])),
        ("codebook", dumps(BOOKS["plain"], [[2, 5]])),
        ("cut off", _sealed(_header("hut", 0, 4) + rows)),
        ("cut off", _sealed(_header("hut", 0, 2**32 - 1) + rows)),
    ]
    for bit in (0, 100, 8 * len(whole) - 1):
        damaged = bytearray(whole)
        damaged[18 + bit // 8 % (len(whole) - 18)] ^= 1 << bit % 8
        bad.append(("check sum", bytes(damaged)))
    bad += [(reason, _sealed(_header("hut", 0, 1) + row)) for reason, row in _bad_rows(BOOKS["hut"])]
    tight = dumps(BOOKS["hut"], _rows(BOOKS["hut"], 5, 7), pad_rows=False)
    bad.append(("padding", _sealed(tight[:-5] + bytes([tight[-5] | 0x80]))))
    return {"good": good, "bad": [{"codebook": "hut", "hex": data.hex(), "reason": reason} for reason, data in bad]}


def _message(name, codes, data):
    return {"codebook": name, "flags": data[5], "codes": codes, "hex": data.hex()}


def _header(name, flags, n):
    return struct.pack("<4sBB8sI", b"SBSQ", 1, flags, BOOKS[name].fingerprint, n)


def _sealed(body):
    return body + struct.pack("<I", zlib.crc32(body))


def short_cases():
    good, bad = [], []
    for seed, (name, book) in enumerate(BOOKS.items()):
        codes = _rows(book, 2, 200 + seed)
        for k, (seq, crc) in enumerate(((None, 16), (200, 16), (0, 8), (None, 8), (255, None), (None, None))):
            some = codes[: 1 + k % 2] if k else codes[1:]
            frame = dumps(book, some, frame="short", id=(seed + 51 * k) % 256, seq=seq, crc=crc)
            layout = {"codebook": name, "id": (seed + 51 * k) % 256, "seq": seq, "crc": crc}
            good.append({**layout, "codes": some, "hex": frame.hex()})
    book, codes = BOOKS["hut"], _rows(BOOKS["hut"], 2, 9)
    for seq, crc in ((None, 16), (9, 16), (9, 8), (None, None)):
        begin, end = 1 + (seq is not None), crc // 8 if crc else 0
        frame = dumps(book, codes, frame="short", id=7, seq=seq, crc=crc)

        def sealed(row, seq=seq, crc=crc, frame=frame, begin=begin):
            start = frame[:begin] + row
            check = {None: b"", 8: bytes([crc8(start, crc8(book.fingerprint))])}
            return start + (check[crc] if crc in check else crc16(start, crc16(book.fingerprint)).to_bytes(2, "little"))

        other = dumps(book, codes, frame="short", id=8, seq=seq, crc=crc)
        wrong = [("id", other), ("length", frame[: begin + end]), ("length", frame[:-1]), ("length", b"")]
        wrong += [(reason, sealed(row)) for reason, row in _bad_rows(book)]
        if crc is not None:
            flipped = bytearray(frame)
            flipped[begin] ^= 4
            foreign = dumps(BOOKS["names"], _rows(BOOKS["names"], 2, 9), frame="short", id=7, seq=seq, crc=crc)
            last = frame[:-1] + bytes([frame[-1] ^ 0x80])
            wrong += [("crc", bytes(flipped)), ("crc", last), ("crc", foreign)]
        layout = {"codebook": "hut", "id": 7, "seq": seq is not None, "crc": crc}
        bad += [{**layout, "hex": data.hex(), "reason": reason} for reason, data in wrong]
    return {"good": good, "bad": bad}


def recode_cases():
    good = []
    for fine, coarse in (("fine", "middle"), ("fine", "coarse"), ("middle", "coarse")):
        book = BOOKS[fine]
        codes = [[min(k, n - 1) for n in book.n_levels.tolist()] for k in range(int(book.n_levels.max()))]
        recoded = book.recode(np.array(codes, dtype=book.dtype), BOOKS[coarse]).tolist()
        good.append({"fine": fine, "coarse": coarse, "codes": codes, "recoded": recoded})
    return {"good": good}


def change_cases():
    good = []
    for name, keyframe, crc in (("plain", 4, 16), ("plain", 1, 8), ("hut", 65535, 16)):
        book = BOOKS[name]
        first, second, third = _rows(book, 3, 11)
        codes = [first, first, second, second, second, second, second, third, first, first]
        sender = ChangeSender(book, keyframe=keyframe, id=9, crc=crc)
        packets = [sender.send(row) for row in codes]
        shown = [None if packet is None else packet.hex() for packet in packets]
        good.append({"codebook": name, "keyframe": keyframe, "id": 9, "crc": crc, "codes": codes, "packets": shown})
    return {"good": good}


def main():
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
