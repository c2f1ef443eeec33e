"""The two predictors: what they learn, the path from codes to predictions, and quantizers as a parameter."""

import pickle

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    Codebook,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    UniformQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.exceptions import PrecisionWarning
from skbsq.export import to_codebook, to_onnx
from skbsq.model_selection import bits_path
from skbsq.persistence import load, save

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
LEARN = dict(max_epochs=40, hidden_sizes=(32,), batch_size=32, lr=0.01, random_state=0)
NAN = float("nan")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(400, 3)).astype(np.float32)
    return X, 50 + 10 * (np.sin(2 * X[:, 0]) + X[:, 1]) + rng.normal(size=400)


@pytest.mark.parametrize(
    ("quantizer", "offset"), [(None, 0), (None, 1e6), (QuantileQuantizer(4), 0), ("passthrough", 0)]
)
def test_regressor_learns(data, quantizer, offset):
    """Also a regression test: a mismatch of shapes, (n,) against (n, 1), would silently train to the mean of y."""
    X, y = data[0], data[1] + offset
    regressor = BitwiseRegressor(4, quantizer=quantizer, **LEARN).fit(X, y)
    prediction = regressor.predict(X)
    assert prediction.shape == y.shape
    assert prediction.dtype == np.float32
    assert r2_score(y, prediction) > 0.9
    assert regressor.score(X, y) == pytest.approx(r2_score(y, prediction))


@pytest.mark.parametrize(
    ("quantizer", "labels"),
    [(None, [10, 20, 30]), (QuantileQuantizer(4), ["no", "yes"]), ("passthrough", [10, 20, 30])],
)
def test_classifier_learns(data, quantizer, labels):
    X, _ = data
    y = np.array(labels)[np.digitize(X[:, 0], range(len(labels) - 1))]
    classifier = BitwiseClassifier(4, quantizer=quantizer, **LEARN).fit(X, y)
    assert classifier.classes_.tolist() == labels
    assert classifier.score(X, y) > 0.8  # 0.5 for the largest class alone
    proba = classifier.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(classifier.classes_[proba.argmax(axis=1)], classifier.predict(X))
    assert log_loss(y, proba, labels=labels) < 0.7


def test_several_targets(data):
    X, y = data
    both = np.column_stack([y, -3 * y + 1])
    regressor = BitwiseRegressor(4, **LEARN).fit(X, both)
    assert regressor.predict(X).shape == both.shape
    assert r2_score(both, regressor.predict(X), multioutput="raw_values").min() > 0.9


@pytest.mark.parametrize("quantizer", [None, UniformQuantizer(3), KMeansQuantizer([1, 0, 9]), ThresholdQuantizer([0])])
def test_one_path(data, quantizer):
    X, y = data
    regressor = BitwiseRegressor(3, quantizer=quantizer, **QUICK).fit(X, y)
    codes = regressor.codebook_.encode(X)
    np.testing.assert_array_equal(regressor.predict(X), regressor.predict_codes(codes))
    with torch.no_grad():
        output = regressor.net_.module_(torch.from_numpy(X)).numpy()
    expected = (output * regressor.target_scale_ + regressor.target_mean_).astype(np.float32).ravel()
    np.testing.assert_allclose(regressor.predict(X), expected, rtol=1e-6)
    classifier = BitwiseClassifier(3, quantizer=quantizer, **QUICK).fit(X, y > 50)
    np.testing.assert_array_equal(classifier.predict(X), classifier.predict_codes(classifier.codebook_.encode(X)))


def test_a_fixed_quantizer_is_fitted_on_the_rows_and_stays(data):
    X, y = data
    given = QuantileQuantizer(2)
    regressor = BitwiseRegressor(quantizer=given, **QUICK).fit(X, y)
    assert not hasattr(given, "codebook_")
    assert regressor.codebook_ == given.fit(X).codebook_
    np.testing.assert_array_equal(regressor.n_bits_, [2, 2, 2])


