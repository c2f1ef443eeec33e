"""The flash of the functions for sensors that fail; tests that need cross compilers run only in `make device`."""

import pandas as pd
import pytest

from benchmarks.device import faults


@pytest.mark.parametrize(("missing", "n_missing"), [("none", 0), ("half", 2), ("all", 3)])
def test_codebooks(missing, n_missing):
    book = faults.make_book(3, 2, missing)
    assert book.has_missing.sum() == n_missing
    assert book.refuses_nan.sum() == 3 - n_missing


@pytest.mark.usefixtures("cross_tools")
def test_command(tmp_path):
    faults.main(["--sizes", "3x2", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "device_faults.csv")
    assert list(table) == faults.COLUMNS
    assert table["missing"].tolist() == ["none", "none", "half", "half", "all", "all"]
    masked = table["missing"] != "all"
    for function in ("fill", "ready", "fill_missing"):
        assert (table[function].notna() == masked).all()
    assert (table["put"] > 0).all()
