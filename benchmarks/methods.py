"""The methods that are compared, all with the same head, and how one of them is measured."""

import time

from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.model_selection import train_test_split

from skbsq import (
    BitwiseClassifier,
    BitwiseRegressor,
    KMeansQuantizer,
    QuantileQuantizer,
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
METHODS = ("bitwise", *FIXED, "floats")


def cells(methods, bits):
    """Pairs of method and bits to measure: each method at each width, floats once."""
    return [(method, b) for method in methods for b in ([FLOAT_BITS] if method == "floats" else bits)]


def predictor(method, bits, task, **training):
    """An unfitted predictor.

    Parameters
    ----------
    method : str
        One of `METHODS`: "bitwise" learns the thresholds with the head, "floats" gives the head the features
        themselves, and the others fix the thresholds before.
    bits : int
        Per feature; without a meaning for "floats".
    task : {"regression", "classification"}
    **training
        Parameters of the predictor.

    Returns
    -------
    BitwiseRegressor or BitwiseClassifier
    """
    kind = BitwiseRegressor if task == "regression" else BitwiseClassifier
    if method == "bitwise":
        return kind(bits, **training)
    if method == "floats":
        return kind(quantizer="passthrough", **training)
    quantizer = FIXED[method](bits)
    if method == "tree":
        quantizer.set_params(task=task)
    return kind(quantizer=quantizer, **training)


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
    X_train, X_test, y_train, y_test = parts
    if data.task == "regression":
        mean, scale = y_train.mean(), y_train.std(ddof=0)
        y_train, y_test = (y_train - mean) / scale, (y_test - mean) / scale
    return X_train, X_test, y_train, y_test


def measure(data, method, bits, seed, *, test_size=0.1, **training):
    """Fit one method on one split and score it on the rows left out.

    Parameters
    ----------
    data : Dataset
    method : str
        One of `METHODS`.
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
    X_train, X_test, y_train, y_test = split(data, seed, test_size)
    missing = "code" if data.X.isna().to_numpy().any() else "error"
    model = predictor(method, bits, data.task, missing=missing, random_state=seed, **training)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start

    accuracy = None
    if data.task == "regression":
        error = mean_squared_error(y_test, model.predict(X_test))
    else:
        error = log_loss(y_test, model.predict_proba(X_test), labels=model.classes_)
        accuracy = accuracy_score(y_test, model.predict(X_test))
    float_bits = FLOAT_BITS * data.X.shape[1]
    row_bits = float_bits if method == "floats" else model.codebook_.row_bits
    return {
        "dataset": data.name,
        "bits": bits,
        "method": method,
        "seed": seed,
        "error": error,
        "accuracy": accuracy,
        "row_bits": row_bits,
        "compression": float_bits / row_bits,
        "fit_seconds": seconds,
    }
