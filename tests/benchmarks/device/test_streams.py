"""Bytes of messages in every coding, by `python -m benchmarks.device.streams`, and what the docs say of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchmarks
from benchmarks.datasets import load
from benchmarks.device import streams
from skbsq import Codebook

ROOT = Path(benchmarks.__file__).parent.parent
STORED = pd.read_csv(ROOT / "benchmarks" / "results" / "streams.csv")
BOOK = Codebook.from_thresholds([[0, 1, 2], [0, 1, 2, 3, 4]], counts=[[1] * 4, [1] * 6])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table that the command writes."""
    output = tmp_path_factory.mktemp("streams") / "new" / "streams.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "load_several", lambda names, data_dir: [load("fried", n_samples=500)])
        streams.main(["--bits", "2", "--rows", "1", "100", "--output", str(output)])
    return pd.read_csv(output)


def test_sizes_that_are_known(table):
    assert list(table) == streams.COLUMNS
    cases = table.set_index(["rows", "form"])
    assert cases.loc[1, "messages"].tolist() == [250] * 10
    assert cases.loc[100, "messages"].tolist() == [2] * 10
    assert (cases.loc[1, "bytes_per_row"] == 22 + 3).all()  # a coding cannot shorten three bytes
    assert cases.loc[(100, "packed"), "bytes_per_row"] == pytest.approx(3 + 0.22)
    assert cases.loc[(100, "without padding"), "bytes_per_row"] == pytest.approx(2.5 + 0.22)


def test_candidates_are_deflated_as_dumps_does():
    """Of codes in one byte each, every layout of rows with one feature is the same."""
    one = Codebook.from_thresholds([range(200)], counts=[[1] * 201])
    sizes = streams.message_bytes(one, np.tile(np.uint8([[3], [200], [77]]), (40, 1)))
    for layout in ("without padding", "bytes side by side", "codes side by side"):
        assert sizes[f"deflate, {layout}"] == sizes["deflate"]
    assert sizes["deflate, with zlib header"] == sizes["deflate"] + 6


def test_bits_side_by_side_by_hand():
    codes = np.uint8([[1, 4], [2, 5], [3, 0]])
    planes = "101 011" + "010 000 110"  # the last one is bit 2 of the second feature
    bits = [int(bit) for bit in planes.replace(" ", "")]
    assert streams._bit_planes(BOOK, codes) == np.packbits(bits, bitorder="little").tobytes()


def test_savings_by_hand():
    sizes = {"packed": 10, "without padding": 8, "entropy": 5, "deflate": 4, "deflate, level 6": 6}
    rows = [("a", 2, n, form, 1, size * n) for n in (1, 10) for form, size in sizes.items()]
    table = pd.DataFrame(rows, columns=streams.COLUMNS)
    assert streams.savings(table, streams.PLAIN).tolist() == pytest.approx([0.5, 0.5])
    assert streams.savings(table, ["entropy"]).tolist() == pytest.approx([0.2, 0.2])
    assert streams.layouts(table).to_dict() == pytest.approx({"deflate, level 6": 1.5})
    assert streams.page_table(table).splitlines()[-1] == "| 10 | deflate | 40 |"


def test_the_page_shows_the_stored_rows():
    page = (ROOT / "docs" / "reference" / "bytes.md").read_text(encoding="utf-8")
    assert f"\n\n{streams.page_table(STORED)}\n\n" in page


def test_what_led_to_the_decision():
    """The page states these numbers."""
    page = " ".join((ROOT / "docs" / "reference" / "bytes.md").read_text(encoding="utf-8").split())
    assert len(_by_form := STORED[STORED["form"] == "deflate"]) == 32
    for others, text in (([*streams.PLAIN, "entropy"], "in {} of 32 cases"), (streams.PLAIN, "in {} of 32")):
        saved = streams.savings(STORED, others)
        assert len(saved) == len(_by_form)
        assert text.format((saved >= streams.SAVING).sum()) in page
    assert streams.layouts(STORED).between(0.97, 1.07).all()
