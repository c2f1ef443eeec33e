"""Plot codebooks, searches and training, with displays like those of scikit-learn. Needs matplotlib."""

from skbsq.plotting.allocation import AllocationDisplay
from skbsq.plotting.drift import DriftDisplay
from skbsq.plotting.history import HistoryDisplay
from skbsq.plotting.rate_distortion import RateDistortionDisplay
from skbsq.plotting.threshold import ThresholdDisplay

__all__ = ["AllocationDisplay", "DriftDisplay", "HistoryDisplay", "RateDistortionDisplay", "ThresholdDisplay"]
