"""Learning from chunks: equal to fit where that is promised, reproducible, and in constant memory."""

import pickle
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.utils.class_weight import compute_sample_weight
from skorch import NeuralNetClassifier
from torch.utils.data import DataLoader, TensorDataset

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
from skbsq.exceptions import PrecisionWarning

pytest.importorskip("datasketches")

NAN = float("nan")
TRAINING = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
LIKE_FIT = [
    BitwiseQuantizer(init="quantile", **TRAINING),
    BitwiseQuantizer(init="uniform", space="standard", **TRAINING),
    BitwiseQuantizer(init="kmeans", **TRAINING),
    BitwiseQuantizer(init=ThresholdQuantizer([-0.5, 0.5]), **TRAINING),
    SoftQuantizer(init="quantile", **TRAINING),
    BitwiseRegressor(init="quantile", **TRAINING),
    BitwiseRegressor(quantizer=SoftQuantizer(init="quantile"), **TRAINING),
    BitwiseRegressor(quantizer=QuantileQuantizer(), **TRAINING),
    BitwiseRegressor(quantizer=UniformQuantizer(levels="midpoint"), **TRAINING),
    BitwiseRegressor(quantizer="passthrough", **TRAINING),
    BitwiseClassifier(init="quantile", **TRAINING),
]
# One estimator per kind of layer and head.
KINDS = [
    BitwiseQuantizer(**TRAINING),
    BitwiseRegressor(quantizer=QuantileQuantizer(), **TRAINING),
    BitwiseClassifier(**TRAINING),
    LSQQuantizer(**TRAINING),
    LLTQuantizer(**TRAINING),
]
each_kind = pytest.mark.parametrize("estimator", KINDS, ids=str)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(240, 3))
    X[:, 2] = rng.integers(0, 4, size=240)
    return X, X[:, 0] + X[:, 1] ** 2


def target_for(estimator, y):
    return np.where(y > np.median(y), "high", "low") if is_classifier(estimator) else y


def in_chunks(n_chunks, *arrays):
    parts = np.array_split(np.arange(len(arrays[0])), n_chunks)
    return [tuple(a.iloc[rows] if isinstance(a, pd.DataFrame) else a[rows] for a in arrays) for rows in parts]


def output(estimator, X):
    if is_classifier(estimator):
        return estimator.predict_proba(X)
    return estimator.predict(X) if hasattr(estimator, "predict") else estimator.transform(X)


