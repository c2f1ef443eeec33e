"""Sphinx extension: the directive parameter-index, a table of parameters, written from the signatures at build time."""

import importlib
import inspect
from collections import defaultdict

from sphinx.util.docutils import SphinxDirective

import skbsq


def parameters():
    """Find the public classes and functions that have each parameter with a default.

    Returns
    -------
    dict of str to dict of str to list of str
        Full names by parameter and by default, as text.
    """
    found = defaultdict(lambda: defaultdict(list))
    for full_name, thing in _public().items():
        for parameter in inspect.signature(thing).parameters.values():
            if parameter.default is not parameter.empty:
                found[parameter.name][repr(parameter.default)].append(full_name)
    return found


def _public():
    """Collect the public classes and functions by the names under which the reference lists them."""
    rooms = [importlib.import_module(f"skbsq.{name}") for name in skbsq._SUBMODULES if name != "exceptions"]
    names = {f"{room.__name__}.{name}": getattr(room, name) for room in rooms for name in room.__all__}
    below = {name: thing for name, thing in names.items() if callable(thing)}
    top = {f"skbsq.{name}": getattr(skbsq, name) for name in skbsq.__all__}
    return below | {name: thing for name, thing in top.items() if thing not in below.values()}


class ParameterIndex(SphinxDirective):
    """A table with a row per parameter and default. It is reStructuredText, so that names become links."""

    def run(self):
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - parameter", "     - default", "     - in"]
        for name, defaults in sorted(parameters().items()):
            for default, owners in defaults.items():
                links = ", ".join(f":py:obj:`~{owner}`" for owner in sorted(owners))
                lines += [f"   * - ``{name}``", f"     - ``{default}``", f"     - {links}"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("parameter-index", ParameterIndex)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
