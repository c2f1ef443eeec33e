"""Arrow tables become matrices of floats, cut as wanted."""

import builtins

import numpy as np
import pandas as pd
import pytest

from skbsq.outofcore import _arrow

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402


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
        _arrow.matrix(table, ["int", "float", "bool", "null"]),
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
    matrix = _arrow.matrix(table, table.column_names)
    assert matrix.dtype == dtype
    np.testing.assert_array_equal(matrix, [[1, 1], [0, 0]])


def test_large_integers_stay_exact():
    table = pa.table({"a": [2**60 + 1]})
    assert _arrow.matrix(table, ["a"])[0, 0] == 2**60 + 1


@pytest.mark.parametrize("values", [["x"], [b"x"], [[1]], [np.datetime64("2020-01-01", "s")]])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="The column 'a' must hold numbers, got"):
        _arrow.matrix(pa.table({"a": values}), ["a"])


@pytest.mark.parametrize("sizes", [[], [0], [1], [5], [2, 2], [3, 1, 4], [0, 9, 0, 1]])
def test_batches_are_cut_anew(sizes):
    schema = pa.schema({"a": pa.int64()})
    numbers = iter(range(100))
    batches = [pa.record_batch({"a": [next(numbers) for _ in range(size)]}, schema=schema) for size in sizes]
    tables = list(_arrow.read_stream(pa.RecordBatchReader.from_batches(schema, batches), 3, None))
    n = sum(sizes)
    assert [len(table) for table in tables] == ([3] * (n // 3) + [n % 3] * (n % 3 > 0) or [0])
    assert np.concatenate([table["a"] for table in tables]).tolist() == list(range(n))


def test_a_name_that_is_there_twice():
    table = pa.table([[1], [2]], names=["a", "a"])
    with pytest.raises(ValueError, match="The source has 2 columns 'a'"):
        _arrow.read_stream(table, 3, ["a"])


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.feather", "rows.arrow", "rows.parquet"])
def test_kinds_of_files(name, tmp_path):
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet

    table, path = pa.table({"a": [1.5, None], "b": [1, 2]}), tmp_path / name
    if "csv" in name:
        with pa.output_stream(path) as file:  # compresses as the name says
            pyarrow.csv.write_csv(table, file)
    elif name.endswith("parquet"):
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path)
    (read,) = _arrow.read_dataset(_arrow.dataset(path), 10, ["a"])
    np.testing.assert_array_equal(_arrow.matrix(read, ["a"]), [[1.5], [np.nan]])


def test_partitions_and_filters(tmp_path):
    from pyarrow import dataset

    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "kind": [5, 5, 6, 6]})
    dataset.write_dataset(table, tmp_path, format="parquet", partitioning=["kind"], partitioning_flavor="hive")
    lake = dataset.dataset(tmp_path, format="parquet", partitioning="hive")
    for source in (lake, dataset.dataset([lake]), dataset.dataset(table)):
        (read,) = _arrow.read_dataset(source, 10, ["kind", "a"])
        assert read.to_pydict() == {"kind": [5, 5, 6, 6], "a": [1, 2, 3, 4]}
    (read,) = _arrow.read_dataset(lake.filter(dataset.field("a") > 1.5), 10, ["kind", "a"])
    assert read.to_pydict() == {"kind": [5, 6, 6], "a": [2, 3, 4]}


def test_a_row_group_at_a_time(tmp_path):

    path, n = tmp_path / "rows.parquet", 2**21
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=n)}), path, row_group_size=n // 16)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in _arrow.read_dataset(_arrow.dataset(path), n // 16, ["a"])]
    assert len(held) == 16
    assert max(held) < 8 * n / 3


def test_without_pyarrow(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'skbsq\[arrow\]'"):
        _arrow.dataset("rows.parquet")


def test_row_without_bytes():
    with pytest.raises(ValueError, match="A row of this codebook has no bytes"):
        _arrow.to_table(np.empty((3, 0), np.uint8), [], True, None)


def test_files_of_other_types(tmp_path):
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [0.25]}), tmp_path / "2.parquet")
    tables = _arrow.read_dataset(_arrow.dataset(tmp_path), 9, None)
    found = [_arrow.matrix(table, ["a"]).ravel() for table in tables]
    np.testing.assert_array_equal(np.concatenate(found), [1, 2, 0.25])


def test_labels_of_rows_are_no_column():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index([7, 9], name="id"))
    assert _arrow.data_columns(pa.table(frame).schema) == ["a", "b"]
    assert _arrow.data_columns(pa.table({"id": [1]}).schema) == ["id"]


def test_columns_that_are_not_read_may_be_of_any_type(tmp_path):
    pq.write_table(pa.table({"a": [1, 2], "note": ["x", "y"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [0.25], "note": [3]}), tmp_path / "2.parquet")
    tables = _arrow.read_dataset(_arrow.dataset(tmp_path), 9, ["a"])
    np.testing.assert_array_equal(np.concatenate([_arrow.matrix(t, ["a"]).ravel() for t in tables]), [1, 2, 0.25])


def test_a_column_that_goes_on_otherwise_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("key\n" + "1\n" * 800_000 + "last\n")
    with pytest.raises(ValueError, match="'last': a column has another type than it began with"):
        list(_arrow.read_dataset(_arrow.dataset(tmp_path / "rows.csv"), 2**20, None))


def test_labels_of_rows_in_files_of_other_types(tmp_path):
    pd.DataFrame({"a": [1, 2]}, index=[7, 9]).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": [0.5, 2]}, index=[7, 9]).to_parquet(tmp_path / "2.parquet")
    assert _arrow.data_columns(_arrow.dataset(tmp_path).schema) == ["a"]