def assert_equal(one, other, X):
    """Compare to the last bit, including the whole net."""
    np.testing.assert_array_equal(output(one, X), output(other, X))
    for a, b in zip(one.net_.module_.state_dict().values(), other.net_.module_.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert one.history_["train_loss"].tolist() == other.history_["train_loss"].tolist()
    if getattr(one, "quantizer_", one) is not None:
        assert one.codebook_ == other.codebook_
    # Importances need all rows at once.
    assert vars(one).keys() - {"feature_importances_"} == vars(other).keys() - {"feature_importances_"}


# -- equal to fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", LIKE_FIT, ids=str)
@pytest.mark.parametrize(("missing", "weighted"), [("error", False), ("code", True)])
def test_a_single_chunk_gives_what_fit_gives(estimator, data, rng, missing, weighted):
    X, y = data
    if missing == "code":
        X[::9, 1] = NAN
    y = target_for(estimator, y)
    weights = [rng.integers(0, 3, size=240) * 0.7] if weighted else []
    estimator = clone(estimator).set_params(missing=missing)
    fitted = clone(estimator).fit(X, y, *weights)
    assert_equal(clone(estimator).fit_chunks([(X, y, *weights)]), fitted, X)


@pytest.mark.parametrize("estimator", [*LIKE_FIT, LSQQuantizer(**TRAINING)], ids=str)  # LLT draws its start at random
def test_start_levels_and_counts_are_those_of_fit(estimator, data):
    """With any number of chunks: without a training step, nothing depends on the order of the rows."""
    X, y = data
    y = target_for(estimator, y)
    estimator = clone(estimator).set_params(lr=1e-30, max_epochs=1)
    found, fitted = clone(estimator).fit_chunks(in_chunks(7, X, y)), clone(estimator).fit(X, y)
    for name in ("target_mean_", "target_scale_"):
        np.testing.assert_allclose(getattr(found, name), getattr(fitted, name), rtol=1e-12)
    if getattr(found, "quantizer_", found) is None:
        return
    for one, other in zip(found.thresholds_, fitted.thresholds_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(found.codebook_.levels, fitted.codebook_.levels, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [c.sum() for c in found.codebook_.counts or [np.array(240)] * 3] == [240] * 3


def test_levels_and_counts_are_exact_beyond_the_sketch(rng):
    X = rng.normal(size=(6000, 2))
    y = X[:, 0] * X[:, 1]
    found = BitwiseQuantizer(n_bits=3, **TRAINING).fit_chunks(in_chunks(5, X, y), sketch_size=100)
    codes = found.transform(X)
    for j in range(2):
        counts = np.bincount(codes[:, j], minlength=8)
        assert found.codebook_.counts[j].tolist() == counts.tolist()
        sums = np.bincount(codes[:, j], weights=X[:, j], minlength=8)
        np.testing.assert_allclose(found.codebook_.levels[j], sums / counts, rtol=1e-5)
    shares = [np.searchsorted(np.sort(X[:, j]), found.initial_thresholds_[j]) / 6000 for j in range(2)]
    np.testing.assert_allclose(shares, [np.arange(1, 8) / 8] * 2, atol=0.01)


@pytest.mark.parametrize("estimator", [BitwiseClassifier(**TRAINING), LLTQuantizer(**TRAINING)], ids=str)
def test_chunks_are_learned_as_well_as_all_rows_at_once(estimator, data):
    X, y = data
    y = target_for(estimator, y)
    estimator = clone(estimator).set_params(max_epochs=20, lr=0.01, hidden_sizes=(64,))
    loss, loss_of_fit = (
        fitted.history_["train_loss"].iloc[-1]
        for fitted in (clone(estimator).fit_chunks(in_chunks(4, X, y)), clone(estimator).fit(X, y))
    )
    assert loss < loss_of_fit + 0.2 < 0.8  # of a target of variance 1, or a coin of entropy 0.7


@each_kind
def test_fits_are_reproducible(estimator, rng):
    X = rng.normal(size=(900, 2))
    chunks = in_chunks(5, X, target_for(estimator, X[:, 0] * X[:, 1]))
    one, other = (clone(estimator).fit_chunks(chunks, sketch_size=20) for _ in range(2))
    assert_equal(one, other, X)
    assert_equal(pickle.loads(pickle.dumps(one)), other, X)


def test_random_state_and_order(data):
    X, y = data
    chunks = in_chunks(6, X, y)
    estimator = BitwiseRegressor(**TRAINING)
    sequence, stream = clone(estimator).fit_chunks(chunks), clone(estimator).fit_chunks(lambda: iter(chunks))
    other = clone(estimator).set_params(random_state=1).fit_chunks(chunks)
    assert len({tuple(e.history_["train_loss"]) for e in (sequence, stream, other)}) == 3


def test_chunks_of_a_sequence_are_shuffled_every_epoch(data):
    class Watched(list):
        seen = []

        def __getitem__(self, i):
            self.seen.append(i)
            return super().__getitem__(i)

    chunks = Watched(in_chunks(8, *data))
    BitwiseRegressor(**TRAINING).fit_chunks(chunks)
    epochs = [tuple(chunks.seen[i : i + 8]) for i in range(0, 24, 8)]
    assert len(chunks.seen) == 24
    assert all(sorted(order) == list(range(8)) for order in epochs)
    assert len({*epochs, tuple(range(8))}) == 4


# -- forms of chunks -------------------------------------------------------------------------------------------------


def test_a_function_and_an_iterable_give_the_same(data):
    class Chunks:
        def __iter__(self):
            yield from in_chunks(4, *data)

    estimator, X = BitwiseRegressor(**TRAINING), data[0]
    fitted = clone(estimator).fit_chunks(Chunks())
    assert_equal(clone(estimator).fit_chunks(lambda: iter(in_chunks(4, *data))), fitted, X)
    empty = [(data[0][:0], data[1][:0])]
    assert_equal(clone(estimator).fit_chunks(lambda: iter(empty + in_chunks(4, *data) + empty)), fitted, X)


def test_a_torch_dataset(data):
    X, y = (torch.from_numpy(a).float() for a in data)
    estimator = BitwiseRegressor(dropout=0, **TRAINING)  # a DataLoader draws a number from the generator of dropout
    by_loader = clone(estimator).fit_chunks(DataLoader(TensorDataset(X, y[:, None]), batch_size=100))
    by_hand = clone(estimator).fit_chunks(lambda: iter([(X[i : i + 100], y[i : i + 100]) for i in (0, 100, 200)]))
    assert_equal(by_loader, by_hand, data[0])
    assert by_loader.predict(data[0]).shape == (240,)


def test_a_folder_of_parquet(data, tmp_path):
    frame = pd.DataFrame(data[0], columns=["a", "b", "c"]).assign(y=data[1])
    for i, part in enumerate(np.array_split(np.arange(240), 3)):
        pa.parquet.write_table(pa.Table.from_pandas(frame.iloc[part]), tmp_path / f"{i}.parquet")
    rows = pa.dataset.dataset(tmp_path)
    estimator = BitwiseRegressor(**TRAINING)
    frames = lambda: (batch.to_pandas() for batch in rows.to_batches())  # noqa: E731
    found = clone(estimator).fit_chunks(lambda: ((part[["a", "b", "c"]], part["y"]) for part in frames()))
    by_hand = clone(estimator).fit_chunks(lambda: iter(in_chunks(3, frame[["a", "b", "c"]], data[1])))
    assert_equal(found, by_hand, frame[["a", "b", "c"]])
    assert found.codebook_.feature_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (3, "chunks must be an iterable of .* got 3"),
        (iter([]), "chunks is a list_iterator, which can be read only once"),
        ([], "At least 2 rows of positive weight are needed to learn thresholds, got 0"),
        ([([[0.0]], [1.0])], r"At least 2 rows .* got 1\."),
        ([np.zeros((3, 2))], r"Every chunk must be \(X, y\) or .* got a ndarray"),
        ([(1, 2, 3, 4)], "got a tuple of length 4"),
        ([(np.zeros((3, 2)), np.zeros(3)), (np.zeros((3, 1)), np.zeros(3))], "expecting 2 features"),
        ([(np.zeros((3, 2)), np.zeros(3)), (np.full((3, 2), NAN), np.zeros(3))], "NaN in feature 0"),
        ([(np.zeros((3, 2)), np.zeros(3)), (np.zeros((3, 2)), np.zeros((3, 2)))], "targets of another shape"),
        ([(np.zeros((3, 2)), np.zeros(2))], "inconsistent numbers of samples"),
        ([(np.zeros((3, 2)), np.zeros(3), [-1, 1, 1])], "must not be negative"),
    ],
)
def test_chunks_that_are_refused(chunks, message):
    estimator = BitwiseRegressor(**TRAINING)
    with pytest.raises(ValueError, match=message):
        estimator.fit_chunks(chunks)
    assert not hasattr(estimator, "n_features_in_")


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(2), "passthrough"], ids=str)
def test_missing_as_seen_in_any_chunk(data, quantizer):
    X, y = data
    X = X.copy()
    X[-1, 1] = NAN
    model = BitwiseRegressor(2, quantizer=quantizer, missing="seen", **TRAINING)
    model.fit_chunks(in_chunks(3, X, y), validation=(X[-9:], y[-9:]))
    if quantizer != "passthrough":
        assert model.codebook_.has_missing.tolist() == [False, True, False]
    model.predict(X)
    gaps = X.copy()
    gaps[4, 2] = NAN
    with pytest.raises(ValueError, match=r"NaN in feature 2 \(row 4\)"):
        model.predict(gaps)
    with pytest.raises(ValueError, match=r"X of validation contains NaN in feature 2 \(row 4\), and the first pass"):
        model.fit_chunks(in_chunks(3, X, y), validation=(gaps, y))
    passes = iter([X, gaps, gaps])
    with pytest.raises(ValueError, match=r"X of a chunk contains NaN in feature 2 \(row 4\), and the first pass"):
        model.fit_chunks(lambda: [(next(passes), y)])


