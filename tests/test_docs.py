"""The pages are contracts: each runs as a script, prints what it shows, and the reference lists every public name."""

import multiprocessing
import os
import re
import runpy
import sys
import tempfile
import tomllib
import warnings
from multiprocessing import forkserver
from pathlib import Path

import pytest

import skbsq

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# By name, without what a build leaves in docs.
PAGES = {
    str(path.relative_to(DOCS)): path
    for path in sorted(DOCS.rglob("*.md"))
    if not any(part.startswith("_") for part in path.relative_to(DOCS).parts)
} | {"README.md": ROOT / "README.md"}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A page shows what a line prints in a comment behind it.
SHOWN = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
DECIMAL = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")
# Scores differ a little between processors, because rounding differs and training carries it on.
TOLERANCE = 0.02


def script_of(text):
    """The Python blocks of a page as one script, on the lines where they stand in the page."""
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        start = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[start : start + len(code)] = code
    return "\n".join(lines) + "\n"


def ignored_warnings():
    """A line of Python that ignores the warnings that pytest ignores."""
    filters = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["filterwarnings"]
    parts = [entry.split(":") for entry in filters if entry != "error"]
    calls = [f"warnings.filterwarnings({action!r}, {text!r}, {kind})" for action, text, kind in parts]
    return "; ".join(["import warnings", *calls])


def assert_shown(printed, script):
    """Raise AssertionError unless a page shows what its code printed."""
    shown = SHOWN.findall(script)
    assert len(shown) == script.count("print("), "a line that prints has no comment that shows what"
    printed = printed.splitlines()
    assert len(printed) == len(shown), f"shown: {shown}, printed: {printed}"
    for expected, line in zip(shown, printed, strict=True):
        assert DECIMAL.sub("#", line) == DECIMAL.sub("#", expected)
        numbers = [[float(number) for number in DECIMAL.findall(text)] for text in (line, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE), f"shown: {expected}, printed: {line}"


def _run_script(path):
    """Run a script as the only thing this process does."""
    os.chdir(path.parent)
    os.environ["TMPDIR"], tempfile.tempdir = str(path.parent), None
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
    sys.argv, sys.path[:0] = [path.name], [str(path.parent)]
    warnings.simplefilter("error")
    runpy.run_path(str(path), run_name="__main__")


@pytest.fixture(scope="module")
def processes():
    """New processes that have imported what most pages import, which takes longer than most pages."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["skbsq.predictors", "skorch", "sklearn.ensemble", "sklearn.model_selection", "pandas"]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MPLBACKEND", "Agg")
        forkserver.ensure_running()  # it keeps this environment
    return context


def run_page(text, path, processes):
    """Save the blocks of a page as a script and run it in a process of its own, with warnings as errors."""
    script = script_of(text)
    # The first line of a page is its title.
    path.write_text(ignored_warnings() + script, encoding="utf-8")
    process = processes.Process(target=_run_script, args=(path,))
    process.start()
    process.join(300)
    assert process.exitcode == 0, (path.parent / "stderr").read_text()
    assert_shown((path.parent / "stdout").read_text(), script)


WITH_BLOCKS = [name for name, page in PAGES.items() if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_page_runs_as_a_script(name, tmp_path, processes):
    page = PAGES[name]
    run_page(page.read_text(encoding="utf-8"), tmp_path / f"{page.stem.replace('-', '_')}_page.py", processes)


def test_traceback_shows_the_line_of_the_page(tmp_path, processes):
    with pytest.raises(AssertionError, match=r'page\.py", line 5\b(?s:.*)ZeroDivisionError'):
        run_page("# Title\n\n```python\na = 0\n1 / a\n```\n", tmp_path / "page.py", processes)


def test_a_warning_is_an_error(tmp_path, processes):
    text = "# Title\n```python\nimport warnings\nwarnings.warn('careful')\n```\n"
    with pytest.raises(AssertionError, match="UserWarning: careful"):
        run_page(text, tmp_path / "page.py", processes)


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(score)  # 0.90\n", "0.8731\n"),
        ("print(score)  # 0.90\n", "0.90\n0.90\n"),
        ("print(n)  # 18\n", "19\n"),
        ("print(score)\n", "0.90\n"),
    ],
)
def test_a_page_cannot_drift_from_what_it_prints(code, printed):
    with pytest.raises(AssertionError):
        assert_shown(printed, code)


def test_rounding_is_no_drift():
    assert_shown("0.8996010280486354\n20 -0.841\n", "print(score)  # 0.90\nprint(n, x)  # 20 -0.84\n")


def test_readme_and_guides_have_blocks():
    assert set(WITH_BLOCKS) >= {
        "README.md",
        "deploy/device.md",
        "deploy/onnx.md",
        "deploy/persistence.md",
        "get-started/tour.md",
        "index.md",
        "reference/bytes.md",
        "reference/semantics.md",
        "scale/chunks.md",
        "scale/cluster.md",
        "scale/gpu.md",
        "scale/resume.md",
    }


@pytest.mark.parametrize(
    "module",
    [skbsq, *(getattr(skbsq, name) for name in skbsq._SUBMODULES)],
    ids=lambda module: module.__name__,
)
def test_reference_is_complete(module):
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    assert set(module.__all__) <= set(listed)
