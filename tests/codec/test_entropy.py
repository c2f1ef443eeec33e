"""Entropy-coded messages: the table by hand, the length, and rejected messages."""

import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook, QuantileQuantizer
from skbsq.codec import dumps, loads
from skbsq.codec._entropy import weights
from tests.codec.test_rows import book_of

constriction = pytest.importorskip("constriction")

WIDE = Codebook.from_thresholds([np.arange(700), [0.5]], counts=[np.arange(701) ** 3, [1, 2]])
SKEWED = Codebook.from_thresholds([[0, 1, 2], [], [0]], counts=[[970, 20, 9, 1], [1000], [999, 1]])


def draw(rng, book, n):
    """Draw codes as frequent as in the counts of a codebook."""
    columns = [rng.choice(len(c), size=n, p=c / c.sum()) for c in book.counts]
    return np.column_stack(columns).astype(book.dtype)


def entropy_bits(book, codes):
    """Compute the fewest bits for codes under the table: the sum of -log2 of the probabilities."""
    tables = [np.array(weights(counts)) / 2**24 for counts in book.counts]
    return -sum(np.log2(table[codes[:, j]]).sum() for j, table in enumerate(tables))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1], [2**23, 2**23]),
        ([1, 0], [2**24 - 2**15, 2**15]),
        ([0, 0], [2**23, 2**23]),
        ([0, 3, 1], [21845, 2**24 - 2 * 21845 - 4177920, 21845 + 4177920]),
        ([7], [2**24]),
    ],
)
def test_weights_by_hand(counts, expected):
    assert weights(np.array(counts)) == expected


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=70))
def test_weights_are_probabilities(counts):
    found = weights(np.array(counts))
    assert sum(found) == 2**24
    assert min(found) > 0
    assert len(found) == 1 or max(found) <= 2**24 - 2**15
    assert all(a <= b or counts[i] >= counts[j] for i, a in enumerate(found) for j, b in enumerate(found))


def test_widest_table():
    counts = np.zeros(2**16, dtype=np.int64)
    counts[5] = 2**40
    found = weights(counts)
    assert sum(found) == 2**24
    assert min(found) == 1


def test_golden_bytes():
    """The table and the coder are part of the format."""
    codes = np.tile([[0, 0, 0]] * 9 + [[1, 0, 1], [3, 0, 0], [2, 0, 0]], (8, 1))
    words = "dd1857bbda9b6f3c50301ed39b89de6f9a8cb31a7bbc4967fd5f782985bdf170"
    expected = "53425351 01 02 86aff4f662bcb0f0 60000000 bfc4f169357e3771 000000000000 08000000" + words + "ea1269f6"
    assert dumps(SKEWED, codes, entropy=True).hex() == expected.replace(" ", "")


@pytest.mark.parametrize("pad_rows", [True, False])
@pytest.mark.parametrize("book", [SKEWED, WIDE], ids=["8 bits", "16 bits"])
def test_round_trip_near_the_entropy(rng, book, pad_rows):
    codes = draw(rng, book, 20_000)
    message = dumps(book, codes, pad_rows=pad_rows, entropy=True)
    assert message[5] == (2 if pad_rows else 3)
    back = loads(message, book)
    np.testing.assert_array_equal(back, codes)
    assert back.dtype == book.dtype
    # Header; hash, three bytes for each feature that is sent, length; check sum. The coder rounds up to words.
    overhead = 18 + 18 + 4
    assert len(message) == pytest.approx(overhead + entropy_bits(book, codes) / 8, abs=9)


def test_repetitions_take_next_to_nothing(rng):
    changing = draw(rng, SKEWED, 200)
    changing[:, 0] = rng.integers(0, 4, size=200)
    codes = np.repeat(changing, 50, axis=0)
    message = dumps(SKEWED, codes, entropy=True)
    share = message[26]
    assert share == (codes[1:, 0] == codes[:-1, 0]).sum() * 256 // len(codes)
    flags = -len(codes) * (0.02 * np.log2(0.02) + 0.98 * np.log2(0.98))
    assert len(message) < 60 + (flags + 200 * 6.7) / 8
    np.testing.assert_array_equal(loads(message, SKEWED), codes)


