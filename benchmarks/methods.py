"""Build the compared methods, each as an estimator or a pipeline, and measure them."""

from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

from benchmarks.processes import timed
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
# With our training: learned thresholds, fixed thresholds with the same head, and floats.
METHODS = ("bitwise", *FIXED, "floats")
# With the training of arXiv 2603.05172, under the names used there.
PAPER_METHODS = (
    *("FP", "Po-MQ", "Po-QQ", "Pr-MQ", "Pr-QQ", "Bw-MQ", "Bw-QQ"),
    *("SQ", "SQ+", "Bw-SQ", "LSQ", "LLT-9", "LLT-4"),
)
# The learned methods of the paper with our training. With our training, its fixed methods and floats are in `METHODS`.
SAME_TRAINING = ("SQ*", "SQ+*", "Bw-SQ*", "LSQ*", "LLT-9*", "LLT-4*")
# A downstream model: gradient boosting on the codes.
BOOSTED_METHODS = ("quantile+boosting", "bitwise+boosting")
ALL_METHODS = (*METHODS, *PAPER_METHODS, *SAME_TRAINING, *BOOSTED_METHODS)

BOOSTING = {"regression": HistGradientBoostingRegressor, "classification": HistGradientBoostingClassifier}

# Floats, with our training and with that of the paper.
UNQUANTIZED = ("floats", "FP")

# The final temperature, the learning rate and the epochs are among the values that the paper's search tries.
PAPER_TRAINING: dict = {
    **{"batch_size": 512, "lr": 1e-3, "lr_schedule": "constant", "weight_decay": 0.0},
    **{"max_epochs": 50, "temperature_start": 1.0, "temperature_end": 1e-3, "level_inputs": False},
}


def cells(methods, bits):
    """List the pairs of method and bits to measure: each method with each number of bits, but floats once."""
    return [(method, b) for method in methods for b in ([FLOAT_BITS] if method in UNQUANTIZED else bits)]


def build(method, bits, task, *, missing="error", random_state=None, **training):
    """Build an unfitted estimator or pipeline.

    Parameters
    ----------
    method : str
        One of `ALL_METHODS`. "bitwise" learns the thresholds with the head. "floats" trains the head on the features.
        "uniform" and the other keys of `FIXED` fix the thresholds before the head is trained. With "+boosting",
        gradient boosting reads the codes in place of the head. The other methods are those of the paper; an asterisk
        marks our training.
    bits : int
        Per feature; ignored by "floats" and "FP".
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
        # The stored rows were measured without dropout, but their parameters do not contain it.
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
    """Model that is fitted on floats, and predicts from quantized features.

    Parameters
    ----------
    quantizer : transformer
        Replaces floats by values.
    model : estimator
    """

    def __init__(self, quantizer, model):
        self.quantizer = quantizer
        self.model = model

    def fit(self, X, y):
        """Fit the quantizer and the model on the floats."""
        self.quantizer_ = clone(self.quantizer).fit(X)
        self.model_ = clone(self.model).fit(X.to_numpy(), y)
        return self

    def predict(self, X):
        """Predict from the quantized features."""
        return self.model_.predict(self.quantizer_.transform(X))

    def predict_proba(self, X):
        """Predict class probabilities from the quantized features."""
        return self.model_.predict_proba(self.quantizer_.transform(X))


def codebook_of(model):
    """Return the codebook of a fitted model, or None if it reads floats."""
    if isinstance(model, Pipeline):
        model = model[0]
    elif isinstance(model, QuantizedAfterwards):
        model = model.quantizer_
    return None if getattr(model, "quantizer", None) == "passthrough" else model.codebook_


def standardized(task, X_train, X_test, y_train, y_test):
    """Standardize the targets of a regression with their training part, and return all parts."""
    if task == "regression":
        mean, scale = y_train.mean(), y_train.std(ddof=0)
        y_train, y_test = (y_train - mean) / scale, (y_test - mean) / scale
    return X_train, X_test, y_train, y_test


def split(data, seed, test_size=0.1):
    """Split into training and test rows; the target of a regression is standardized with its training part.

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


def error_of(model, task, parts, **options):
    """Return the mean squared error or log loss of a fitted model on the test rows of `split`.

    Options such as ``rate=2`` are those of `predict` and `predict_proba`.
    """
    _, X_test, y_train, y_test = parts
    if task == "regression":
        return mean_squared_error(y_test, model.predict(X_test, **options))
    return log_loss(y_test, model.predict_proba(X_test, **options), labels=sorted(y_train.unique()))


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
        error (mean squared error or log loss), accuracy (None for regression), row_bits, fit_seconds; with `boosted`,
        boosted_error if the model has codes.
    """
    X_train, X_test, y_train, y_test = parts
    missing = "code" if any(X.isna().to_numpy().any() for X in (X_train, X_test)) else "error"
    model = build(method, bits, task, missing=missing, random_state=random_state, **training)
    _, seconds = timed(model.fit, X_train, y_train)
    codebook = codebook_of(model)
    scores = {
        "error": error_of(model, task, parts),
        "accuracy": None if task == "regression" else accuracy_score(y_test, model.predict(X_test)),
        "row_bits": FLOAT_BITS * X_train.shape[1] if codebook is None else codebook.row_bits,
        "fit_seconds": seconds,
    }
    if boosted and codebook is not None:
        codes = [codebook.encode(X) for X in (X_train, X_test)]
        downstream = BOOSTING[task](random_state=random_state).fit(codes[0], y_train)
        scores["boosted_error"] = error_of(downstream, task, (*codes, y_train, y_test))
    return scores


def measure(data, method, bits, seed, *, test_size=0.1, **training):
    """Fit one method on one split and score it on the test rows.

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
        See `evaluate`.

    Returns
    -------
    dict
        The scores of `evaluate`, and the compression: 32 bits per feature over row_bits.
    """
    scores = evaluate(data.task, split(data, seed, test_size), method, bits, random_state=seed, **training)
    compression = FLOAT_BITS * data.X.shape[1] / scores["row_bits"] if scores["row_bits"] else float("inf")
    return {**scores, "compression": compression}
