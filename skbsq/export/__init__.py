"""Export codebooks as C, JavaScript and Arduino libraries, models as ONNX, and pipelines as one codebook.

Optional packages are imported on use.
"""

from skbsq.export._arduino import to_arduino
from skbsq.export._c import to_c
from skbsq.export._fold import to_codebook
from skbsq.export._integers import IntegerPredictor, to_integers
from skbsq.export._js import to_js
from skbsq.export._onnx import to_onnx
from skbsq.export._skl2onnx import register_skl2onnx

__all__ = [
    "IntegerPredictor",
    "register_skl2onnx",
    "to_arduino",
    "to_c",
    "to_codebook",
    "to_integers",
    "to_js",
    "to_onnx",
]
