"""Commands can read the rows in the repository that they wrote."""

from pathlib import Path

import pytest

import benchmarks
from benchmarks.command import read_rows
from benchmarks.paper import budget, floats, losses, protocol, rates, small
from benchmarks.speed import default, gpu

RESULTS = Path(benchmarks.__file__).parent / "results"
COLUMNS = {
    **{"paper": protocol.COLUMNS, "paper-same": protocol.COLUMNS, "others": protocol.COLUMNS, "budget": budget.COLUMNS},
    **{"floats": floats.COLUMNS, "default": default.COLUMNS, "small": small.COLUMNS, "gpu": gpu.COLUMNS},
    **{"losses": losses.COLUMNS, "rates": rates.COLUMNS},
}


@pytest.mark.parametrize("name", COLUMNS)
def test_stored_rows_are_read(name):
    rows = read_rows(RESULTS / f"{name}.csv", COLUMNS[name])
    assert list(rows) == COLUMNS[name]
    assert rows["trained" if name == "gpu" else "error"].notna().any()
