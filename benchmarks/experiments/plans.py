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
    "ingredients": Plan(
        "What does each part of the recipe bring?",
        {
            "recipe": {},
            "hard bits for all": {"forward": "hard"},
            "sigmoids for all": {"forward": "soft"},
            "standardized space": {"space": "standard"},
            "no levels": {"level_inputs": False},
            "thresholds as fast as the head": {"threshold_lr_ratio": 1.0},
            "thresholds fixed": {"threshold_lr_ratio": 0.0},
            "hard, standardized, no levels": {"forward": "hard", "space": "standard", "level_inputs": False},
        },
        datasets=("california", "fried", "cpu_act", "sulfur", "wine_quality", "kin8nm"),
    ),
    "temperature": Plan(
        "How wide should the surrogate be at first?",
        {
            "1": {"temperature_start": 1.0},
            "2": {"temperature_start": 2.0},
            "0.5": {"temperature_start": 0.5},
            "0.2": {"temperature_start": 0.2},
        },
    ),
}
