"""Learning as a plain package: a `Learner` learns from rows by a `Recipe`; estimators are not needed for it."""

from skbsq.training.learner import Learned, Learner
from skbsq.training.loop import BestEpoch, train
from skbsq.training.recipe import Recipe
from skbsq.training.schedules import TemperatureSchedule, temperature_at

__all__ = ["BestEpoch", "Learned", "Learner", "Recipe", "TemperatureSchedule", "temperature_at", "train"]