def test_passthrough_has_no_codebook(data):
    regressor = BitwiseRegressor(quantizer="passthrough", **QUICK).fit(*data)
    assert regressor.quantizer_ is None
    with pytest.raises(AttributeError, match="no codebook"):
        regressor.codebook_  # noqa: B018
    with pytest.raises(AttributeError, match="no codebook"):
        regressor.predict_codes([[0, 0, 0]])


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(3), "passthrough"])
def test_missing_values(data, quantizer):
    X, y = data
    X = X.copy()
    X[::3, 0] = NAN
    y = y + 30 * np.isnan(X[:, 0])
    regressor = BitwiseRegressor(3, quantizer=quantizer, missing="code", **LEARN).fit(X, y)
    assert r2_score(y, regressor.predict(X)) > 0.85
    with pytest.raises(ValueError, match="NaN in feature 0"):
        regressor.set_params(missing="error").fit(X, y)


def test_nothing_sent_predicts_the_mean(data):
    X, y = data
    regressor = BitwiseRegressor(0, **{**QUICK, "max_epochs": 20}).fit(X, y)
    assert regressor.codebook_.row_bits == 0
    prediction = regressor.predict(X)
    assert np.ptp(prediction) == 0
    assert abs(prediction[0] - y.mean()) < y.std() / 5


def test_target_whose_values_are_equal_in_float32(data):
    X, y = data
    with pytest.warns(PrecisionWarning, match="Predictions are float32, in steps of 64 at these") as found:
        BitwiseRegressor(2, **QUICK).fit(X, y + 1e9)
    assert found[0].filename == __file__
    with pytest.warns(PrecisionWarning, match="in steps of 64") as found:
        BitwiseRegressor(2, **QUICK).fit_chunks([(X, y + 1e9)])
    assert found[0].filename == __file__


@pytest.mark.parametrize("quantizer", [QuantileQuantizer(2), SoftQuantizer(2), "passthrough"], ids=str)
def test_a_budget_cannot_be_combined_with_a_quantizer(data, quantizer):
    """It was ignored once."""
    with pytest.raises(
        ValueError, match=r"bit_budget=10 splits bits that are learned with the head, but quantizer=.* sets"
    ):
        BitwiseRegressor(bit_budget=10, quantizer=quantizer, **QUICK).fit(*data)


def test_constant_target(data):
    X, _ = data
    regressor = BitwiseRegressor(2, **{**LEARN, "max_epochs": 20}).fit(X, np.full(400, 7.0))
    np.testing.assert_allclose(regressor.predict(X), 7, atol=0.2)
    for constant in (0.1, 1e9 + 0.3):  # their variance is not zero, because of rounding
        BitwiseRegressor(2, **QUICK).fit(X, np.full(400, constant))


def test_weights_reach_the_loss(rng):
    X = np.zeros((200, 1))
    y = np.repeat([0.0, 1.0], 100)
    regressor = BitwiseRegressor(1, **LEARN)
    heavy = regressor.fit(X, y, sample_weight=np.repeat([1.0, 3.0], 100)).predict(X[:1])
    assert heavy[0] == pytest.approx(0.75, abs=0.05)


def test_metadata_routing_of_weights(data):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        regressor = BitwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        cross_val_score(regressor, X, y, params={"sample_weight": np.ones(400)}, cv=2)


