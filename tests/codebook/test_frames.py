"""Levels as a frame: a type per feature that follows from the codebook alone."""

import numpy as np
import pandas as pd
import pytest

from skbsq import Codebook
from skbsq.codebook.frames import level_frame


@pytest.mark.parametrize(
    ("part", "codes", "dtype", "values"),
    [
        ({"a": 0, "b": 1, "c": 1}, [1, 0], "category", ["b", "a"]),
        ({"a": 0, None: 1}, [0, 1], "category", ["a", None]),
        ({True: 0, False: 1}, [0, 1], "bool", [True, False]),
        ({True: 0, False: 1, None: 2}, [1, 2], "boolean", [False, None]),
        ({7: 0, -3: 1}, [1, 0], "int64", [-3, 7]),
        ({7: 0, -3: 1, None: 2}, [0, 2], "Int64", [7, None]),
        ({2**63 - 1: 0, -(2**63): 1}, [0, 1], "int64", [2**63 - 1, -(2**63)]),
        ({"a": 0, 1: 1}, [1, 0], "category", [1, "a"]),
    ],
    ids=str,
)
def test_types(part, codes, dtype, values):
    book = Codebook.from_thresholds([part, [0.5]], missing="seen", has_missing=[False, True])
    frame = level_frame(book, book.decode([[code, 2] for code in codes]))
    assert [str(kind) for kind in frame.dtypes] == [dtype, "float32"]
    assert [None if pd.isna(value) else value for value in frame["x0"]] == values
    assert frame["x1"].isna().all()


def test_no_rows_have_the_same_types():
    book = Codebook.from_thresholds({"a": [1.0], "kind": {"x": 0, None: 1}, "on": {True: 0, None: 1}})
    empty, full = (level_frame(book, book.decode(np.zeros((n, 3), dtype=np.uint8)), book.feature_names) for n in (0, 2))
    assert empty.dtypes.tolist() == full.dtypes.tolist()
    assert list(empty.columns) == ["a", "kind", "on"]
    assert full["kind"].cat.categories.tolist() == ["x"]


def test_names_and_index():
    book = Codebook.from_thresholds([[1.0], {"x": 0}])
    frame = level_frame(book, book.decode([[0, 0], [1, 0]]), index=pd.Index([5, 6]))
    assert (list(frame.columns), frame.index.tolist()) == (["x0", "x1"], [5, 6])
