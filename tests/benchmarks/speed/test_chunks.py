"""Errors of sketches are those of their quantiles, and all parts of the command run."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("datasketches")

from benchmarks.speed import chunks
from benchmarks.speed.chunks import SHARES, main, rank_errors


def test_rank_errors_by_hand():
    x = np.arange(256, dtype=np.float32)
    exact = 256 * SHARES - 0.5
    np.testing.assert_array_equal(rank_errors(exact, x), 0)
    np.testing.assert_allclose(rank_errors(exact + 3, x)[:200], 3 / 256)
    np.testing.assert_allclose(rank_errors(exact - 2, x)[5:], 2 / 256)
    np.testing.assert_array_equal(rank_errors(np.zeros(255), np.zeros(9, dtype=np.float32)), 0)  # there is no better


def test_errors_shrink_with_the_size():
    table = pd.DataFrame(chunks.error(rows=30_000))
    drawn = table[(table["order"] == "drawn") & table["column"].isin(["normal", "lognormal"])]
    for _, own in drawn.groupby(["column", "sketch"]):
        errors = own.sort_values("size")["largest_error"].to_numpy()
        assert errors[-1] < errors[0] < 0.02
        assert (np.diff(own.sort_values("size")["bytes"]) > 0).all()
    few = table[(table["column"] == "integers") & (table["sketch"] == "skbsq") & (table["size"] > 600)]
    assert (few["largest_error"] == 0).all()


def test_main(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(chunks.PARTS, "calls", partial(chunks.calls, rows=2000, d=2, repeats=2))
    options = ["--rows", "5000", "--values", "40000", "--epochs", "5", "--output-dir", str(tmp_path)]
    main(["--parts", "partial_fit", "calls", "train", *options])
    called = pd.read_csv(tmp_path / "chunks_calls.csv")
    assert called["rows"].tolist() == [1, 100] * 3
    assert (called["milliseconds"] > 0).all()
    fitted = pd.read_csv(tmp_path / "chunks_partial_fit.csv")
    assert fitted["equal_codes"].tolist()[:2] == [1, 1]
    assert fitted["equal_codes"][2] > 0.99
    trained = pd.read_csv(tmp_path / "chunks_train.csv").iloc[0]
    assert trained["values"] == 40_000
    assert trained["rows_per_second"] * trained["seconds"] == pytest.approx(5 * 2000)
    assert 0 < trained["r2"] < 1
    assert "rows_per_second" in capsys.readouterr().out