def test_names(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for quantizer in (None, QuantileQuantizer()):
        regressor = BitwiseRegressor({"a": 1, "b": 0, "c": 3}, quantizer=quantizer, **QUICK).fit(frame, y)
        assert regressor.codebook_.feature_names == ("a", "b", "c")
        assert regressor.quantizer_.feature_names_in_.tolist() == ["a", "b", "c"]
        with pytest.raises(ValueError, match="feature names should match"):
            regressor.predict(frame[["b", "a", "c"]])


def test_classifier_with_skorch_probabilities(data):
    class Softmax(nn.Sequential):
        def __init__(self, n_inputs, n_outputs):
            super().__init__(nn.Linear(n_inputs, n_outputs), nn.Softmax(dim=-1))

    X, _ = data
    y = X[:, 0] > 0
    classifier = BitwiseClassifier(
        3, head=NeuralNetClassifier(Softmax, max_epochs=30, lr=0.02, optimizer=torch.optim.Adam), random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert classifier.score(X, y) > 0.7


@pytest.mark.parametrize("nonlinearity", ["auto", torch.exp], ids=["logarithm", "counts"])
def test_regressor_with_another_skorch_loss(nonlinearity, data, tmp_path):
    X, _ = data
    counts = np.random.default_rng(0).poisson(np.exp(X[:, 0]))
    net = NeuralNet(nn.Linear, nn.PoissonNLLLoss, max_epochs=30, lr=0.01, predict_nonlinearity=nonlinearity)
    regressor = BitwiseRegressor(3, head=net, random_state=0).fit(X, counts)
    # The criterion needs the logarithm of the rate, so the head predicts the logarithm.
    predicted = regressor.predict(X)
    logarithm = predicted if nonlinearity == "auto" else np.log(predicted)
    assert np.corrcoef(logarithm, X[:, 0])[0, 1] > 0.8
    if nonlinearity != "auto":
        assert predicted.mean() == pytest.approx(counts.mean(), rel=0.2)
    save(regressor, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors", head=net)
    np.testing.assert_array_equal(loaded.predict(X), predicted)


@pytest.mark.parametrize("quantizer", ["nothing", 3])
def test_rejects_an_unknown_quantizer(data, quantizer):
    with pytest.raises(ValueError, match=r"'quantizer' parameter.*passthrough"):
        BitwiseRegressor(quantizer=quantizer).fit(*data)


def test_prediction_does_not_depend_on_the_number_of_rows(data):
    X, y = data
    regressor = BitwiseRegressor(3, **QUICK).fit(X, y)
    many = np.tile(X, (50, 1))
    np.testing.assert_allclose(regressor.predict(many)[:400], regressor.predict(X), rtol=1e-5)
    assert regressor.predict_codes(np.empty((0, 3), dtype=np.uint8)).shape == (0,)


# -- bugs once found ---------------------------------------------------------------------------------


def test_passthrough_of_a_weighted_constant(data, rng):
    """Its weighted mean was off by a rounding, its deviation was 4e-16, and predictions exploded nearby."""
    X, y = data
    X = np.column_stack([X[:, :2], np.full(400, 1.7640524)]).astype(np.float32)
    regressor = BitwiseRegressor(quantizer="passthrough", **QUICK).fit(X, y, sample_weight=rng.uniform(size=400))
    near = X.copy()
    near[:, 2] = np.nextafter(near[:, 2], np.float32(2))
    np.testing.assert_allclose(regressor.predict(near), regressor.predict(X), rtol=1e-4)


def test_head_inputs_are_the_same_with_a_fixed_quantizer(data):
    X, y = data
    X = np.column_stack([X, np.arange(400) % 2])
    for missing in ("error", "code"):
        for quantizer in (None, QuantileQuantizer(2), UniformQuantizer(2)):
            regressor = BitwiseRegressor(2, quantizer=quantizer, missing=missing, head=nn.Linear(12, 1), **QUICK)
            found = regressor.fit(X, y).predict_codes(regressor.codebook_.encode(X))
            with torch.no_grad():
                by_floats = regressor.net_.module_(torch.from_numpy(X.astype(np.float32))).numpy().ravel()
            expected = by_floats * regressor.target_scale_ + regressor.target_mean_
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_quantizer_without_a_seed_gets_ours(data):
    nested = BitwiseQuantizer(2, **{**QUICK, "random_state": None})
    one, other = (BitwiseRegressor(quantizer=nested, **QUICK).fit(*data) for _ in range(2))
    assert one.codebook_ == other.codebook_


def test_rejects_quantizers_of_other_packages(data):
    with pytest.raises(ValueError, match="quantizer must be one of the quantizers of skbsq, got KBins"):
        BitwiseRegressor(quantizer=KBinsDiscretizer()).fit(*data)


# -- learned quantizers as a parameter ---------------------------------------------------------------

LEARNED = [
    None,
    BitwiseQuantizer(2, init="kmeans", temperature_start=0.3),
    SoftQuantizer(2, init="quantile", learn_values=True),
    LSQQuantizer(3),
    LLTQuantizer(3, granularity=4),
]


@pytest.mark.parametrize("quantizer", LEARNED, ids=str)
@pytest.mark.parametrize("kind", [BitwiseRegressor, BitwiseClassifier])
def test_learned_quantizers_keep_the_head(quantizer, kind, rng):
    """The model equals the one that the quantizer trains without a predictor, and the head is kept."""
    X = rng.normal(size=(120, 3)).astype(np.float32)
    y = X[:, 0] + X[:, 1] ** 2
    task = "regression"
    if kind is BitwiseClassifier:
        y, task = y > 1, "classification"
    model = kind(quantizer=quantizer, **QUICK).fit(X, y)
    alone = clone(quantizer or BitwiseQuantizer()).set_params(task=task, **QUICK).fit(X, y)
    assert model.codebook_ == alone.codebook_
    for one, other in zip(model.head_.parameters(), alone.head_.parameters(), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(model.predict(X), model.predict_codes(model.codebook_.encode(X)))
    assert type(model.quantizer_) is type(alone)
    np.testing.assert_array_equal(model.quantizer_.transform(X), alone.transform(X))
    assert not hasattr(quantizer, "codebook_")


@pytest.mark.parametrize(
    "model",
    [
        BitwiseRegressor(quantizer=SoftQuantizer(2), missing="code", **QUICK),
        BitwiseRegressor(quantizer=SoftQuantizer(2, missing="code"), **QUICK),
        BitwiseRegressor(quantizer=QuantileQuantizer(2, missing="code"), **QUICK),
    ],
    ids=str,
)
def test_the_predictor_or_its_quantizer_may_set_the_missing_code(model, data):
    X, y = data
    X = X.copy()
    X[::5, 1] = NAN
    model = clone(model).fit(X, y)
    assert model.codebook_.has_missing.all()
    np.testing.assert_array_equal(model.predict(X), model.predict_codes(model.codebook_.encode(X)))


def test_learned_quantizer_keeps_its_seed_and_gets_the_task(rng):
    X = rng.normal(size=(80, 2)).astype(np.float32)
    seeded = SoftQuantizer(2, task="regression", random_state=0)
    unseeded = BitwiseClassifier(quantizer=seeded, max_epochs=2, hidden_sizes=(8,), batch_size=32)
    models = [clone(unseeded).fit(X, X[:, 0] > 0) for _ in range(2)]
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))
    assert models[0].quantizer_.task == models[0].quantizer_.task_ == "classification"


def test_messages_of_a_device_that_has_the_scaler_folded_in(data):
    X, y = data
    X = np.column_stack([X, np.random.default_rng(0).normal(size=len(X))]).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), SelectKBest(f_regression, k=3), BitwiseRegressor(2, **QUICK)).fit(X, y)
    book = to_codebook(pipeline)
    assert book.n_features == 4
    message = dumps(book, book.encode(X))
    model = pipeline[-1]
    np.testing.assert_array_equal(model.predict_packed(message, codebook=book), pipeline.predict(X))
    np.testing.assert_array_equal(model.predict_packed(RowCodec(book).pack(book.encode(X))), pipeline.predict(X))
    with pytest.raises(ValueError, match="another codebook"):
        model.predict_packed(message)
    other = Codebook.from_thresholds([[0.0]])
    with pytest.raises(ValueError, match=r"not folded from that of this BitwiseRegressor.*to_codebook"):
        model.predict_packed(dumps(other, [[1]]), codebook=other)


