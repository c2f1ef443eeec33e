"""The numbers of README.md are those of stored results."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.arguments import SEEDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def stored(name, **values):
    """Rows of a file about California housing, on the splits of the tables."""
    rows = pd.read_csv(ROOT / "benchmarks" / "results" / f"{name}.csv").astype({"dataset": str})
    kept = (rows["dataset"] == "california") & rows["seed"].isin(SEEDS)
    for column, value in values.items():
        kept &= rows[column] == value
    assert sorted(rows[kept]["seed"]) == sorted(SEEDS)
    return rows[kept]


BOOSTING = stored("floats", method="boosting on floats")["error"].mean()
ROWS = {
    "boosting on float32": (256, BOOSTING),
    "by zstd": (stored("lossless", dtype="float32", codec="zstd", rows=1000)["row_bits"].mean(), BOOSTING),
    "boosting on float16": (128, stored("floats", method="boosting on float16")["error"].mean()),
    "KBinsDiscretizer": (24, stored("paper-same", method="quantile", bits=3)["error"].mean()),
    "bit_budget=24": (24, stored("budget", method="budget", asked=24)["error"].mean()),
    "bit_budget=32": (32, stored("budget", method="budget", asked=32)["error"].mean()),
}


@pytest.mark.parametrize("name", ROWS)
def test_table_against_other_ways(name):
    bits, error = ROWS[name]
    (line,) = (line for line in README.splitlines() if line.startswith("|") and name in line)
    shown = re.findall(r"\| \**([\d.]+)\**(?= \|)", line)
    assert shown == [f"{bits:.0f}", f"{error:.3f}"]


def test_a_single_row_grows():
    assert stored("lossless", dtype="float32", codec="zstd", rows=1)["row_bits"].mean() > 256


def test_flash_of_the_encoder():
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "device.csv")
    (shown,) = re.findall(r"take (\d+) bytes of flash\s+on\s+a\s+Cortex-M4", README)
    assert int(shown) in table["flash"].to_list()
