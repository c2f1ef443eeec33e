"""Commands can read the rows in the repository that they wrote."""

from pathlib import Path

import pandas as pd
import pytest

import benchmarks
from benchmarks.command import read_rows
from benchmarks.paper import budget, floats, losses, mixed, protocol, rates, small
from benchmarks.speed import contests, default, gpu

RESULTS = Path(benchmarks.__file__).parent / "results"
COLUMNS = {
    **{"paper": protocol.COLUMNS, "paper-same": protocol.COLUMNS, "others": protocol.COLUMNS, "budget": budget.COLUMNS},
    **{"floats": floats.COLUMNS, "default": default.COLUMNS, "small": small.COLUMNS, "gpu": gpu.COLUMNS},
    **{"losses": losses.COLUMNS, "rates": rates.COLUMNS, "mixed": mixed.COLUMNS},
}


def test_stored_speed_of_categories_reaches_its_target():
    table = pd.read_csv(RESULTS / "speed_categories.csv")
    assert list(table["part"].unique()) == [contests.categories.__name__]
    assert len(table) == 6
    assert (table["ratio"] >= 0.8).all()
    assert (table["checksum"] == table["rival_checksum"]).all()


@pytest.mark.parametrize("name", COLUMNS)
def test_stored_rows_are_read(name):
    rows = read_rows(RESULTS / f"{name}.csv", COLUMNS[name])
    assert list(rows) == COLUMNS[name]
    assert rows["trained" if name == "gpu" else "error"].notna().any()
