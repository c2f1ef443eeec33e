"""Files of results appear whole or not at all."""

import numpy as np
import pytest

from skbsq import UniformQuantizer
from skbsq._files import atomic_write
from skbsq.outofcore import transform


@pytest.mark.parametrize("end", ["npy", "parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted(book, end, error, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / f"codes.{end}"
    path.write_text("old")

    def parts():
        yield np.zeros((5, 2))
        raise error

    with pytest.raises(error):
        transform(book, parts(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_nothing_is_there_before_the_end(tmp_path):
    path = tmp_path / "new"
    with atomic_write(path) as part:
        part.write_text("text")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text() == "text"
    assert list(tmp_path.iterdir()) == [path]


def test_source_is_replaced_after_it_was_read(book, X, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    codes = transform(book, path, path, batch_size=7)
    np.testing.assert_array_equal(codes, book.encode(X))


def test_where_to(book, X, tmp_path):
    with pytest.raises(ValueError, match=r"output must end with \.npy or \.parquet, got 'codes\.csv'"):
        transform(book, X, "codes.csv")
    with pytest.raises(ValueError, match=r"There is no folder .* for the output"):
        transform(book, X, tmp_path / "no" / "codes.npy")


def test_chunks_of_different_types(tmp_path):
    from skbsq.outofcore._outputs import write

    results = iter([(np.zeros((2, 1)), ["a"], None), (np.zeros((2, 1), int), ["a"], None)])
    with pytest.raises(ValueError, match="A chunk gave int64"):
        write(tmp_path / "x.npy", results, None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_output(book, X, tmp_path):
    (tmp_path / "codes.parquet").mkdir()
    with pytest.raises(ValueError, match=r"codes\.parquet' is a folder: give the name of a file"):
        transform(book, X, tmp_path / "codes.parquet")


def test_a_text_that_readers_refuse_is_left_out(tmp_path):
    """Parquet readers take 100 MB of metadata, which hold the text twice."""
    huge = UniformQuantizer(16).fit(np.float32([[0] * 6, [1] * 6]))
    found = transform(huge, np.zeros((3, 6)), tmp_path / "codes.parquet")
    assert found.count_rows() == 3
    assert not found.schema.metadata
