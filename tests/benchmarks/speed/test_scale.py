"""`python -m benchmarks.speed.scale`, end to end but for the clusters."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.speed import scale
from skbsq.codec import RowCodec

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset  # noqa: E402


def rows_of(path):
    if path.suffix == ".npy":
        return np.load(path)
    table = dataset.dataset(path).to_table()
    return np.stack([column.to_numpy() for column in table.columns]).T


@pytest.mark.parametrize("n", [3, 10, 11])
def test_files_hold_the_same_rows(n, tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "_MADE_ROWS", 5)
    paths = [tmp_path / "rows.npy", tmp_path / "rows.parquet"]
    for path in paths:
        scale.make_rows(path, n, 2)
    found = [rows_of(path) for path in paths]
    assert found[0].shape == (n, 2)
    assert found[0].dtype == np.float32
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("case", scale.CASES)
def test_checksum_is_that_of_all_codes(case, tmp_path):
    source, target = tmp_path / f"rows.{case[0]}", tmp_path / f"out.{case[1]}"
    scale.make_rows(source, 500, 3)
    book = scale.quantile_book(3)
    codes = book.encode(rows_of(source))
    expected = codes if case[2] == "ordinal" else RowCodec(book).pack(codes)
    found = scale.encode_file(source, target, case[2], 3)
    assert found["checksum"] == expected.sum(dtype=np.int64)
    assert found["seconds"] > 0


@pytest.mark.parametrize("cache", scale.CACHES)
def test_cache_leaves_the_file_alone(cache, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"1234")
    scale.set_cache(path, cache)
    assert path.read_bytes() == b"1234"


def test_without_dd(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scale.dd_seconds(tmp_path) is None


def test_speedup():
    table = pd.DataFrame({"job": ["a", "b"] * 2, "workers": [1, 1, 2, 2], "seconds": [8, 3, 4, 2], "checksum": 0})
    assert scale.with_speedup(table)["speedup"].tolist() == [1, 1, 2, 1.5]


def test_too_large(capsys):
    with pytest.raises(SystemExit):
        scale.main(["--parts", "disk", "--values", str(10**18)])
    assert "GB, " in capsys.readouterr().err


def test_main(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale, "in_fresh_process", lambda function, **arguments: function(**arguments))
    scale.main(["--parts", "disk", "--values", "600", "1200", "--features", "3", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "scale_disk.csv")
    assert len(table) == 2 * len(scale.CASES) * len(scale.CACHES)
    assert table.groupby(["case", "values"])["checksum"].nunique().eq(1).all()
    assert "dd_mb_per_s" in capsys.readouterr().out


# dask's read_parquet calls what the newest pandas deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_encode_with_dask(tmp_path):
    pytest.importorskip("dask.dataframe")
    source = tmp_path / "lake"
    source.mkdir()
    for i in range(2):
        scale.make_rows(source / f"part{i}.parquet", 50, 3)
    one = scale.quantile_book(3).encode(rows_of(source / "part0.parquet"))
    assert scale.encode_on_cluster(source, tmp_path / "codes", 3) == 2 * one.sum(dtype=np.int64)
