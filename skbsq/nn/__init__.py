"""Torch parts, usable on their own: quantization layers, the default head, the temperature callback, training."""

from skbsq.nn.heads import MLP, Ensemble, build_head
from skbsq.nn.joint import JointNet
from skbsq.nn.layers import BitwiseQuantization, Standardization, Thermometer
from skbsq.nn.levels import LevelLinear
from skbsq.nn.llt import LLTQuantization
from skbsq.nn.losses import WeightedLoss
from skbsq.nn.lsq import LSQQuantization
from skbsq.nn.soft import SoftQuantization
from skbsq.nn.space import RankSpace, StandardSpace
from skbsq.nn.temperature import TemperatureSchedule, temperature_at
from skbsq.nn.training import BestEpoch, train
from skbsq.nn.values import CodeValues

__all__ = [
    "MLP",
    "BestEpoch",
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
    "TemperatureSchedule",
    "Thermometer",
    "WeightedLoss",
    "build_head",
    "temperature_at",
    "train",
]
