"""`python -m benchmarks.compare`, end to end."""

import pandas as pd
import pytest

from benchmarks import compare
from benchmarks.results import COLUMNS, summarize

TINY = [
    *("--dataset", "fried", "--n-samples", "150", "--bits", "1", "2", "--max-epochs", "2", "--hidden-sizes", "8"),
    *("--methods", "bitwise", "uniform", "floats"),
]


@pytest.fixture
def measured(monkeypatch):
    """The cells that a run measures."""
    calls = []

    def measure(data, method, bits, seed, **kwargs):
        calls.append((method, bits, seed))
        return original(data, method, bits, seed, **kwargs)

    original = compare.measure
    monkeypatch.setattr(compare, "measure", measure)
    return calls


def test_writes_and_resumes(tmp_path, capsys, measured):
    output = tmp_path / "new" / "results.csv"
    compare.main([*TINY, "--seeds", "42", "--output", str(output)])
    assert sorted(measured) == [("bitwise", 1, 42), ("bitwise", 2, 42), ("floats", 32, 42)] + [
        ("uniform", b, 42) for b in (1, 2)
    ]
    first = output.read_text()
    table = pd.read_csv(output)
    assert list(table) == COLUMNS
    assert len(table) == 5
    assert (table["compression"] == 32 / table["bits"]).all()

    measured.clear()
    compare.main([*TINY, "--seeds", "42", "43", "--output", str(output)])
    assert {seed for _, _, seed in measured} == {43}
    assert output.read_text().startswith(first)
    assert len(pd.read_csv(output)) == 10
    printed = capsys.readouterr().out.splitlines()[-6:]
    assert printed[0].split() == [
        *("dataset", "bits", "method", "seeds", "error", "std", "sem", "ratio_to_floats", "ratio_sem"),
        *("row_bits", "compression", "fit_seconds"),
    ]
    assert [line.split()[1:4] for line in printed[1:]] == [
        ["1", "bitwise", "2"],
        ["1", "uniform", "2"],
        ["2", "bitwise", "2"],
        ["2", "uniform", "2"],
        ["32", "floats", "2"],
    ]


def test_other_settings_are_not_resumed(tmp_path, measured):
    output = tmp_path / "results.csv"
    compare.main([*TINY, "--seeds", "42", "--output", str(output)])
    measured.clear()
    compare.main([*TINY, "--seeds", "42", "--output", str(output), "--max-epochs", "1"])
    assert len(measured) == 5
    assert sorted(pd.read_csv(output)["max_epochs"]) == [1] * 5 + [2] * 5


def test_foreign_output_is_refused(tmp_path, capsys):
    output = tmp_path / "mine.csv"
    output.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit) as caught:
        compare.main([*TINY, "--output", str(output)])
    assert caught.value.code == 2
    assert "choose another output" in capsys.readouterr().err
    assert output.read_text() == "a,b\n1,2\n"


def test_unknown_data_set_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as caught:
        compare.main(["--dataset", "nowhere"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("There is no data set 'nowhere'")
    assert error.count("\n") == 1


def test_summary_pairs_by_seed():
    base = {"dataset": "fried", "accuracy": None, "compression": 1.0, "fit_seconds": 1.0}
    results = pd.DataFrame(
        [
            {**base, "bits": bits, "method": method, "seed": seed, "error": error, "row_bits": bits}
            for method, bits, seed, error in [
                ("floats", 32, 1, 1.0),
                ("floats", 32, 2, 10.0),
                ("tree", 2, 2, 40.0),
                ("tree", 2, 1, 2.0),
            ]
        ]
    )
    tree = summarize(results).set_index("method").loc["tree"]
    assert tree["error"] == 21.0
    assert tree["std"] == pytest.approx(38 / 2**0.5)
    assert tree["sem"] == pytest.approx(19.0)
    assert tree["ratio_to_floats"] == 3.0
    assert tree["ratio_sem"] == pytest.approx(1.0)
    assert tree["seeds"] == 2
