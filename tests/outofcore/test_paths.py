"""The suffix of a file tells its format, in capitals or not."""

import bz2
import gzip
import lzma
import shutil

import numpy as np
import pandas as pd
import pytest

from skbsq.outofcore import transform
from tests.outofcore.conftest import together

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, feather, parquet  # noqa: E402

ROWS = pd.DataFrame({"a": [0.5, np.nan, -3.0], "b": [1, 0, 1]})
TEXT = ROWS.to_csv(index=False).encode()


def write(path):
    """Write the rows in the format of the suffix."""
    name = path.name.lower()
    if name.endswith(".npy"):
        with open(path, "wb") as file:
            np.save(file, ROWS.to_numpy())
    elif name.endswith(".parquet"):
        parquet.write_table(pa.table(ROWS), path)
    elif name.endswith((".feather", ".arrow", ".ipc")):
        feather.write_feather(pa.table(ROWS), str(path))
    elif name.endswith(".lz4"):
        with pa.CompressedOutputStream(str(path), "lz4") as file:
            file.write(TEXT)
    else:
        compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.get(name.rpartition(".")[2], bytes)
        path.write_bytes(compress(TEXT))
    return path


def check_rows(book, source):
    np.testing.assert_array_equal(together(transform(book, source)), book.encode(ROWS.to_numpy()))


@pytest.mark.parametrize(
    "name",
    [
        *("rows.npy", "rows.parquet", "rows.csv", "rows.feather", "rows.arrow"),
        *("ROWS.NPY", "ROWS.PARQUET", "ROWS.CSV", "ROWS.FEATHER", "ROWS.ARROW", "Rows.Npy"),
        *("rows.csv.gz", "rows.csv.bz2", "rows.csv.lz4", "ROWS.CSV.gz"),
    ],
)
def test_sources(name, book, tmp_path):
    check_rows(book, write(tmp_path / name))


@pytest.mark.parametrize("name", ["rows", "rows.pq", "part-0.snappy", "rows.2024"])
def test_other_suffixes_may_be_parquet(name, book, tmp_path):
    parquet.write_table(pa.table(ROWS), tmp_path / name)
    check_rows(book, tmp_path / name)


@pytest.mark.parametrize("end", ["npy", "NPY", "parquet", "PARQUET", "Parquet"])
def test_outputs(end, book, tmp_path):
    keep = ["key"] if end.lower() == "parquet" else []
    out = transform(book, ROWS.assign(key=1), tmp_path / f"codes.{end}", columns=["a", "b"], keep=keep)
    assert isinstance(out, np.memmap if end.lower() == "npy" else dataset.Dataset)
    assert len(out if end.lower() == "npy" else out.to_table()) == 3


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("rows.tsv", r'"\.tsv|\'\.tsv\' is none of \.npy, \.parquet, \.csv.*pandas\.read_csv\(.*sep="\\t"'),
        ("ROWS.TXT", r"suffix '\.txt' is none of .*pandas\.read_csv"),
        ("rows.npz", r"suffix '\.npz' is none of .*numpy\.load\(.*\)\[\"name\"\]"),
        ("rows.json", r"suffix '\.json' is none of .*format=\"json\""),
        ("rows.xlsx", r"suffix '\.xlsx' is none of .*pandas\.read_excel"),
        ("rows.pkl", r"suffix '\.pkl' is none of .*pandas\.read_pickle"),
        ("rows.csv.zst", r"suffix '\.csv\.zst' is none of .*pandas\.read_csv\(.*chunksize"),
        ("rows.csv.xz", r"suffix '\.csv\.xz' is none of .*pandas\.read_csv\(.*chunksize"),
        ("rows.csv.GZ", r"suffix '\.csv\.GZ' is none of .*pandas\.read_csv\(.*chunksize"),
        ("rows.feather.gz", r"suffix '\.gz' is none of .*pyarrow\.dataset\.dataset"),
        ("rows.dat", r"is not a parquet file, and the suffix '\.dat' is none of .*pyarrow\.dataset\.dataset"),
        ("rows", r"is not a parquet file, and a name without a suffix is none of .*pyarrow\.dataset\.dataset"),
    ],
)
def test_unreadable_files_and_the_way_out(name, way, book, tmp_path):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=way) as caught:
        transform(book, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert not isinstance(caught.value, pa.ArrowInvalid)


def test_ways_out_work(book, tmp_path):
    np.savez(tmp_path / "rows.npz", name=ROWS.to_numpy())
    ROWS.to_csv(tmp_path / "rows.tsv", sep="\t", index=False)
    ROWS.to_json(tmp_path / "rows.json", orient="records", lines=True)
    shutil.copy(write(tmp_path / "rows.feather"), tmp_path / "rows.ipc")
    check_rows(book, dataset.dataset(tmp_path / "rows.json", format="json"))
    check_rows(book, dataset.dataset(tmp_path / "rows.ipc", format="ipc"))
    with np.load(tmp_path / "rows.npz") as arrays:
        check_rows(book, arrays["name"])
    for path, separator in ((tmp_path / "rows.tsv", "\t"), (write(tmp_path / "rows.csv.xz"), ",")):
        with pd.read_csv(path, sep=separator, chunksize=2) as chunks:
            check_rows(book, chunks)


@pytest.mark.parametrize(
    "name", ["rows.npy", "rows.parquet", "rows.csv", "rows.tsv", "rows", "no/rows.npy", "ROWS.CSV"]
)
def test_a_path_that_does_not_exist(name, book, tmp_path):
    with pytest.raises(FileNotFoundError, match=name):
        transform(book, tmp_path / name)


# -- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["csv", "npy"])
def test_a_folder_of_other_files(end, book, tmp_path):
    for i in range(2):
        write(tmp_path / f"{i}.{end}")
    with pytest.raises(ValueError, match=r"cannot be read as parquet: .*sorted\(pathlib\.Path.*format=\"csv\""):
        transform(book, tmp_path)
    sources = [sorted(tmp_path.iterdir())]
    sources += [dataset.dataset(tmp_path, format="csv")] if end == "csv" else []
    for source in sources:
        assert len(together(transform(book, source))) == 6


def test_a_folder_with_some_other_files(book, tmp_path):
    write(tmp_path / "0.parquet")
    write(tmp_path / "1.csv")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        transform(book, tmp_path)


@pytest.mark.parametrize("name", ["empty", "empty.parquet", "empty.npy"])
def test_a_folder_without_files(name, book, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"as parquet: give the list of its files.*contains no files"):
        transform(book, tmp_path / name)


def test_a_folder_named_as_csv(book, tmp_path):
    (tmp_path / "rows.csv").mkdir()
    write(tmp_path / "rows.csv" / "0.csv")
    for path in (tmp_path / "rows.csv", f"{tmp_path}/rows.csv/"):
        assert len(together(transform(book, path))) == 3


def test_a_file_of_another_format(book, tmp_path):
    (tmp_path / "rows.parquet").write_bytes(TEXT)
    with pytest.raises(ValueError, match=r"rows\.parquet' is not a parquet file") as caught:
        transform(book, tmp_path / "rows.parquet")
    assert not isinstance(caught.value, pa.ArrowInvalid)
    (tmp_path / "rows.csv").write_bytes("é,b\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"rows\.csv' is not a csv file") as caught:
        transform(book, tmp_path / "rows.csv")
    assert not isinstance(caught.value, UnicodeDecodeError)
