"""The rooms of the package: imports point down only, and nobody reaches into a room of others."""

import ast
import re
import sys
from pathlib import Path

import pytest

import skbsq

ROOT = Path(skbsq.__file__).parent
# From the top down: a room imports from those below it.
LAYERS = [
    {"plotting"},
    {"model_selection", "receiver"},
    {"persistence", "export", "outofcore", "_row_bits"},
    {"predictors"},
    {"quantizers"},
    {"training"},
    {"nn"},
    {"thresholds"},
    {"codec", "monitoring", "budget", "_validation", "_targets"},
    {"codebook"},
    {"exceptions", "_files", "_forks"},
]
RANK = {room: len(LAYERS) - k for k, layer in enumerate(LAYERS) for room in layer}
# Rooms that a gateway or a device needs, where there is no more than NumPy.
NUMPY_ALONE = {"codebook", "codec", "monitoring", "receiver"}
# Rooms that a fixed quantizer needs no torch for.
WITHOUT_TORCH = NUMPY_ALONE | {"thresholds", "budget", "_validation", "_targets", "_row_bits", "outofcore", "plotting"}
MOST_LINES = {ast.ClassDef: 250, ast.FunctionDef: 40}

modules = pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(tree):
    """Whole names of what a module imports, and whether at its top level: ``skbsq.nn.heads.MLP``."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)


@modules
def test_imports_point_down(path):
    room = room_of(path)
    if room == "__init__":
        return  # the door, from which everything is seen
    for name, at_top in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if package == "skbsq" and other in RANK:
            assert other == room or RANK[other] < RANK[room], name
        elif at_top and package != "skbsq":
            allowed = package in ("numpy", "__future__") or package in sys.stdlib_module_names
            assert allowed or room not in NUMPY_ALONE, name
            assert package not in ("torch", "skorch") or room not in WITHOUT_TORCH, name


@modules
def test_no_private_name_of_another_room(path):
    room = room_of(path)
    for name, _ in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
        package, *parts = name.split(".")
        if package == "skbsq" and parts and parts[0] != room:
            # What lies beside the rooms is private to the package, and there for all of them.
            assert not any(part.startswith("_") and not part.startswith("__") for part in parts[1:]), name


def lines_of_code(node, source):
    """Lines of a class or function without docstrings, comments and empty ones."""
    docs = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(inner) is not None:
            docs |= set(range(inner.body[0].lineno, inner.body[0].end_lineno + 1))
    lines = (source[k - 1].strip() for k in range(node.lineno, node.end_lineno + 1) if k not in docs)
    return sum(1 for line in lines if line and not line.startswith("#"))


@modules
def test_classes_and_functions_are_small(path):
    """But for constructors of estimators, which scikit-learn wants to name and store every parameter."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if type(node) in MOST_LINES and node.name != "__init__":
            assert lines_of_code(node, text.splitlines()) <= MOST_LINES[type(node)], node.name


def test_every_room_has_its_place():
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == RANK.keys()


def test_the_page_names_rooms_and_files_that_are_there():
    page = (ROOT.parent / "docs" / "about" / "architecture.md").read_text(encoding="utf-8")
    files = re.findall(r"`((?:\w+/)*\w+\.py)`", page)
    assert len(files) > 20
    there = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")}
    assert [name for name in files if name not in there and not (ROOT.parent / name).exists()] == []
    table = page[page.index("| room |") : page.index("## The way")]
    named = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.count("|") > 2))
    )
    assert named == RANK.keys() - {"exceptions", "_files", "_forks"}