# -- bytes of another model ---------------------------------------------------------------------------


@pytest.fixture
def retrained(data):
    """A codebook on a device, and the pipeline after another training that gave as many levels."""
    X, y = data
    pipeline = make_pipeline(StandardScaler(), BitwiseRegressor(2, **QUICK))
    old = to_codebook(pipeline.fit(X, y))
    new = clone(pipeline).fit(X + 1, y**2)
    assert new[-1].codebook_.n_levels.tolist() == old.n_levels.tolist()
    return old, new


def test_a_codebook_folded_from_another_model_is_rejected(data, retrained):
    """After a retraining, codes of the old thresholds would be read as codes of the new ones."""
    X, _ = data
    old, new = retrained
    model, message = new[-1], dumps(old, old.encode(X))
    with pytest.raises(ValueError, match=r"not folded from that of this BitwiseRegressor.*again .*to_codebook"):
        model.predict_packed(message, codebook=old)
    folded = to_codebook(new)
    np.testing.assert_array_equal(
        model.predict_packed(dumps(folded, folded.encode(X)), codebook=folded), new.predict(X)
    )


def test_a_folded_text_without_its_origin_is_rejected(data, retrained):
    """JSON from before this field existed: the model is unknown."""
    X, _ = data
    _, new = retrained
    folded = to_codebook(new)
    text = folded.to_json().replace(f', "folded_from": "{folded.folded_from.hex()}"', "")
    nameless = Codebook.from_json(text)
    assert nameless.folded_from is None
    assert nameless.fingerprint == folded.fingerprint
    with pytest.raises(ValueError, match="not folded from that of this"):
        new[-1].predict_packed(dumps(folded, folded.encode(X)), codebook=nameless)


