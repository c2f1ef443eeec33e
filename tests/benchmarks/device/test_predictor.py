"""Predictors in integers, by `python -m benchmarks.device.predictor`; the cost is measured only in `make device`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchmarks
from benchmarks.command import CommandError
from benchmarks.datasets import load
from benchmarks.device import predictor
from skbsq.export import to_c, to_integers

ROOT = Path(benchmarks.__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STORED = {part: pd.read_csv(RESULTS / file) for part, file in predictor.FILES.items()}


def run(folder, *arguments):
    sets = [load("fried", n_samples=100), load("iris"), load("breast_cancer")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "load_several", lambda names, data_dir: sets)
        patch.setattr(predictor, "DEFAULT", {})
        predictor.main(["--bits", "2", "--seeds", "0", "--max-epochs", "20", "--output-dir", str(folder), *arguments])


def test_errors(tmp_path):
    run(tmp_path, "--parts", "error")
    table = pd.read_csv(tmp_path / "predictor.csv")
    assert list(table) == predictor.COLUMNS["error"]
    assert table[["dataset", "head"]].to_numpy().tolist() == [
        [name, head] for name in ("fried", "iris", "breast_cancer") for head in ("16", "2 x 16")
    ]
    assert table["ratio"].between(0.95, 1.05).all()
    assert (table["agree"].isna() == (table["dataset"] == "fried")).all()
    assert (table["agree"].dropna() > 0.95).all()


def test_changes_by_hand():
    data = load("fried", n_samples=200)
    X, y = data.X.to_numpy(np.float32), data.y.to_numpy()
    model = predictor.fit(data, X, y, 1, "16", 0, 2)
    integers = to_integers(model)
    repeated = np.repeat(X[:5], 4, axis=0)
    by_codes, tight, *_, loose = predictor.changes(model, repeated, 60, 1e-6)
    assert by_codes == {"tolerance": None, "rows": 20, "rows_per_packet": 4, "difference": 0, "spread": 1e-6}
    assert (tight["rows_per_packet"], tight["difference"]) == (4, 0)
    (*_, loose) = predictor.changes(model, repeated, 60, 1e6)
    assert loose["rows_per_packet"] == 20
    found = integers.predict(repeated)
    assert loose["difference"] == pytest.approx(np.sqrt(np.mean((found - found[0]) ** 2)))


@pytest.mark.usefixtures("cross_tools", "avr_tools")
def test_cost(tmp_path):
    run(tmp_path, "--parts", "cost")
    table = pd.read_csv(tmp_path / "predictor_cost.csv")
    assert list(table) == predictor.COLUMNS["cost"]
    encoder, whole = (table[table["part"] == part].reset_index() for part in ("encoder", "predictor"))
    assert (whole["flash"] > encoder["flash"] + whole["bytes"]).all()
    assert (table["cycles"].isna() == (table["core"] != "atmega328p")).all()
    assert (whole["ram"] == 0).all()


@pytest.mark.usefixtures("cross_tools")
def test_other_integers_than_those_of_numpy_are_an_error(tmp_path, monkeypatch):
    data = load("iris")
    X, _, y, _ = predictor.split(data, 0)
    model = predictor.fit(data, X, y, 1, "16", 0, 1)
    monkeypatch.setattr(predictor, "to_c", lambda *args, **kw: to_c(*args, **kw).replace("sum += ", "sum -= "))
    with pytest.raises(CommandError, match="other integers than NumPy on cortex-m4"):
        predictor.cost_of(model, to_integers(model), X, "cortex-m4", "predictor", tmp_path)


def test_stored_rows_show_what_the_page_claims():
    error = STORED["error"]
    assert error.groupby(["dataset", "bits", "head"])["seed"].nunique().min() >= 3
    assert (error["ratio"] < 1.01).all()
    regression = error["agree"].isna()
    assert (error[~regression]["agree"] > 0.997).all()
    assert set(STORED["cost"]["core"]) == {"cortex-m0plus", "cortex-m4", "atmega328p"}
    assert (STORED["cost"]["ram"] == 0).all()


def test_the_page_shows_the_stored_rows():
    page = (ROOT / "docs" / "deploy" / "predictor.md").read_text(encoding="utf-8")
    for shown in predictor.page_tables(*STORED.values()):
        assert f"\n\n{shown}\n\n" in page
