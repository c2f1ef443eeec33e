"""Sphinx extension: formulas as MathML, which browsers draw without a script and without a network."""

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml


def inline_math(translator, node):
    """Write a formula inside a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_math(translator, node):
    """Write a formula on a line for itself."""
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
