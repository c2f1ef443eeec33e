"""Small fits whose thresholds and predictions are kept, so that moving code does not change training unnoticed.

They guard moves of code alone. Whoever changes training makes them anew and says so: python -m tests.golden.fits
"""

from pathlib import Path

import numpy as np
from sklearn.base import is_classifier

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
)
from tests.golden.make import table

PATH = Path(__file__).parent / "fits.npz"
SHORT = dict(n_bits=2, max_epochs=4, hidden_sizes=(8,), batch_size=32, random_state=0)
MISSING = {**SHORT, "missing": "code"}
FITS = {
    "quantizer": BitwiseQuantizer(**MISSING),
    "quantizer_wide": BitwiseQuantizer(**MISSING | {"n_bits": 5}, init="tree", forward="hard"),
    "quantizer_standard": BitwiseQuantizer(**MISSING, space="standard", forward="soft", level_inputs=False),
    "soft": SoftQuantizer(**MISSING, learn_values=True),
    "lsq": LSQQuantizer(**MISSING),
    "llt": LLTQuantizer(**MISSING),
    "regressor": BitwiseRegressor(**MISSING | {"n_bits": [1, 2, 3]}),
    "regressor_length": BitwiseRegressor(2, missing="code", batch_size=64, hidden_sizes=(8,), random_state=0),
    "regressor_stopped": BitwiseRegressor(**MISSING, early_stopping=True),
    # Long enough that features are worth their bits.
    "regressor_budget": BitwiseRegressor(**MISSING | {"n_bits": None, "max_epochs": 10}, lr=0.005, bit_budget=4),
    "regressor_fixed": BitwiseRegressor(**MISSING, quantizer=QuantileQuantizer(2)),
    "regressor_soft": BitwiseRegressor(**MISSING, quantizer=SoftQuantizer(2)),
    "regressor_members": BitwiseRegressor(**MISSING | {"hidden_sizes": "auto"}),
    "classifier": BitwiseClassifier(**MISSING, class_weight="balanced"),
    "classifier_constant_rate": BitwiseClassifier(**MISSING, lr_schedule="constant", temperature_schedule="linear"),
}


def fit(name):
    """Thresholds of all features in a row, and predictions, of one fit."""
    X, y, labels = table(seed=1)
    model = FITS[name]
    weights = np.linspace(0.5, 2.0, len(X)) if "quantizer" in name else None
    model.fit(X, labels if is_classifier(model) else y, sample_weight=weights)
    found = {"thresholds": np.concatenate(model.codebook_.thresholds)}
    if is_classifier(model):
        found["predictions"] = model.predict_proba(X)
    elif hasattr(model, "predict"):
        found["predictions"] = model.predict(X)
    return found


def chunks():
    """The same of a fit in chunks."""
    X, y, _ = table(seed=1)
    halves = [(X[:60], y[:60]), (X[60:], y[60:])]
    model = BitwiseRegressor(**MISSING).fit_chunks(lambda: halves)
    return {"thresholds": np.concatenate(model.codebook_.thresholds), "predictions": model.predict(X)}


def main():
    found = {name: fit(name) for name in FITS} | {"chunks": chunks()}
    arrays = {f"{name}.{what}": array for name, own in found.items() for what, array in own.items()}
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    main()
