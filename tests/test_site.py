"""The site: every link leads somewhere, every page stands in its section, and what pages list is what the code has."""

import ast
import importlib
import re
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from sklearn.base import BaseEstimator

import skbsq
from skbsq import exceptions

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SECTIONS = sorted(path.parent for path in DOCS.glob("*/index.md"))
# Written by hand, without what builds and tests leave behind.
TEXTS = [
    path
    for folder in ("skbsq", "tests", "benchmarks", "docs")
    for kind in ("*.py", "*.md", "*.c")
    for path in (ROOT / folder).rglob(kind)
    if "_build" not in path.parts
] + [*ROOT.glob("*.md"), ROOT / "Makefile"]


@pytest.fixture(scope="module")
def extensions():
    """The extensions of docs/, whose folder Sphinx puts on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield SimpleNamespace(
            api_links=importlib.import_module("api_links"), parameter_index=importlib.import_module("parameter_index")
        )
        for name in ("api_links", "parameter_index"):
            sys.modules.pop(name, None)


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


# Links


class Links(HTMLParser):
    """Where a page leads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.anchors = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.targets |= {attributes[name] for name in ("href", "src") if attributes.get(name)}


def leads_to(path, links):
    """Files and anchors of the relative links of a page, with the links as they are written."""
    for target in links.targets:
        scheme, host, name, _, anchor = urlsplit(target)
        if not scheme and not host:
            yield (path.parent / unquote(name)).resolve() if name else path, unquote(anchor), target


def broken_links(folder):
    """Relative links of the HTML files of a folder to files and anchors that are not there."""
    pages = {path.resolve(): Links(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, links in pages.items():
        for file, anchor, target in leads_to(path, links):
            in_file = not anchor or file not in pages or anchor in pages[file].anchors
            if not file.exists() or not in_file:
                broken.append(f"{path.relative_to(folder.resolve())}: {target}")
    return pages, broken


def unreachable(folder, pages):
    """Pages to which no way leads from the home page."""
    home = (folder / "index.html").resolve()
    reached, ahead = {home}, [home]
    while ahead:
        path = ahead.pop()
        new = {file for file, _, _ in leads_to(path, pages[path]) if file in pages} - reached
        reached |= new
        ahead += new
    return sorted(path.relative_to(folder.resolve()).as_posix() for path in pages.keys() - reached)


def test_links_inside_the_site(built_site):
    pages, broken = broken_links(built_site)
    assert len(pages) > 50
    assert broken == []
    assert unreachable(built_site, pages) == []


def test_a_broken_link_is_found(tmp_path):
    text = '<a href="b.html#there"> <a href="b.html#gone"> <img src="c.png"> <a href="https://x.org/gone"> <a href="#">'
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "b.html").write_text('<p id="there">')
    assert sorted(broken_links(tmp_path)[1]) == ["a.html: b.html#gone", "a.html: c.png"]


def test_a_page_reachable_from_nowhere_is_found(tmp_path):
    texts = {"index": '<a href="a.html">', "a": '<a href="b.html#x">', "b": "", "c": '<a href="d.html">', "d": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(text)
    assert unreachable(tmp_path, broken_links(tmp_path)[0]) == ["c.html", "d.html"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_in_the_repository(name):
    targets = re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_paths_of_pages_in_texts():
    """Docstrings, comments and the changelog name pages by their paths in the repository."""
    named = {
        (path.relative_to(ROOT), name)
        for path in TEXTS
        for name in re.findall(r"\bdocs/[\w./-]+\.(?:md|svg|py|c)\b", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert [(str(path), name) for path, name in named if not (ROOT / name).exists()] == []


# Sections


def test_there_are_sections():
    assert {"get-started", "guide", "deploy", "reference"} <= {section.name for section in SECTIONS}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_the_page_of_a_section_has_a_line_for_each_of_its_pages(section):
    index = (section / "index.md").read_text(encoding="utf-8")
    pages = {path.stem for path in section.glob("*.md")} - {"index"}
    assert set(re.findall(r"^- \{doc\}`([^`/]+)`: .+\.$", index, re.MULTILINE)) == pages
    assert pages <= set(index[index.index("{toctree}") :].split())


# What pages list


def test_code_in_prose_that_becomes_a_link(extensions):
    kinds = {
        "skbsq.Codebook": "class",
        "skbsq.Codebook.encode": "method",
        "skbsq.BitwiseRegressor.predict": "method",
        "skbsq.outofcore.predict": "function",
        "skbsq.export.to_c": "function",
        "skbsq.exceptions.NotATableError": "exception",
    }
    names = extensions.api_links.names_of({name: SimpleNamespace(objtype=kind) for name, kind in kinds.items()})
    assert names == {
        **{name: name for name in kinds},
        "Codebook": "skbsq.Codebook",
        "Codebook.encode": "skbsq.Codebook.encode",
        "BitwiseRegressor.predict": "skbsq.BitwiseRegressor.predict",
        "to_c": "skbsq.export.to_c",
        "NotATableError": "skbsq.exceptions.NotATableError",
    }


def test_parameter_index_has_what_scikit_learn_says_of_the_estimators(extensions):
    index = extensions.parameter_index.parameters()
    listed = {
        (owner, name, default)
        for name, defaults in index.items()
        for default, owners in defaults.items()
        for owner in owners
    }
    names = [name for name in skbsq.__all__ if issubclass(getattr(skbsq, name), BaseEstimator)]
    assert len(names) >= 11
    for name in names:
        kind = getattr(skbsq, name)
        given = {"thresholds": []} if name == "ThresholdQuantizer" else {}
        expected = {(f"skbsq.{name}", key, repr(value)) for key, value in kind(**given).get_params(deep=False).items()}
        found = {entry for entry in listed if entry[0] == f"skbsq.{name}"}
        assert found == expected - {(f"skbsq.{name}", key, repr(value)) for key, value in given.items()}


def test_parameter_index_leads_to_the_reference(extensions):
    lines = page("reference/api.md").splitlines()
    module, listed = "", set()
    for line in lines:
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            listed.add(f"{module}.{line.strip()}")
    owners = {
        owner
        for defaults in extensions.parameter_index.parameters().values()
        for owners in defaults.values()
        for owner in owners
    }
    assert owners <= listed


def test_every_extra_is_on_the_page_of_the_installation():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = page("get-started/install.md")
    assert {name for name in extras if f".[{name}]" in text} | {"bench", "docs", "test", "dev"} == extras.keys()


def test_every_error_and_warning_is_on_their_page():
    text = page("reference/warnings.md")
    assert [name for name in exceptions.__all__ if f"`{name}`" not in text] == []


@cache
def texts_of_the_package():
    """The constant parts of all texts in the package."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "skbsq").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {node.value for node in nodes if isinstance(node.value, str)}


def messages():
    """First cells of the tables of messages, as the parts between the dots."""
    text = page("reference/warnings.md")
    rows = re.findall(r"^\| (?!-|message|warning|error)(.+?) \|", text[text.index("## Input") :], re.MULTILINE)
    return [[part.strip() for part in row.split("...") if part.strip()] for row in rows if "Error" not in row]


@pytest.mark.parametrize("parts", messages(), ids="...".join)
def test_messages_are_those_of_the_package(parts):
    assert [part for part in parts if not any(part in text for text in texts_of_the_package())] == []


def test_citation_has_this_version():
    version = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert skbsq.__version__.removesuffix(".dev0") == version
