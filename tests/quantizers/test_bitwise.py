"""BitwiseQuantizer: what it does beyond the contract of all estimators."""

import pickle
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, ShuffleSplit, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skbsq import BitwiseQuantizer, KMeansQuantizer, QuantileQuantizer, ThresholdQuantizer, TreeQuantizer
from skbsq.nn import BitwiseQuantization
from skbsq.persistence import load, save
from skbsq.training import temperature_at
from skbsq.training.feeds import head_inputs
from skbsq.training.starts import RULES, start_in_gaps

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
NAN = float("nan")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(120, 3)).astype(np.float32)
    return X, X[:, 0] ** 2 + X[:, 1] + 0.1 * rng.normal(size=120)


def thresholds_of(quantizer):
    return np.concatenate(quantizer.thresholds_)


# -- learning ----------------------------------------------------------------------------------------


def test_thresholds_move_to_where_the_target_changes(rng):
    """Steps of y lie far from the quantiles; learned thresholds find them."""
    X = rng.uniform(size=(1000, 1))
    y = 1.0 * (X[:, 0] > 0.85) + 2.0 * (X[:, 0] > 0.95)
    start = QuantileQuantizer(2).fit(X).thresholds_[0]
    quantizer = BitwiseQuantizer(
        2, init="quantile", max_epochs=20, lr=4e-3, hidden_sizes=(16,), batch_size=50, random_state=0
    )
    found = quantizer.fit(X, y).thresholds_[0]
    for step in (0.85, 0.95):
        assert np.abs(found - step).min() < 0.02 < np.abs(start - step).min()
    assert quantizer.history_["train_loss"].iloc[-1] < 0.1 * quantizer.history_["train_loss"].iloc[0]


@pytest.mark.parametrize("forward", ["hard", "soft"])
@pytest.mark.parametrize("schedule", ["exponential", "linear", "cosine", "warmup", "cyclical"])
def test_schedules_reach_the_layer(data, forward, schedule):
    ends = dict(temperature_start=0.8, temperature_end=0.2)
    quantizer = BitwiseQuantizer(2, forward=forward, temperature_schedule=schedule, **ends, **QUICK).fit(*data)
    expected = [temperature_at(e / 3, schedule=schedule, start=0.8, end=0.2) for e in range(3)]
    np.testing.assert_allclose(quantizer.history_["temperature"], expected)


@pytest.mark.parametrize("init", [*RULES, "auto", QuantileQuantizer(ties="merge"), ThresholdQuantizer([-1, 0, 1])])
def test_inits(data, init):
    quantizer = BitwiseQuantizer(2, init=init, **QUICK).fit(*data)
    assert (quantizer.n_levels_ <= 4).all()


def test_without_learning_rate_the_init_stays(data):
    X, y = data
    quantizer = BitwiseQuantizer(3, init="kmeans", threshold_lr_ratio=0.0, **QUICK).fit(X, y)
    np.testing.assert_array_equal(quantizer.transform(X), KMeansQuantizer(3).fit(X).transform(X))


def test_init_uses_weights_and_labels(rng):
    X = rng.uniform(size=(300, 1))
    labels = np.where(X[:, 0] > 0.7, "hot", "cold")
    quantizer = BitwiseQuantizer(1, init="tree", threshold_lr_ratio=0.0, **QUICK).fit(X, labels)
    assert abs(thresholds_of(quantizer)[0] - 0.7) < 0.02
    heavy = BitwiseQuantizer(1, init="quantile", threshold_lr_ratio=0.0, **QUICK)
    heavy.fit(X, labels, sample_weight=np.where(X[:, 0] > 0.9, 100.0, 1.0))
    assert thresholds_of(heavy)[0] > 0.9


def test_class_weight_reaches_init_and_loss(rng):
    X = rng.uniform(size=(300, 1))
    y = (X[:, 0] > 0.9).astype(int)
    quantizer = BitwiseQuantizer(1, init="quantile", threshold_lr_ratio=0.0, class_weight="balanced", **QUICK)
    assert thresholds_of(quantizer.fit(X, y))[0] > 0.85
    plain = clone(quantizer).set_params(class_weight=None).fit(X, y)
    assert thresholds_of(plain)[0] < 0.6
    assert plain.history_["train_loss"].iloc[0] != quantizer.history_["train_loss"].iloc[0]


def test_class_weight_leaves_the_callers_weights_alone(data):
    X, _ = data
    weights = np.ones(120)
    BitwiseQuantizer(1, class_weight="balanced", **QUICK).fit(X, np.arange(120) % 3 == 0, sample_weight=weights)
    np.testing.assert_array_equal(weights, 1)