def test_the_models_own_codebook_is_accepted(data):
    X, y = data
    model = BitwiseRegressor(2, **QUICK).fit(X, y)
    book = model.codebook_
    message, same = dumps(book, book.encode(X)), Codebook.from_json(book.to_json())
    np.testing.assert_array_equal(model.predict_packed(message, codebook=same), model.predict(X))
    with pytest.raises(ValueError, match="codebook must be a Codebook, got str"):
        model.predict_packed(message, codebook=book.to_json())


def test_a_fold_of_a_fold_belongs_to_the_model(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), BitwiseRegressor(2, **QUICK)).fit(X, y)
    twice = to_codebook(make_pipeline(StandardScaler().fit(X * 3), to_codebook(pipeline)))
    assert twice.folded_from == pipeline[-1].codebook_.fingerprint
    pipeline[-1].predict_packed(dumps(twice, twice.encode(X)), codebook=twice)


def test_probabilities_from_codes_and_bytes(data):
    X, _ = data
    classifier = BitwiseClassifier(2, **QUICK).fit(X, np.where(X[:, 0] > 0, "up", "down"))
    book, expected = classifier.codebook_, classifier.predict_proba(X)
    codes = book.encode(X)
    np.testing.assert_array_equal(classifier.predict_proba_codes(codes), expected)
    for sent in (RowCodec(book).pack(codes), dumps(book, codes)):
        np.testing.assert_array_equal(classifier.predict_proba_packed(sent), expected)
    np.testing.assert_allclose(classifier.predict_log_proba(X), np.log(expected), rtol=1e-9)
    for predict in (classifier.predict_codes, classifier.predict_proba_codes):
        with pytest.raises(ValueError, match="is out of range"):
            predict(codes + 4)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(X, X[:, 0] > 0)
    folded = to_codebook(pipeline)
    found = pipeline[-1].predict_proba_packed(dumps(folded, folded.encode(X)), codebook=folded)
    np.testing.assert_array_equal(found, pipeline.predict_proba(X))


def test_log_probabilities_are_finite(data):
    """If a probability is 0 in float64, its logarithm comes from the logits."""
    X, _ = data
    classifier = BitwiseClassifier(2, **QUICK).fit(X, X[:, 0] > 0)
    with torch.no_grad():
        classifier.head_[-1].weight *= 1e5
    assert (classifier.predict_proba(X) == 0).any()
    assert np.isfinite(classifier.predict_log_proba(X)).all()


# -- subclasses ---------------------------------------------------------------------------------------


class Fewer(BitwiseRegressor):
    """A constructor with fewer parameters; the others are fixed."""

    def __init__(self, n_bits=2, bit_budget=None):
        super().__init__(n_bits, bit_budget=bit_budget, **QUICK)


class More(BitwiseRegressor):
    def __init__(self, n_bits=2, *, margin=1.0, quantizer=None, init="auto"):
        super().__init__(n_bits, quantizer=quantizer, init=init, **QUICK)
        self.margin = margin


class FewerClasses(BitwiseClassifier):
    def __init__(self, margin=1.0):
        super().__init__(2, **QUICK)
        self.margin = margin


class CustomBitwise(BitwiseQuantizer):
    def __init__(self, margin=1.0, bit_budget=None):
        super().__init__(2, bit_budget=bit_budget, **QUICK)
        self.margin = margin


class CustomSoft(SoftQuantizer):
    def __init__(self, margin=1.0):
        super().__init__(2, **QUICK)
        self.margin = margin


class CustomFixed(QuantileQuantizer):
    def __init__(self, margin=1.0):
        super().__init__(2)
        self.margin = margin


@pytest.mark.parametrize("subclass", [Fewer(), Fewer(bit_budget=4), More(margin=2), More(init=CustomFixed())])
def test_subclasses_that_add_or_drop_parameters(subclass, data):
    X, y = data
    plain = BitwiseRegressor(subclass.n_bits, bit_budget=subclass.bit_budget, init=subclass.init, **QUICK)
    if isinstance(subclass.init, CustomFixed):
        plain.init = QuantileQuantizer(2)
    for fitted in (clone(subclass).fit(X, y), pickle.loads(pickle.dumps(clone(subclass).fit(X, y)))):
        np.testing.assert_array_equal(fitted.predict(X), plain.fit(X, y).predict(X))
    if subclass.bit_budget is None and not isinstance(subclass.init, CustomFixed):
        pytest.importorskip("datasketches")
        assert clone(subclass).fit_chunks([(X, y)]).codebook_.row_bits == 6


