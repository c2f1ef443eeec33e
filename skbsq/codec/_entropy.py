"""Entropy coding: a range coder that uses the training rows counted by a codebook.

Payload of an entropy-coded message, all numbers little-endian:

    8 bytes   the first of the SHA-256 of `skbsq-counts1` and the counts as int64, so that both sides have equal tables
    u8[3]     for each feature with two codes or more: how many codes in 256 are that of the row before, one above, one
              below. Zeros: the feature has no moves, and every code is written
    u32       number of words
    u32[]     words of the range coder, feature by feature. With moves: first the move of every row (1 stay, 2 one up,
              3 one down, 0 escape), then the codes of the rows with an escape

The coder is that of constriction (`queue.RangeEncoder`), with the probabilities of `weights` and `_move_weights` in
units of 2^-24. Moves are there because in a stream of readings most codes stay or change by one, which a table of
single codes cannot express.
"""

import hashlib
import struct

import numpy as np

# Probabilities are multiples of 2^-24, as in constriction.
_TOTAL = 2**24
# One part in 256 is spread evenly, so that a code absent from the training rows is still cheap to write.
_EVEN = _TOTAL // 256
# A code has a probability of at most 1 - 1/512 and a move of at most 1 - 1/256, so each takes at least 1/355 bit. This
# bounds the number of codes that words can hold.
_CODES_PER_BIT = 355
_SIZE = struct.Struct("<I")
_HASH_BYTES = 8
# Increment of each move. After an escape the code itself follows, so its increment is not used.
_INCREMENTS = (0, 0, 1, -1)
_ESCAPE = 0


