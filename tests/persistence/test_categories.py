"""Files and pickles of estimators with categories: the same estimator; and no file makes anything else."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.persistence import files, load, save

pytest.importorskip("datasketches")

NAMES = ["kind", "on", "count"]
GIVEN = dict(missing="seen", categorical_features=NAMES)
TRAINING = dict(max_epochs=1, hidden_sizes=(4,), random_state=0)
CODES = {"t": [0.0], "kind": {"a": 0, "b": 0, "c": 1, None: 2}, "on": {False: 0, True: 1}, "count": {0: 0, 1: 1, 2: 1}}
ESTIMATORS = [
    QuantileQuantizer(2, **GIVEN),
    QuantileQuantizer(2, missing="seen", categorical_features=np.array(NAMES, dtype=object)),
    UniformQuantizer(2, missing="seen", categorical_features=np.array([1, 2, 3])),
    KMeansQuantizer(2, missing="seen", categorical_features=[False, True, True, True]),
    TreeQuantizer(2, missing="seen", categorical_features=pd.Index(NAMES)),
    ThresholdQuantizer(CODES, missing="seen"),
    BitwiseQuantizer(2, **GIVEN, **TRAINING),
    SoftQuantizer(2, **GIVEN, **TRAINING),
    LSQQuantizer(2, **GIVEN, **TRAINING),
    LLTQuantizer(2, **GIVEN, **TRAINING),
    BitwiseRegressor(
        2, min_share=0.2, handle_unknown="missing", rates=(1,), **{**GIVEN, "missing": "error"}, **TRAINING
    ),
    BitwiseRegressor(bit_budget=5, **GIVEN, **TRAINING),
    BitwiseRegressor(quantizer=ThresholdQuantizer(CODES, missing="seen"), **TRAINING),
    BitwiseClassifier(quantizer=TreeQuantizer(2), **GIVEN, **TRAINING),
]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)


@pytest.fixture
def data(rng):
    X = pd.DataFrame({"t": rng.normal(size=90), "kind": rng.choice(list("abc"), 90).astype(object)})
    X["on"], X["count"] = rng.random(90) < 0.5, rng.integers(0, 3, 90)
    X.loc[4, "kind"] = None
    return X, X["t"].to_numpy() + (X["kind"] == "a")


def output(fitted, X):
    return fitted.predict(X) if hasattr(fitted, "predict") else fitted.transform(X)


def by_joblib(fitted, path):
    joblib.dump(fitted, path)
    return joblib.load(path)


def by_file(fitted, path):
    save(fitted, path)
    return load(path)


WAYS = {
    "file": by_file,
    "pickle": lambda fitted, path: pickle.loads(pickle.dumps(fitted)),
    "joblib": by_joblib,
    "copy": lambda fitted, path: copy.copy(fitted),
    "deepcopy": lambda fitted, path: copy.deepcopy(fitted),
}


@each
@pytest.mark.filterwarnings("ignore:missing=.code. leaves no threshold")
def test_there_and_back(estimator, data, tmp_path):
    X, y = data[0], data[1] > 0.5 if is_classifier(estimator) else data[1]
    fitted = clone(estimator).fit(X, y)
    for name, way in WAYS.items():
        made = way(fitted, tmp_path / name)
        assert made.codebook_ == fitted.codebook_, name
        np.testing.assert_array_equal(output(made, X), output(fitted, X), err_msg=name)
        assert made.codebook_.handle_unknown == fitted.codebook_.handle_unknown
    again = clone(load(tmp_path / "file")).fit(X, y)
    np.testing.assert_array_equal(output(again, X), output(fitted, X))


def test_a_loaded_summary_goes_on(data, tmp_path):
    X, _ = data
    loaded = by_file(QuantileQuantizer(2, **GIVEN).partial_fit(X[:40]), tmp_path / "quantizer")
    assert loaded.partial_fit(X[40:]).codebook_ == QuantileQuantizer(2, **GIVEN).fit(X).codebook_


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "summary_ is invalid"),
        ({9: {"values": [], "weights": np.zeros(0)}}, "summary_ is invalid"),
        ({1: {"values": ["a"]}}, "'weights' is missing"),
        ({1: {"values": ["a", "a"], "weights": np.ones(2)}}, "summary_ is invalid"),
        ({1: {"values": ["a", 1.5], "weights": np.ones(2)}}, "summary_ is invalid"),
        ({1: {"values": [True, 0], "weights": np.ones(2)}}, "are bools and integers"),
        ({1: {"values": ["a"], "weights": np.ones(2)}}, "weights of categories"),
        ({1: {"values": ["a"], "weights": -np.ones(1)}}, "summary_ is invalid"),
        ({1: {"values": ["a"], "weights": np.array([np.inf])}}, "weights of categories"),
    ],
    ids=str,
)
def test_odd_summaries_are_refused(categories, message, data, tmp_path):
    quantizer = QuantileQuantizer(2, **GIVEN).partial_fit(data[0])
    quantizer.codebook_  # noqa: B018, made before the summary is spoilt
    quantizer.summary_ = {**quantizer.summary_, "categories": categories}
    save(quantizer, tmp_path / "quantizer")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "quantizer")


def test_a_file_older_than_categories_reads_bools_as_numbers(data, tmp_path, monkeypatch):
    X = data[0][["t", "on"]]
    fitted = QuantileQuantizer(1, categorical_features=None).fit(X)
    known = files._parameters_of(QuantileQuantizer)
    old = {name: value for name, value in known.items() if name not in ("categorical_features", "min_share")}
    monkeypatch.setattr(files, "_parameters_of", lambda kind: old)
    save(fitted, tmp_path / "old")
    monkeypatch.undo()
    loaded = load(tmp_path / "old")
    assert loaded.categorical_features is None
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert clone(loaded).fit(X).codebook_ == fitted.codebook_
