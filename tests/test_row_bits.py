"""Bits per row of fitted models: quantizers inside meta-estimators, counted by hand."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_classification, make_friedman1
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SelectKBest, SequentialFeatureSelector, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from skorch import NeuralNetRegressor
from torch import nn

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, ThresholdQuantizer, UniformQuantizer
from skbsq import nn as sq
from skbsq.model_selection import fewest_bits, rate_distortion, row_bits

D = 8  # features
FLOATS = 32 * D
QUICK = {"max_epochs": 1, "hidden_sizes": (4,), "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """X of 8 features, y to regress on, 3 classes, 2 classes."""
    X, classes = make_classification(240, D, n_informative=5, n_classes=3, random_state=0)
    return X, X[:, 0] + X[:, 1] ** 2, classes, classes == 0


def regressor(n_bits, *before):
    return make_pipeline(*before, QuantileQuantizer(n_bits), Ridge())


def classifier(n_bits):
    return make_pipeline(QuantileQuantizer(n_bits, encode="value"), LogisticRegression(C=0.1))


def first_coefficients(pipeline):
    """Importance of every feature, for the selectors."""
    return pipeline[-1].coef_


# -- codebooks of members are counted once if equal, as those of members that read the same rows; else each ---------

# Model, target, and number of codebooks.
COUNTED = {
    "predictor": (BitwiseRegressor(quantizer=QuantileQuantizer(3), **QUICK), "number", 1),
    "voting": (VotingRegressor([("a", regressor(3)), ("b", regressor(3))]), "number", 1),
    "drop": (VotingRegressor([("a", regressor(3)), ("b", "drop")]), "number", 1),
    "stacking": (StackingRegressor([("a", regressor(3)), ("b", regressor(3))]), "number", 1),
    "bagging on all rows": (BaggingRegressor(regressor(3), 3, bootstrap=False), "number", 1),
    "ransac": (RANSACRegressor(regressor(3), min_samples=0.5, residual_threshold=1e9), "number", 1),
    "target": (TransformedTargetRegressor(regressor(3)), "number", 1),
    "grid": (GridSearchCV(regressor(3), {"ridge__alpha": [1, 2]}, cv=2), "number", 1),
    "random": (RandomizedSearchCV(regressor(3), {"ridge__alpha": [1, 2]}, n_iter=2, cv=2), "number", 1),
    "halving": (HalvingGridSearchCV(regressor(3), {"ridge__alpha": [1, 2]}, cv=2), "number", 1),
    "pipeline": (make_pipeline(VotingRegressor([("a", regressor(3))])), "number", 1),
    "nested": (
        make_pipeline(make_pipeline(None, make_pipeline(QuantileQuantizer(3), "passthrough")), Ridge()),
        "number",
        1,
    ),
    "one regressor per target": (MultiOutputRegressor(regressor(3)), "numbers", 1),
    "voting for classes": (VotingClassifier([("a", classifier(3)), ("b", classifier(3))]), "class", 1),
    "stacking of classes": (StackingClassifier([("a", classifier(3)), ("b", classifier(3))], cv=2), "class", 1),
    "calibrated together": (CalibratedClassifierCV(classifier(3), ensemble=False, cv=2), "class", 1),
    "one against the rest": (OneVsRestClassifier(classifier(3)), "class", 1),
    "output code": (OutputCodeClassifier(classifier(3), random_state=0), "class", 1),
    "self training": (SelfTrainingClassifier(classifier(3)), "some classes", 1),
    "fixed threshold": (FixedThresholdClassifier(classifier(3)), "binary", 1),
    "tuned threshold": (TunedThresholdClassifierCV(classifier(3), cv=2), "binary", 1),
    "one classifier per target": (MultiOutputClassifier(classifier(3)), "classes", 1),
    "bagging": (BaggingClassifier(classifier(3), 4, random_state=0), "class", 4),
    "calibrated apart": (CalibratedClassifierCV(classifier(3), cv=5), "class", 5),
    "one against one": (OneVsOneClassifier(classifier(3)), "class", 3),
}


@pytest.mark.parametrize("name", COUNTED)
def test_codebooks_of_members(data, name):
    X, y, classes, binary = data
    targets = {
        "number": y,
        "numbers": np.c_[y, -y],
        "class": classes,
        "classes": np.c_[classes, binary],
        "some classes": np.where(np.arange(len(X)) % 3, classes, -1),
        "binary": binary,
    }
    model, target, n_codebooks = COUNTED[name]
    assert row_bits(model.fit(X, targets[target])) == n_codebooks * 3 * D


def test_codebooks_of_boosted_members(data):
    X, y, _, binary = data
    boosted = AdaBoostRegressor(regressor(1), n_estimators=3, random_state=0).fit(X, y)
    assert row_bits(boosted) == len(boosted.estimators_) * D > D
    quick = BitwiseClassifier(1, **QUICK | {"max_epochs": 20})
    boosted = AdaBoostClassifier(quick, n_estimators=2, random_state=0).fit(X, binary)
    assert row_bits(boosted) == len(boosted.estimators_) * D


def test_codebooks_of_different_bits_add_up(data):
    X, y, *_ = data
    several = VotingRegressor([("a", regressor(1)), ("b", regressor(3)), ("c", regressor(1))])
    assert row_bits(several.fit(X, y)) == D + 3 * D


def test_only_the_bits_of_the_fit_count(data):
    X = data[0].copy()
    X[:, 0] = 1.0  # nothing to send
    X[:, 1] = X[:, 1] > 0  # one bit
    assert row_bits(QuantileQuantizer(3).fit(X)) == 3 * (D - 2) + 1


def test_codebooks_that_agree_in_part_are_both_sent(data):
    X, y, *_ = data
    parts = [("q", QuantileQuantizer(2), slice(0, 7))], [("q", QuantileQuantizer(2), slice(1, 8))]
    members = [(str(k), make_pipeline(ColumnTransformer(part), Ridge())) for k, part in enumerate(parts)]
    assert row_bits(VotingRegressor(members).fit(X, y)) == 2 * 7 + 2 * 7


def test_codes_of_other_categories_are_sent_too(data):
    """Both codebooks have a threshold at 0.5, of other categories."""
    X, y = np.random.default_rng(0).integers(0, 3, (60, 1)), data[1][:60]

    def member(codes):
        return make_pipeline(ThresholdQuantizer([codes]), Ridge())

    first, second = {0: 0, 1: 1, 2: 1}, {2: 0, 1: 1, 0: 1}
    assert row_bits(VotingRegressor([("a", member(first)), ("b", member(first))]).fit(X, y)) == 1
    assert row_bits(VotingRegressor([("a", member(first)), ("b", member(second))]).fit(X, y)) == 2


def test_fitted_templates_are_not_counted(data):
    X, y, *_ = data
    for wrap, name in [
        (lambda stale: BaggingRegressor(stale, 1), "estimator"),
        (lambda stale: AdaBoostRegressor(stale, n_estimators=1), "estimator"),
        (lambda stale: VotingRegressor([("a", stale)]), "a"),
    ]:
        model = wrap(regressor(6).fit(X, y)).set_params(**{f"{name}__quantilequantizer__n_bits": 1})
        assert row_bits(model.fit(X, y)) == D


# -- which features a member reads ---------------------------------------------------------------------------


def test_bagging_counts_the_features_of_every_member(data):
    X, y, *_ = data
    bagging = BaggingRegressor(regressor(3), 2, max_features=5, random_state=0).fit(X, y)
    assert row_bits(bagging) == 2 * 5 * 3
    repeated = BaggingRegressor(regressor(3), 1, max_features=8, bootstrap_features=True, random_state=0).fit(X, y)
    distinct = len(set(repeated.estimators_features_[0]))
    assert distinct < D
    assert row_bits(repeated) == 3 * distinct


@pytest.mark.parametrize("before", [[], [StandardScaler()], [MinMaxScaler()]])
def test_equal_features_in_another_order_are_sent_once(data, before):
    X, y, *_ = data
    bagging = BaggingRegressor(regressor(3, *before), 20, max_features=D - 1, bootstrap=False, random_state=0).fit(X, y)
    sets = {frozenset(features) for features in bagging.estimators_features_}
    orders = {tuple(features) for features in bagging.estimators_features_}
    assert len(sets) < len(orders)
    assert row_bits(bagging) == len(sets) * (D - 1) * 3


@pytest.mark.parametrize("before", [[], [StandardScaler()], [make_pipeline(None, MinMaxScaler())]])
def test_predictions_in_a_chain_are_not_sent(data, before):
    X, y, *_ = data
    assert row_bits(RegressorChain(regressor(2, *before)).fit(X, np.c_[y, y**2, -y])) == 2 * D


def test_predictions_in_a_chain_of_classifiers_are_not_sent(data):
    X, _, classes, binary = data
    assert row_bits(ClassifierChain(classifier(2)).fit(X, np.c_[binary, classes > 1])) == 2 * D


def test_predictions_in_a_chain_are_no_floats_either(data):
    X, y, *_ = data
    codes_and_floats = ColumnTransformer([("q", QuantileQuantizer(2), [0])], remainder="passthrough")
    chain = RegressorChain(make_pipeline(codes_and_floats, Ridge())).fit(X, np.c_[y, -y])
    assert row_bits(chain) == 2 + 32 * 7


def test_steps_that_mix_features_with_predictions_are_rejected(data):
    X, y, *_ = data
    chain = RegressorChain(regressor(2, PCA(2))).fit(X, np.c_[y, -y])
    with pytest.raises(ValueError, match="cannot count codes behind PCA: it may mix features of the device with pred"):
        row_bits(chain)
    assert row_bits(make_pipeline(PCA(2), RegressorChain(regressor(2))).fit(X, np.c_[y, -y])) == 4


def test_stack_that_passes_features_on(data):
    X, y, classes, _ = data
    members = [("a", regressor(1)), ("b", regressor(2)), ("c", "drop")]
    assert row_bits(StackingRegressor(members, passthrough=False).fit(X, y)) == D + 2 * D
    assert row_bits(StackingRegressor(members, passthrough=True).fit(X, y)) == D + 2 * D + FLOATS
    assert row_bits(StackingRegressor(members, regressor(3), passthrough=True).fit(X, y)) == D + 2 * D + 3 * D
    # The server computes codes of predictions.
    assert row_bits(StackingRegressor(members, regressor(3)).fit(X, y)) == D + 2 * D
    stack = StackingClassifier([("a", classifier(1))], classifier(1), passthrough=True, cv=2)
    assert row_bits(stack.fit(X, classes)) == D


def test_selectors_choose_features(data):
    X, y, *_ = data
    # The codes of the quantizer inside the selector are not sent.
    for select in [
        SelectKBest(f_regression, k=3),
        SelectFromModel(regressor(1), importance_getter=first_coefficients, max_features=3, threshold=-np.inf),
        SequentialFeatureSelector(regressor(1), n_features_to_select=3, cv=2),
        RFE(regressor(1), n_features_to_select=3, importance_getter=first_coefficients),
    ]:
        assert row_bits(regressor(4, select).fit(X, y)) == 3 * 4
        nested = make_pipeline(StandardScaler(), make_pipeline(select, StandardScaler()), QuantileQuantizer(4), Ridge())
        assert row_bits(nested.fit(X, y)) == 3 * 4


def test_selectors_that_predict_read_their_features_alone(data):
    X, y, *_ = data
    eliminated = RFE(regressor(2), n_features_to_select=3, importance_getter=first_coefficients).fit(X, y)
    assert row_bits(eliminated) == 3 * 2
    crossed = RFECV(regressor(2), importance_getter=first_coefficients, cv=2).fit(X, y)
    assert row_bits(crossed) == crossed.n_features_ * 2
    selected = SelectFromModel(regressor(1), importance_getter=first_coefficients, max_features=3, threshold=-np.inf)
    assert row_bits(selected.fit(X, y)) == 3 * 32
    assert row_bits(make_pipeline(selected, Ridge()).fit(X, y)) == 3 * 32


# -- floats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(3),
        BaggingRegressor(Ridge(), 3, max_features=2),
        VotingRegressor([("a", Ridge()), ("b", KNeighborsRegressor())]),
        make_pipeline("passthrough", StandardScaler(), Ridge()),
        make_pipeline(SelectKBest(f_regression, k=2), Ridge()),
        BitwiseRegressor(quantizer="passthrough", **QUICK),
        BitwiseRegressor(quantizer="passthrough", init=QuantileQuantizer(), **QUICK),
        TransformedTargetRegressor(Ridge(), transformer=QuantileQuantizer(2, encode="value"), check_inverse=False),
        GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"standardscaler": ["passthrough"], "ridge__alpha": [1]},
            cv=2,
        ),
        GridSearchCV(
            Pipeline([("q", QuantileQuantizer(1)), ("model", KNeighborsRegressor(1))]),
            {"q": [QuantileQuantizer(1), "passthrough"]},
            cv=2,
            refit=lambda results: 1,
        ),
    ],
)
def test_without_a_quantizer_features_are_floats(data, model):
    X, y, *_ = data
    assert row_bits(model.fit(X, y)) == FLOATS


def test_floats_beside_codes(data):
    X, y, *_ = data
    members = [("q", regressor(2)), ("a", Ridge()), ("b", make_pipeline(StandardScaler(), Ridge()))]
    assert row_bits(VotingRegressor(members).fit(X, y)) == 2 * D + FLOATS
    members[0] = ("q", BitwiseRegressor(2, **QUICK))
    members[1] = ("a", BitwiseRegressor(quantizer="passthrough", **QUICK))
    assert row_bits(VotingRegressor(members).fit(X, y)) == 2 * D + FLOATS
    union = FeatureUnion([("drop", "drop"), ("q", QuantileQuantizer(2)), ("x", "passthrough"), ("p", PCA(2))])
    assert row_bits(make_pipeline(union, Ridge()).fit(X, y)) == 2 * D + FLOATS
    columns = ColumnTransformer(
        [("q", QuantileQuantizer(2), [0, 1]), ("r", QuantileQuantizer(2), [0, 1]), ("p", PCA(1), [1, 2])],
        remainder="drop",
    )
    assert row_bits(make_pipeline(columns, Ridge()).fit(X, y)) == 2 * 2 + 2 * 32


def test_models_that_do_not_read_their_features(data):
    X, y, classes, _ = data
    assert row_bits(DummyRegressor().fit(X, y)) == 0
    assert row_bits(VotingRegressor([("q", regressor(2)), ("mean", DummyRegressor())]).fit(X, y)) == 2 * D
    labels = np.c_[classes == 0, np.zeros_like(classes)]
    with pytest.warns(UserWarning, match="Label not 1 is present in all"):
        model = OneVsRestClassifier(classifier(2)).fit(X, labels)
    assert row_bits(model) == 2 * D


# -- preprocessing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [StandardScaler(), PCA(D), FunctionTransformer(np.arctan)])
def test_equal_preprocessing_keeps_codebooks_equal(data, before):
    X, y, *_ = data
    members = [("a", regressor(2, before)), ("b", regressor(2, clone(before)))]
    assert row_bits(VotingRegressor(members).fit(X, y)) == 2 * D


def test_codes_behind_different_preprocessing_are_counted_each(data):
    """Thresholds in other units, or equal thresholds for other values."""
    X, y, *_ = data
    members = [("a", regressor(2)), ("b", regressor(2, StandardScaler())), ("c", regressor(2, MinMaxScaler()))]
    assert row_bits(VotingRegressor(members).fit(X, y)) == 3 * 2 * D
    signs = np.where(X > 0, 1.0, -1.0)
    functions = [np.negative, None, lambda X: -X, np.abs]
    flips = [FunctionTransformer(function) for function in functions]
    flipped = [(f"f{k}", make_pipeline(step, UniformQuantizer(1), Ridge())) for k, step in enumerate(flips)]
    # The thresholds of the first three are all 0; the last one has none, because its values are constant.
    assert row_bits(VotingRegressor(flipped).fit(signs, y)) == 3 * D


# -- wrappers ------------------------------------------------------------------------------------------------


def test_frozen_and_calibrated(data):
    X, _, _, binary = data
    fitted = classifier(3).fit(X, binary)
    assert row_bits(FrozenEstimator(fitted)) == 3 * D
    assert row_bits(CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, binary)) == 3 * D
    assert row_bits(make_pipeline(FrozenEstimator(fitted[:1]), LogisticRegression()).fit(X, binary)) == 3 * D


def test_codebook():
    assert row_bits(Codebook.from_thresholds([[0.0], [1.0, 2.0, 3.0]])) == 3


def test_text_needs_no_number_of_features():
    texts = ["a b", "b c", "c d", "d a"] * 5
    model = make_pipeline(
        CountVectorizer(token_pattern="[a-d]"), FunctionTransformer(lambda X: X.toarray()), QuantileQuantizer(1)
    )
    assert row_bits(model.fit(texts)) == 4
    with pytest.raises(ValueError, match="does not know how many features Pipeline reads, because it has no n_feat"):
        row_bits(make_pipeline(CountVectorizer(token_pattern="[a-d]"), Ridge()).fit(texts, range(20)))


class Wrapper(RegressorMixin, BaseEstimator):
    """A meta-estimator of a user; `kind` is the attribute with the fitted part."""

    def __init__(self, estimator, kind="estimator_", keep=None):
        self.estimator = estimator
        self.kind = kind
        self.keep = keep

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        fitted = clone(self.estimator).fit(X[:, : self.keep], y)
        fitted = {"estimators_": [("name", fitted)], "parts_": {"name": [fitted]}}.get(self.kind, fitted)
        fitted = fitted.predict if self.kind == "function_" else fitted
        if self.kind == "closure_":
            model = fitted
            fitted = lambda X: model.predict(X)  # noqa: E731
        setattr(self, self.kind, fitted)
        return self


@pytest.mark.parametrize("kind", ["estimator_", "estimators_", "regressor_"])
def test_wrapper_by_the_conventions(data, kind):
    X, y, *_ = data
    assert row_bits(Wrapper(regressor(2), kind).fit(X, y)) == 2 * D
    assert row_bits(Wrapper(Wrapper(regressor(2)), kind).fit(X, y)) == 2 * D
    assert row_bits(VotingRegressor([("a", Wrapper(regressor(2), kind)), ("b", regressor(2))]).fit(X, y)) == 2 * D


@pytest.mark.parametrize("kind", ["model_", "parts_", "function_", "closure_", "_private"])
def test_unknown_holder_is_rejected_by_name(data, kind):
    X, y, *_ = data
    for model in [Wrapper(regressor(2), kind), make_pipeline(StandardScaler(), Wrapper(regressor(2), kind))]:
        model.fit(X, y)
        with pytest.raises(
            ValueError, match=r"cannot count what a device sends to Wrapper: it holds Codebook"
        ) as caught:
            row_bits(model)
        assert 'scoring={"row_bits": lambda model, X, y: row_bits(model.part_)}' in str(caught.value)


def test_holder_with_an_unfitted_quantizer_is_rejected(data):
    X, y, *_ = data
    model = Wrapper(Ridge(), "model_").fit(X, y).set_params(estimator=regressor(2))
    with pytest.raises(ValueError, match="cannot count what a device sends to Wrapper: it holds a quantizer w"):
        row_bits(model)
    model = Wrapper(Ridge()).fit(X, y)
    model.estimator_ = regressor(2)
    with pytest.raises(NotFittedError, match="QuantileQuantizer instance is not fitted"):
        row_bits(model)


def test_quantizer_beside_the_members_is_rejected(data):
    X, y, *_ = data
    for member in (Ridge(), regressor(2)):
        model = Wrapper(member).fit(X, y)
        model.quantizer_ = QuantileQuantizer(3).fit(X)
        with pytest.raises(ValueError, match="what a device sends to Wrapper:"):
            row_bits(model)
    model = Wrapper(regressor(2)).fit(X, y)
    model.codebook_copy_ = model.estimator_[0].codebook_
    assert row_bits(model) == 2 * D


def test_wrapper_that_reads_other_features_is_rejected(data):
    X, y, *_ = data
    model = Wrapper(regressor(2), keep=3).fit(X, y)
    with pytest.raises(ValueError, match="does not know which features Pipeline reads: it was fitted with 3, but the"):
        row_bits(model)


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(init=regressor(1), n_estimators=2),
        make_pipeline(IterativeImputer(regressor(1), max_iter=1, tol=1e9), QuantileQuantizer(2), Ridge()),
    ],
)
def test_quantizers_where_none_is_expected_are_rejected(data, model):
    X, y, *_ = data
    X = X.copy()
    if isinstance(model, Pipeline):
        X[:5, 0] = np.nan
    holder = model[0] if isinstance(model, Pipeline) else model
    with pytest.raises(ValueError, match=f"what a device sends to {type(holder).__name__}:"):
        row_bits(model.fit(X, y))


QUANTIZERS = {"fitted": QuantileQuantizer(2).fit(np.arange(8 * 20.0).reshape(20, 8))}
QUANTIZER = QUANTIZERS["fitted"]


def quantized(X):
    return QUANTIZERS["fitted"].transform(X)


@pytest.mark.parametrize(
    "function", [QUANTIZER.transform, lambda X: QUANTIZER.transform(X), quantized, lambda X: quantized(X)]
)
def test_quantizer_in_a_function_is_rejected(data, function):
    X, y, *_ = data
    model = make_pipeline(FunctionTransformer(function), Ridge()).fit(X, y)
    with pytest.raises(ValueError, match="what a device sends to FunctionTransformer:"):
        row_bits(model)


def test_quantizing_layer_in_a_net_is_rejected(data):
    X, y, *_ = data
    X = X.astype(np.float32)
    layer = sq.Thermometer(QuantileQuantizer(2).fit(X).codebook_)
    module = nn.Sequential(layer, nn.Linear(3 * D, 1))
    net = NeuralNetRegressor(module, max_epochs=1, train_split=None, verbose=0)
    net.fit(X, y.astype(np.float32)[:, None])
    with pytest.raises(ValueError, match="what a device sends to NeuralNetRegressor:"):
        row_bits(net)


def test_search_without_a_best_estimator(data):
    X, y, *_ = data
    search = GridSearchCV(regressor(2), {"ridge__alpha": [1]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="This GridSearchCV has no best_estimator_"):
        row_bits(search)


class Halves(TransformerMixin, BaseEstimator):
    """A step without fitted attributes."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[:, ::2]