@pytest.mark.parametrize("exponent", [-30, 30])
def test_scale_invariance(data, exponent):
    X, y = data
    factor = np.float32(2.0**exponent)
    here, there = (BitwiseQuantizer(3, **QUICK).fit(X * f, y) for f in (np.float32(1), factor))
    np.testing.assert_array_equal(here.transform(X), there.transform(X * factor))
    np.testing.assert_array_equal(thresholds_of(here) * factor, thresholds_of(there))


def test_class_weight_of_zero_drops_the_class(data):
    X, _ = data
    y = np.arange(120) % 3
    dropped = BitwiseQuantizer(2, class_weight={0: 1, 1: 1, 2: 0}, **QUICK).fit(X, y)
    removed = BitwiseQuantizer(2, class_weight={0: 1, 1: 1}, **QUICK).fit(X[y < 2], y[y < 2])
    np.testing.assert_array_equal(thresholds_of(dropped), thresholds_of(removed))


def test_a_large_offset_does_not_hinder_learning(rng):
    """Mean 1e5, deviation 1: a fold in float32 would leave about 100 different thresholds in the whole range."""
    X = np.round(rng.normal(size=(500, 2)) * 64) / 64  # exact in float32 with the offset, too
    y = (X[:, 0] > 0.3) + np.abs(X[:, 1])
    here = BitwiseQuantizer(2, **QUICK).fit(X, y)
    there = BitwiseQuantizer(2, **QUICK).fit(X + 1e5, y)
    agree = (here.transform(X) == there.transform(X + 1e5)).mean()
    assert agree > 0.95


# -- the joint net after fit -------------------------------------------------------------------------


def test_the_net_is_folded(data):
    X, y = data
    quantizer = BitwiseQuantizer([3, 0, 1], **QUICK).fit(X, y)
    net, book = quantizer.net_.module_, quantizer.codebook_
    assert not net.training
    assert quantizer.head_ is net.head
    with torch.no_grad():
        by_floats = net(torch.from_numpy(X))
        by_codes = net.from_codes(torch.from_numpy(book.encode(X).astype(np.int32)))
    np.testing.assert_array_equal(by_floats.numpy(), by_codes.numpy())


def test_bits_before_and_after_folding(data, monkeypatch):
    """The trained layer's hard bits, read through column_map, equal those of the codebook."""
    X, y = data
    seen = {}
    fold = BitwiseQuantization.fold

    def spy(layer, placed):
        layer.eval()
        seen["bits"] = layer(torch.from_numpy(X)).detach().numpy()
        return fold(layer, placed)

    monkeypatch.setattr(BitwiseQuantization, "fold", spy)
    quantizer = BitwiseQuantizer(3, threshold_lr_ratio=300.0, **QUICK).fit(X, y)  # wild enough to change the order
    column_map = quantizer.net_.module_.column_map.numpy()
    assert (np.diff(column_map) < 0).any()
    bits = quantizer.codebook_.thermometer(quantizer.codebook_.encode(X))
    np.testing.assert_array_equal(bits[:, column_map], seen["bits"])


def test_head_inputs_depend_on_the_widths_alone(rng):
    X = np.column_stack([rng.normal(size=50), np.arange(50) % 2, np.full(50, 3.0)])
    y = rng.normal(size=50)
    for missing in ("error", "code"):
        quantizer = BitwiseQuantizer(3, missing=missing, **QUICK).fit(X, y)
        assert quantizer.head_[0].in_features == 3 * 7
        assert quantizer.n_levels_.tolist()[1:] == ([2, 1] if missing == "error" else [3, 1])


def test_column_map_by_hand():
    feature, is_missing = np.array([0, 2, 2, 2]), np.array([False, False, False, True])
    found = head_inputs(feature, is_missing, np.array([2, 0, 2]))
    # f0: one threshold, and two inputs without a column; f1: not sent; f2: two thresholds, then its missing bit.
    assert found.tolist() == [0, -1, -1, 1, 2, 3]
    assert head_inputs(feature[:0], is_missing[:0], np.array([0])).tolist() == [-1]


