"""The methods that are compared, each as an estimator or a pipeline, and how one of them is measured."""

import time

from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)

FLOAT_BITS = 32
FIXED = {
    "uniform": UniformQuantizer,
    "quantile": QuantileQuantizer,
    "kmeans": KMeansQuantizer,
    "tree": TreeQuantizer,
}
# With our training: learned bits, fixed ones behind the same head, and floats.
METHODS = ("bitwise", *FIXED, "floats")
# With the training of arXiv 2603.05172, by its names.
PAPER_METHODS = (
    *("FP", "Po-MQ", "Po-QQ", "Pr-MQ", "Pr-QQ", "Bw-MQ", "Bw-QQ"),
    *("SQ", "SQ+", "Bw-SQ", "LSQ", "LLT-9", "LLT-4"),
)
# The learned ones of the paper with our training. Its fixed bits and floats with our training are those of `METHODS`.
SAME_TRAINING = ("SQ*", "SQ+*", "Bw-SQ*", "LSQ*", "LLT-9*", "LLT-4*")
# Another receiver: gradient boosting on the codes.
BOOSTED_METHODS = ("quantile+boosting", "bitwise+boosting")
ALL_METHODS = (*METHODS, *PAPER_METHODS, *SAME_TRAINING, *BOOSTED_METHODS)

BOOSTING = {"regression": HistGradientBoostingRegressor, "classification": HistGradientBoostingClassifier}

# Floats, with our training and with that of the paper.
UNQUANTIZED = ("floats", "FP")

# The temperature falls to a thousandth. That, the learning rate and the epochs are among what the paper's search tries.
PAPER_TRAINING: dict = {
    **{"batch_size": 512, "lr": 1e-3, "lr_schedule": "constant", "weight_decay": 0.0},
    **{"max_epochs": 50, "temperature_start": 1.0, "temperature_end": 1e-3, "level_inputs": False},
}


def cells(methods, bits):
    """Pairs of method and bits to measure: each method at each width, floats once."""
    return [(method, b) for method in methods for b in ([FLOAT_BITS] if method in UNQUANTIZED else bits)]


def build(method, bits, task, *, missing="error", random_state=None, **training):
    """An unfitted estimator or pipeline.

    Parameters
    ----------
    method : str
        One of `ALL_METHODS`. "bitwise" learns the thresholds with the head, "floats" gives the head the features
        themselves, "uniform", ... fix the thresholds before; with "+boosting" the head makes way for gradient boosting
        once the codes are there. The others are those of the paper, with an asterisk those with our training.
    bits : int
        Per feature; without a meaning for "floats" and "FP".
    task : {"regression", "classification"}
    missing : {"error", "code"}, default="error"
    random_state : int, default=None
    **training
        Parameters of the predictor.

    Returns
    -------
    BitwiseRegressor, BitwiseClassifier, Pipeline or QuantizedAfterwards
    """
    training = {"missing": missing, "random_state": random_state, **training}
    predictor = BitwiseRegressor if task == "regression" else BitwiseClassifier
    boosting = BOOSTING[task]
    if method == "bitwise":
        return predictor(bits, **training)  # bits may be None, with a budget
    if method == "floats":
        return predictor(quantizer="passthrough", **training)
    if method in FIXED:
        quantizer = FIXED[method](bits)
        return predictor(quantizer=quantizer.set_params(task=task) if method == "tree" else quantizer, **training)
    if method == "quantile+boosting":
        return make_pipeline(QuantileQuantizer(bits, missing=missing), boosting(random_state=random_state))
    if method == "bitwise+boosting":
        return make_pipeline(BitwiseQuantizer(bits, task=task, **training), boosting(random_state=random_state))

    if method in SAME_TRAINING:
        method = method.removesuffix("*")
    else:
        # Nothing was dropped when the stored rows were measured, which do not say so.
        training = {"dropout": 0.0, **PAPER_TRAINING, **training}
    floats = predictor(quantizer="passthrough", **training)
    uniform = UniformQuantizer(bits, missing=missing, levels="midpoint")
    quantile = QuantileQuantizer(bits, missing=missing, levels="midpoint", quantile_method="linear", ties="merge")
    learned = {
        "SQ": SoftQuantizer(bits, init=quantile),
        "SQ+": SoftQuantizer(bits, init=quantile, learn_values=True),
        "Bw-SQ": BitwiseQuantizer(bits, init=quantile, forward="soft", space="standard", threshold_lr_ratio=1.0),
        "LSQ": LSQQuantizer(bits),
        "LLT-9": LLTQuantizer(bits, granularity=9),
        "LLT-4": LLTQuantizer(bits, granularity=4),
    }
    if method == "FP":
        return floats
    if method in learned:
        return predictor(quantizer=learned[method], **training)
    when, _, rule = method.partition("-")
    quantizer = {"MQ": uniform, "QQ": quantile}[rule]
    if when == "Bw":
        return predictor(quantizer=quantizer, **training)
    quantizer.set_params(encode="value")
    return make_pipeline(quantizer, floats) if when == "Pr" else QuantizedAfterwards(quantizer, floats)


