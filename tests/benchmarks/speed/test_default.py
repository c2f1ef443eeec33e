import pandas as pd
import pytest

from benchmarks.speed import default


def test_table_by_hand():
    rows = [
        *[(100, default.OURS, seed, seconds, 0.1) for seed, seconds in enumerate([3.0, 4.0, 9.0])],
        *[(100, default.RIVAL, seed, 2.0, 0.2) for seed in range(3)],
    ]
    found = default.table(pd.DataFrame(rows, columns=["rows", "method", "seed", "cpu_seconds", "error"]))
    assert found["method"].tolist() == [default.OURS, default.RIVAL]
    assert found["ratio"].tolist() == [2.0, 1.0]
    assert found["r2"].tolist() == pytest.approx([0.9, 0.8])


def test_command(tmp_path, capsys):
    arguments = ["--rows", "60", "--seeds", "0", "--output", str(tmp_path / "default.csv")]
    default.main(arguments)
    first = capsys.readouterr().out
    assert all(method in first for method in default.METHODS)
    assert (pd.read_csv(tmp_path / "default.csv")["cpu_seconds"] > 0).all()
    default.main(arguments)  # all rows are there
    assert capsys.readouterr().out == first