def test_steps_of_users(data):
    X, y, *_ = data
    assert row_bits(regressor(2, Halves()).fit(X, y)) == 2 * D // 2
    members = [("a", regressor(2, Halves())), ("b", regressor(2, Halves()))]
    assert row_bits(VotingRegressor(members).fit(X, y)) == 2 * D // 2


# -- searches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "per_bit"),
    [
        (BaggingRegressor(regressor(1), 2, random_state=0), "estimator__quantilequantizer__n_bits", 2 * 10),
        (VotingRegressor([("a", regressor(1))]), "a__quantilequantizer__n_bits", 10),
    ],
)
def test_fewest_bits_counts_the_members(model, name, per_bit):
    X, y = make_friedman1(200, random_state=0)
    search = GridSearchCV(
        model,
        {name: [6, 1]},
        scoring={"score": "r2", "row_bits": row_bits},
        refit=fewest_bits(1e9),
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert rate_distortion(search.cv_results_)["row_bits"].tolist() == [per_bit, 6 * per_bit]
    assert search.best_params_ == {name: 1}
    assert row_bits(search) == per_bit


def test_failed_row_bits_are_not_replaced_by_n_bits(data):
    X, y, *_ = data
    search = GridSearchCV(
        Wrapper(regressor(1), "model_"),
        {"estimator__quantilequantizer__n_bits": [1, 2]},
        scoring={"score": lambda model, X, y: 1.0, "row_bits": row_bits},
        refit=fewest_bits(),
        cv=2,
    )
    with (
        pytest.warns(UserWarning, match="Scoring failed|non-finite"),
        pytest.raises(ValueError, match='row_bits failed for them: search with error_score="raise"'),
    ):
        search.fit(X, y)


class WithForest(RegressorMixin, BaseEstimator):
    """Reads X through two estimators, of which one quantizes."""

    def fit(self, X, y):
        self.estimator_ = make_pipeline(UniformQuantizer(2), Ridge()).fit(X, y)
        self.forest_ = RandomForestRegressor(2).fit(X, y)
        return self

    def predict(self, X):
        return self.estimator_.predict(X) + self.forest_.predict(X)


class CodesAndFloats(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.estimator_ = UniformQuantizer(2).fit(X)
        return self

    def transform(self, X):
        return np.column_stack([self.estimator_.transform(X), X])


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        (WithForest(), "WithForest: besides estimator_ it has a fitted estimator in forest_"),
        (CodesAndFloats(), "CodesAndFloats: its output may contain more than the codes of its estimator_"),
    ],
)
def test_holders_of_others_that_read_more_are_rejected(holder, message, rng):
    X = rng.normal(size=(40, 4))
    with pytest.raises(ValueError, match=message):
        row_bits(holder.fit(X, X[:, 0]))


def test_codes_of_categories_are_told_apart():
    """Both codebooks have one threshold between the first two categories."""
    X, y = np.array([["a"], ["b"], ["c"]] * 8, dtype=object), np.arange(24.0)
    given = [{"a": 0, "b": 0, "c": 1}, {"b": 0, "c": 0, "a": 1}, {"c": 1, "a": 0, "b": 0}]
    members = [(f"m{k}", make_pipeline(ThresholdQuantizer([codes]), Ridge())) for k, codes in enumerate(given)]
    assert [row_bits(VotingRegressor(members[:n]).fit(X, y)) for n in (1, 2, 3)] == [1, 2, 2]
