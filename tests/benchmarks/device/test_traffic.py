"""The forms of a stream are those they are called."""

import pytest

from benchmarks.datasets import load
from benchmarks.device import traffic


@pytest.fixture(scope="module")
def table():
    return traffic.measure(load("fried", n_samples=300), [2], max_epochs=1, hidden_sizes=(8,))


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


def test_main(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(traffic, "load", lambda name, data_dir: load("fried", n_samples=200))
    output = tmp_path / "new" / "traffic.csv"
    traffic.main(["--dataset", "fried", "--bits", "2", "--max-epochs", "1", "--output", str(output)])
    assert "packed rows" in capsys.readouterr().out
    assert output.exists()