def test_the_first_row_must_be_an_escape():
    """A message whose first row refers to a row before it is rejected."""
    stream = constriction.stream
    encoder = stream.queue.RangeEncoder()
    weights = np.array([2**24 - 2**23 - 3, 2**23 + 1, 1, 1], dtype=float)
    encoder.encode(np.ones(40, dtype=np.int32), stream.model.Categorical(weights - 1, perfect=False))
    words = encoder.get_compressed()
    codes = np.repeat(np.uint8([[1, 0, 1], [2, 0, 0]]), 300, axis=0)
    head = dumps(SKEWED, codes, entropy=True)[:26]
    assert head[5] == 2
    lying = head[:14] + struct.pack("<I", 40) + head[18:] + bytes([128, 0, 0, 0, 0, 0]) + struct.pack("<I", len(words))
    with pytest.raises(ValueError, match="first row of this message refers to a row before it"):
        loads(lying + words.astype("<u4").tobytes() + bytes(4), SKEWED)


def test_fitted_quantizer(rng):
    X = rng.normal(size=(3_000, 4)).round(1)
    X[rng.random(X.shape) < 0.3] = np.nan
    quantizer = QuantileQuantizer(3, missing="code").fit(X)
    message = dumps(quantizer.codebook_, quantizer.transform(X), entropy=True)
    np.testing.assert_array_equal(loads(message, quantizer.codebook_), quantizer.transform(X))
    assert len(message) < len(dumps(quantizer.codebook_, quantizer.transform(X), pad_rows=False))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_rows_are_not_entropy_coded(n):
    codes = np.zeros((n, 3), dtype=np.uint8)
    assert dumps(SKEWED, codes, entropy=True) == dumps(SKEWED, codes)


def test_rare_codes_are_not_entropy_coded():
    book = Codebook.from_thresholds([np.arange(7)], counts=[[990, 0, 2, 2, 2, 2, 1, 1]])
    codes = np.tile(np.uint8([[2], [4], [7]]), (300, 1))
    assert dumps(book, codes, entropy=True) == dumps(book, codes)


def test_no_more_rows_than_the_words_can_hold():
    """The reader accepts the longest run of the most frequent code."""
    book = Codebook.from_thresholds([[0.5]], counts=[[1, 0]])
    codes = np.zeros((2**20, 1), dtype=np.uint8)
    message = dumps(book, codes, entropy=True)
    assert len(message) < 500
    np.testing.assert_array_equal(loads(message, book), codes)


def test_codebook_without_counts():
    with pytest.raises(ValueError, match="needs the counts of a codebook, and this codebook has none"):
        dumps(book_of([4, 4]), [[0, 0]], entropy=True)
    message = dumps(SKEWED, np.zeros((500, 3), dtype=int), entropy=True)
    with pytest.raises(ValueError, match="needs the counts"):
        loads(message, Codebook.from_thresholds(SKEWED.thresholds))


def test_other_counts():
    other = Codebook.from_thresholds(SKEWED.thresholds, counts=[[970, 20, 9, 2], [1001], [999, 2]])
    message = dumps(SKEWED, np.zeros((500, 3), dtype=int), entropy=True)
    with pytest.raises(ValueError, match="other counts than those of the codebook"):
        loads(message, other)


def test_wrong_words_under_a_right_check_sum(rng):
    codes = draw(rng, SKEWED, 500)
    message = dumps(SKEWED, codes, entropy=True)
    (size,) = struct.unpack("<I", message[32:36])
    longer = message[:32] + struct.pack("<I", size + 9) + message[36:-4] + b"\1" * 36 + message[-4:]
    with pytest.raises(ValueError, match=r"words left over|words of this message do not decode"):
        loads(longer, SKEWED)
    other_codes = bytearray(message)
    other_codes[39] ^= 128
    with pytest.raises(ValueError, match="corrupt"):
        loads(bytes(other_codes), SKEWED)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"pip install 'skbsq\[entropy\]'"):
        dumps(SKEWED, [[0, 0, 0]], entropy=True)


def test_check_sum_is_that_of_the_packed_rows(rng):
    """So a receiver can store the rows packed and still check them."""
    codes = draw(rng, SKEWED, 400)
    coded, plain = dumps(SKEWED, codes, entropy=True), dumps(SKEWED, codes)
    expected = zlib.crc32(plain[18:-4], zlib.crc32(coded[:18]))
    assert struct.unpack("<I", coded[-4:]) == (expected,)
