"""What the rows say: a table small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.paper.protocol import COLUMNS
from benchmarks.paper.ranking import (
    against_published,
    count_wins,
    no_loss,
    ratios,
    read_measured,
    read_published,
    summarize,
)

# Errors over three splits; floats are at 0.4, 0.5, 0.6.
ERRORS = {
    ("sulfur", 32, "FP"): [0.4, 0.5, 0.6],
    ("sulfur", 2, "Bw-SQ"): [0.8, 1.0, 1.2],
    ("sulfur", 2, "LSQ"): [0.9, 1.0, 1.14],  # 0.0133 worse on average, with a standard error of 0.0463
    ("sulfur", 2, "SQ"): [0.9, 1.1, 1.3],  # always 0.1 worse
    ("sulfur", 4, "Bw-SQ"): [0.41, 0.51, 0.61],
    ("sulfur", 4, "LSQ"): [0.4, 0.5, 0.6],
    ("sulfur", 4, "SQ"): [0.3, 0.5, 0.8],
}
FEATURES = 6


def rows(errors=ERRORS):
    table = [
        {
            "dataset": d,
            "bits": b,
            "method": m,
            "seed": 42 + i,
            "error": e,
            "row_bits": FEATURES * b,
            "data_sha256": "00e1",
        }
        for (d, b, m), values in errors.items()
        for i, e in enumerate(values)
    ]
    return pd.DataFrame(table, columns=COLUMNS)


@pytest.fixture
def write(tmp_path):
    def _write(table):
        path = tmp_path / "paper.csv"
        table.to_csv(path, index=False)
        return path

    return _write


@pytest.fixture
def measured(write):
    return read_measured(write(rows()))


def test_best_and_tied(measured):
    cells = summarize(measured).set_index(["bits", "method"])
    assert cells["seeds"].eq(3).all()
    assert cells.loc[(2, "Bw-SQ"), "error"] == pytest.approx(1.0)
    assert cells.loc[(2, "Bw-SQ"), "std"] == pytest.approx(0.2)
    assert cells.loc[(2, "Bw-SQ"), "sem"] == pytest.approx(0.2 / np.sqrt(3))
    # The spread over splits is 0.2 for each, but what counts is the difference on the same split.
    assert cells.loc[2, ["best", "tied"]].T.to_dict("list") == {
        "SQ": [False, False],
        "Bw-SQ": [True, True],
        "LSQ": [False, True],
    }
    assert cells.loc[(4, "LSQ"), "best"]
    assert not cells.loc[(4, "Bw-SQ"), "tied"]
    assert cells.loc[(4, "SQ"), "tied"]
    assert not cells.loc[(32, "FP"), ["best", "tied"]].any()


def test_wins(measured):
    wins = count_wins(summarize(measured))
    assert wins.to_dict("index") == {
        "LSQ": {"cells": 2, "best": 1, "best_or_tied": 2},
        "Bw-SQ": {"cells": 2, "best": 1, "best_or_tied": 1},
        "SQ": {"cells": 2, "best": 0, "best_or_tied": 1},
    }
    assert list(wins.index) == ["LSQ", "Bw-SQ", "SQ"]


def test_ratios(measured):
    table = ratios(summarize(measured))
    assert list(table) == [2, 4, "all"]
    assert table.loc["Bw-SQ"].tolist() == [1, 1, 1]
    assert table.loc["SQ", 2] == pytest.approx(1.1)
    assert table.loc["LSQ", 4] == pytest.approx(0.5 / 0.51)
    assert table.loc["FP", 2] == pytest.approx(0.5)
    assert table.loc["FP", "all"] == pytest.approx(np.sqrt(0.5 * 0.5 / 0.51))
    assert ratios(summarize(measured[measured["method"] != "Bw-SQ"])).empty


def test_ratios_are_geometric_means_over_the_data_sets(write):
    both = {**ERRORS, ("fried", 2, "Bw-SQ"): [1.0, 1.0, 1.0], ("fried", 2, "SQ"): [4.4, 4.4, 4.4]}
    table = ratios(summarize(read_measured(write(rows(both)))))
    assert table.loc["SQ", 2] == pytest.approx(np.sqrt(1.1 * 4.4))


def test_no_loss(measured):
    table = no_loss(measured)
    # LSQ at 4 bits equals floats on every split. Bw-SQ: ratios 1.025, 1.02, 1.0167, mean 1.0206 and standard error
    # 0.0024, times t = 4.303: 1.031. SQ: the mean ratio is 1.028, but its interval ends far above 1.05.
    assert table["sulfur"].to_dict() == {"SQ": 1.0, "Bw-SQ": 8.0, "LSQ": 8.0}
    assert no_loss(measured, margin=1.02)["sulfur"].to_dict() == {"SQ": 1.0, "Bw-SQ": 1.0, "LSQ": 8.0}
    assert no_loss(measured, margin=2.5)["sulfur"].to_dict() == {"SQ": 16.0, "Bw-SQ": 16.0, "LSQ": 16.0}


def test_one_split_shows_no_non_inferiority(measured):
    assert no_loss(measured[measured["seed"] == 42])["sulfur"].eq(1.0).all()


def test_against_published(measured):
    beside = against_published(summarize(measured)).set_index(["bits", "method"])
    published = read_published().query("dataset == 'sulfur'").set_index(["bits", "method"])
    for key in [(2, "Bw-SQ"), (32, "FP")]:
        assert beside.loc[key, "published"] == published.loc[key, "error"]
        assert beside.loc[key, "ratio"] == pytest.approx(beside.loc[key, "error"] / published.loc[key, "error"])
    assert beside.loc[(32, "FP"), "apart"]  # 0.5 against 0.092
    at = beside.loc[(4, "SQ")]
    assert at["apart"] == (at["error"] - at["published"] > np.sqrt(at["std"] ** 2 + at["published_std"] ** 2))


def test_published_figures_are_whole():
    published = read_published()
    counts = published.groupby("method", observed=True).size()
    assert counts.pop("FP") == 6
    assert counts.eq(42).all()
    assert len(counts) == 12
    assert published["error"].gt(0).all()


def test_failed_rows_are_left_out_and_the_last_counts(write):
    failed = rows().tail(1).assign(error=np.nan, failure="ValueError: no")
    again = rows().tail(1).assign(error=0.7)
    measured = read_measured(write(pd.concat([rows(), failed, again])))
    assert len(measured) == len(rows())
    assert measured.query("method == 'SQ' and bits == 4 and seed == 44")["error"].item() == 0.7


def test_splits_can_be_chosen(write):
    assert set(read_measured(write(rows()), seeds=[42, 44])["seed"]) == {42, 44}
    with pytest.raises(CommandError, match="holds no results"):
        read_measured(write(rows()), seeds=[7])


def test_rows_of_different_data_are_refused(write):
    table = rows()
    table.loc[0, "data_sha256"] = "ff"
    with pytest.raises(CommandError, match=r"rows of sulfur from different data: ff, 00e1"):
        read_measured(write(table))


def test_rows_of_several_files(write, tmp_path):
    table = rows()
    other = tmp_path / "other.csv"
    table[table["method"] == "SQ"].to_csv(other, index=False)
    path = write(table[table["method"] != "SQ"])
    pd.testing.assert_frame_equal(read_measured(path, other), read_measured(write(table)))
    table[table["method"] == "SQ"].assign(data_sha256="ff").to_csv(other, index=False)
    with pytest.raises(CommandError, match=r"and .*other\.csv hold rows of .* from different data"):
        read_measured(write(table[table["method"] != "SQ"]), other)


def test_rows_of_different_training_are_refused(write):
    """Splits of one head and of another have no mean."""
    table = rows().assign(training="a")
    table.loc[(table["method"] == "SQ") & (table["seed"] == 42), "training"] = "b"
    with pytest.raises(CommandError, match=r"rows of sulfur, 2, SQ from different training: b and a\. Keep each"):
        read_measured(write(table))


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(CommandError, match=r"holds no results: run python -m benchmarks\.paper"):
        read_measured(tmp_path / "none.csv")