@pytest.mark.parametrize("change", [-1, 1])
def test_passes_that_differ(data, change):
    X, y = data
    sizes = iter([200] * 2 + [200 + change])
    with pytest.raises(ValueError, match=r"held 200 rows in the first pass and .* in a later one"):
        BitwiseRegressor(**TRAINING).fit_chunks(lambda: [(X[: (n := next(sizes))], y[:n])])


def test_names_must_stay(data):
    frame = pd.DataFrame(data[0], columns=["a", "b", "c"])
    one, other = in_chunks(2, frame, data[1])
    with pytest.raises(ValueError, match="feature names"):
        BitwiseRegressor(**TRAINING).fit_chunks([one, (other[0].rename(columns={"a": "z"}), other[1])])


def test_precision_warning(rng):
    X = np.column_stack([1.7e9 + np.arange(60), rng.normal(size=60)])
    with pytest.warns(PrecisionWarning, match="features 0:") as caught:
        BitwiseRegressor(**TRAINING).fit_chunks(in_chunks(2, X, X[:, 1]))
    assert [w.filename for w in caught] == [__file__]


# -- targets and weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "task"), [(20, "classification"), (21, "regression")])
def test_task_of_integers_depends_on_all_chunks(rng, n, task):
    y = np.arange(84) % n
    chunks = in_chunks(21, rng.normal(size=(84, 2)), y)
    fitted = BitwiseQuantizer(**TRAINING).fit_chunks(chunks)
    assert fitted.task_ == task
    assert fitted.net_.module_.head[-1].out_features == (n if task == "classification" else 1)


