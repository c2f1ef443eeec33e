"""Torch modules, usable on their own: quantization layers, the default head, and the net of both."""

from skbsq.nn.heads import MLP, Ensemble, build_head
from skbsq.nn.joint import JointNet
from skbsq.nn.layers import BitwiseQuantization, Standardization, Thermometer
from skbsq.nn.levels import LevelLinear
from skbsq.nn.llt import LLTQuantization
from skbsq.nn.losses import WeightedLoss
from skbsq.nn.lsq import LSQQuantization
from skbsq.nn.soft import SoftQuantization
from skbsq.nn.space import RankSpace, StandardSpace
from skbsq.nn.values import CodeValues

__all__ = [
    "MLP",
    "BitwiseQuantization",
    "CodeValues",
    "Ensemble",
    "JointNet",
    "LLTQuantization",
    "LSQQuantization",
    "LevelLinear",
    "RankSpace",
    "SoftQuantization",
    "StandardSpace",
    "Standardization",
    "Thermometer",
    "WeightedLoss",
    "build_head",
]
