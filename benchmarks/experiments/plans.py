"""What is tried against what: one plan per question."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Variants of the recipe that are held against each other.

    Attributes
    ----------
    question : str
    variants : dict
        Parameters of `BitwiseRegressor` by the name of a variant, and as "change" a key of `CHANGES`. The first is what
        the others are compared with.
    datasets : tuple of str
    bits, seeds : tuple of int
    budget : bool
        Whether the bits are a budget, per feature on average, and not the width of each.
    """

    question: str
    variants: dict
    datasets: tuple = ("california", "fried", "cpu_act", "sulfur", "wine_quality", "kin8nm")
    bits: tuple = (2, 4)
    seeds: tuple = (42, 43)
    budget: bool = False


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
    ),
    "start": Plan(
        "Where should thresholds start?",
        {
            "auto": {},
            "quantile": {"init": "quantile"},
            "kmeans": {"init": "kmeans"},
            "tree": {"init": "tree"},
            "uniform": {"init": "uniform"},
            "rows and range": {"change": "blended start"},
            "pilot": {"change": "pilot"},
        },
    ),
    "surrogate": Plan(
        "How should bits be trained?",
        {
            "recipe": {},
            "temperature from 2": {"temperature_start": 2.0},
            "temperature from 0.5": {"temperature_start": 0.5},
            "random bits": {"change": "random bits"},
            "sigmoids as wide as gaps": {"change": "bits as wide as gaps"},
            "head trained on at the end": {"change": "fine-tuned head"},
        },
    ),
    "threshold-rate": Plan(
        "How fast should thresholds learn, beside the head?",
        {
            "10": {},
            "3": {"threshold_lr_ratio": 3.0},
            "1": {"threshold_lr_ratio": 1.0},
            "0.3": {"threshold_lr_ratio": 0.3},
        },
        bits=(3, 4, 6),
    ),
    "first-layer": Plan(
        "How should the first layer begin?",
        {
            "recipe": {},
            "bits from zero": {"change": "own share 0"},
            "bits in full": {"change": "own share 1"},
            "bits scaled by rise": {"change": "bits scaled by rise"},
            "levels standardized": {"change": "levels standardized"},
            "levels ranked": {"change": "levels ranked"},
        },
    ),
    "optimizer": Plan(
        "How should the head be trained?",
        {
            "recipe": {},
            "twice the rate": {"lr": 4e-3},
            "constant rate": {"lr": 1e-3, "lr_schedule": "constant"},
            "decay of 1": {"weight_decay": 1.0},
            "averaged weights": {"change": "averaged weights"},
            "beta2 of 0.99": {"change": "shorter memory"},
            "60 epochs": {"max_epochs": 60},
            "60 epochs, dropout of 0.1": {"max_epochs": 60, "dropout": 0.1},
        },
    ),
    "averaging": Plan(
        "Which weights should training end with?",
        {
            "recipe": {},
            "last quarter": {"change": "mean over the last quarter"},
            "last half": {"change": "mean over the last half"},
            "last three quarters": {"change": "mean over the last three quarters"},
        },
        bits=(2, 3, 4),
    ),
    "teacher": Plan(
        "Should targets be in part what a teacher of 6 bits says?",
        {"recipe": {}, "half": {"change": "taught by half"}, "four fifths": {"change": "taught"}},
        bits=(2,),
    ),
    "budget": Plan(
        "How should a budget be split?",
        {
            "in rounds": {},
            "at once": {"change": "split at once"},
            "by group sparsity": {"change": "split by shrinking"},
            "by distortion": {"change": "split by distortion"},
            "by half distortion": {"change": "split by half distortion"},
        },
        bits=(1, 2),
        seeds=(42, 43, 44, 45),
        budget=True,
    ),
}
