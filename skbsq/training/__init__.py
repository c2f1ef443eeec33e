"""Learn without an estimator: a `Learner` learns from `Rows` by a `Recipe`."""

from skbsq.training.feeds import Bits
from skbsq.training.learner import Learned, Learner
from skbsq.training.loop import BestEpoch, train
from skbsq.training.rates import Rate, learn_rates
from skbsq.training.recipe import Recipe
from skbsq.training.rows import Rows
from skbsq.training.schedules import TemperatureSchedule, temperature_at
from skbsq.training.starts import GivenStart, RuleStart

__all__ = [
    "BestEpoch",
    "Bits",
    "GivenStart",
    "Learned",
    "Learner",
    "Rate",
    "Recipe",
    "Rows",
    "RuleStart",
    "TemperatureSchedule",
    "learn_rates",
    "temperature_at",
    "train",
]
