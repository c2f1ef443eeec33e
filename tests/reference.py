"""Slow, plain implementations that the fast ones must equal."""

import math
import struct


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
