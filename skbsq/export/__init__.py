"""What leaves Python: a pipeline as one codebook, and models in ONNX. What each needs is imported where it is used."""

from skbsq.export._fold import to_codebook

__all__ = ["to_codebook"]
