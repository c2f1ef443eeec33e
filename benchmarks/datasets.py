"""The data sets: from a folder, from scikit-learn, or from OpenML."""

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
    """A data set that cannot be loaded."""


@dataclass(frozen=True)
class Dataset:
    """Features and target.

    Attributes
    ----------
    name : str
    X : DataFrame
        Numbers; NaN where a value is missing.
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
        """Hash of names and numbers, 16 hexadecimal digits: which rows a result is of, whatever file they were in.

        Numbers count as float32, which is what a model reads: versions of pandas differ in the last digits beyond.
        """
        digest = hashlib.sha256("\n".join([*self.X.columns, self.y.name]).encode())
        for part in (self.X, self.y):
            digest.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]


class _Source(NamedTuple):
    """Where a set is downloaded from; its shape tells a copy that is not the same set."""

    fetch: Any
    arguments: dict
    shape: tuple


def _openml(data_id, target, shape):
    return _Source(fetch_openml, {"data_id": data_id, "target_column": target}, shape)


# None: no copy on OpenML is known to hold the same rows and columns.
_SOURCES: dict[str, _Source | None] = {
    "california": _Source(fetch_california_housing, {}, (20_640, 8)),
    "wine_quality": _openml(287, "quality", (6_497, 11)),
    "superconduct": _openml(43174, "critical_temp", (21_263, 81)),
    "cpu_act": _openml(197, "usr", (8_192, 21)),
    "sulfur": _openml(23515, "y1", (10_081, 6)),
    "kin8nm": _openml(189, "y", (8_192, 8)),
    "air_quality": None,
    "occupancy": None,
    "german": None,
    "caravan": None,
    "oj": None,
    "wage": None,
}
_CLASSIFICATION = ("occupancy", "german", "caravan", "oj")
_IN_SKLEARN = ("digits", "diabetes", "wine", "iris", "breast_cancer")
NAMES = (*_SOURCES, "fried", *_IN_SKLEARN, "noisy", "imbalanced", "irrelevant", "heavy")


def load(name, data_dir=None, *, n_samples=None):
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of `NAMES`. fried, noisy (a quarter of the labels wrong), imbalanced (5 % positive), irrelevant (500 of
        505 features are noise) and heavy (the features of fried with the tails of a lognormal) are generated; digits,
        diabetes, wine, iris and breast_cancer come with scikit-learn; the others are read from a folder or downloaded,
        of which the numeric columns are taken.
    data_dir : path, default=None
        Folder of the files ``<name>.csv.gz``, the target in the last column. None: the environment variable
        SKBSQ_DATA_DIR; without that, download into the cache of scikit-learn.
    n_samples : int, default=None
        Rows of fried; None means 40768. The other sets come whole.

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
    if name == "fried":
        return _fried(FRIED_ROWS if n_samples is None else n_samples)
    if n_samples is not None:
        raise DatasetError(f"Only fried can be made with a number of rows of choice; {name} comes whole.")
    if name in _IN_SKLEARN:
        task = "regression" if name == "diabetes" else "classification"
        return Dataset(name, *getattr(sklearn_datasets, f"load_{name}")(return_X_y=True, as_frame=True), task)
    if name == "irrelevant":
        return _generated(name, make_friedman1(2000, n_features=505, noise=1.0, random_state=0), "regression")
    if name == "heavy":
        X, y = make_friedman1(8000, n_features=10, noise=1.0, random_state=0)
        return _generated(name, (np.exp(2 * ndtri(X)), y), "regression")
    if name in ("noisy", "imbalanced"):
        given: dict = {"n_samples": 1000, "flip_y": 0.5} if name == "noisy" else {"n_samples": 6000, "weights": [0.95]}
        return _generated(name, make_classification(n_informative=5, random_state=0, **given), "classification")
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    X, y = _read(name, Path(folder)) if folder else _download(name)
    kept = y.notna()
    X, y = X[kept].reset_index(drop=True), y[kept].reset_index(drop=True)
    task = "classification" if name in _CLASSIFICATION else "regression"
    X = X.select_dtypes("number").astype(float)
    if task == "regression":
        return Dataset(name, X, y.astype(float), task)
    labels = y if is_numeric_dtype(y) else pd.Series(pd.factorize(y, sort=True)[0], name=y.name)
    return Dataset(name, X, labels.astype(int), task)


def load_several(names, data_dir=None, *, n_samples=None):
    """Load data sets by name, with some rows of fried only; the others come whole.

    Parameters
    ----------
    names : list of str
    data_dir, n_samples
        As for `load`.

    Returns
    -------
    list of Dataset

    Raises
    ------
    DatasetError
        As `load`; and for a number of rows where fried is not among the sets.
    """
    of_others = None if "fried" in names else n_samples  # `load` refuses it
    return [load(name, data_dir, n_samples=n_samples if name == "fried" else of_others) for name in names]


def _fried(n_samples):
    return _generated("fried", make_friedman1(n_samples, n_features=10, noise=1.0, random_state=0), "regression")


def _generated(name, rows, task):
    X, y = rows
    return Dataset(name, pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]), pd.Series(y, name="y"), task)


def _read(name, folder):
    path = folder / f"{name}.csv.gz"
    if not path.is_file():
        raise DatasetError(f"There is no file {path}: name the folder of the data sets by --data-dir.")
    try:
        table = pd.read_csv(path)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {_first_line(error)}.") from error
    return table.iloc[:, :-1], table.iloc[:, -1]


def _download(name):
    way_out = f"set --data-dir or {DATA_DIR_VARIABLE} to a folder that holds {name}.csv.gz"
    source = _SOURCES[name]
    if source is None:
        raise DatasetError(f"No download of {name} is known: {way_out}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning for every attempt that fails
            fetched = source.fetch(as_frame=True, **source.arguments)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{name} cannot be downloaded ({_first_line(getattr(error, 'reason', error))}): {way_out}."
        ) from error
    if fetched.data.shape != source.shape:
        raise DatasetError(
            f"The download of {name} has shape {fetched.data.shape} and not {source.shape}, so it is another set: "
            f"{way_out}."
        )
    return fetched.data, fetched.target


def _first_line(error):
    return str(error).partition("\n")[0].rstrip(".")
