"""`python -m benchmarks.paper`, end to end on a few rows."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import load
from benchmarks.methods import FLOAT_BITS, PAPER_TRAINING, split
from benchmarks.paper import __main__ as command
from benchmarks.paper import protocol
from benchmarks.paper.protocol import COLUMNS, METHODS, SEARCH_SPACE, configured, draw_configs, rows_for_search

TINY = ["--dataset", "fried", "--n-samples", "150", "--max-epochs", "2", "--hidden-sizes", "8", "--seeds", "42"]
SOME = ["--bits", "2", "--methods", "FP", "Bw-SQ", "bitwise"]


@pytest.fixture(scope="module")
def fried():
    return load("fried", n_samples=150)


def test_every_method_gives_a_row(tmp_path):
    output = tmp_path / "new" / "paper.csv"
    command.main([*TINY, "--bits", "2", "3", "--output", str(output)])
    rows = pd.read_csv(output)
    assert list(rows) == COLUMNS
    assert set(rows["method"]) == set(METHODS)
    assert len(rows) == 2 * (len(METHODS) - 2) + 2  # floats once, by the paper and by us
    assert (rows["row_bits"] == rows["bits"] * 10).all()
    assert rows["error"].notna().all()
    assert rows["failure"].isna().all()
    assert rows["versions"].str.contains("torch ").all()
    assert set(rows["data_sha256"].astype(str)) == {load("fried", n_samples=150).sha256}
    training = rows.set_index("method")["training"].map(json.loads)
    assert training["bitwise"].iloc[0] == {"hidden_sizes": [8], "max_epochs": 2}
    assert training["LSQ*"].iloc[0] == training["bitwise"].iloc[0]
    assert training["LSQ"].iloc[0] == {**PAPER_TRAINING, "hidden_sizes": [8], "max_epochs": 2}


def test_resumes(tmp_path, monkeypatch):
    output = tmp_path / "paper.csv"
    command.main([*TINY, *SOME, "--output", str(output)])
    first = output.read_text()
    measured = []

    def measure(data, method, bits, seed, **training):
        measured.append((method, bits, seed))
        return {"error": 1.0, "row_bits": 20, "fit_seconds": 0.1}

    monkeypatch.setattr(protocol, "measure", measure)
    command.main([*TINY, "43", *SOME, "--output", str(output)])
    assert sorted(measured) == [("Bw-SQ", 2, 43), ("FP", FLOAT_BITS, 43), ("bitwise", 2, 43)]
    assert output.read_text().startswith(first)
    measured.clear()
    command.main([*TINY, *SOME, "--max-epochs", "1", "--output", str(output)])
    assert len(measured) == 3  # other settings are other cells


def test_a_cell_that_fails_is_recorded_and_tried_again(tmp_path, capsys, monkeypatch):
    output = tmp_path / "paper.csv"
    arguments = [*TINY, "--bits", "1", "--methods", "LSQ", "FP", "--output", str(output)]
    command.main(arguments)
    rows = pd.read_csv(output).set_index("method")
    assert np.isnan(rows.loc["LSQ", "error"])
    assert rows.loc["LSQ", "failure"].startswith("ValueError: n_bits is 1 for feature 'x0'")
    assert rows.loc["FP", "error"] > 0
    assert "1 of 2 cells measured" in capsys.readouterr().out

    monkeypatch.setattr(protocol, "measure", lambda *args, **kwargs: {"error": 0.5, "row_bits": 10, "fit_seconds": 0.1})
    command.main(arguments)
    assert "2 of 2 cells measured" in capsys.readouterr().out
    assert pd.read_csv(output)["method"].tolist().count("LSQ") == 2
    assert len(pd.read_csv(output)) == 3


def test_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch):
    output = tmp_path / "paper.csv"
    calls = iter([{"error": 1.0, "row_bits": 20, "fit_seconds": 0.1}])

    def measure(*args, **kwargs):
        try:
            return next(calls)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(protocol, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        command.main([*TINY, *SOME, "--output", str(output)])
    assert len(pd.read_csv(output)) == 1


def test_foreign_output_is_refused(tmp_path, capsys):
    output = tmp_path / "mine.csv"
    output.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit) as caught:
        command.main([*TINY, *SOME, "--output", str(output)])
    assert caught.value.code == 2
    assert "choose another output" in capsys.readouterr().err


# -- search ------------------------------------------------------------------------------------------


def test_configs_are_drawn_from_the_space_of_the_paper():
    configs = draw_configs(30)
    assert configs == draw_configs(30)
    assert len({json.dumps(config, sort_keys=True) for config in configs}) == 30
    for config in configs:
        assert set(config) == {"lr", "hidden_sizes", "max_epochs", "temperature_end", "dropout"}
        assert len(config["hidden_sizes"]) in SEARCH_SPACE["n_layers"]
        assert len(set(config["hidden_sizes"])) == 1
        assert config["dropout"] in SEARCH_SPACE["dropout"]
    assert configured("SQ", configs[0]) == configs[0]
    assert set(configured("bitwise", configs[0])) == {"hidden_sizes", "max_epochs", "dropout"}


def test_no_test_row_takes_part_in_the_search(fried):
    rows = rows_for_search(fried, [42, 43])
    tested = set()
    for seed in (42, 43):
        tested |= set(split(fried, seed)[1].index)
    assert set(rows) == set(range(150)) - tested


def test_search_keeps_the_best_and_its_users_share_it(tmp_path, monkeypatch):
    output = tmp_path / "paper.csv"
    scored, measured = [], {}

    def cross_validate(data, method, bits, rows, training):
        scored.append((method, bits))
        return training["dropout"] + training["max_epochs"] / 1000

    def measure(data, method, bits, seed, **training):
        measured[method] = training
        return {"error": 1.0, "row_bits": 20, "fit_seconds": 0.1}

    monkeypatch.setattr(protocol, "cross_validate", cross_validate)
    monkeypatch.setattr(protocol, "measure", measure)
    arguments = ["--dataset", "fried", "--n-samples", "150", "--bits", "2", "--seeds", "42", "--n-configs", "6"]
    arguments += ["--methods", "FP", "Po-MQ", "SQ", "bitwise", "bitwise+boosting", "quantile+boosting"]
    command.main([*arguments, "--output", str(output)])
    assert sorted(set(scored)) == [("FP", FLOAT_BITS), ("SQ", 2), ("bitwise", 2)]
    assert len(scored) == 18
    best = min(draw_configs(6), key=lambda config: config["dropout"] + config["max_epochs"] / 1000)
    assert measured["SQ"] == measured["FP"] == measured["Po-MQ"]
    assert {key: measured["SQ"][key] for key in best} == {**best, "hidden_sizes": [256, 256, 256]}
    assert measured["bitwise"]["dropout"] == measured["bitwise+boosting"]["dropout"] == best["dropout"]
    assert "lr" not in measured["bitwise"]
    assert "dropout" not in measured["quantile+boosting"]

    scored.clear()
    command.main([*arguments, "--output", str(output)])
    assert not scored  # from the file of the search


def test_search_for_real(tmp_path):
    output = tmp_path / "paper.csv"
    arguments = [*TINY, "--bits", "2", "--methods", "Po-QQ", "SQ", "--n-configs", "2", "--output", str(output)]
    command.main(arguments)
    tried = pd.read_csv(tmp_path / "paper-search.csv")
    assert sorted(tried["method"]) == ["FP", "FP", "SQ", "SQ"]
    assert tried["error"].notna().all()
    assert len(pd.read_csv(output)) == 2