def weights(counts):
    """Compute the probabilities of the codes of a feature, as positive integers with the sum 2^24.

    It uses integers alone, so the result is equal on every machine. `counts` are the training rows per code, int64.

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
    # The remainder from rounding goes to the most frequent code, the first if there are several.
    shares[counts.index(max(counts))] += _TOTAL - sum(shares)
    return shares


def compress(codebook, codes):
    """Encode codes, which are in range, as a payload: bytes."""
    features = _features(codebook)
    encoder, all_shares = _constriction().stream.queue.RangeEncoder(), []
    for j, table in features:
        column = np.ascontiguousarray(codes[:, j], dtype=np.int32)
        moves = _moves(column)
        shares = _shares_of_moves(column, moves, table)
        all_shares += shares
        if any(shares):
            encoder.encode(moves, _model(_move_weights(shares)))
            column = column[moves == _ESCAPE]
        encoder.encode(column, _model(table))
    words = encoder.get_compressed().astype("<u4")
    return b"".join((_counts_hash(codebook), bytes(all_shares), _SIZE.pack(len(words)), words.tobytes()))


def decompress(codebook, take, n):
    """Decode a payload as codes of shape (n, d). ``take(size)`` returns the next bytes of the message."""
    features = _features(codebook)
    if take(_HASH_BYTES) != _counts_hash(codebook):
        raise ValueError(
            "This message was coded with other counts than those of the codebook, or it is corrupt. Counts differ "
            "between fits: take the codebook of the same fit."
        )
    shares = np.frombuffer(take(3 * len(features)), dtype=np.uint8).reshape(-1, 3).tolist()
    (size,) = _SIZE.unpack(take(_SIZE.size))
    if max(map(sum, shares), default=0) > 255:
        raise ValueError("The shares of moves in this message exceed 256 in 256: it is corrupt.")
    if n * len(features) > _CODES_PER_BIT * 32 * (size + 2):
        raise ValueError(f"This message states {n} rows, which its {size} words cannot hold: it is corrupt.")
    words = np.frombuffer(take(4 * size), dtype="<u4").astype(np.uint32)
    decoder = _constriction().stream.queue.RangeDecoder(words)
    columns = {}
    try:
        for (j, table), of_feature in zip(features, shares, strict=True):
            if any(of_feature):
                moves = decoder.decode(_model(_move_weights(of_feature)), n)
                literals = decoder.decode(_model(table), int((moves == _ESCAPE).sum()))
                columns[j] = _follow(moves, literals, len(table))
            else:
                columns[j] = decoder.decode(_model(table), n)
            columns[j] = columns[j].astype(codebook.dtype)
    except AssertionError:
        raise ValueError("The words of this message do not decode to codes: it is corrupt.") from None
    if not decoder.maybe_exhausted():
        raise ValueError("This message has words left over: it is corrupt.")
    # Allocated last, because a corrupt message may claim many rows of features that are not sent.
    codes = np.zeros((n, codebook.n_features), dtype=codebook.dtype)
    for j, column in columns.items():
        codes[:, j] = column
    return codes


def stated_size(codebook, payload):
    """Return the bytes of a payload of which the beginning is given; None if that is too short to tell."""
    begin = _HASH_BYTES + 3 * int((codebook.n_levels > 1).sum())
    if len(payload) < begin + _SIZE.size:
        return None
    (size,) = _SIZE.unpack_from(payload, begin)
    return begin + _SIZE.size + 4 * size


def _moves(column):
    """Return the move of each row: whether its code is that of the row before, one above, one below, or an escape."""
    increment = np.diff(column)
    moves = np.full(len(column), _ESCAPE, dtype=np.int32)
    for move in range(1, len(_INCREMENTS)):
        moves[1:][increment == _INCREMENTS[move]] = move
    return moves


def _follow(moves, literals, n_levels):
    """Return the codes of a feature from its moves and the codes after an escape."""
    is_escape = moves == _ESCAPE
    if len(moves) and not is_escape[0]:
        raise ValueError("The first row of this message refers to a row before it: it is corrupt.")
    path = np.cumsum(np.array(_INCREMENTS)[moves])
    last_literal = np.cumsum(is_escape) - 1
    column = literals[last_literal] + path - path[is_escape][last_literal]
    if ((column < 0) | (column >= n_levels)).any():
        raise ValueError("A code of this message moves beyond those of its feature: it is corrupt.")
    return column


def _shares_of_moves(column, moves, table):
    """Count how many codes in 256 make each move. Zeros if writing the moves takes more bits than it saves."""
    counts = np.bincount(moves, minlength=len(_INCREMENTS))
    # They leave a share for escapes, because the first row is an escape.
    shares = (counts[1:] * 256 // max(1, len(column))).tolist()
    bits = 24 - np.log2(table)
    saved = bits[column[moves != _ESCAPE]].sum()
    spent = (counts * (24 - np.log2(_move_weights(shares)))).sum()
    return shares if any(shares) and spent < saved else [0] * len(shares)


def _move_weights(shares):
    """Return the probabilities of the moves, in units of 2^-24. None of them is 0."""
    same, up, down = (share * 2**16 + 1 for share in shares)
    return [_TOTAL - same - up - down, same, up, down]


def _features(codebook):
    """Return each feature with two codes or more, and its table of probabilities."""
    if codebook.counts is None:
        raise ValueError(
            "entropy=True needs the counts of a codebook, and this codebook has none: quantizers count in fit, and "
            "Codebook.from_thresholds takes counts."
        )
    return [(j, weights(counts)) for j, counts in enumerate(codebook.counts) if counts.size > 1]


def _model(table):
    # constriction assigns one unit to each code and divides the rest in proportion. Integers with the sum of that rest
    # are not changed by this.
    return _constriction().stream.model.Categorical(np.array(table, dtype=np.float64) - 1, perfect=False)


def _counts_hash(codebook):
    counts = np.concatenate(codebook.counts).astype("<i8")
    return hashlib.sha256(b"skbsq-counts1" + counts.tobytes()).digest()[:_HASH_BYTES]


def _constriction():
    try:
        import constriction
    except ImportError as error:
        raise ImportError("Entropy coding needs the package constriction: pip install 'skbsq[entropy]'.") from error
    return constriction
