"""Runs resume from their files of results, however the run before ended."""

from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks.command import CommandError, append_row, collect, jobs_of, read_rows, shuffled

KEY = ["name", "seed"]
COLUMNS = [*KEY, "error", "failure"]


def jobs(names, function=lambda name: {"error": len(name) / 4}):
    return [({"name": name, "seed": 1}, function, {"name": name}) for name in names]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "rows.csv"


@pytest.mark.parametrize("missing", range(1, 12))
def test_an_incomplete_row_is_measured_again(missing, path):
    """A run that was killed may leave half a row, to which the next row must not be joined."""
    complete = collect(jobs(["one", "three"]), KEY, COLUMNS, path)
    text = path.read_text()
    path.write_text(text[:-missing])
    assert len(read_rows(path, COLUMNS)) == 1
    assert path.read_text() == text[:-missing]  # reading leaves the file alone, as another run may write it
    pd.testing.assert_frame_equal(collect(jobs(["one", "three"]), KEY, COLUMNS, path), complete)
    assert path.read_text() == text


def test_jobs_know_the_row_and_the_arguments():
    data = SimpleNamespace(identity={"dataset": "fried", "data_sha256": "0"})
    fits = {"method": "quantile", "bits": 2}
    found = jobs_of(len, [(data, "quantile", 2)], [5, 6])
    assert [row for row, *_ in found] == [{**data.identity, **fits, "seed": seed} for seed in (5, 6)]
    assert [work for _, *work in found] == [[len, {"data": data, **fits, "seed": seed}] for seed in (5, 6)]


def test_an_incomplete_header_is_replaced(path):
    append_row(path, COLUMNS, {})
    path.write_text(",".join(COLUMNS))
    assert read_rows(path, COLUMNS).empty
    path.write_text("name,se")
    append_row(path, COLUMNS, {"name": "one", "seed": 1, "error": 0.5})
    assert path.read_text() == "name,seed,error,failure\none,1,0.5,\n"


def test_equal_keys_are_measured_once(path):
    assert len(collect(jobs(["one", "one"]), KEY, COLUMNS, path)) == 1
    assert len(read_rows(path, COLUMNS)) == 1


def test_a_failure_is_recorded_and_tried_again(path):
    def fail(name):
        raise ValueError("no\nreason")

    (row,) = collect(jobs(["one"], fail), KEY, COLUMNS, path).to_dict("records")
    assert pd.isna(row["error"])
    assert row["failure"] == "ValueError: no"
    assert collect(jobs(["one"]), KEY, COLUMNS, path)["error"].tolist() == [0.75]
    assert read_rows(path, COLUMNS)["failure"].notna().tolist() == [True, False]
    with pytest.raises(ValueError, match="no"):
        collect(jobs(["one"], fail), KEY, [*KEY, "error"])


def test_an_interrupted_run_keeps_its_rows(path):
    def interrupt(name):
        if name == "three":
            raise KeyboardInterrupt
        return {"error": 1.0}

    with pytest.raises(KeyboardInterrupt):
        collect(jobs(["one", "three", "four"], interrupt), KEY, COLUMNS, path)
    assert read_rows(path, COLUMNS)["name"].tolist() == ["one"]


def test_a_foreign_file_is_refused(path):
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CommandError, match="choose another output"):
        collect(jobs(["one"]), KEY, COLUMNS, path)
    assert path.read_text() == "a,b\n1,2\n"


def test_seeds_are_finished_one_after_the_other():
    work = [({"seed": seed, "name": name}, len, {}) for name in range(20) for seed in (2, 1)]
    found = [row for row, *_ in shuffled(work)]
    assert [row["seed"] for row in found] == [1] * 20 + [2] * 20
    names = [row["name"] for row in found[:20]]
    assert sorted(names) == list(range(20)) != names
    assert found == [row for row, *_ in shuffled(work)]
