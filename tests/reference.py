"""Slow, plain implementations that the fast ones must equal."""

import math
import struct
import zlib


def float32(value):
    """A Python float rounded to float32; beyond its range an infinity."""
    if math.isnan(value) or math.isinf(value):
        return value
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def encode_one(x, thresholds, has_missing=False):
    """Code of one value: the number of thresholds below it."""
    x = float32(x)
    if math.isnan(x):
        return len(thresholds) + 1 if has_missing else 0
    return sum(x > t for t in thresholds)


def encode(X, codebook):
    return [
        [
            encode_one(float(x), t.tolist(), m)
            for x, t, m in zip(row, codebook.thresholds, codebook.has_missing, strict=True)
        ]
        for row in X
    ]


def thermometer_one(code, n_thresholds, has_missing=False):
    """Bits of one code: threshold bits, then the missing bit."""
    missing = has_missing and code == n_thresholds + 1
    bits = [int(not missing and code > k) for k in range(n_thresholds)]
    return bits + [int(missing)] * has_missing


def cells(x, weights):
    """Weight on each distinct value."""
    mass = {}
    for value, weight in zip(x.tolist(), weights.tolist(), strict=True):
        mass[value] = mass.get(value, 0.0) + weight
    return mass


def moments(X, weights):
    """Weighted mean and standard deviation of each column of floats, NaN left out; 0 and 1 where nothing varies."""
    means, deviations = [], []
    for j in range(len(X[0])):
        pairs = [(w, row[j]) for w, row in zip(weights, X, strict=True) if not math.isnan(row[j])]
        mass = math.fsum(w for w, _ in pairs) or 1.0
        means.append(math.fsum(w * x for w, x in pairs) / mass)
        spread = math.fsum(w * (x - means[-1]) ** 2 for w, x in pairs) / mass
        deviations.append(math.sqrt(spread) if len({x for _, x in pairs}) > 1 else 1.0)
    return means, deviations


def pack_row(codes, n_bits):
    """Bytes of one row: each code in its bits, the least significant first, then zeros up to a whole byte."""
    row = 0
    at = 0
    for code, width in zip(codes, n_bits, strict=True):
        row |= int(code) << at
        at += int(width)
    return row.to_bytes((at + 7) // 8, "little")


def message(fingerprint, rows):
    """A message of rows that are whole bytes each."""
    body = b"SBSQ" + struct.pack("<BB8sI", 1, 0, fingerprint, len(rows)) + b"".join(rows)
    return body + struct.pack("<I", zlib.crc32(body))
