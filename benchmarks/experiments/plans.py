"""Plans of the experiments: the variants to compare, one plan per question."""

from dataclasses import dataclass

WITHOUT_FRIED = ("california", "cpu_act", "sulfur", "wine_quality", "kin8nm")


@dataclass(frozen=True)
class Plan:
    """Variants of the recipe to compare.

    Attributes
    ----------
    question : str
    variants : dict
        Parameters of `BitwiseRegressor` by the name of a variant. The others are compared with the first one.
    datasets : tuple of str
    bits, seeds : tuple of int
    """

    question: str
    variants: dict
    datasets: tuple = ("california", "fried", "cpu_act", "sulfur", "wine_quality", "kin8nm")
    bits: tuple = (2, 4)
    seeds: tuple = (42, 43)


def _learning_rates(prefix, forward, ratios):
    """Make a variant per ratio of the learning rates of thresholds and head."""
    return {f"{prefix}{ratio:g}": {"forward": forward, "threshold_lr_ratio": ratio} for ratio in ratios}


PLANS = {
    "ingredients": Plan(
        "How much does each part of the recipe help?",
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
    "space": Plan(
        "On which scale should thresholds move if features have heavy tails?",
        {"ranks": {}, "standardized": {"space": "standard"}},
        datasets=("heavy", "fried"),
        bits=(2, 3, 4),
        seeds=(42, 43, 44),
    ),
    "start": Plan(
        "Where should thresholds start?",
        {"auto": {}, **{init: {"init": init} for init in ("quantile", "kmeans", "tree", "uniform")}},
    ),
    "surrogate": Plan(
        "How should bits be trained?",
        {
            "recipe": {},
            "temperature from 2": {"temperature_start": 2.0},
            "temperature from 0.5": {"temperature_start": 0.5},
        },
    ),
    "threshold-rate": Plan(
        "How fast should thresholds learn, compared with the head?",
        {"10": {}, **{f"{ratio:g}": {"threshold_lr_ratio": ratio} for ratio in (3.0, 1.0, 0.3)}},
        bits=(3, 4, 6),
    ),
    "narrow": Plan(
        "How fast should the thresholds of features with few bits learn, compared with the head?",
        _learning_rates("", "soft", (10.0, 3.0, 1.0)),
        datasets=WITHOUT_FRIED,
        bits=(2, 3),
    ),
    "wide": Plan(
        "How should the bits of features with many bits be trained, and how fast should their thresholds learn?",
        {
            **_learning_rates("hard bits, ", "hard", (10.0, 3.0, 1.0)),
            **_learning_rates("sigmoids, ", "soft", (3.0, 1.0, 0.3)),
        },
        datasets=WITHOUT_FRIED,
        bits=(4, 6),
    ),
    "optimizer": Plan(
        "How should the head be trained?",
        {
            "recipe": {},
            "twice the rate": {"lr": 4e-3},
            "constant rate": {"lr": 1e-3, "lr_schedule": "constant"},
            "decay of 1": {"weight_decay": 1.0},
            "60 epochs": {"max_epochs": 60},
            "60 epochs, dropout of 0.1": {"max_epochs": 60, "dropout": 0.1},
        },
    ),
    "training": Plan(
        "How long should training last, and with which head?",
        {
            "default": {},
            "30 epochs": {"max_epochs": 30},
            "30 epochs of 3 x 256, no dropout": {
                **{"max_epochs": 30, "batch_size": 256, "hidden_sizes": [256, 256, 256], "dropout": 0.0}
            },
            "no dropout": {"dropout": 0.0},
            "dropout of 0.3": {"dropout": 0.3},
            "2 x 128": {"hidden_sizes": [128, 128]},
            "3 x 256": {"hidden_sizes": [256, 256, 256]},
            "held-out rows not trained on": {"early_stopping": True},
        },
    ),
}
