"""Bytes of a stream in every form, by `python -m benchmarks.device.traffic`."""

from functools import partial

import pandas as pd
import pytest

from benchmarks.datasets import load
from benchmarks.device import traffic


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table that the command writes."""
    output = tmp_path_factory.mktemp("traffic") / "new" / "traffic.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "load_several", lambda names, data_dir: [load(*names, n_samples=300)])
        patch.setattr(traffic, "measure", partial(traffic.measure, hidden_sizes=(8,)))
        traffic.main(["--dataset", "fried", "--bits", "2", "--max-epochs", "1", "--output", str(output)])
    return pd.read_csv(output)


def size(table, quantizer, sent):
    (found,) = table[(table["quantizer"] == quantizer) & (table["sent"] == sent)]["bytes_per_row"]
    return found


def test_sizes_that_are_known(table):
    assert set(table["rows"]) == {90}
    assert size(table, "-", "float32") == 40
    assert size(table, "-", "float16") == 20
    for quantizer in ("QuantileQuantizer", "BitwiseQuantizer"):
        assert size(table, quantizer, "packed rows") == 3
        assert size(table, quantizer, "message") == pytest.approx(3 + 22 / 90)
        assert size(table, quantizer, "message without padding") == pytest.approx((225 + 22) / 90)
    assert table["float32_over_this"].to_numpy() == pytest.approx(40 / table["bytes_per_row"].to_numpy())


def test_every_form_is_compressed(table):
    assert (table["total_bytes"] > 0).all()
    assert (table.groupby("quantizer").size() > 5).all()
