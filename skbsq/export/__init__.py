"""Export codebooks as C and JavaScript, models as ONNX, pipelines as one codebook. Imports optional packages on use."""

from skbsq.export._c import to_c
from skbsq.export._fold import to_codebook
from skbsq.export._js import to_js
from skbsq.export._onnx import to_onnx
from skbsq.export._skl2onnx import register_skl2onnx

__all__ = ["register_skl2onnx", "to_c", "to_codebook", "to_js", "to_onnx"]
