"""Load the data sets: from a folder, from scikit-learn, or from OpenML."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy.special import ndtri
from sklearn import datasets as sklearn_datasets
from sklearn.datasets import fetch_california_housing, fetch_openml, make_classification, make_friedman1

from benchmarks.command import CommandError

DATA_DIR_VARIABLE = "SKBSQ_DATA_DIR"
FRIED_ROWS = 40_768


class DatasetError(CommandError):
    """A reason why a data set cannot be loaded."""


@dataclass(frozen=True)
class Dataset:
    """Features and target.

    Attributes
    ----------
    name : str
    X : DataFrame
        Numbers, and categories where they were asked for; NaN where a value is missing.
    y : Series
        Without missing values.
    task : {"regression", "classification"}
    """

    name: str
    X: pd.DataFrame
    y: pd.Series
    task: str

    @cached_property
    def sha256(self):
        """Hash of names, numbers and categories, 16 hexadecimal digits, which identifies the data of a result.

        Numbers are hashed as float32, as a model reads them: versions of pandas differ in the digits beyond.
        """
        digest = hashlib.sha256("\n".join([*self.X.columns, self.y.name]).encode())
        text = self.X.select_dtypes("category")
        for name in text:
            digest.update("\n".join(text[name].astype(str)).encode())
        for part in (self.X.drop(columns=text.columns), self.y):
            digest.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]

    @property
    def identity(self):
        """The columns of a result that identify the data."""
        return {"dataset": self.name, "data_sha256": self.sha256, "n_rows": len(self.X)}


class _Source(NamedTuple):
    """Download of a data set; a copy of another shape is a different data set."""

    fetch: Any
    arguments: dict
    shape: tuple


def _openml(data_id, target, shape):
    return _Source(fetch_openml, {"data_id": data_id, "target_column": target}, shape)


_SOURCES = {
    "california": _Source(fetch_california_housing, {}, (20_640, 8)),
    "wine_quality": _openml(287, "quality", (6_497, 11)),
    "superconduct": _openml(43174, "critical_temp", (21_263, 81)),
    "cpu_act": _openml(197, "usr", (8_192, 21)),
    "sulfur": _openml(23515, "y1", (10_081, 6)),
    "kin8nm": _openml(189, "y", (8_192, 8)),
}
# No download with the same rows and columns is known.
_ONLY_IN_FOLDER = ("air_quality", "occupancy", "german", "caravan", "oj", "wage", "flights")
_IN_SKLEARN = ("digits", "diabetes", "wine", "iris", "breast_cancer")
_CLASSIFICATION = (
    *("occupancy", "german", "caravan", "oj", "digits", "wine", "iris", "breast_cancer"),
    *("noisy", "imbalanced"),
)


def _friedman(n, d=10):
    return make_friedman1(n, d, noise=1.0, random_state=0)


def _heavy_tails():
    X, y = _friedman(8000)
    return np.exp(2 * ndtri(X)), y


def _mixed():
    """A category that matters alone, one that matters with a number, one that does not matter, and numbers."""
    random = np.random.default_rng(0)
    n = 4000
    kind, site, label = (random.integers(size, size=n) for size in (6, 40, 500))
    X = pd.DataFrame(random.normal(size=(n, 4)), columns=["a", "b", "c", "d"])
    y = random.normal(size=6)[kind] + random.choice([-1, 1], size=40)[site] * X["a"] + np.abs(X["b"]) + X["c"]
    for name, values in {"kind": kind, "site": site, "label": label}.items():
        X[name] = pd.Series(values).map(f"{name} {{:03}}".format)
    return X, y + 0.5 * random.normal(size=n)


_GENERATED = {
    "mixed": _mixed,
    "noisy": lambda: make_classification(1000, n_informative=5, flip_y=0.5, random_state=0),
    "imbalanced": lambda: make_classification(6000, n_informative=5, weights=[0.95], random_state=0),
    "irrelevant": lambda: _friedman(2000, 505),
    "heavy": _heavy_tails,
}
NAMES = (*_SOURCES, *_ONLY_IN_FOLDER, "fried", *_IN_SKLEARN, *_GENERATED)


def load(name, data_dir=None, *, n_samples=None, categories=False):
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of `NAMES`. Generated are fried, noisy (a quarter of the labels are wrong), imbalanced (5 % positive),
        irrelevant (500 of 505 features are noise), heavy (the features of fried with the tails of a lognormal) and
        mixed (of three categorical features one matters alone, one with a number, and one not at all).
        digits, diabetes, wine, iris and breast_cancer come with scikit-learn. The others are read from a folder or
        downloaded.
    data_dir : path, default=None
        Folder of the files ``<name>.csv.gz``, whose last column is the target. None: the environment variable
        SKBSQ_DATA_DIR; if it is not set, a download into the cache of scikit-learn.
    n_samples : int, default=None
        Rows of fried; None means 40768. The other data sets have a fixed number of rows.
    categories : bool, default=False
        Whether to keep columns of text as categories. Otherwise only numeric columns are kept.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        For an unknown name, a missing or broken file, or a download that fails, in one sentence.
    """
    if name not in NAMES:
        raise DatasetError(f"There is no data set {name!r}: choose from {', '.join(NAMES)}.")
    if n_samples is not None and name != "fried":
        raise DatasetError(f"Only fried can have {n_samples} rows: {name} has a fixed number of rows.")
    task = "classification" if name in _CLASSIFICATION else "regression"
    if name in _IN_SKLEARN:
        return Dataset(name, *getattr(sklearn_datasets, f"load_{name}")(return_X_y=True, as_frame=True), task)
    if name == "fried" or name in _GENERATED:
        X, y = _friedman(n_samples or FRIED_ROWS) if name == "fried" else _GENERATED[name]()
        columns = X.columns if hasattr(X, "columns") else [f"x{j}" for j in range(X.shape[1])]
        X, y = pd.DataFrame(X, columns=columns), pd.Series(y, name="y")
    else:
        folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
        X, y = _read(name, Path(folder)) if folder else _download(name)
    kept = y.notna()
    X, y = X[kept].reset_index(drop=True), y[kept].reset_index(drop=True)
    X = _with_categories(X) if categories else X.select_dtypes("number").astype(float)
    if task == "regression":
        return Dataset(name, X, y.astype(float), task)
    labels = y if is_numeric_dtype(y) else pd.Series(pd.factorize(y, sort=True)[0], name=y.name)
    return Dataset(name, X, labels.astype(int), task)


