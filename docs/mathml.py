"""Sphinx extension: formulas as MathML, which browsers draw without a script and without a network."""

from html import escape

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def to_mathml(node, **options):
    """Translate a formula. A command that docutils does not know gives a warning."""
    try:
        return tex2mathml(node.astext(), **options)
    except MathError as error:
        logger.warning("%s", error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def inline_math(translator, node):
    """Write a formula inside a line."""
    translator.body.append(to_mathml(node))
    raise SkipNode


def block_math(translator, node):
    """Write a formula on a line for itself."""
    translator.body.append(f'<div class="formula">{to_mathml(node, as_block=True)}</div>\n')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