def test_classes_of_all_chunks(rng):
    X = rng.normal(size=(90, 2))
    y = np.repeat(["c", "a", "b"], 30)  # one class per chunk
    fitted = BitwiseClassifier(**TRAINING).fit_chunks(in_chunks(3, X, y))
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="y holds one class only, 'c'"):
        BitwiseClassifier(**TRAINING).fit_chunks(in_chunks(3, X[:30], y[:30]))


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0, "b": 0.5, "c": 1.0}, {"a": 0.0, "b": 1.0, "c": 2.0}])
def test_class_weight(rng, class_weight):
    X, y = rng.normal(size=(90, 2)), np.repeat(["a", "b", "c"], [10, 30, 50])
    estimator = BitwiseClassifier(class_weight=class_weight, init="quantile", **TRAINING)
    assert_equal(clone(estimator).fit_chunks([(X, y)]), clone(estimator).fit(X, y), X)
    weights = compute_sample_weight(class_weight, y)
    by_weight = clone(estimator).set_params(class_weight=None).fit_chunks(in_chunks(3, X, y, weights))
    assert_equal(clone(estimator).fit_chunks(in_chunks(3, X, y)), by_weight, X)


def test_class_weight_that_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="makes no sense for a regression"):
        BitwiseQuantizer(class_weight="balanced", **TRAINING).fit_chunks([(X, y)])
    with pytest.raises(ValueError, match="not negative, got -1 for True"):
        BitwiseClassifier(class_weight={True: -1}, **TRAINING).fit_chunks([(X, y > 0)])


@each_kind
def test_zero_weight_is_a_removed_row(estimator, data, rng):
    X, y = data
    y = target_for(estimator, y)
    kept = rng.random(240) < 0.6
    kept[80:160] = False  # a whole chunk
    chunks = in_chunks(3, X, y, kept.astype(float))
    without = [(X[:80][kept[:80]], y[:80][kept[:80]]), (X[160:][kept[160:]], y[160:][kept[160:]])]
    found = clone(estimator).fit_chunks(lambda: iter(chunks))
    assert_equal(found, clone(estimator).fit_chunks(lambda: iter(without)), X)


def test_several_targets(data):
    X, y = data
    Y = np.column_stack([y, -3 * y + 1])
    estimator = BitwiseRegressor(init="quantile", **TRAINING)
    assert_equal(clone(estimator).fit_chunks([(X, Y)]), clone(estimator).fit(X, Y), X)
    found = clone(estimator).fit_chunks(in_chunks(4, X, Y))
    assert found.predict(X).shape == (240, 2)
    np.testing.assert_allclose(found.target_scale_, Y.std(axis=0))


# -- validation, and what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_rows(data, early_stopping):
    X, y = data
    estimator = BitwiseRegressor(
        **{**TRAINING, "max_epochs": 60, "lr": 0.05},
        early_stopping=early_stopping,
        lr_schedule="constant" if early_stopping else "one-cycle",
        patience=3,
    )
    found = estimator.fit_chunks(in_chunks(3, X[:180], y[:180]), validation=(X[180:], y[180:]))
    losses = found.history_["valid_loss"]
    if early_stopping:
        assert found.best_epoch_ == losses.idxmin() + 1 == len(losses) - 3
    else:
        assert found.best_epoch_ is None
        assert len(losses) == 60
    scaled = (np.column_stack([found.predict(X[180:]), y[180:]]) - found.target_mean_) / found.target_scale_
    best = losses.min() if early_stopping else losses.iloc[-1]
    assert np.mean((scaled[:, 0] - scaled[:, 1]) ** 2) == pytest.approx(best, rel=1e-4)


