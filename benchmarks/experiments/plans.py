"""What is tried against what: one plan per question."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Variants of the recipe that are held against each other.

    Attributes
    ----------
    question : str
    variants : dict
        Parameters of `BitwiseRegressor` by the name of a variant. The first is what the others are compared with.
    datasets : tuple of str
    bits, seeds : tuple of int
    """

    question: str
    variants: dict
    datasets: tuple = ("california", "fried", "cpu_act", "sulfur")
    bits: tuple = (2, 4)
    seeds: tuple = (42, 43)


PLANS = {
    "temperature": Plan(
        "How wide should the surrogate gradient be at first, and how fast may thresholds move?",
        {
            "1, rate x10": {"temperature_start": 1.0, "threshold_lr_ratio": 10.0},
            "0.5, rate x10": {"temperature_start": 0.5, "threshold_lr_ratio": 10.0},
            "0.2, rate x10": {"temperature_start": 0.2, "threshold_lr_ratio": 10.0},
            "0.1, rate x10": {"temperature_start": 0.1, "threshold_lr_ratio": 10.0},
            "0.2, rate x3": {"temperature_start": 0.2, "threshold_lr_ratio": 3.0},
            "0.2, rate x1": {"temperature_start": 0.2, "threshold_lr_ratio": 1.0},
            "fixed": {"threshold_lr_ratio": 0.0},
            "soft, 1, rate x1": {"forward": "soft", "temperature_start": 1.0, "threshold_lr_ratio": 1.0},
            "soft, 1, rate x10": {"forward": "soft", "temperature_start": 1.0, "threshold_lr_ratio": 10.0},
        },
    ),
}