def test_subclasses_of_the_classifier_and_of_quantizers(data):
    X, y = data
    labels = y > y.mean()
    expected = BitwiseClassifier(2, **QUICK).fit(X, labels).predict_proba(X)
    np.testing.assert_array_equal(FewerClasses().fit(X, labels).predict_proba(X), expected)
    for bit_budget in (None, 4):
        custom, plain = CustomBitwise(bit_budget=bit_budget), BitwiseQuantizer(2, bit_budget=bit_budget, **QUICK)
        assert custom.fit(X, y).codebook_ == plain.fit(X, y).codebook_


@pytest.mark.parametrize(
    ("custom", "plain"),
    [
        (CustomBitwise(), BitwiseQuantizer(2, **QUICK)),
        (CustomSoft(), SoftQuantizer(2, **QUICK)),
        (CustomFixed(), QuantileQuantizer(2)),
    ],
)
def test_subclasses_as_the_quantizer_of_a_predictor(custom, plain, data):
    """Parameters of the head and its training come from the predictor, also if the subclass fixes them."""
    X, y = data
    head = {"hidden_sizes": (5,), "max_epochs": 2, "random_state": 0}
    fitted = BitwiseRegressor(quantizer=custom, **head).fit(X, y)
    np.testing.assert_array_equal(fitted.predict(X), BitwiseRegressor(quantizer=plain, **head).fit(X, y).predict(X))
    assert fitted.head_[0].out_features == 5


def test_subclasses_along_a_path_of_bits(data):
    X, y = data
    expected = bits_path(BitwiseRegressor(**QUICK), X, y, [1, 2], cv=2)
    for subclass in (Fewer(), More()):
        pd.testing.assert_series_equal(bits_path(subclass, X, y, [1, 2], cv=2)["score"], expected["score"])


# -- attributes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("codebook_", "thresholds_", "n_bits_", "n_levels_", "init_", "initial_thresholds_", "allocation_"),
        *("head_", "history_", "n_iter_"),
    ],
)
def test_unfitted(name):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(BitwiseRegressor(), name)


def test_attributes_of_the_quantizer(data):
    X, y = data
    model = BitwiseRegressor(bit_budget=4, init="tree", **QUICK).fit(X, y)
    assert model.init_ == model.quantizer_.init_
    assert model.initial_thresholds_ is model.quantizer_.initial_thresholds_
    pd.testing.assert_frame_equal(model.allocation_, model.quantizer_.allocation_)
    fixed = BitwiseRegressor(quantizer=QuantileQuantizer(2), **QUICK).fit(X, y)
    for name in ("allocation_", "init_", "initial_thresholds_"):
        with pytest.raises(AttributeError, match=f"This BitwiseRegressor has no {name}: .*bit_budget"):
            getattr(fixed, name)


def test_predictions_stay_in_the_range_of_the_training_targets(rng, tmp_path):
    """A linear head adds up the features, so that at the corners its outputs lie beyond all training rows."""
    X = rng.uniform(size=(300, 6))
    Y = np.column_stack([X.sum(1), -X.sum(1)])
    model = BitwiseRegressor(2, head=nn.Linear, threshold_lr_ratio=0.0, max_epochs=25, lr=0.2, random_state=0).fit(X, Y)
    corners = np.array([[0.0] * 6, [1.0] * 6])
    np.testing.assert_array_equal(model.target_range_, np.float32([Y.min(0), Y.max(0)]))
    (low, high), (lowest, highest) = model.predict(corners), model.target_range_
    np.testing.assert_array_equal(low, [lowest[0], highest[1]])
    np.testing.assert_array_equal(high, [highest[0], lowest[1]])
    graph = onnxruntime.InferenceSession(to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(graph.run(["prediction"], {"X": np.float32(corners)})[0], [low, high])
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model", head=nn.Linear).predict(corners), [low, high])
    # Refitted with a skorch net, whose outputs are not limited.
    net = NeuralNet(nn.Linear, criterion=nn.MSELoss, max_epochs=1)
    assert not hasattr(model.set_params(head=net).fit(X, Y), "target_range_")