@pytest.mark.parametrize(
    ("thresholds", "values", "expected"),
    [
        ([1.0], [0, 1, 2], [1.5]),  # moves off the value into the gap above, which changes no code
        ([0.25], [0, 1, 2], [0.25]),
        ([0.1, 0.2, 0.3], [0, 1], [0.1]),  # two values leave room for one threshold
        ([-5.0, 0.5, 9.0], [0, 1], [0.5]),
        ([0.5], [3], []),
    ],
)
def test_starts_lie_between_values(thresholds, values, expected):
    found = start_in_gaps(np.float32(thresholds), np.float32(values))
    np.testing.assert_array_equal(found, np.float32(expected))


# -- heads -------------------------------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self, n_inputs, n_outputs, width=4):
        super().__init__()
        self.hidden, self.out = nn.Linear(n_inputs, width), nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


class Probabilities(Head):
    def forward(self, x):
        return torch.softmax(super().forward(x), dim=-1)


class Interrupting(Callback):
    """Ends training after two epochs, as callbacks of skorch do."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("head", [Head, Head(9, 1), lambda n_inputs, n_outputs: Head(n_inputs, n_outputs, width=2)])
def test_heads(data, head):
    quantizer = BitwiseQuantizer(2, head=head, **QUICK).fit(*data)
    assert isinstance(quantizer.head_, Head)


def test_an_instance_is_not_trained_in_place(data):
    head = Head(9, 1)
    before = head.out.weight.detach().clone()
    quantizer = BitwiseQuantizer(2, head=head, **QUICK).fit(*data)
    assert torch.equal(head.out.weight, before)
    assert not torch.equal(quantizer.head_.out.weight, before)


def test_head_with_the_wrong_shape(data):
    with pytest.raises(ValueError, match="wrong output shape"):
        BitwiseQuantizer(2, head=Head(9, 4), **QUICK).fit(*data)


# One test per row of the table in docs/reference/semantics.md: whose settings hold with a skorch net as head.

OURS = dict(max_epochs=2, batch_size=7, lr=0.5, weight_decay=0.3, hidden_sizes=(5,), random_state=0)


def fit_with_net(data, net, **kwargs):
    return BitwiseQuantizer(2, head=net, **{**OURS, **kwargs}).fit(*data)


def test_loss_is_not_used_with_a_skorch_net(data):
    net = NeuralNetRegressor(Head, max_epochs=1)
    found = [fit_with_net(data, net, loss=loss, quantile=0.9) for loss in ("squared_error", "quantile")]
    assert found[0].codebook_ == found[1].codebook_
    assert torch.equal(found[0].head_.out.weight, found[1].head_.out.weight)
    assert isinstance(found[1].net_.criterion_, nn.MSELoss)


def test_skorch_training_parameters_hold(data):
    net = NeuralNetRegressor(Head, module__width=3, max_epochs=4, batch_size=50, lr=1e-3, optimizer=torch.optim.RMSprop)
    quantizer = fit_with_net(data, net)
    assert quantizer.n_iter_ == 4
    assert quantizer.net_.history[0]["train_batch_count"] == 3
    assert isinstance(quantizer.net_.optimizer_, torch.optim.RMSprop)
    assert quantizer.net_.optimizer_.param_groups[-1]["lr"] == 1e-3
    assert quantizer.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-2)  # thresholds: threshold_lr_ratio
    assert quantizer.head_.hidden.out_features == 3
    assert isinstance(quantizer.net_, NeuralNetRegressor)


def test_skorch_optimizer_lr_and_groups_hold(data):
    net = NeuralNet(
        Head, nn.MSELoss, optimizer__lr=1e-4, optimizer__param_groups=[("out.*", {"lr": 1e-5})], max_epochs=1
    )
    groups = fit_with_net(data, net).net_.optimizer_.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([1e-3, 1e-5, 1e-4])
    assert [len(group["params"]) for group in groups] == [1, 2, 2]


def test_skorch_criterion_holds_and_target_is_standardized_for_differences_only(data):
    X, y = data
    y = 100 + 10 * y
    for criterion, mean in [(nn.L1Loss, y.mean()), (nn.HuberLoss, y.mean()), (nn.PoissonNLLLoss, 0.0)]:
        quantizer = fit_with_net((X, y), NeuralNet(Head, criterion, max_epochs=1))
        assert isinstance(quantizer.net_.criterion_, criterion)
        np.testing.assert_allclose(quantizer.target_mean_, mean)


def test_skorch_callbacks_hold_beside_ours(data):
    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("rows", len(net.history))

    quantizer = fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=3, callbacks=[Count()]))
    assert quantizer.history_["rows"].tolist() == [1, 2, 3]
    assert "temperature" in quantizer.history_


def test_skorch_split_and_iterators_are_replaced(data):
    quantizer = fit_with_net(data, NeuralNetRegressor(Head, max_epochs=1))  # its default holds out a fifth
    assert "valid_loss" not in quantizer.history_
    assert sum(batch["train_batch_size"] for batch in quantizer.net_.history[0]["batches"]) == 120


def test_skorch_early_stopping_callback_ends_training(data):
    assert fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=9, callbacks=[Interrupting()])).n_iter_ == 2
    patient = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0, threshold_mode="abs")
    assert fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=9, callbacks=[patient])).n_iter_ < 9


@pytest.mark.parametrize(
    "net",
    [
        NeuralNetClassifier(Probabilities, max_epochs=2),
        NeuralNetClassifier(Head, criterion=nn.CrossEntropyLoss, max_epochs=2),
        NeuralNet(Head, nn.CrossEntropyLoss, criterion__label_smoothing=0.1, max_epochs=2),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_skorch_classifiers(data, net, weighted, early_stopping):
    X, _ = data
    y = np.where(X[:, 0] > 0, "b", "a")
    weights = np.arange(1, 121) if weighted else None
    quantizer = BitwiseQuantizer(2, head=net, early_stopping=early_stopping, random_state=0)
    assert quantizer.fit(X, y, sample_weight=weights).n_iter_ <= 2


def test_skorch_net_is_not_touched(data):
    net = NeuralNetRegressor(Head, max_epochs=1, verbose=1)
    before = repr(net.get_params(deep=False))
    fit_with_net(data, net)
    assert repr(net.get_params(deep=False)) == before
    assert not net.initialized_


def test_skorch_parameters_are_reachable(data):
    quantizer = BitwiseQuantizer(2, head=NeuralNetRegressor(Head, max_epochs=1))
    quantizer.set_params(head__lr=0.123, head__module__width=6)
    fitted = clone(quantizer).fit(*data)
    assert fitted.net_.lr == 0.123
    assert fitted.head_.hidden.out_features == 6


def test_one_logit_criterion_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="CrossEntropyLoss"):
        BitwiseQuantizer(2, head=NeuralNet(Head, nn.BCEWithLogitsLoss)).fit(X, y > 0)


def test_weights_need_a_loss_per_row(data):
    class Mean(nn.Module):
        def forward(self, prediction, y):
            return ((prediction - y) ** 2).mean()

    X, y = data
    quantizer = BitwiseQuantizer(2, head=NeuralNet(Head, Mean, max_epochs=1))
    quantizer.fit(X, y, sample_weight=np.full(120, 2.0))  # all alike: nothing to weigh
    with pytest.raises(ValueError, match="Mean does not"):
        quantizer.fit(X, y, sample_weight=np.arange(1, 121))


# -- early stopping ----------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_epoch(rng):
    X, y = rng.normal(size=(80, 3)), rng.normal(size=80)  # nothing to learn: validation gets worse
    quantizer = BitwiseQuantizer(
        3,
        early_stopping=True,
        lr_schedule="constant",
        patience=3,
        max_epochs=60,
        lr=0.02,
        batch_size=16,
        hidden_sizes=(64,),
        random_state=0,
    ).fit(X, y)
    losses = quantizer.history_["valid_loss"]
    assert quantizer.best_epoch_ == int(losses.argmin()) + 1
    assert quantizer.n_iter_ == quantizer.best_epoch_ + 3


def test_the_restored_net_has_the_recorded_hard_bit_loss(data):
    """The validation loss is that of the hard bits, also if training reads sigmoids."""
    X, y = data
    split = TimeSeriesSplit(2)
    quantizer = BitwiseQuantizer(
        2,
        forward="soft",
        temperature_start=5.0,
        temperature_end=4.0,
        early_stopping=True,
        lr_schedule="constant",
        validation_fraction=split,
        patience=2,
        max_epochs=8,
        hidden_sizes=(8,),
        batch_size=16,
        random_state=0,
    ).fit(X, y)
    *_, (_, held_out) = split.split(X)
    codes = torch.from_numpy(quantizer.codebook_.encode(X[held_out]).astype(np.int32))
    with torch.no_grad():
        output = quantizer.net_.module_.from_codes(codes).numpy().ravel()
    target = (y[held_out] - quantizer.target_mean_) / quantizer.target_scale_
    recorded = quantizer.history_["valid_loss"][quantizer.best_epoch_ - 1]
    assert ((output - target) ** 2).mean() == pytest.approx(recorded, rel=1e-4)


# -- bad input ---------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [5.0, 6, 7, 8]})
Y = np.array([0.0, 1, 0, 1])


@pytest.mark.parametrize(
    ("params", "X", "y", "message"),
    [
        ({}, FRAME.assign(b=[1, NAN, 2, 3]), Y, r"NaN in feature 'b' \(row 1\).*missing=\"seen\""),
        ({}, FRAME.assign(b=[1, np.inf, 2, 3]), Y, "contains infinity in feature 'b'"),
        ({}, FRAME.assign(b=[1, 1e300, 2, 3]), Y, "1e.300.*overflows float32, in feature 'b'"),
        (dict(n_bits=17), FRAME, Y, "from 0 to 16, got 17 for feature 'a'"),
        (dict(n_bits=-1), FRAME, Y, "from 0 to 16, got -1"),
        (dict(n_bits=2.5), FRAME, Y, "n_bits must be"),
        (dict(n_bits=[2.0, 3.0]), FRAME, Y, "got 2.0 for feature 'a'"),
        (dict(n_bits=True), FRAME, Y, "n_bits must be"),
        (dict(n_bits="four"), FRAME, Y, "n_bits must be"),
        (dict(n_bits=[1, 2, 3]), FRAME, Y, "one integer or 2, one per feature"),
        (dict(n_bits={"a": 1, "c": 2}), FRAME, Y, "names 'c', which is not a feature"),
        (dict(n_bits={"a": 1}), FRAME, Y, "leaves out 'b'"),
        (dict(init="random"), FRAME, Y, "'init' parameter.*'kmeans'.*Got 'random'"),
        (dict(encode="onehot"), FRAME, Y, "'encode' parameter.*'thermometer'.*Got 'onehot'"),
        (dict(temperature_schedule="sawtooth"), FRAME, Y, "'temperature_schedule' parameter.*'cosine'"),
        (dict(missing="bin"), FRAME, Y, "'missing' parameter.*'code'"),
        (dict(missing=["seen"]), FRAME, Y, "missing must be one rule or"),
        (dict(missing=["bin"] * FRAME.shape[1]), FRAME, Y, "got 'bin' for feature 'a'"),
        (dict(missing={"a": "seen"}), FRAME, Y, "missing leaves out 'b': a dict or Series must name every feature"),
        (dict(missing={"a": "seen", "z": "code"}), FRAME, Y, "missing names 'z', which is not a feature"),
        (dict(missing=dict.fromkeys(FRAME, "error")), FRAME.assign(b=[1, NAN, 2, 3]), Y, "NaN in feature 'b'"),
        (dict(hidden_sizes=(0,)), FRAME, Y, "hidden_sizes must be positive integers, got 0"),
        (dict(device="tpu9"), FRAME, Y, "device 'tpu9'"),
        pytest.param(
            dict(device="cuda"),
            FRAME,
            Y,
            'asks for a GPU, and torch finds none: use "cpu" or "auto"',
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (dict(class_weight="balanced"), FRAME, Y, "class_weight='balanced' makes no sense"),
        (dict(init=ThresholdQuantizer([0.5, 1.5, 2.5]), n_bits=1), FRAME, Y, "3 thresholds for feature 0.*room for 1"),
        (dict(early_stopping=True, validation_fraction=0.1, task="classification"), FRAME, [0, 1, 0, 1], "classes"),
        (dict(early_stopping=True, validation_fraction="most"), FRAME, Y, "validation_fraction must be.*got 'most'"),
        ({}, FRAME, None, "requires y to be passed"),
        ({}, FRAME, [NAN, 0, 1, 2], "y contains NaN"),
        ({}, FRAME, np.zeros((4, 2, 2)), "dim 3"),
        ({}, FRAME, [1.0, 2.0], "inconsistent numbers of samples"),
        ({}, FRAME, ["a"] * 4, "one class only, .*'a'"),
        ({}, FRAME.iloc[:1], Y[:1], "1 sample"),
    ],
)
def test_rejects(params, X, y, message):
    with pytest.raises((ValueError, TypeError), match=re.compile(message, re.DOTALL)):
        BitwiseQuantizer(**{**QUICK, **params}).fit(X, y)


def test_too_many_thresholds(rng):
    X = rng.normal(size=(45_000, 3))
    with pytest.raises(ValueError, match=r"at most 2\^17"):
        BitwiseQuantizer(16, init="quantile", **QUICK).fit(X, X[:, 0])


def test_divergence_is_an_error(data):
    X, y = data
    with pytest.raises(ValueError, match=r"Training diverged: .* Lower lr"):
        BitwiseQuantizer(2, lr=1e30, lr_schedule="constant", **QUICK).fit(X, y)


# -- with other parts of scikit-learn ----------------------------------------------------------------


def test_pipeline_with_imputer_and_boosting(data):
    X, y = data
    X = X.copy()
    X[::7, 1] = NAN
    pipe = make_pipeline(
        SimpleImputer(), BitwiseQuantizer(n_bits=3, **QUICK), HistGradientBoostingRegressor(max_iter=10)
    )
    search = GridSearchCV(pipe, {"bitwisequantizer__n_bits": [1, 3]}, cv=2).fit(X, y)
    assert search.best_params_ == {"bitwisequantizer__n_bits": 3}


def test_column_transformer_and_set_output(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    both = make_column_transformer((BitwiseQuantizer(2, **QUICK), ["a", "b"]), remainder="passthrough")
    both.set_output(transform="pandas")
    out = both.fit_transform(frame, y)
    assert out.columns.tolist() == ["bitwisequantizer__a", "bitwisequantizer__b", "remainder__c"]
    assert out["bitwisequantizer__a"].dtype == np.uint8


@pytest.mark.parametrize(
    ("y", "task", "n_outputs"),
    [
        (np.array([1.0, 2, 3, 1]), "regression", 1),
        (np.array([[1.0, 2], [2, 3], [3, 5], [4, 1]]), "regression", 2),
        (np.array([1, 2, 3, 1]), "classification", 3),
        (np.array([True, False, True, False]), "classification", 2),
        (np.array(["a", "b", "c", "a"], dtype=object), "classification", 3),
        (np.array([1.5, 2, 3, 1], dtype=object), "regression", 1),
        (pd.Series(["a", "b", "a", "b"], dtype="category"), "classification", 2),
    ],
)
def test_task(y, task, n_outputs):
    quantizer = BitwiseQuantizer(1, **QUICK).fit(FRAME, y)
    assert quantizer.task_ == task
    assert quantizer.head_[-1].out_features == n_outputs


def test_rows_of_weight_zero_do_not_decide_the_task(rng):
    X, y = rng.normal(size=(90, 2)), np.arange(90) % 4
    y[:30] = np.arange(30) + 100
    weights = np.repeat([0.0, 1.0], [30, 60])
    for estimator in (TreeQuantizer(1), BitwiseQuantizer(1, **QUICK)):
        assert clone(estimator).fit(X, y).task_ == "regression"
        assert clone(estimator).fit(X, y, sample_weight=weights).task_ == "classification"
    assert BitwiseQuantizer(1, **QUICK).fit_chunks([(X, y, weights)]).task_ == "classification"


def test_two_columns_of_integers_in_objects_are_a_regression(data):
    X, y = data
    target = pd.DataFrame({"u": np.arange(len(y)), "v": np.arange(len(y))}).astype("Int64")
    assert BitwiseQuantizer(1, **QUICK).fit(X, target).task_ == "regression"


@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False]])
def test_labels_that_are_numbers_need_a_numeric_dtype(rng, labels):
    """As in scikit-learn, whose scores take no others."""
    X, y = rng.normal(size=(60, 2)), np.resize(np.array(labels, dtype=object), 60)
    for estimator in (TreeQuantizer(1), BitwiseQuantizer(1, **QUICK)):
        with pytest.raises(ValueError, match=r"Unknown label type: .* in an array of objects, .* Cast y first"):
            clone(estimator).fit(X, y)


def test_epochs_may_be_an_integer_of_numpy(data):
    X, y = data
    one, other = (BitwiseQuantizer(2, **{**QUICK, "max_epochs": kind(2)}).fit(X, y) for kind in (int, np.int64))
    assert one.codebook_ == other.codebook_


def test_a_single_step_learns(data):
    """A cycle of a single step would use its lowest rate."""
    X, y = data
    given = {**QUICK, "max_epochs": 1, "batch_size": len(X), "lr": 0.02}
    nets = [BitwiseQuantizer(2, **given, lr_schedule=schedule).fit(X, y).net_ for schedule in ("one-cycle", "constant")]
    one, other = (net.module_.head[-1].weight for net in nets)
    torch.testing.assert_close(one, other)


# -- fixed bugs --------------------------------------------------------------------------------------


def test_weights_over_many_orders_of_magnitude(data):
    """Weights of time decay gave k-means bins whose weight had vanished in the sums."""
    X, y = data
    for weights in (np.exp(-np.arange(120.0)), np.full(120, 1e300), np.full(120, 1e-300)):
        BitwiseQuantizer(2, init="kmeans", **QUICK).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("weight", [-1.0, NAN, np.inf, "2"])
def test_class_weights_are_finite_and_not_negative(data, weight):
    with pytest.raises(ValueError, match=r"class_weight must be finite and not negative, got .* for 1"):
        BitwiseQuantizer(class_weight={0: 1.0, 1: weight}, **QUICK).fit(data[0], np.arange(120) % 2)


def test_splitter_without_a_seed_gets_ours(data):
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    stopping = dict(early_stopping=True, validation_fraction=ShuffleSplit(1))
    one, other = (BitwiseQuantizer(2, **stopping, **QUICK).fit(*data) for _ in range(2))
    assert one.codebook_ == other.codebook_
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_early_stopping_on_too_few_rows_says_so():
    with pytest.raises(ValueError, match=r"early_stopping cannot hold out validation_fraction=0\.1"):
        BitwiseQuantizer(early_stopping=True, validation_fraction=0.1, **QUICK).fit(
            np.arange(6.0)[:, None], list("aabbcc")
        )


def test_fits_in_threads_equal_fits_in_turn(data):
    quantizers = [BitwiseQuantizer(2, **{**QUICK, "random_state": seed}) for seed in range(4)]
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda quantizer: clone(quantizer).fit(*data), quantizers))
    assert torch.equal(torch.random.get_rng_state(), state)
    for quantizer, one in zip(quantizers, together, strict=True):
        assert quantizer.fit(*data).codebook_ == one.codebook_


def test_init_sees_names_and_must_be_ours(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    init = ThresholdQuantizer({"a": [0], "b": [0], "c": [0]})
    assert BitwiseQuantizer(1, init=init, **QUICK).fit(frame, y).n_levels_.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="init must be one of the quantizers of skbsq, got KBinsDiscretizer"):
        BitwiseQuantizer(init=KBinsDiscretizer(), **QUICK).fit(X, y)


def test_a_column_of_labels_is_a_classification(data):
    X, _ = data
    with pytest.warns(DataConversionWarning):
        quantizer = BitwiseQuantizer(1, **QUICK).fit(X, (np.arange(120) % 3)[:, None])
    assert quantizer.task_ == "classification"


def test_too_many_head_inputs(rng):
    with pytest.raises(ValueError, match=r"gives the head 1310700 inputs.*Lower n_bits"):
        BitwiseQuantizer(16, **QUICK).fit(rng.normal(size=(10, 20)), rng.normal(size=10))


def test_targets_beyond_float32_are_refused(data):
    with pytest.raises(ValueError, match="overflows float32: rescale the target"):
        BitwiseQuantizer(1, **QUICK).fit(data[0], data[1] * 1e40)


@pytest.mark.parametrize(
    "settings",
    [
        dict(iterator_train__shuffle=True, iterator_valid__drop_last=True),
        dict(callbacks="disable"),
        dict(callbacks__print_log=None),
    ],
)
def test_skorch_settings_that_once_crashed(data, settings):
    assert fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=2, **settings)).n_iter_ == 2


def test_skorch_classifier_without_its_accuracy_and_with_weights(data):
    net = NeuralNetClassifier(Probabilities, max_epochs=1, callbacks__valid_acc=None)
    BitwiseQuantizer(1, head=net).fit(data[0], np.arange(120) % 2, sample_weight=np.arange(1, 121))


def test_skorch_settings_that_cannot_hold(data):
    with pytest.raises(ValueError, match="module__n_inputs is set from the data"):
        fit_with_net(data, NeuralNet(Head, nn.MSELoss, module__n_inputs=3))
    with pytest.raises(ValueError, match="none are held out: set early_stopping=True"):
        fit_with_net(data, NeuralNet(Head, nn.MSELoss, callbacks=[EarlyStopping()]))


def test_ctrl_c_inside_a_callback_gets_out(data, ctrl_c_after):
    class Busy(Callback):
        def on_epoch_end(self, net, **kwargs):
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                pass

    fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=1))  # imports of torch must not be interrupted
    ctrl_c_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=10**5, callbacks=[Busy()]))


def test_a_handler_of_ctrl_c_is_called_and_restored(data):
    """A signal does not end training if its handler returns."""

    class Signal(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    numbers = []

    def handle(number, frame):
        numbers.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        assert fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=3, callbacks=[Signal()])).n_iter_ == 3
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, before)
    assert numbers == [signal.SIGINT] * 3


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_callback_ends_training_where_ctrl_c_has_no_handler(data, handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert fit_with_net(data, NeuralNet(Head, nn.MSELoss, max_epochs=9, callbacks=[Interrupting()])).n_iter_ == 2
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_callback_ends_training_in_a_thread(data):
    """Python allows signal handlers in the main thread alone."""
    with ThreadPoolExecutor(1) as pool:
        net = NeuralNet(Head, nn.MSELoss, max_epochs=9, callbacks=[Interrupting()])
        assert pool.submit(fit_with_net, data, net).result().n_iter_ == 2


@pytest.mark.parametrize("n_bits", [2, 8])
def test_a_head_with_a_frozen_first_layer(n_bits, rng):
    X = rng.normal(size=(300, 3)).astype(np.float32)
    head = nn.Sequential(nn.Linear(3 * (2**n_bits - 1), 16), nn.ReLU(), nn.Linear(16, 1))
    head[0].weight.requires_grad_(False)
    quantizer = BitwiseQuantizer(n_bits, head=head, max_epochs=2, batch_size=32, random_state=0).fit(X, X[:, 0])
    assert torch.equal(quantizer.head_[0].weight, head[0].weight)
    assert not torch.equal(quantizer.head_[2].weight, head[2].weight)


def test_a_feature_that_is_mostly_missing(rng):
    """Whole batches have no value of this feature."""
    X = rng.normal(size=(1000, 3)).astype(np.float32)
    X[rng.random(1000) < 0.97, 1] = NAN
    quantizer = BitwiseQuantizer(
        8, missing="code", init="quantile", batch_size=64, max_epochs=2, hidden_sizes=(8,), random_state=0
    ).fit(X, X[:, 0])
    assert np.isfinite(thresholds_of(quantizer)).all()


# -- rates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value", "packed"])
@pytest.mark.parametrize("missing", ["error", "code"])
def test_a_transformer_for_each_rate(data, encode, missing):
    X, y = pd.DataFrame(data[0], columns=["a", "b", "c"]), data[1]
    quantizer = BitwiseQuantizer(3, rates=(0, 1, 2), encode=encode, missing=missing, **QUICK)
    quantizer.set_output(transform="pandas").fit(X, y)
    finest, *coarser = quantizer.codebooks_
    assert [finest, *coarser] == [3, 2, 1, 0]
    pd.testing.assert_frame_equal(quantizer.at(finest).transform(X), quantizer.transform(X))
    for rate in coarser:
        made = quantizer.at(rate)
        assert made.codebook_ == quantizer.codebooks_[rate]
        assert made.encode == encode
        out = made.transform(X)
        assert isinstance(out, pd.DataFrame)
        assert list(out) == made.get_feature_names_out().tolist()
        codes = made.codebook_.encode(X)
        np.testing.assert_array_equal(made.inverse_transform(out), made.codebook_.decode(codes))
        again = clone(made).fit(X)
        assert [t.tolist() for t in again.thresholds_] == [t.tolist() for t in made.thresholds_]
    if missing == "code":
        made.transform(X.assign(a=NAN))  # nothing is measured at 0 bits


def test_a_transformer_of_a_rate_leaves_the_quantizer_alone(data):
    quantizer = BitwiseQuantizer(2, rates=(1,), **QUICK).fit(*data)
    made = quantizer.at(1).set_params(encode="value").set_output(transform="pandas")
    assert isinstance(made.transform(data[0]), pd.DataFrame)
    assert quantizer.encode == "ordinal"
    assert isinstance(quantizer.transform(data[0]), np.ndarray)


def test_rates_that_are_not_there(data):
    quantizer = BitwiseQuantizer(2, rates=(1,), **QUICK)
    with pytest.raises(NotFittedError):
        quantizer.at(1)
    with pytest.raises(ValueError, match=r"There is no rate 3: the rates of this model are \[2, 1\]"):
        quantizer.fit(*data).at(3)
    with pytest.raises(AttributeError, match="There is only one rate"):
        quantizer.set_params(rates=()).fit(*data).at(2)


def test_a_quantizer_with_rates_in_a_file(data, tmp_path):
    quantizer = BitwiseQuantizer(bit_budget=6, rates=(2, 4), **QUICK).fit(*data)
    save(quantizer, tmp_path / "quantizer")
    for copied in (load(tmp_path / "quantizer"), pickle.loads(pickle.dumps(quantizer))):
        assert copied.codebooks_ == quantizer.codebooks_
