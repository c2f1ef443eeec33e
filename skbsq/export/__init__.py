"""What leaves Python: a pipeline as one codebook, and models in ONNX. What each needs is imported where it is used."""

from skbsq.export._fold import to_codebook
from skbsq.export._onnx import to_onnx
from skbsq.export._skl2onnx import register_skl2onnx

__all__ = ["register_skl2onnx", "to_codebook", "to_onnx"]
