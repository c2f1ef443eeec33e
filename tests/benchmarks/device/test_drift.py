"""Alarms with and without drift, by `python -m benchmarks.device.drift`, and what the docs say of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchmarks
from benchmarks.device import drift
from skbsq import Codebook

ROOT = Path(benchmarks.__file__).parent.parent
STORED = ROOT / "benchmarks" / "results" / "drift.csv"


def test_the_command_writes_a_row_per_case_and_bits(tmp_path, monkeypatch):
    output = tmp_path / "new" / "drift.csv"
    some = [drift.cases()[1], drift.cases()[-1]]
    monkeypatch.setattr(drift, "cases", lambda: some)
    drift.main(["--bits", "1", "2", "--repeats", "1", "--output", str(output)])
    table = pd.read_csv(output)
    assert list(table) == drift.COLUMNS
    assert table[["missing", "shift", "n", "bits"]].to_numpy().tolist() == [
        [0.02, 0, 500, 1],
        [0.02, 0, 500, 2],
        [0, 0.5, 2000, 1],
        [0, 0.5, 2000, 2],
    ]
    assert (table["repeats"] == drift.BATCH).all()  # whole batches
    assert (table["alarms"][:2] < 0.2).all()
    assert (table["ks_alarms"][:2] < 0.2).all()
    assert (table[["alarms", "ks_alarms"]][2:] == 1).all(axis=None)


@pytest.mark.parametrize("name", drift.DISTRIBUTIONS)
def test_a_shift_is_in_standard_deviations(name):
    X = drift.DISTRIBUTIONS[name](np.random.default_rng(0), (100_000, 1))
    assert X.std() == pytest.approx(1, abs=0.02)


def test_the_plain_index_by_hand():
    codebook = Codebook.from_thresholds([[0.0, 1.0]], counts=[[50, 50, 0]])
    codes = np.repeat([0, 1], [75, 25])[:, None]
    expected = 0.25 * np.log(0.75 / 0.5) - 0.25 * np.log(0.25 / 0.5)
    assert drift._plain_index(codebook, codes) == pytest.approx(expected)


def test_stored_false_alarms():
    stored = pd.read_csv(STORED)
    false = stored[stored["shift"] == 0]
    assert false["repeats"].min() >= 4000
    # Nominal 5 %, and three standard errors of a share of 4000.
    assert false["alarms"].max() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_the_page_shows_the_stored_rows():
    page = (ROOT / "docs" / "deploy" / "monitoring.md").read_text(encoding="utf-8")
    for table in drift.page_tables(pd.read_csv(STORED)):
        assert f"\n\n{table}\n\n" in page


def test_tables_by_hand():
    shares = {2: (0.0512, 0.9, 0.5), 1: (0.04, 0.9, 0.25)}
    rows = [("normal", "quantile", 0.0, shift, 500, b, 4000, *shares[b]) for shift in (0, 0.2) for b in shares]
    false, power = drift.page_tables(pd.DataFrame(rows, columns=drift.COLUMNS))
    assert false.splitlines() == [
        "| distribution | thresholds | missing | 1 bit | 2 bits | index > 0.1 |",
        "| --- | --- | --- | --- | --- | --- |",
        "| normal | quantile | 0.0 | 4.0 | 5.1 | 50.0 |",
    ]
    assert power.splitlines()[-1] == "| normal | 0.2 | 500 | 4.0 | 5.1 | 90.0 |"
