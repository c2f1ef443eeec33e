"""Slow, plain implementations, whose results the fast ones must equal."""

import math
import struct
import zlib


def float32(value):
    """Round a Python float to float32; beyond its range it becomes an infinity."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def encode_one(x, thresholds, has_missing=False):
    """Encode one value: count the thresholds below it."""
    x = float32(x)
    if math.isnan(x):
        return len(thresholds) + 1 if has_missing else 0
    return sum(x > t for t in thresholds)


def encode(X, codebook):
    parts = [(t.tolist(), m) for t, m in zip(codebook.thresholds, codebook.has_missing, strict=True)]
    return [[encode_one(float(x), *part) for x, part in zip(row, parts, strict=True)] for row in X]


def encode_category(value, codes, handle_unknown="error"):
    """Encode one category by its dict category -> code; KeyError if it is refused."""
    if len(set(codes.values())) == 1:
        return 0
    if handle_unknown == "missing" and None in codes:
        return codes.get(value, codes[None])
    return codes[value]


def encode_mixed(rows, codebook):
    """Encode rows of floats and categories."""

    def one(value, part, has_missing):
        if isinstance(part, dict):
            return encode_category(value, part, codebook.handle_unknown)
        return encode_one(math.nan if value is None else float(value), part.tolist(), has_missing)

    parts = list(zip(codebook.parts, codebook.has_missing.tolist(), strict=True))
    return [[one(value, *part) for value, part in zip(row, parts, strict=True)] for row in rows]


def thermometer_one(code, n_thresholds, has_missing=False):
    """Turn one code into its thermometer bits: threshold bits, then the missing bit."""
    missing = has_missing and code == n_thresholds + 1
    bits = [int(not missing and code > k) for k in range(n_thresholds)]
    return bits + [int(missing)] * has_missing


def weighted_unique(x, weights):
    """Sum the weights of each distinct value."""
    totals = {}
    for value, weight in zip(x.tolist(), weights.tolist(), strict=True):
        totals[value] = totals.get(value, 0.0) + weight
    return totals


def moments(X, weights):
    """Compute the weighted mean and standard deviation of each feature without NaN; 0 and 1 if nothing varies."""
    means, deviations = [], []
    for column in zip(*X, strict=True):
        pairs = [(w, x) for w, x in zip(weights, column, strict=True) if not math.isnan(x)]
        total = math.fsum(w for w, _ in pairs) or 1.0
        means.append(math.fsum(w * x for w, x in pairs) / total)
        spread = math.fsum(w * (x - means[-1]) ** 2 for w, x in pairs) / total
        deviations.append(math.sqrt(spread) if len({x for _, x in pairs}) > 1 else 1.0)
    return means, deviations


def pack_row(codes, n_bits):
    """Pack one row: the bits of each code, the lowest first, feature after feature."""
    bits = [code >> i & 1 for code, of_code in zip(codes, n_bits, strict=True) for i in range(of_code)]
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def message(codebook, codes):
    """Write a message of padded rows."""
    head = b"SBSQ" + bytes([1, 0]) + codebook.fingerprint + struct.pack("<I", len(codes))
    body = head + b"".join(pack_row(row, codebook.n_bits.tolist()) for row in codes)
    return body + struct.pack("<I", zlib.crc32(body))


def shrunken_means(groups, targets, weights):
    """Compute the mean of the target of each group, shrunk towards that of all rows; that of all rows for others."""
    rows, total = list(zip(groups, targets, weights, strict=True)), math.fsum(weights)
    overall = math.fsum(w * y for _, y, w in rows) / total if total else 0.0
    weight = {g: math.fsum(w for h, _, w in rows if h == g) for g in groups}
    raw = {g: math.fsum(w * (y - overall) for h, y, w in rows if h == g) / weight[g] for g in weight}
    if not rows:
        return {}, overall
    unit = total / len(rows)
    rest = math.fsum(w * (y - overall - raw[g]) ** 2 for g, y, w in rows)
    within = rest / max(total - len(weight) * unit, unit)
    between = math.fsum(weight[g] * raw[g] ** 2 for g in weight) - (len(weight) - 1) * within * unit
    size = total - math.fsum(w**2 for w in weight.values()) / total
    variance = between / size if size > 1e-12 * total else 0.0
    prior = min(within * unit / variance, total) if variance > 0 else total
    if within <= 0 and variance <= 0:
        prior = 0.0
    return {g: overall + weight[g] * raw[g] / (weight[g] + prior) for g in weight}, overall
