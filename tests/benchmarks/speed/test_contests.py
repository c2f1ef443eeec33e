"""The contests run both sides in turns, and compare them."""

import contextlib
import io
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
        "case",
        lambda: calls.append("ours") or np.uint8([200, 200]),
        lambda: calls.append("rival") or 400.0,
        "nobody",
        target=1e-9,
        repeats=2,
        calls=2,
    )
    row = run("encode", contest)
    assert calls == ["ours", "ours", "rival", "rival"] * 2
    assert row["checksum"] == row["rival_checksum"] == 400
    assert row["ratio"] == pytest.approx(row["rival_seconds"] / row["seconds"])
    assert row["met"]


def test_targets_and_limits():
    def work():
        return np.arange(10_000).sum()

    assert not run("decode", Contest("slow", work, work, "itself", target=1e9))["met"]
    assert not run("decode", Contest("late", work, limit=0.0))["met"]
    alone = run("decode", Contest("alone", work, limit=10.0))
    assert alone["met"]
    assert alone["ratio"] is None
    assert run("decode", Contest("free", work, work, "itself"))["met"] is None


def test_both_sides_of_start_take_the_same_steps():
    *rules, fit = contests.start(n=500, d=2, n_of_fit=600, epochs=3)
    for contest in rules:
        assert run("start", contest)["met"]
    row = run("start", replace(fit, repeats=1))
    assert row["checksum"] == pytest.approx(row["rival_checksum"], rel=0.5)


@pytest.mark.parametrize("part", ["encode", "categories", "decode", "pack", "predict"])
def test_both_sides_compute_the_same(part):
    sizes = {"n": 50, "units": 4} if part == "predict" else {"n": 2000, "d": 3}
    for contest in contests.PARTS[part](**sizes):
        row = run(part, replace(contest, repeats=1, calls=1))
        # Levels are means of rows here, and middles of bins there.
        if row["rival"] and not row["case"].startswith("levels"):
            tolerance = 0.05 if "integers" in row["case"] else 1e-3
            assert row["checksum"] == pytest.approx(row["rival_checksum"], rel=tolerance)


def test_both_processes_encode_the_same(monkeypatch):
    def run_here(code, given):
        """Run the code in this process, where the imports are done."""
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, {})
        return float(out.getvalue())

    monkeypatch.setattr(contests, "printed_number", run_here)
    [contest] = contests.gateway()
    row = run("gateway", replace(contest, repeats=1))
    assert row["checksum"] == row["rival_checksum"] > 0
    assert row["limit"] == 0.3


def test_main(tmp_path, capsys, monkeypatch):
    def once(part, **sizes):
        function = getattr(contests, part)
        return lambda **given: (replace(contest, repeats=1) for contest in function(**sizes, **given))

    monkeypatch.setattr(contests, "load", lambda name, data_dir: load("fried", n_samples=200))
    for part in ("train", "recipe"):
        monkeypatch.setitem(contests.PARTS, part, once(part, names=("california",)))
    monkeypatch.setitem(contests.PARTS, "decode", once("decode", n=500, d=2))
    command.main(["--parts", "train", "recipe", "decode", "--epochs", "1", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "speed.csv")
    assert table["part"].value_counts().to_dict() == {"train": 8, "recipe": 3, "decode": 6}
    assert (table["seconds"] > 0).all()
    trained = table[table["part"].isin(["train", "recipe"])]
    np.testing.assert_allclose(trained["checksum"], trained["rival_checksum"], rtol=0.5)
    assert (tmp_path / "speed.png").stat().st_size > 0
    assert "picture" in capsys.readouterr().out
