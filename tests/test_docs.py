"""The pages are contracts: every Python block in them runs, and the reference leaves no public name out."""

import re
from pathlib import Path

import pytest

import skbsq

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    namespace = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        # Blank lines in front, so that a traceback shows the line of the page.
        lines_before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines_before + block[1], page, "exec"), namespace)


def test_readme_and_guides_have_blocks():
    with_blocks = {page.name for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))}
    assert with_blocks >= {
        "README.md",
        "bytes.md",
        "chunks.md",
        "device.md",
        "gpu.md",
        "index.md",
        "onnx.md",
        "persistence.md",
        "quickstart.md",
        "resume.md",
        "scale.md",
        "semantics.md",
    }


@pytest.mark.parametrize(
    "module",
    [skbsq, *(getattr(skbsq, name) for name in skbsq._SUBMODULES)],
    ids=lambda module: module.__name__,
)
def test_reference_is_complete(module):
    listed = re.findall(r"^   (\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(module.__all__) <= set(listed)
