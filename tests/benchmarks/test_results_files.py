"""Files of results are appended to, whatever ended the run before."""

import pandas as pd
import pytest

from benchmarks.command import append_row, collect, read_rows

COLUMNS = ["name", "seed", "error"]


def jobs(names):
    return [({"name": name, "seed": 1}, lambda name=name: {"error": len(name) / 4}, {}) for name in names]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_row_that_was_cut_off_is_measured_again(cut, tmp_path):
    """By a run that was killed, or had no room: what comes after it must not be joined to it."""
    path = tmp_path / "rows.csv"
    whole = collect(jobs(["one", "three"]), ["name", "seed"], COLUMNS, path)
    text = path.read_text()
    path.write_text(text[:-cut])
    assert len(read_rows(path, COLUMNS)) == 1
    assert path.read_text() == text[:-cut]  # whoever reads may do so while another writes
    again = collect(jobs(["one", "three"]), ["name", "seed"], COLUMNS, path)
    pd.testing.assert_frame_equal(again, whole)
    assert path.read_text() == text


def test_a_header_that_was_cut_off(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("name,seed,error")
    assert read_rows(path, COLUMNS).empty
    path.write_text("name,se")
    append_row(path, COLUMNS, {"name": "one", "seed": 1, "error": 0.5})
    assert path.read_text() == "name,seed,error\none,1,0.5\n"


def test_what_is_asked_for_twice_is_measured_once(tmp_path):
    path = tmp_path / "rows.csv"
    assert len(collect(jobs(["one", "one"]), ["name", "seed"], COLUMNS, path)) == 1
    assert len(read_rows(path, COLUMNS)) == 1
