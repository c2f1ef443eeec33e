"""`python -m benchmarks.paper.report`: the same rows give the same bytes, and the marks are where they belong."""

import re

import pytest

from benchmarks.paper import report
from benchmarks.paper.ranking import read_measured, summarize
from benchmarks.paper.report import (
    Cell,
    Table,
    draw_errors,
    draw_spread,
    error_tables,
    overview_tables,
    to_latex,
    to_markdown,
)
from tests.benchmarks.paper.test_ranking import ERRORS, measured, rows, write

__all__ = ["measured", "write"]  # fixtures


def test_writes_the_same_bytes_again(tmp_path, write, capsys):
    path = write(rows())
    report.main([str(path), "--output-dir", str(tmp_path / "a")])
    report.main([str(path), "--output-dir", str(tmp_path / "b")])
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == ["paper-fixed.png", "paper-learned.png", "paper-spread.png", "paper.md", "paper.tex"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "paper.md").read_text()
    for title in ("Wins", "Error as a multiple of that of Bw-SQ", "Compression without loss", "sulfur"):
        assert f"\n## {title}\n" in text
    assert "| FP | 0.5000 ± 0.1000 | 0.5000 ± 0.1000 |" in text
    assert "| Bw-SQ | **1.0000 ± 0.2000** | 0.5100 ± 0.1000 |" in text
    assert "Wins" in capsys.readouterr().out


def test_goes_beside_the_rows(write):
    path = write(rows())
    report.main([str(path)])
    assert (path.parent / "paper.md").exists()


def test_wins_with_and_without_boosting(write):
    better = {("sulfur", 2, "quantile+boosting"): [0.1, 0.1, 0.1]}
    measured = read_measured(write(rows({**ERRORS, **better})))
    tables = {table.title: table for table in overview_tables(measured, summarize(measured))}
    first = {title: [cell.text for cell in tables[title].rows[0]] for title in ("Wins", "Wins without boosting")}
    assert first == {"Wins": ["LSQ", "2", "1", "1"], "Wins without boosting": ["LSQ", "2", "1", "2"]}
    assert all(row[0].text != "quantile+boosting" for row in tables["Wins without boosting"].rows)


def test_missing_cells_are_dashes(measured):
    (table,) = error_tables(summarize(measured[~(measured["method"].eq("SQ") & measured["bits"].eq(2))]))
    by_method = {row[0].text: row for row in table.rows}
    assert table.header == ["method", "2 bits", "4 bits"]
    assert by_method["SQ"][1] == Cell("-")
    assert by_method["LSQ"][2].mark == "best"
    assert by_method["LSQ"][1].mark == "tied"


def test_one_split_has_no_spread(measured):
    (table,) = error_tables(summarize(measured[measured["seed"] == 42]))
    assert all("±" not in cell.text for row in table.rows for cell in row)


TABLE = Table(
    "wine_quality",
    ["method", "2 bits"],
    [[Cell("LSQ"), Cell("0.1 ± 0.2", "best")], [Cell("SQ"), Cell("5 %", "tied")]],
    "A note.",
)


def test_markdown():
    assert to_markdown([TABLE]).splitlines() == [
        *("## wine_quality", "", "| method | 2 bits |", "|---|---|", "| LSQ | **0.1 ± 0.2** |", "| SQ | *5 %* |"),
        *("", "A note."),
    ]


def test_latex():
    text = to_latex([TABLE])
    assert r"\caption{wine\_quality. A note.}" in text
    assert "LSQ & \\textbf{0.1 $\\pm$ 0.2} \\\\\nSQ & \\underline{5 \\%} \\\\\n" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2
    assert not re.search(r"(?<!\\)[_%]", text)


def test_plots_show_the_published_figures_too(measured):
    figure = draw_errors(summarize(measured), report.LEARNED)
    (ax,) = figure.axes
    faint = [line for line in ax.lines if line.get_alpha()]
    assert len(faint) == 3
    assert all(list(line.get_xdata()) == [2, 3, 4] for line in faint)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"SQ", "Bw-SQ", "LSQ", "FP"}
    assert figure.get_suptitle()


def test_boxes_of_every_cell(measured):
    figure = draw_spread(measured)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["FP", "SQ", "Bw-SQ", "LSQ"]
    assert (left.get_title(), right.get_title()) == ("2 bits", "4 bits")


def test_errors_of_classes_are_called_what_they_are(tmp_path, capsys):
    table = rows()
    table["accuracy"] = 0.9
    table.to_csv(tmp_path / "paper.csv", index=False)
    report.main([str(tmp_path / "paper.csv")])
    assert "Test error (log loss), mean" in capsys.readouterr().out


def test_floats_alone_exit_with_2(tmp_path, capsys):
    table = rows()
    table[table["method"] == "FP"].to_csv(tmp_path / "paper.csv", index=False)
    with pytest.raises(SystemExit):
        report.main([str(tmp_path / "paper.csv")])
    assert "rows of FP alone: there is nothing to compare" in capsys.readouterr().err


def test_nothing_to_report_exits_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        report.main([str(tmp_path / "none.csv")])
    assert caught.value.code == 2
    assert "run python -m benchmarks.paper" in capsys.readouterr().err
