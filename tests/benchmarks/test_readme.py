"""The numbers of README.md and of docs/benchmarks/floats.md are those of stored results."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.arguments import SEEDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "benchmarks" / "floats.md").read_text(encoding="utf-8")


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


MORE = {
    **ROWS,
    "the same network on float32": (256, stored("budget", method="floats")["error"].mean()),
    "bins of 3 bits": ROWS["KBinsDiscretizer"],
    "bins of 4 bits": (32, stored("paper-same", method="quantile", bits=4)["error"].mean()),
    "bit_budget=16": (16, stored("budget", method="budget", asked=16)["error"].mean()),
}


@pytest.mark.parametrize("name", sorted(MORE.keys() - {"by zstd", "KBinsDiscretizer"}))
def test_table_of_the_page(name):
    bits, error = MORE[name]
    (line,) = (line for line in PAGE.splitlines() if line.startswith("|") and name in line)
    assert re.findall(r"\| ([\d.]+)(?= \|)", line) == [f"{bits:.0f}", f"{error:.3f}"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("codec", ["none", "zlib", "zstd"])
def test_sizes_of_the_page(dtype, codec):
    name = dtype if codec == "none" else f"{dtype}, {codec}"
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    sizes = [stored("lossless", dtype=dtype, codec=codec, rows=n)["row_bits"].mean() for n in (1, 100, 1000)]
    assert re.findall(r"\| (\d+)(?= \|)", line) == [f"{size:.0f}" for size in sizes]


def test_a_single_row_grows():
    assert stored("lossless", dtype="float32", codec="zstd", rows=1)["row_bits"].mean() > 256


def test_flash_of_the_encoder():
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "device.csv")
    (shown,) = re.findall(r"take (\d+) bytes of flash\s+on\s+a\s+Cortex-M4", README)
    assert int(shown) in table["flash"].to_list()
