"""Pictures of codebooks, searches and trainings, in the manner of scikit-learn's displays. Needs matplotlib."""

from skbsq.plotting.allocation import AllocationDisplay
from skbsq.plotting.history import HistoryDisplay
from skbsq.plotting.rate_distortion import RateDistortionDisplay
from skbsq.plotting.threshold import ThresholdDisplay

__all__ = ["AllocationDisplay", "HistoryDisplay", "RateDistortionDisplay", "ThresholdDisplay"]
