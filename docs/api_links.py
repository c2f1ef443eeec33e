"""Sphinx extension: code in prose that is the name of a documented object becomes a link to it.

Classes are found by their last name (``BitwiseRegressor``), their members as ``Codebook.encode``, functions by their
last name unless a class has a member of that name (``to_c``, but not ``predict``), and everything by its full name.
"""

from docutils import nodes
from sphinx.util.nodes import make_refnode

_MEMBERS = ("method", "property", "attribute")


def names_of(objects):
    """Map each name that may stand in prose to the full name of an object.

    Parameters
    ----------
    objects : dict
        Entries of the Python domain by their full names.
    """
    kinds = {name: entry.objtype for name, entry in objects.items()}
    members = {name.rpartition(".")[2] for name, kind in kinds.items() if kind in _MEMBERS}
    found = {name: name for name in kinds}
    for name, kind in kinds.items():
        *_, holder, last = ["", *name.split(".")]
        if kind in ("class", "exception") or (kind == "function" and last not in members):
            found.setdefault(last, name)
        elif kind in _MEMBERS:
            found.setdefault(f"{holder}.{last}", name)
    return found


def link_names(app, doctree, page):
    """Turn the code of a page into references, except in titles and in what is a reference already."""
    objects = app.env.get_domain("py").objects
    names = names_of(objects)
    for literal in list(doctree.findall(nodes.literal)):
        name = names.get(literal.astext().removesuffix("()"))
        if name is not None and not _is_inside(literal, nodes.reference, nodes.title):
            target = objects[name]
            reference = make_refnode(app.builder, page, target.docname, target.node_id, [], name)
            literal.replace_self(reference)
            reference += literal


def _is_inside(node, *kinds):
    while node.parent is not None and not isinstance(node, kinds):
        node = node.parent
    return isinstance(node, kinds)


def setup(app):
    app.connect("doctree-resolved", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
