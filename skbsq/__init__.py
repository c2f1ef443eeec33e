"""Learned compression of tabular features.

Public names are imported on first use, so that a gateway can import the codebook with NumPy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from skbsq import _forks as _forks

__version__ = "0.1.0.dev0"

_HOME = {
    "Codebook": "codebook.codebook",
    "UniformQuantizer": "quantizers.uniform",
    "QuantileQuantizer": "quantizers.quantile",
    "KMeansQuantizer": "quantizers.kmeans",
    "TreeQuantizer": "quantizers.tree",
    "ThresholdQuantizer": "quantizers.threshold",
    "BitwiseQuantizer": "quantizers.bitwise",
    "SoftQuantizer": "quantizers.soft",
    "LSQQuantizer": "quantizers.lsq",
    "LLTQuantizer": "quantizers.llt",
    "BitwiseClassifier": "predictors.classifier",
    "BitwiseRegressor": "predictors.regressor",
    "Receiver": "receiver",
}

_SUBMODULES = (
    "budget",
    "codec",
    "exceptions",
    "export",
    "model_selection",
    "monitoring",
    "nn",
    "outofcore",
    "persistence",
    "plotting",
    "receiver",
    "training",
)

__all__ = [*_HOME]

if TYPE_CHECKING:
    from skbsq.codebook.codebook import Codebook as Codebook
    from skbsq.predictors.classifier import BitwiseClassifier as BitwiseClassifier
    from skbsq.predictors.regressor import BitwiseRegressor as BitwiseRegressor
    from skbsq.quantizers.bitwise import BitwiseQuantizer as BitwiseQuantizer
    from skbsq.quantizers.kmeans import KMeansQuantizer as KMeansQuantizer
    from skbsq.quantizers.llt import LLTQuantizer as LLTQuantizer
    from skbsq.quantizers.lsq import LSQQuantizer as LSQQuantizer
    from skbsq.quantizers.quantile import QuantileQuantizer as QuantileQuantizer
    from skbsq.quantizers.soft import SoftQuantizer as SoftQuantizer
    from skbsq.quantizers.threshold import ThresholdQuantizer as ThresholdQuantizer
    from skbsq.quantizers.tree import TreeQuantizer as TreeQuantizer
    from skbsq.quantizers.uniform import UniformQuantizer as UniformQuantizer
    from skbsq.receiver import Receiver as Receiver


def __getattr__(name):
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
