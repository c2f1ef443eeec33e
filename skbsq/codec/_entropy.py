"""Frequent codes in fewer bits: a range coder fed with the training rows that a codebook counts.

The payload of an entropy-coded message, all numbers little-endian:

    8 bytes   the first of the SHA-256 of `skbsq-counts1` and the counts as int64, so that both sides have one table
    u8[]      for each feature of two codes or more, how many codes in 256 repeat that of the row before
    u32       words
    u32[]     words of the range coder, feature by feature: where some repeat, for every row whether it does (1) or not
              (0); then, in the order of the rows, the codes that do not repeat

The coder is that of constriction (`queue.RangeEncoder`), with the probabilities of `weights` in units of 2^-24. In a
stream of readings most codes repeat, and no table of single codes would tell.
"""

import hashlib
import struct

import numpy as np

# Probabilities are multiples of 2^-24, the unit in which constriction holds them.
_TOTAL = 2**24
# One part in 256 of it is spread evenly, so that a code that no training row had is still cheap to write.
_EVEN = _TOTAL // 256
# So no code has a probability above 1 - 1/512, no repetition one above 1 - 1/256, and either takes at least 1/355 bit:
# so many words hold at most so many codes.
_CODES_PER_BIT = 355
_SIZE = struct.Struct("<I")


def weights(counts):
    """Probabilities of the codes of a feature, in units of 2^-24, by integers alone: alike on every machine.

    Parameters
    ----------
    counts : ndarray of int64
        Training rows per code.

    Returns
    -------
    list of int
        All positive, with the sum 2^24.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codec._entropy import weights
    >>> weights(np.array([3, 1, 0]))
    [12555606, 4199765, 21845]
    """
    counts = counts.tolist()
    n, rows = len(counts), sum(counts)
    even, free = _EVEN // n, _TOTAL - _EVEN
    shares = [even + (count * free // rows if rows else free // n) for count in counts]
    # What rounding left over goes to the most frequent code, the first of those.
    shares[counts.index(max(counts))] += _TOTAL - sum(shares)
    return shares


def compress(codebook, codes):
    """Payload of codes that are in range.

    Parameters
    ----------
    codebook : Codebook
    codes : ndarray of int of shape (n, d)

    Returns
    -------
    bytes
    """
    features = _features(codebook)
    encoder, shares = _queue().RangeEncoder(), []
    for j, table in features:
        column = np.ascontiguousarray(codes[:, j], dtype=np.int32)
        repeats = np.zeros(len(column), dtype=np.int32)
        repeats[1:] = column[1:] == column[:-1]
        share = _share_that_pays(column, repeats, table)
        shares.append(share)
        if share:
            encoder.encode(repeats, _model(_repeat_weights(share)))
            column = column[repeats == 0]
        encoder.encode(column, _model(table))
    words = encoder.get_compressed().astype("<u4")
    return b"".join((_counts_hash(codebook), bytes(shares), _SIZE.pack(len(words)), words.tobytes()))


def decompress(codebook, take, n):
    """Codes of a payload.

    Parameters
    ----------
    codebook : Codebook
    take : callable
        From a number of bytes to the next so many of the message.
    n : int
        Rows.

    Returns
    -------
    ndarray of shape (n, d)
    """
    features = _features(codebook)
    if take(8) != _counts_hash(codebook):
        raise ValueError(
            "This message was coded with other counts than those of the codebook (they are part of what is learned: "
            "take the codebook of the same fit), or it is corrupt."
        )
    shares = take(len(features))
    (size,) = _SIZE.unpack(take(_SIZE.size))
    if n * len(features) > _CODES_PER_BIT * 32 * (size + 2):
        raise ValueError(f"This message claims {n} rows, which its {size} words cannot hold: it is corrupt.")
    decoder = _queue().RangeDecoder(np.frombuffer(take(4 * size), dtype="<u4").astype(np.uint32))
    codes = np.zeros((n, codebook.n_features), dtype=codebook.dtype)
    try:
        for (j, table), share in zip(features, shares, strict=True):
            repeats = decoder.decode(_model(_repeat_weights(share)), n) if share else np.zeros(n, dtype=np.int32)
            if repeats[:1].any():
                raise ValueError("The first row of this message repeats another: it is corrupt.")
            new = repeats == 0
            codes[:, j] = decoder.decode(_model(table), int(new.sum()))[np.cumsum(new) - 1]
    except AssertionError:
        raise ValueError("The words of this message are those of no codes: it is corrupt.") from None
    if not decoder.maybe_exhausted():
        raise ValueError("This message has words left over: it is corrupt.")
    return codes


def _share_that_pays(column, repeats, table):
    """How many codes in 256 repeat that of the row before; 0 where saying so takes more bits than it saves."""
    share = min(255, int(repeats.sum()) * 256 // max(1, len(column)))
    if share == 0:
        return 0
    bits = 24 - np.log2(table)
    saved = bits[column[repeats == 1]].sum()
    said = (24 - np.log2(_repeat_weights(share)))[repeats].sum()
    return share if said < saved else 0


def _repeat_weights(share):
    """Probabilities of no and yes, in units of 2^-24."""
    return [(256 - share) * 2**16, share * 2**16]


def _features(codebook):
    """Each feature of two codes or more with its table of probabilities."""
    if codebook.counts is None:
        raise ValueError(
            "entropy=True needs the counts of a codebook, and this one has none: the quantizers learn them in fit, "
            "Codebook.from_thresholds takes counts."
        )
    return [(j, weights(counts)) for j, counts in enumerate(codebook.counts) if counts.size > 1]


def _model(table):
    # constriction gives each code one unit and shares the rest in proportion: integers with the sum of that rest are
    # taken over as they are.
    return _constriction().stream.model.Categorical(np.array(table, dtype=np.float64) - 1, perfect=False)


def _counts_hash(codebook):
    digest = hashlib.sha256(b"skbsq-counts1")
    for counts in codebook.counts:
        digest.update(counts.astype("<i8").tobytes())
    return digest.digest()[:8]


def _queue():
    return _constriction().stream.queue


def _constriction():
    try:
        import constriction
    except ImportError as error:
        raise ImportError("Entropy coding needs the package constriction: pip install 'skbsq[entropy]'.") from error
    return constriction
