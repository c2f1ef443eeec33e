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
    datasets: tuple = ("california", "fried", "cpu_act", "sulfur", "wine_quality", "kin8nm")
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
    ),
    "space": Plan(
        "Where should thresholds move, where features have heavy tails?",
        {"ranks": {}, "standardized": {"space": "standard"}},
        datasets=("heavy", "fried"),
        bits=(2, 3, 4),
        seeds=(42, 43, 44),
    ),
    "start": Plan(
        "Where should thresholds start?",
        {
            "auto": {},
            "quantile": {"init": "quantile"},
            "kmeans": {"init": "kmeans"},
            "tree": {"init": "tree"},
            "uniform": {"init": "uniform"},
        },
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
        "How fast should thresholds learn, beside the head?",
        {
            "10": {},
            "3": {"threshold_lr_ratio": 3.0},
            "1": {"threshold_lr_ratio": 1.0},
            "0.3": {"threshold_lr_ratio": 0.3},
        },
        bits=(3, 4, 6),
    ),
    "narrow": Plan(
        "How fast should the few thresholds of narrow features learn, beside the head?",
        {
            "10": {"forward": "soft", "threshold_lr_ratio": 10.0},
            "3": {"forward": "soft", "threshold_lr_ratio": 3.0},
            "1": {"forward": "soft", "threshold_lr_ratio": 1.0},
        },
        datasets=("california", "cpu_act", "sulfur", "wine_quality", "kin8nm"),
        bits=(2, 3),
    ),
    "wide": Plan(
        "How should the bits of wide features be trained, and how fast should thresholds learn, beside the head?",
        {
            "hard bits, 10": {"forward": "hard", "threshold_lr_ratio": 10.0},
            "hard bits, 3": {"forward": "hard", "threshold_lr_ratio": 3.0},
            "hard bits, 1": {"forward": "hard", "threshold_lr_ratio": 1.0},
            "sigmoids, 3": {"forward": "soft", "threshold_lr_ratio": 3.0},
            "sigmoids, 1": {"forward": "soft", "threshold_lr_ratio": 1.0},
            "sigmoids, 0.3": {"forward": "soft", "threshold_lr_ratio": 0.3},
        },
        datasets=("california", "cpu_act", "sulfur", "wine_quality", "kin8nm"),
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
        "How long, and with which head?",
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
