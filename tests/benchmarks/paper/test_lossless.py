"""The sizes of compressed floats."""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest

from benchmarks.paper.lossless import CODECS, COLUMNS, orders

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
MESSAGE = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_orders_hold_the_same_bytes():
    by_row, by_feature, by_byte = orders(MESSAGE)
    np.testing.assert_array_equal(np.frombuffer(by_row, np.float32), [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(np.frombuffer(by_feature, np.float32), [0, 2, 4, 1, 3, 5])
    assert by_byte == b"".join(by_feature[at : at + 12][k::4] for at in (0, 12) for k in range(4))


@pytest.mark.parametrize(("codec", "read"), [("zlib", zlib.decompress), ("zstd", None)])
def test_codecs_lose_nothing(codec, read):
    data = MESSAGE.tobytes() * 100
    packed = CODECS[codec](data)
    read = read or (lambda packed: pyarrow.Codec("zstd").decompress(packed, len(data), asbytes=True))
    assert len(packed) < len(data)
    assert read(packed) == data


def test_stored_rows():
    table = pd.read_csv(RESULTS / "lossless.csv")
    assert list(table) == COLUMNS
    sizes = table.groupby(["dtype", "codec", "rows"])["row_bits"].mean()
    assert sizes["float32", "none"].eq(256).all()
    assert sizes["float16", "none"].eq(128).all()
