"""The gallery's scripts: enough of them, each with a short title, an introduction, one picture and fixed seeds.

The build of the site runs them, and fails where one raises an error.
"""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
SCRIPTS = sorted((DOCS / "examples").glob("plot_*.py"))
NEW_FIGURE = {"subplots", "subplot_mosaic", "figure", "Figure"}
# Without random_state these draw from a global generator, or from fresh entropy.
SEEDED = re.compile(r"make_\w+|train_test_split|Bitwise(Regressor|Classifier|Quantizer)|\w+(Boosting|Forest)\w+")
UNSEEDED = {"make_pipeline"}
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def calls(tree):
    """(name, call) of every call; the name of `a.b()` is b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def introduction(path):
    """Title, its underline, and the text before the first code."""
    title, underline, text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n", 2)
    return title, underline, " ".join(text.split())


def problems(text):
    """What is wrong with the code of an example."""
    tree, found = ast.parse(text), []
    n_figures = sum(name in NEW_FIGURE for name, _ in calls(tree))
    if n_figures != 1:
        found.append(f"{n_figures} pictures")
    for name, call in calls(tree):
        if SEEDED.fullmatch(name) and name not in UNSEEDED and "random_state" not in {k.arg for k in call.keywords}:
            found.append(f"{name} without random_state")
        if name == "default_rng" and not call.args:
            found.append("default_rng without a seed")
        if name.startswith("fetch_"):
            found.append(f"{name} needs a network")
    return found


def test_there_are_twelve_or_more():
    assert len(SCRIPTS) >= 12


@each_script
def test_an_example_begins_with_title_and_introduction(path):
    title, underline, text = introduction(path)
    assert underline == "=" * len(title)
    assert len(title) < 60
    assert 2 <= len(re.findall(r"[.?!](?= |$)", text)) <= 4, text


@each_script
def test_an_example_has_one_picture_and_fixed_seeds(path):
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plt.subplots()\nplt.figure()", ["2 pictures"]),
        ("plt.subplots()\nmake_moons(100)", ["make_moons without random_state"]),
        ("plt.subplots()\nskbsq.BitwiseRegressor(2)", ["BitwiseRegressor without random_state"]),
        ("plt.subplots()\nnp.random.default_rng()", ["default_rng without a seed"]),
        ("fig, ax = plt.subplots()\nX, y = fetch_openml('adult')", ["fetch_openml needs a network"]),
    ],
)
def test_problems_are_found(text, found):
    assert problems(text) == found


def test_titles_differ():
    titles = [introduction(path)[0] for path in SCRIPTS]
    assert len(set(titles)) == len(titles)


def test_the_order_of_the_gallery_names_scripts_that_exist():
    spec = importlib.util.spec_from_file_location("gallery_style", DOCS / "gallery_style.py")
    style = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(style)
    key = style.InOrder(DOCS / "examples")
    assert set(style.ORDER) <= {path.name for path in SCRIPTS}
    assert sorted(["plot_zebra.py", *reversed(style.ORDER)], key=key) == [*style.ORDER, "plot_zebra.py"]


def test_figures_have_alt_text_and_turn_around_on_dark_pages():
    """Every figure that docs/figures.py writes is on the page, as a transparent picture with the class for that."""
    page = (DOCS / "guide" / "how_it_works.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{figure\} \.\./figures/(\w+)\.svg\n:class: drawn\n:alt: .+\n", page, re.MULTILINE)
    written = sorted((DOCS / "figures").glob("*.svg"))
    assert sorted(shown) == [path.stem for path in written]
    for path in written:
        assert "fill: #ffffff" not in path.read_text(encoding="utf-8"), f"{path.name} has a white ground"
