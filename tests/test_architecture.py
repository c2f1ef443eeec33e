"""Imports between the parts of the package point down only."""

import ast
import sys
from pathlib import Path

import pytest

import skbsq

ROOT = Path(skbsq.__file__).parent
# What each of the lowest parts may import: parts of skbsq, and other packages.
ALLOWED = {
    "codebook": ({"codebook", "exceptions"}, {"numpy"}),
    "codec": ({"codebook", "codec", "exceptions"}, {"numpy"}),
}


def imports_of(path):
    """Modules that a file imports at its top level, and those of skbsq that it imports anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"skbsq.{alias.name}" for alias in node.names] if node.module == "skbsq" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if id(node) in top or name.startswith("skbsq"))


@pytest.mark.parametrize(
    "path", [path for part in ALLOWED for path in sorted((ROOT / part).rglob("*.py"))], ids=lambda path: path.stem
)
def test_the_lowest_parts_import_numpy_alone_and_nothing_from_above(path):
    parts, packages = ALLOWED[path.relative_to(ROOT).parts[0]]
    for name in imports_of(path):
        first, _, rest = name.partition(".")
        if first == "skbsq":
            assert rest.partition(".")[0] in parts, name
        else:
            assert first in packages or first in sys.stdlib_module_names, name