def load_several(names, data_dir=None, *, n_samples=None, categories=False):
    """Load data sets by name.

    Parameters
    ----------
    names : list of str
    data_dir : path, default=None
        See `load`.
    n_samples : int, default=None
        Rows of fried; the other data sets have a fixed number of rows.
    categories : bool, default=False
        See `load`.

    Returns
    -------
    list of Dataset

    Raises
    ------
    DatasetError
        As `load`; and if there is a number of rows, but no fried among the data sets.
    """
    of_others = None if "fried" in names else n_samples  # `load` rejects it
    return [
        load(name, data_dir, n_samples=n_samples if name == "fried" else of_others, categories=categories)
        for name in names
    ]


def _with_categories(X):
    return X.apply(lambda column: column.astype(float if is_numeric_dtype(column) else "category"))


def _read(name, folder):
    path = folder / f"{name}.csv.gz"
    if not path.is_file():
        raise DatasetError(f"There is no file {path}: give the folder of the data sets by --data-dir.")
    try:
        table = pd.read_csv(path)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {_first_line(error)}.") from error
    return table.iloc[:, :-1], table.iloc[:, -1]


def _download(name):
    way_out = f"set --data-dir or {DATA_DIR_VARIABLE} to a folder that holds {name}.csv.gz"
    if name in _ONLY_IN_FOLDER:
        raise DatasetError(f"No download of {name} is known: {way_out}.")
    source = _SOURCES[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each failed attempt warns
            fetched = source.fetch(as_frame=True, **source.arguments)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{name} cannot be downloaded ({_first_line(getattr(error, 'reason', error))}): {way_out}."
        ) from error
    if fetched.data.shape != source.shape:
        raise DatasetError(
            f"The download of {name} has shape {fetched.data.shape} and not {source.shape}, so it is another data set: "
            f"{way_out}."
        )
    return fetched.data, fetched.target


def _first_line(error):
    return str(error).partition("\n")[0].rstrip(".")