class QuantizedAfterwards(BaseEstimator):
    """A model of floats whose inputs are quantized only when it predicts.

    Parameters
    ----------
    quantizer : transformer
        From floats to values in their place.
    model : estimator
    """

    def __init__(self, quantizer, model):
        self.quantizer = quantizer
        self.model = model

    def fit(self, X, y):
        """Fit both on the floats."""
        self.quantizer_ = clone(self.quantizer).fit(X)
        self.model_ = clone(self.model).fit(X.to_numpy(), y)
        return self

    def predict(self, X):
        """Predict from the values that stand for the floats."""
        return self.model_.predict(self.quantizer_.transform(X))

    def predict_proba(self, X):
        """Class probabilities from the values that stand for the floats."""
        return self.model_.predict_proba(self.quantizer_.transform(X))


def codebook_of(model):
    """The codebook behind which a fitted model stands; None for one of floats."""
    if isinstance(model, Pipeline):
        model = model[0]
    elif isinstance(model, QuantizedAfterwards):
        model = model.quantizer_
    return None if getattr(model, "quantizer", None) == "passthrough" else model.codebook_


def standardized(task, X_train, X_test, y_train, y_test):
    """The parts, the target of a regression standardized with its training part."""
    if task == "regression":
        mean, scale = y_train.mean(), y_train.std(ddof=0)
        y_train, y_test = (y_train - mean) / scale, (y_test - mean) / scale
    return X_train, X_test, y_train, y_test


def split(data, seed, test_size=0.1):
    """Training and test rows; the target of a regression is standardized with its training part.

    Parameters
    ----------
    data : Dataset
    seed : int
    test_size : float, default=0.1

    Returns
    -------
    X_train, X_test, y_train, y_test : DataFrame, DataFrame, Series, Series
    """
    labels = data.y if data.task == "classification" else None
    parts = train_test_split(data.X, data.y, test_size=test_size, random_state=seed, stratify=labels)
    return standardized(data.task, *parts)


def error_of(model, task, parts):
    """Mean squared error or log loss of a fitted model on the test rows of `split`."""
    _, X_test, y_train, y_test = parts
    if task == "regression":
        return mean_squared_error(y_test, model.predict(X_test))
    return log_loss(y_test, model.predict_proba(X_test), labels=sorted(y_train.unique()))


def evaluate(task, parts, method, bits, *, random_state=None, boosted=False, **training):
    """Fit one method on training rows and score it on others.

    Parameters
    ----------
    task : {"regression", "classification"}
    parts : tuple
        X_train, X_test, y_train, y_test.
    method : str
        One of `ALL_METHODS`.
    bits : int
    random_state : int, default=None
    boosted : bool, default=False
        Also fit gradient boosting on the codes of the fitted model.
    **training
        Parameters of the predictor.

    Returns
    -------
    dict
        error (mean squared error or log loss), accuracy (None for regression), row_bits, fit_seconds; boosted_error
        if it is asked for and there are codes.
    """
    X_train, X_test, y_train, y_test = parts
    missing = "code" if any(X.isna().to_numpy().any() for X in (X_train, X_test)) else "error"
    model = build(method, bits, task, missing=missing, random_state=random_state, **training)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start

    error = error_of(model, task, parts)
    accuracy = None if task == "regression" else accuracy_score(y_test, model.predict(X_test))
    codebook = codebook_of(model)
    scores = {
        "error": error,
        "accuracy": accuracy,
        "row_bits": FLOAT_BITS * X_train.shape[1] if codebook is None else codebook.row_bits,
        "fit_seconds": seconds,
    }
    if boosted and codebook is not None:
        codes = [codebook.encode(X) for X in (X_train, X_test)]
        downstream = BOOSTING[task](random_state=random_state).fit(codes[0], y_train)
        scores["boosted_error"] = error_of(downstream, task, (*codes, y_train, y_test))
    return scores


def measure(data, method, bits, seed, *, test_size=0.1, **training):
    """Fit one method on one split and score it on the rows left out.

    Parameters
    ----------
    data : Dataset
    method : str
        One of `ALL_METHODS`.
    bits : int
    seed : int
        Of the split and of the predictor.
    test_size : float, default=0.1
    **training
        Parameters of the predictor.

    Returns
    -------
    dict
        A row of the results: dataset, bits, method, seed, error (mean squared error on the standardized target,
        or log loss), accuracy (None for regression), row_bits, compression, fit_seconds.
    """
    parts = split(data, seed, test_size)
    scores = evaluate(data.task, parts, method, bits, random_state=seed, **training)
    compression = FLOAT_BITS * data.X.shape[1] / scores["row_bits"] if scores["row_bits"] else float("inf")
    return {
        **{"dataset": data.name, "bits": bits, "method": method, "seed": seed},
        **{**scores, "compression": compression},
    }
