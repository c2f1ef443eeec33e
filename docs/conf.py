"""Sphinx configuration. Builds without a network."""

import sys
from pathlib import Path

import skbsq

sys.path.insert(0, str(Path(__file__).parent))  # gallery_style, mathml

project = "skbsq"
author = "The skbsq developers"
copyright = author
version = release = skbsq.__version__

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
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
html_css_files = ["skbsq.css"]
html_math_renderer = "mathml"
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}

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
# The members are listed by autodoc, where they can be told from those of scikit-learn and torch.
numpydoc_show_class_members = False


def skip_foreign_member(app, what, name, obj, skip, options):
    """Leave out what is inherited from another package, whose documentation is its own."""
    for attribute in ("fget", "func", "__func__"):
        obj = getattr(obj, attribute, obj)
    return skip or not str(getattr(obj, "__module__", "")).startswith("skbsq.")


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign_member)