def test_validation_that_is_refused(data):
    X, y = data
    estimator = BitwiseClassifier(early_stopping=True, **TRAINING)
    with pytest.raises(ValueError, match=r"early_stopping of fit_chunks needs validation=\(X, y\)"):
        estimator.fit_chunks([(X, y > 0)])
    with pytest.raises(ValueError, match=r"validation must be \(X, y\) or .* got a ndarray"):
        estimator.fit_chunks([(X, y > 0)], validation=X)
    with pytest.raises(ValueError, match="The label 'third' in validation is in no chunk"):
        estimator.fit_chunks([(X, target_for(estimator, y))], validation=(X[:1], ["third"]))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (BitwiseRegressor(checkpoint="fit.safetensors"), "checkpoint is for fit"),
        (BitwiseRegressor(bit_budget=5), "bit_budget needs all rows in memory"),
        (BitwiseRegressor(quantizer=BitwiseQuantizer(bit_budget=5)), "bit_budget needs all rows in memory"),
        (BitwiseRegressor(init="tree"), "TreeQuantizer looks at all rows with their targets"),
        (BitwiseRegressor(init=TreeQuantizer()), "TreeQuantizer looks at all rows"),
        (BitwiseRegressor(quantizer=TreeQuantizer()), "TreeQuantizer looks at all rows"),
        (SoftQuantizer(init=QuantileQuantizer(quantile_method="linear")), "needs all rows at once"),
    ],
)
def test_what_needs_all_rows_at_once_is_refused(estimator, message):
    def never_read():
        raise AssertionError

    with pytest.raises(ValueError, match=message):
        estimator.fit_chunks(never_read)


def test_auto_starts_at_quantiles(data):
    found = BitwiseRegressor(**TRAINING).fit_chunks([data])
    assert found.quantizer_.init_ == "quantile"


@pytest.mark.parametrize("sketch_size", [9, 2**16, 10.0])
def test_sketch_size(data, sketch_size):
    with pytest.raises(ValueError, match="sketch_size must be an integer from 10 to 65535"):
        BitwiseRegressor(**TRAINING).fit_chunks([data], sketch_size=sketch_size)


def test_without_the_library(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(ImportError, match=r"pip install 'skbsq\[sketch\]'"):
        BitwiseRegressor(**TRAINING).fit_chunks([data])


def test_a_skorch_net(data):
    X, y = data

    def head(n_inputs, n_outputs):
        return torch.nn.Linear(n_inputs, n_outputs)

    net = NeuralNetClassifier(head, max_epochs=3, lr=0.1, criterion=torch.nn.CrossEntropyLoss)
    estimator = BitwiseClassifier(head=net, init="quantile", random_state=0)
    assert_equal(clone(estimator).fit_chunks([(X, y > 0)]), clone(estimator).fit(X, y > 0), X)
    assert clone(estimator).fit_chunks(in_chunks(3, X, y > 0)).n_iter_ == 3


@each_kind
def test_fit_after_chunks_is_a_fresh_fit(estimator, data):
    X, y = data
    y = target_for(estimator, y)
    used = clone(estimator).fit_chunks(in_chunks(3, X[:, :2], y))
    assert_equal(used.fit(X, y), clone(estimator).fit(X, y), X)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"n_bits": 2}, {"quantizer": KMeansQuantizer(2)}], ids=str)
def test_memory_does_not_grow_with_the_chunks(given):
    estimator = BitwiseRegressor(**given, batch_size=1000, max_epochs=1, hidden_sizes=(4,))

    def peak(n_chunks):
        def chunks():
            for seed in range(n_chunks):
                X = np.random.default_rng(seed).normal(size=(2000, 16)).astype(np.float32)
                yield X, X[:, 0].astype(np.float64)

        tracemalloc.start()
        try:
            clone(estimator).fit_chunks(chunks, sketch_size=100)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(8) < peak(3) + 2000 * 16 * 4
