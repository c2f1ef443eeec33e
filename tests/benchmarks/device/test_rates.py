"""The flash of several rates; tests that need cross compilers run only in `make device`."""

from itertools import pairwise

import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.device import chips, rates


@pytest.mark.parametrize("nesting", rates.NESTINGS)
def test_codebooks_are_nested(nesting):
    books = rates.NESTINGS[nesting](3, 3, [2, 1])
    assert [book.row_bits for book in books] == [9, 6, 3]
    assert all(fine.is_refinement_of(coarse) for fine, coarse in pairwise(books))


def test_sources():
    books = rates.every_second(3, 3, [2, 1])
    assert rates.one_header(books).count("_thresholds[] ") == 1
    assert rates.headers(books).count("_thresholds[] ") == 3
    assert rates.one_header(books[:1]) == rates.headers(books[:1])


@pytest.mark.usefixtures("cross_tools")
def test_command(tmp_path):
    rates.main(["--sizes", "3x2", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "device_rates.csv")
    assert list(table) == rates.COLUMNS
    assert table["rates"].tolist() == [1, 2] * 4
    one, two = table[table["rates"] == 1], table[table["rates"] == 2]
    assert (one["flash"] == one["flash_of_headers"]).all()
    assert (one["flash"].to_numpy() + two["flash_of_last_rate"].to_numpy() == two["flash"].to_numpy()).all()
    assert (two["flash"] < two["flash_of_headers"]).all()


@pytest.mark.usefixtures("cross_tools")
def test_other_messages_than_those_of_python_are_an_error(monkeypatch):
    monkeypatch.setattr(chips, "dumps", lambda book, codes: b"?" * 23)
    with pytest.raises(CommandError, match="messages of 1 codebooks differ from those of Python on cortex-m4"):
        rates.measure(rates.every_second(3, 2, []), "cortex-m4")
