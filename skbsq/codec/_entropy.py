"""Frequent codes in fewer bits: a range coder fed with the training rows that a codebook counts.

The payload of an entropy-coded message, all numbers little-endian:

    8 bytes   the first of the SHA-256 of `skbsq-counts1` and the counts as int64, so that both sides have one table
    u8[3]     for each feature of two codes or more, how many codes in 256 are that of the row before, one above, one
              below; zeros where its rows are taken one by one
    u32       words
    u32[]     words of the range coder, feature by feature: where these are not zeros, for every row what its code does
              (1 stay, 2 go one up, 3 go one down, 0 none of these); then, row by row, the codes that do none of these

The coder is that of constriction (`queue.RangeEncoder`), with the probabilities of `weights` and `_move_weights` in
units of 2^-24. In a stream of readings most codes stay or move by one, and no table of single codes would tell.
"""

import hashlib
import struct

import numpy as np

# Probabilities are multiples of 2^-24, the unit in which constriction holds them.
_TOTAL = 2**24
# One part in 256 of it is spread evenly, so that a code that no training row had is still cheap to write.
_EVEN = _TOTAL // 256
# So no code has a probability above 1 - 1/512, no move one above 1 - 1/256, and either takes at least 1/355 bit:
# so many words hold at most so many codes.
_CODES_PER_BIT = 355
_SIZE = struct.Struct("<I")
# By which a code moves from the row before; one that is told may be any.
_TOLD = 0
_STEPS = (0, 0, 1, -1)


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
    encoder, all_shares = _queue().RangeEncoder(), []
    for j, table in features:
        column = np.ascontiguousarray(codes[:, j], dtype=np.int32)
        moves = _moves(column)
        shares = _shares_that_pay(column, moves, table)
        all_shares += shares
        if any(shares):
            encoder.encode(moves, _model(_move_weights(shares)))
            column = column[moves == _TOLD]
        encoder.encode(column, _model(table))
    words = encoder.get_compressed().astype("<u4")
    return b"".join((_counts_hash(codebook), bytes(all_shares), _SIZE.pack(len(words)), words.tobytes()))


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
    shares = np.frombuffer(take(3 * len(features)), dtype=np.uint8).reshape(-1, 3).tolist()
    (size,) = _SIZE.unpack(take(_SIZE.size))
    if max(map(sum, shares), default=0) > 255:
        raise ValueError("In this message more codes stay or move than there are: it is corrupt.")
    if n * len(features) > _CODES_PER_BIT * 32 * (size + 2):
        raise ValueError(f"This message claims {n} rows, which its {size} words cannot hold: it is corrupt.")
    decoder = _queue().RangeDecoder(np.frombuffer(take(4 * size), dtype="<u4").astype(np.uint32))
    columns = {}
    try:
        for (j, table), of_feature in zip(features, shares, strict=True):
            if any(of_feature):
                moves = decoder.decode(_model(_move_weights(of_feature)), n)
                told = decoder.decode(_model(table), int((moves == _TOLD).sum()))
                columns[j] = _follow(moves, told, len(table))
            else:
                columns[j] = decoder.decode(_model(table), n)
            columns[j] = columns[j].astype(codebook.dtype)
    except AssertionError:
        raise ValueError("The words of this message are those of no codes: it is corrupt.") from None
    if not decoder.maybe_exhausted():
        raise ValueError("This message has words left over: it is corrupt.")
    codes = np.zeros((n, codebook.n_features), dtype=codebook.dtype)
    for j, column in columns.items():
        codes[:, j] = column
    return codes


def _moves(column):
    """For each row whether its code is that of the row before, one above, or one below."""
    step = np.diff(column)
    moves = np.full(len(column), _TOLD, dtype=np.int32)
    for move, by in enumerate(_STEPS):
        if move != _TOLD:
            moves[1:][step == by] = move
    return moves


def _follow(moves, told, n_levels):
    """The codes of a feature from its moves and the codes that are told."""
    is_told = moves == _TOLD
    if len(moves) and not is_told[0]:
        raise ValueError("The first row of this message follows another: it is corrupt.")
    way = np.cumsum(np.array(_STEPS)[moves])
    last_told = np.cumsum(is_told) - 1
    column = told[last_told] + way - way[is_told][last_told]
    if ((column < 0) | (column >= n_levels)).any():
        raise ValueError("A code of this message moves beyond those of its feature: it is corrupt.")
    return column


def _shares_that_pay(column, moves, table):
    """How many codes in 256 make each move; zeros where saying so takes more bits than it saves."""
    counts = np.bincount(moves, minlength=len(_STEPS))
    shares = (counts[1:] * 256 // max(1, len(column))).tolist()
    shares[0] = min(shares[0], 255 - sum(shares[1:]))  # something is left for a code that is told
    bits = 24 - np.log2(table)
    saved = bits[column[moves != _TOLD]].sum()
    said = (counts * (24 - np.log2(_move_weights(shares)))).sum()
    return shares if any(shares) and said < saved else [0] * len(shares)


def _move_weights(shares):
    """Probabilities of the moves, in units of 2^-24; none is 0."""
    same, up, down = (share * 2**16 + 1 for share in shares)
    return [_TOTAL - same - up - down, same, up, down]


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
