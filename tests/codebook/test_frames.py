"""Levels as a frame: a type per feature that follows from the codebook alone."""

import numpy as np
import pandas as pd
import pytest

from skbsq import Codebook
from skbsq.codebook.frames import level_column, level_frame

NAN = float("nan")


@pytest.mark.parametrize(
    ("part", "numbers", "dtype", "values"),
    [
        ([0.5], [0.25, NAN], "float32", [0.25, NAN]),
        ({"a": 0, "b": 1, "c": 1}, [2, 0], "category", ["c", "a"]),
        ({"a": 0, None: 1}, [0, NAN], "category", ["a", None]),
        ({True: 0, False: 1}, [0, 1], "bool", [True, False]),
        ({True: 0, False: 1, None: 2}, [1, NAN], "boolean", [False, None]),
        ({7: 0, -3: 1}, [1, 0], "int64", [-3, 7]),
        ({7: 0, -3: 1, None: 2}, [0, NAN], "Int64", [7, None]),
        ({2**70: 0, 1: 1}, [0, 1], "category", [2**70, 1]),
        ({"a": 0, 1: 1}, [1, 0], "category", [1, "a"]),
    ],
    ids=str,
)
def test_types(part, numbers, dtype, values):
    book = Codebook.from_thresholds([part])
    column = pd.Series(level_column(book, 0, np.float32(numbers)))
    assert str(column.dtype) == dtype
    assert [None if pd.isna(v) else v for v in column] == [None if pd.isna(v) else v for v in values]


def test_no_rows_have_the_same_types():
    book = Codebook.from_thresholds({"a": [1.0], "kind": {"x": 0, None: 1}, "on": {True: 0, None: 1}})
    empty, full = (level_frame(book, np.zeros((n, 3), dtype=np.float32), book.feature_names) for n in (0, 2))
    assert empty.dtypes.tolist() == full.dtypes.tolist()
    assert list(empty.columns) == ["a", "kind", "on"]
    assert full["kind"].cat.categories.tolist() == ["x"]


def test_names_and_index():
    book = Codebook.from_thresholds([[1.0], {"x": 0}])
    frame = level_frame(book, np.zeros((2, 2), dtype=np.float32), index=pd.Index([5, 6]))
    assert (list(frame.columns), frame.index.tolist()) == (["x0", "x1"], [5, 6])
