"""Sources of rows, and objects that are none."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from skbsq.outofcore import predict
from tests.outofcore.conftest import EARLY_POLARS, Same, together

pa = pytest.importorskip("pyarrow")


def rows_of(source, rows=3):
    chunks = list(predict(Same(), source, batch_size=rows))
    assert max(map(len, chunks)) <= rows
    return together(chunks)


X = np.arange(16.0).reshape(8, 2)
FRAME = pd.DataFrame(X, columns=["a", "b"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: X,
        lambda: FRAME,
        pytest.param(lambda: pl.from_pandas(FRAME), marks=EARLY_POLARS),
        lambda: pa.table(FRAME),
        lambda: pa.table(FRAME).to_reader(),
        lambda: [X[:5], X[5:]],
        lambda: iter([X[:1], FRAME[1:5], pa.record_batch(FRAME[5:])]),
        lambda: [[X[:2]], (X[2:],)],
    ],
)
def test_sources(make):
    np.testing.assert_array_equal(rows_of(make()), X)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_mapped_file(mode, order, tmp_path):
    np.save(tmp_path / "x.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    if mode != "r":
        mapped[2, 1] = 99
    np.testing.assert_array_equal(rows_of(mapped), mapped)
    np.testing.assert_array_equal(rows_of(mapped[1::2]), mapped[1::2])
    np.testing.assert_array_equal(rows_of(mapped[:, ::-1]), mapped[:, ::-1])


def resident(path):
    """Return the bytes of a mapped file that count as memory of this process."""
    maps = Path("/proc/self/smaps").read_text().splitlines()
    at = [i for i, line in enumerate(maps) if line.endswith(str(path))]
    sizes = [next(line for line in maps[i:] if line.startswith("Rss:")) for i in at]
    return sum(int(size.split()[1]) for size in sizes) * 1024


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the file tells what is in memory")
@pytest.mark.parametrize("by_path", [True, False])
def test_pages_of_a_mapped_file_are_freed(by_path, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.ones((2**20, 2)))
    mapped = np.load(path, mmap_mode="r")
    seen = []
    for chunk in predict(Same(), path if by_path else mapped, batch_size=2**16):
        assert chunk.sum() == chunk.size
        seen.append(resident(path))
    assert 2**20 <= max(seen) < 2**23  # of 2^24
    assert resident(path) < 2**20


@pytest.mark.parametrize("by_path", [True, False])
def test_a_file_that_is_replaced_while_it_is_read(by_path, tmp_path):
    """A mapping belongs to the file that it was made of, not to its name."""
    np.save(tmp_path / "x.npy", X)
    source = tmp_path / "x.npy" if by_path else np.load(tmp_path / "x.npy", mmap_mode="r")
    chunks = predict(Same(), source, batch_size=3)
    found = [next(chunks)]
    np.save(tmp_path / "y.npy", -X)
    (tmp_path / "y.npy").replace(tmp_path / "x.npy")
    np.testing.assert_array_equal(np.concatenate([*found, *chunks]), X)
    if not by_path:
        (tmp_path / "x.npy").unlink()
        np.testing.assert_array_equal(rows_of(source), X)


def test_raw_file(tmp_path):
    X.astype("f4").tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", "f4", "r", offset=8, shape=(7, 2))
    np.testing.assert_array_equal(rows_of(mapped), X[1:])


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (lambda: 3, ""),
        (lambda: {1, 2}, ""),
        (lambda: {"a": [1]}, r"pandas\.DataFrame\(source\)"),
        (lambda: sparse.csr_matrix(X), r"source\.toarray\(\)"),
        (lambda: [sparse.csr_array(X)], r"source\.toarray\(\)"),
        (lambda: [1.0, 2.0], r"numpy\.array"),
        (lambda: [[np.float64(1.0)]], r"numpy\.array"),
        (lambda: FRAME["a"], r"source\.to_frame\(\)"),
        (lambda: pl.Series([1.0]), r"source\.to_frame\(\)"),
        (lambda: pl.LazyFrame({"a": [1.0]}), r"source\.collect\(\)"),
        (lambda: pa.array([1.0]), r"pyarrow\.table\(\{"),
        (lambda: pa.chunked_array([[1.0]]), r"pyarrow\.table\(\{"),
        (lambda: tensor(X), r"source\.numpy\(\)"),
        (lambda: HasArray(), r"numpy\.asarray\(source\)"),
        (lambda: b"rows.npy", r"os\.fsdecode\(source\)"),
        (lambda: [lazy_array()], r"dask\.dataframe\.concat"),
    ],
)
def test_what_is_no_source(make, way):
    with pytest.raises(ValueError, match="source must be a path, an array.*" + way):
        rows_of(make())


def test_an_open_file(tmp_path):
    FRAME.to_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv") as file, pytest.raises(ValueError, match="give the path of the file"):
        rows_of(file)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame({"a": X[:, 0], "b": X[:, 1]}),
        lambda: (sparse.csr_matrix(X)[i : i + 3].toarray() for i in range(0, 8, 3)),
        lambda: tensor(X).detach().cpu().numpy(),
        lambda: np.asarray(HasArray()),
        pytest.param(lambda: pl.LazyFrame({"a": X[:, 0], "b": X[:, 1]}).collect(), marks=EARLY_POLARS),
    ],
)
def test_ways_out_work(make):
    np.testing.assert_array_equal(rows_of(make()), X)


def test_parquet_file(tmp_path):
    from pyarrow import parquet

    parquet.write_table(pa.table(FRAME), tmp_path / "x.parquet")
    with parquet.ParquetFile(tmp_path / "x.parquet") as file:
        with pytest.raises(ValueError, match=r"give source\.iter_batches\(\)"):
            rows_of(file)
        np.testing.assert_array_equal(rows_of(file.iter_batches()), X)


def test_archive_of_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", name=X)
    with np.load(tmp_path / "x.npz") as archive:
        with pytest.raises(ValueError, match=r"give one of its arrays, such as source\[\"name\"\]"):
            rows_of(archive)
        np.testing.assert_array_equal(rows_of(archive["name"]), X)


class HasArray:
    """An array of another package."""

    def __array__(self, dtype=None, copy=None):
        return X


def tensor(array):
    return pytest.importorskip("torch").from_numpy(array)


def lazy_array():
    return pytest.importorskip("dask.array").from_array(X)


def test_one_dimension():
    with pytest.raises(ValueError, match=r"got shape \(8,\): array.reshape\(-1, 1\) is one feature"):
        rows_of(X[:, 0])


def test_file_of_something_else(tmp_path):
    (tmp_path / "x.npy").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"x\.npy is not a \.npy file of an array"):
        rows_of(tmp_path / "x.npy")
