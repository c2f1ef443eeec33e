"""Sphinx configuration. Builds without a network."""

import sys
from pathlib import Path

import skbsq

sys.path.insert(0, str(Path(__file__).parent))  # api_links, gallery_style, mathml, parameter_index

project = "skbsq"
author = "The skbsq developers"
copyright = author
version = release = skbsq.__version__

extensions = [
    "api_links",
    "mathml",
    "myst_parser",
    "numpydoc",
    "parameter_index",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "skbsq"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css", "skbsq.css"]
html_math_renderer = "mathml"
html_theme_options = {
    "header_links_before_dropdown": 5,
    "navbar_start": ["navbar-logo", "version"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
# The home page is no part of a section, so its side bar would be empty.
html_sidebars = {"index": []}

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Copy code without the prompts and output of a console; what an example printed has no button.
copybutton_selector = ":not(.sphx-glr-script-out) > div.highlight pre"
copybutton_exclude = ".linenos, .gp, .go"

# The build runs docs/examples/plot_*.py.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_\w+\.py$",
    "ignore_pattern": r"^(?!plot_)",
    "within_subsection_order": "gallery_style.InOrder",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skbsq",),
    "ignore_repr_types": r"matplotlib|list",  # what methods of axes return
    "image_srcset": ["2x"],
    "reference_url": {"skbsq": None},
    "reset_modules": ("matplotlib", "gallery_style.reset"),
    "min_reported_time": 3600,  # how long an example takes depends on the machine
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

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
