"""Packets, energy and errors of a device that sends on change, by `python -m benchmarks.device.change`."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchmarks
from benchmarks.datasets import load
from benchmarks.device import change
from skbsq import Codebook
from skbsq.codec import ChangeSender

ROOT = Path(benchmarks.__file__).parent.parent
STORED = ROOT / "benchmarks" / "results" / "change.csv"
BOOK = Codebook.from_thresholds([[0, 1, 2]])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table that the command writes for two data sets."""
    output = tmp_path_factory.mktemp("change") / "new" / "change.csv"
    sets = [load("fried", n_samples=100), load("iris")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change, "load_several", lambda names, data_dir: sets)
        patch.setattr(change, "measure", partial(change.measure, hidden_sizes=(8,)))
        change.main(["--bits", "2", "--max-epochs", "1", "--repeats", "2", "--output", str(output)])
    return pd.read_csv(output)


def test_a_row_per_interval_and_loss(table):
    assert table[["dataset", "keyframe", "loss"]].to_numpy().tolist() == [
        [name, keyframe, loss] for name in ("fried", "iris") for keyframe in (1, 15, 60) for loss in (0, 0.01, 0.05)
    ]


def test_every_row_of_random_readings_is_sent(table):
    """Neighbouring rows of iris are alike."""
    for name, packet_bytes in (("fried", 7), ("iris", 5)):
        rows = table[table["dataset"] == name]
        assert (rows["packet_bytes"] == packet_bytes).all()
        assert (rows["rows_per_packet"] == 1).all() == (name == "fried")


def test_without_losses_predictions_are_those_of_all_rows(table):
    rows = table[table["loss"] == 0]
    assert (rows[["wrong_rows", "stale_rows", "difference"]] == 0).all(axis=None)
    assert (rows.groupby("dataset")["error"].nunique() == 1).all()


def test_energy_of_a_packet_a_minute(table):
    """20 bytes at SF12 have 28 symbols after the preamble."""
    seconds = (12.25 + 28) * 2**12 / 125e3
    (joules,) = table[table["dataset"] == "fried"]["joules_SF12"].unique()
    assert change.AIR["air_time"](20, 12) == pytest.approx(seconds)
    assert joules == pytest.approx(24 * 60 * 3.3 * 0.029 * seconds)


def test_losses_by_hand():
    """Without the packet of slot 0 the rows are known from the next packet on."""
    codes = np.array([[1], [2], [2], [3]], dtype=np.uint8)
    sender = ChangeSender(BOOK, keyframe=9, id=1)
    packets = change.sent(BOOK, codes, 9)
    assert packets == [sender.send(row) for row in codes]
    assert change.received(BOOK, packets, 9, 0.0, 0)[0] == 0
    first, found, states = change.received(BOOK, [None, *packets[1:]], 9, 0.0, 0)
    assert (first, found.tolist(), states) == (1, [[2], [2], [3]], ["fresh", "held", "fresh"])
    assert change.received(BOOK, packets, 9, 1.0, 0)[0] == 4


def test_the_page_shows_the_stored_rows():
    page = (ROOT / "docs" / "deploy" / "change.md").read_text(encoding="utf-8")
    for shown in change.page_tables(pd.read_csv(STORED)):
        assert f"\n\n{shown}\n\n" in page
