"""Sphinx configuration. Builds without a network."""

import sys
from pathlib import Path

import skbsq

sys.path.insert(0, str(Path(__file__).parent))  # api_links, parameter_index

project = "skbsq"
author = "The skbsq developers"
copyright = author
version = release = skbsq.__version__

extensions = [
    "api_links",
    "myst_parser",
    "numpydoc",
    "parameter_index",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "skbsq"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "header_links_before_dropdown": 4,
    "navbar_start": ["navbar-logo", "version"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
# The home page is no part of a section, so its side bar would be empty.
html_sidebars = {"index": []}

myst_heading_anchors = 3

autodoc_member_order = "bysource"
# A docstring of torch on a method of ours would say nothing about it.
autodoc_inherit_docstrings = False
autosummary_generate = True
default_role = "py:obj"
# Beside a page, a member is listed by its own name.
toc_object_entries_show_parents = "hide"
# The members are listed by autodoc, where they can be told from those of scikit-learn and torch.
numpydoc_show_class_members = False


def skip_foreign_member(app, what, name, obj, skip, options):
    """Leave out what is inherited from another package, whose documentation is its own."""
    for attribute in ("fget", "func", "__func__"):
        obj = getattr(obj, attribute, obj)
    return skip or not str(getattr(obj, "__module__", "")).startswith("skbsq.")


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign_member)
