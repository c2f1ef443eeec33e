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


def weighted_unique(x, weights):
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
    """Bytes of one row: the bits of each code, the lowest first, feature after feature."""
    bits = [code >> i & 1 for code, width in zip(codes, n_bits, strict=True) for i in range(width)]
    return pack_bits(bits)


def pack_bits(bits):
    """Bytes of bits, the lowest bit of a byte first."""
    bits = bits + [0] * (-len(bits) % 8)
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def message(codebook, codes):
    """A message of padded rows."""
    head = b"SBSQ" + bytes([1, 0]) + codebook.fingerprint + struct.pack("<I", len(codes))
    body = head + b"".join(pack_row(row, codebook.n_bits.tolist()) for row in codes)
    return body + struct.pack("<I", zlib.crc32(body))
