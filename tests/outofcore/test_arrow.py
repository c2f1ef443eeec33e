"""Arrow tables become matrices of numbers, in chunks of the right size."""

import sys

import numpy as np
import pandas as pd
import pytest

from skbsq.outofcore import predict
from skbsq.outofcore._arrow import matrix
from tests.outofcore.conftest import Same, together

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet  # noqa: E402


def test_nulls_are_nan():
    table = pa.table(
        {
            "float": pa.array([0.5, None, float("nan")], "float32"),
            "int": [1, None, 3],
            "bool": [True, None, False],
            "null": pa.nulls(3),
        }
    )
    nan = np.nan
    np.testing.assert_array_equal(
        matrix(table, ["int", "float", "bool", "null"]),
        [[1, 0.5, 1, nan], [nan, nan, nan, nan], [3, nan, 0, nan]],
    )


@pytest.mark.parametrize(
    ("types", "dtype"),
    [
        (["float32", "float32"], "f4"),
        (["float16", "uint8"], "f2"),
        (["int64", "float32"], "f8"),
        (["uint8", "int16"], "i2"),
        (["bool", "bool"], "u1"),
    ],
)
def test_types_are_promoted_as_numpy_does(types, dtype):
    table = pa.table({str(i): pa.array([1, 0]).cast(kind) for i, kind in enumerate(types)})
    found = matrix(table, table.column_names)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[1, 1], [0, 0]])


def test_large_integers_stay_exact():
    assert matrix(pa.table({"a": [2**60 + 1]}), ["a"])[0, 0] == 2**60 + 1


@pytest.mark.parametrize("sizes", [[], [0], [1], [5], [2, 2], [3, 1, 4], [0, 9, 0, 1]])
def test_batches_are_regrouped(sizes):
    schema = pa.schema({"a": pa.int64()})
    numbers = iter(range(100))
    batches = [pa.record_batch({"a": [next(numbers) for _ in range(size)]}, schema=schema) for size in sizes]
    chunks = list(predict(Same(1), pa.RecordBatchReader.from_batches(schema, batches), batch_size=3))
    n = sum(sizes)
    assert [len(chunk) for chunk in chunks] == ([3] * (n // 3) + [n % 3] * (n % 3 > 0) or [0])
    assert together(chunks).ravel().tolist() == list(range(n))


def test_partitions_and_filters(tmp_path):
    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "kind": [5, 5, 6, 6]})
    dataset.write_dataset(table, tmp_path, format="parquet", partitioning=["kind"], partitioning_flavor="hive")
    lake = dataset.dataset(tmp_path, format="parquet", partitioning="hive")
    for source in (lake, dataset.dataset([lake]), dataset.dataset(table)):
        found = together(predict(Same(), source, columns=["kind", "a"]))
        assert found.tolist() == [[5, 1], [5, 2], [6, 3], [6, 4]]
    found = together(predict(Same(), lake.filter(dataset.field("a") > 1.5), columns=["kind", "a"]))
    assert found.tolist() == [[5, 2], [6, 3], [6, 4]]


def test_a_row_group_at_a_time(tmp_path):
    path, n = tmp_path / "rows.parquet", 2**19
    parquet.write_table(pa.table({"a": np.random.default_rng(0).normal(size=n)}), path, row_group_size=n // 16)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in predict(Same(1), path, batch_size=n // 16)]
    assert len(held) == 16
    assert max(held) < 8 * n / 3


def test_without_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'skbsq\[arrow\]'"):
        predict(Same(), "s3://bucket/rows.parquet")


def test_types_may_differ_between_files(tmp_path):
    """A column that is not read may have any type."""
    parquet.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "note": ["x", "y"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": [0.25], "note": [3]}), tmp_path / "2.parquet")
    assert together(predict(Same(1), tmp_path, columns=["a"])).ravel().tolist() == [1, 2, 0.25]


def test_a_column_that_changes_its_type_within_a_file(tmp_path):
    (tmp_path / "rows.csv").write_text("key\n" + "1\n" * 600_000 + "last\n")
    with pytest.raises(ValueError, match="'last': a column changes its type"):
        list(predict(Same(1), tmp_path / "rows.csv"))


def test_row_labels_in_files_of_different_types(tmp_path):
    pd.DataFrame({"a": [1, 2]}, index=[7, 9]).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": [0.5, 2]}, index=[7, 9]).to_parquet(tmp_path / "2.parquet")
    assert together(predict(Same(1), tmp_path)).ravel().tolist() == [1, 2, 0.5, 2]
