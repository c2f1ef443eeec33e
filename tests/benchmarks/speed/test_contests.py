"""The contests run both sides, in turns, and say who won."""

from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import load
from benchmarks.speed import __main__ as command
from benchmarks.speed import contests
from benchmarks.speed.contests import Contest, run

matplotlib.use("agg")


def test_turns_and_checksums():
    calls = []
    contest = Contest(
        "encode",
        "case",
        lambda: calls.append("ours") or np.uint8([200, 200]),
        lambda: calls.append("rival") or 400.0,
        "nobody",
        target=1e-9,
        repeats=2,
        calls=2,
    )
    row = run(contest)
    assert calls == ["ours", "ours", "rival", "rival"] * 2
    assert row["checksum"] == row["rival_checksum"] == 400
    assert row["ratio"] == pytest.approx(row["rival_seconds"] / row["seconds"])
    assert row["met"]


def test_targets_and_limits():
    def work():
        return np.arange(10_000).sum()

    assert not run(Contest("decode", "slow", work, work, "itself", target=1e9))["met"]
    assert not run(Contest("decode", "late", work, limit=0.0))["met"]
    alone = run(Contest("decode", "alone", work, limit=10.0))
    assert alone["met"]
    assert alone["ratio"] is None
    assert run(Contest("decode", "free", work, work, "itself"))["met"] is None


@pytest.mark.parametrize("part", ["encode", "decode", "pack"])
def test_both_sides_compute_the_same(part):
    for contest in contests.PARTS[part](n=2000, d=3):
        row = run(contest)
        if part == "decode" and "levels" in row["case"]:
            continue  # means of rows here, middles of bins there
        if row["rival"] is None:
            continue
        assert row["checksum"] == pytest.approx(row["rival_checksum"], rel=0.05 if "integers" in row["case"] else 1e-3)


def test_both_sides_predict_the_same():
    for contest in contests.predict(n=50, units=4):
        row = run(contest)
        assert row["checksum"] == pytest.approx(row["rival_checksum"], rel=1e-3)


def test_both_processes_encode_the_same():
    [contest] = contests.gateway()
    row = run(replace(contest, repeats=1))
    assert row["checksum"] == row["rival_checksum"] > 0
    assert row["limit"] == 0.3


def test_main(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contests, "load", lambda name, data_dir: load("fried", n_samples=200))
    monkeypatch.setitem(contests.PARTS, "decode", lambda: contests.decode(n=500, d=2))
    command.main(["--parts", "train", "recipe", "decode", "--epochs", "1", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "speed.csv")
    assert set(table["part"]) == {"train", "recipe", "decode"}
    assert (table["seconds"] > 0).all()
    trained = table[table["part"].isin(["train", "recipe"])]
    np.testing.assert_allclose(trained["checksum"], trained["rival_checksum"], rtol=0.5)
    assert (tmp_path / "speed.png").stat().st_size > 0
    assert "picture" in capsys.readouterr().out
