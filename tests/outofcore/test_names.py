"""Columns of results have the names that the estimator gives them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

from skbsq import UniformQuantizer
from skbsq.codec.encodings import ENCODINGS
from skbsq.outofcore import predict, transform

pytest.importorskip("pyarrow")

ROWS = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
KINDS = np.array(["low", "mid", "top"])[np.arange(30) % 3]
SORTED = ["low", "mid", "top"]
SCALER = StandardScaler()


def names_of(model, method, tmp_path, source=ROWS, **options):
    return predict(model, source, tmp_path / "o.parquet", method=method, **options).schema.names


def ending(name, ends):
    return [f"{name}_{end}" for end in ends]


@pytest.mark.parametrize("encode", ENCODINGS)
@pytest.mark.parametrize("source", [ROWS, ROWS.to_numpy()], ids=["frame", "array"])
def test_quantizers(encode, source, tmp_path):
    quantizer = UniformQuantizer(2, encode=encode).fit(source)
    expected = quantizer.get_feature_names_out().tolist()
    assert names_of(quantizer, "transform", tmp_path, source) == expected
    if encode != "packed":  # `transform` writes packed rows as one column
        assert transform(quantizer, source, tmp_path / "o.parquet").schema.names == expected


@pytest.mark.parametrize(
    "model",
    [
        PCA(),
        KMeans(3, n_init=1),
        PolynomialFeatures(2),
        make_pipeline(SCALER, UniformQuantizer(2, encode="thermometer")),
        make_pipeline(UniformQuantizer(2), PCA(1)),
        FeatureUnion([("scaled", SCALER), ("codes", UniformQuantizer(2))]),
        ColumnTransformer([("codes", UniformQuantizer(2), ["b"])], remainder="passthrough"),
        FunctionTransformer(np.exp, feature_names_out="one-to-one"),
        LinearDiscriminantAnalysis(),
        UniformQuantizer(2, encode="thermometer").set_output(transform="pandas"),
    ],
)
def test_transformers(model, tmp_path):
    model.fit(ROWS, KINDS)
    assert names_of(model, "transform", tmp_path) == model.get_feature_names_out().tolist()


def test_names_of_a_frame_reach_an_estimator_that_has_none(tmp_path):
    quantizer = UniformQuantizer(1, encode="thermometer").fit(ROWS.to_numpy())
    assert names_of(quantizer, "transform", tmp_path) == ["a_t0", "b_t0"]
    assert names_of(quantizer, "transform", tmp_path, ROWS.to_numpy()) == ["x0_t0", "x1_t0"]
    assert names_of(quantizer, "transform", tmp_path, columns=["b", "a"]) == ["b_t0", "a_t0"]


def test_names_of_columns_that_stand_for_features(tmp_path):
    """They are the names that the estimator was fitted with, because it accepts no others."""
    quantizer = UniformQuantizer(1).fit(ROWS)
    renamed = ROWS.set_axis(["p", "q"], axis=1)
    assert names_of(quantizer, "transform", tmp_path, renamed, columns=["p", "q"]) == ["a", "b"]


class Doubler(BaseEstimator):
    n_features_in_ = 2

    def __init__(self, names=None):
        self.names = names

    def transform(self, X):
        return np.hstack([X, X])

    def get_feature_names_out(self):
        return self.names


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (FunctionTransformer(np.exp).fit(ROWS), ["transform_0", "transform_1"]),
        (make_union(FunctionTransformer(np.exp)).fit(ROWS), ["transform_0", "transform_1"]),
        (Doubler(["p", "q", "r", "s"]), ["p", "q", "r", "s"]),
        (Doubler(["p", "q"]), ending("transform", range(4))),
        (Doubler(["p", "q", "p", "q"]), ending("transform", range(4))),
        (Doubler(), ending("transform", range(4))),
    ],
)
def test_transformers_without_suitable_names(model, names, tmp_path):
    assert names_of(model, "transform", tmp_path, ROWS.to_numpy()) == names


@pytest.mark.parametrize(
    ("model", "method", "names"),
    [
        (LogisticRegression(), "predict", ["prediction"]),
        (LogisticRegression(), "predict_proba", ending("probability", SORTED)),
        (LogisticRegression(), "predict_log_proba", ending("predict_log_proba", SORTED)),
        (make_pipeline(SCALER, SVC()), "decision_function", ending("decision_function", SORTED)),
        # Each column is about a pair of classes. There are as many pairs as classes.
        (SVC(decision_function_shape="ovo"), "decision_function", ending("decision_function", range(3))),
        (make_pipeline(SVC(decision_function_shape="ovo")), "decision_function", ending("decision_function", range(3))),
        (RandomForestClassifier(3), "apply", ending("apply", range(3))),  # one column per tree
    ],
)
def test_classifiers(model, method, names, tmp_path):
    assert names_of(model.fit(ROWS, KINDS), method, tmp_path) == names


def test_two_classes(tmp_path):
    model = LogisticRegression().fit(ROWS, KINDS == "low")
    assert names_of(model, "predict_proba", tmp_path) == ["probability_False", "probability_True"]
    assert names_of(model, "decision_function", tmp_path) == ["decision_function"]


def test_several_targets(tmp_path):
    targets = np.stack([KINDS == "low", KINDS == "mid"], axis=1)
    names = ["prediction_0", "prediction_1"]
    assert names_of(LinearRegression().fit(ROWS, targets), "predict", tmp_path) == names
    # This classifier has an array of classes for each target.
    assert names_of(KNeighborsClassifier().fit(ROWS, targets.astype(int)), "predict", tmp_path) == names


def test_sparse_results():
    with pytest.raises(ValueError, match=r"OneHotEncoder\.transform returned a sparse matrix: make it dense"):
        list(predict(OneHotEncoder().fit(ROWS), ROWS, method="transform"))
