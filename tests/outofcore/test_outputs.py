"""Files of results are written atomically."""

import numpy as np
import pytest

from skbsq import UniformQuantizer
from skbsq.outofcore import predict, transform
from tests.outofcore.conftest import Same

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("end", ["npy", "parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted(book, end, error, tmp_path):
    path = tmp_path / f"codes.{end}"
    path.write_text("old")

    def parts():
        yield np.zeros((5, 2))
        raise error

    with pytest.raises(error):
        transform(book, parts(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_the_file_appears_at_the_end(book, tmp_path):
    def parts():
        yield np.zeros((5, 2))
        (part,) = tmp_path.iterdir()  # in the same folder, so that it can replace the output atomically
        assert part.name != "codes.npy"

    transform(book, parts(), tmp_path / "codes.npy")
    assert [file.name for file in tmp_path.iterdir()] == ["codes.npy"]


def test_the_output_may_replace_the_source(book, X, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    codes = transform(book, path, path, batch_size=7)
    np.testing.assert_array_equal(codes, book.encode(X))


def test_outputs_that_cannot_be_written(book, X, tmp_path):
    with pytest.raises(ValueError, match=r"output must end with \.npy or \.parquet, got 'codes\.csv'"):
        transform(book, X, "codes.csv")
    with pytest.raises(ValueError, match=r"There is no folder .* for the output"):
        transform(book, X, tmp_path / "no" / "codes.npy")
    (tmp_path / "codes.parquet").mkdir()
    with pytest.raises(ValueError, match=r"codes\.parquet' is a folder: give the name of a file"):
        transform(book, X, tmp_path / "codes.parquet")


def test_chunks_of_different_types(tmp_path):
    parts = [np.zeros((2, 2)), np.zeros((2, 2), int)]
    with pytest.raises(ValueError, match=r"A chunk is int64 of \(2, 2\), the first float64 of \(n, \*\(2,\)\)"):
        predict(Same(), parts, tmp_path / "x.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_readers_refuse_is_left_out(tmp_path):
    """Parquet readers accept 100 MB of metadata, which hold the text twice."""
    huge = UniformQuantizer(16).fit(np.float32([[0] * 6, [1] * 6]))
    found = transform(huge, np.zeros((3, 6)), tmp_path / "codes.parquet")
    assert found.count_rows() == 3
    assert not found.schema.metadata
