"""Nested rates: which thresholds they keep, what their first layers read, and what is refused."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import make_friedman1
from skorch import NeuralNet
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    Codebook,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
)
from skbsq.training import Bits, Learner, Recipe, Rows, RuleStart, learn_rates
from skbsq.training.rates import Rate, check_rates, rate_of

QUICK = {"max_epochs": 3, "hidden_sizes": (16,), "batch_size": 32, "random_state": 0}
NAN = float("nan")


@pytest.fixture(scope="module")
def friedman():
    X, y = make_friedman1(300, random_state=0)
    X[:, 3] = X[:, 3] > 0.5
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def nested(friedman):
    return BitwiseRegressor(5, rates=(1, 2, 3, 4), **QUICK).fit(*friedman)


def learned_of(X, y, n_bits=3, **recipe):
    rows = Rows(X, y, np.ones(len(y)), "regression")
    learner = Learner(rows, Recipe(**{"max_epochs": 3, "hidden_sizes": (16,), **recipe}), seed=0)
    return learner, learner.learn(Bits(), np.full(X.shape[1], n_bits), RuleStart("quantile"))


# -- thresholds --------------------------------------------------------------------------------------


def test_every_rate_is_nested_in_all_finer_ones(nested):
    books = nested.codebooks_
    assert list(books) == [5, 4, 3, 2, 1]
    assert books[5] == nested.codebook_
    for rate, book in books.items():
        assert book.n_bits.max() == rate
        assert all(book.is_refinement_of(books[lower]) for lower in range(1, rate))
    assert [book.n_bits[3] for book in books.values()] == [1] * 5  # two values


def test_the_finest_rate_is_the_fit_without_rates(friedman, nested):
    alone = BitwiseRegressor(5, **QUICK).fit(*friedman)
    assert not hasattr(alone, "rates_")
    assert nested.codebook_ == alone.codebook_
    for rate in (None, 5):
        assert nested.predict(friedman[0], rate=rate).tobytes() == alone.predict(friedman[0]).tobytes()


def test_bits_of_each_feature_rise_with_the_budget(friedman):
    rates = (0, 4, 9, 12)
    quantizer = BitwiseQuantizer(bit_budget=20, rates=rates, **QUICK).fit(*friedman)
    books = quantizer.codebooks_
    assert list(books) == [20, 12, 9, 4, 0]
    assert all(book.row_bits <= rate for rate, book in books.items())
    assert [books[rate].row_bits for rate in (12, 9, 4, 0)] == [12, 9, 4, 0]
    n_bits = np.array([book.n_bits for book in books.values()])
    assert (np.diff(n_bits, axis=0) <= 0).all()
    assert all(books[20].is_refinement_of(book) for book in books.values())


def test_levels_of_a_rate_are_means_of_its_rows(friedman, nested):
    X, book = friedman[0], nested.codebooks_[2]
    codes = book.encode(X)
    for j in range(X.shape[1]):
        means = [X[codes[:, j] == code, j].mean(dtype=float) for code in range(book.n_levels[j])]
        np.testing.assert_allclose(book.levels[j], means, rtol=1e-6)
        assert book.counts[j].tolist() == np.bincount(codes[:, j]).tolist()


@pytest.mark.parametrize(
    "given",
    [{"space": "standard"}, {"forward": "hard"}, {"level_inputs": False}, {"init": "uniform"}, {"bit_budget": 25}],
    ids=str,
)
def test_few_bits_are_learned_as_the_estimator_says(friedman, monkeypatch, given):
    learned, learn = [], Learner.learn

    def recorded(learner, kind, n_bits, start=None):
        learned.append((kind, n_bits.max(), start))
        return learn(learner, kind, n_bits, start)

    monkeypatch.setattr(Learner, "learn", recorded)
    BitwiseQuantizer(3, rates=(1,), **given, **QUICK).fit(*friedman)
    (kind, _, start), (narrow_kind, narrow_bits, narrow_start) = learned[0], learned[-1]
    assert (narrow_kind, narrow_bits, narrow_start) == (kind, 1, start)


def test_fewer_bits_start_from_what_remains_of_few_bits(friedman, monkeypatch):
    learned, learn = [], Learner.learn

    def recorded(learner, kind, n_bits, start=None):
        learned.append((n_bits.max(), start, learn(learner, kind, n_bits, start)))
        return learned[-1][2]

    monkeypatch.setattr(Learner, "learn", recorded)
    BitwiseQuantizer(3, rates=(1, 2), **QUICK).fit(*friedman)
    assert [n_bits for n_bits, *_ in learned] == [3, 2, 1]
    two, one = learned[1:]
    assert [t.size for t in one[1].given] == [1] * 10
    assert all(np.isin(t, before).all() for t, before in zip(one[1].given, two[2].codebook.thresholds, strict=True))


def test_given_thresholds_are_not_those_of_few_bits(friedman):
    X, y = friedman
    start = ThresholdQuantizer(QuantileQuantizer(3).fit(X).thresholds_)
    quantizer = BitwiseQuantizer(3, rates=(1,), init=start, **QUICK).fit(X, y)
    assert quantizer.codebooks_[1].n_bits.tolist() == [1] * X.shape[1]


# -- first layers ------------------------------------------------------------------------------------


def untuned(module, scaling, epochs, **_):
    return NeuralNet(module, nn.MSELoss).initialize()


def sums_of(rate, X):
    """Output of the first layer, and its table of each feature."""
    table, _ = rate.module.first_table()
    *tables, (bias,) = np.split(table.numpy(), np.cumsum(rate.codebook.n_levels))
    codes = rate.codebook.encode(X)
    return bias + sum(table[codes[:, j]] for j, table in enumerate(tables)), tables, bias


def test_untuned_first_layer_reads_mean_rows_of_the_table(friedman, monkeypatch):
    """Against a slow reference: a coarse code reads the mean of the fine one over the training rows that have it."""
    X, y = friedman
    learner, learned = learned_of(X, y)
    monkeypatch.setattr(learner, "tune", untuned)
    (coarse,) = learn_rates(learner, learned, [1]).values()
    _, tables, bias = sums_of(Rate(learned.codebook, learned.net.module_), X)
    fine_codes, codes = learned.codebook.encode(X), coarse.codebook.encode(X)
    expected = np.tile(bias, (len(X), 1))
    for j, table in enumerate(tables):
        for code in range(coarse.codebook.n_levels[j]):
            has_code = codes[:, j] == code
            expected[has_code] += table[fine_codes[has_code, j]].mean(axis=0)
    np.testing.assert_allclose(sums_of(coarse, X)[0], expected, atol=1e-5)


def test_tuning_lowers_the_training_loss(friedman, monkeypatch):
    X, y = friedman
    learner, learned = learned_of(X, y, max_epochs=20)
    tuned = learn_rates(learner, learned, [1])[1]
    monkeypatch.setattr(learner, "tune", untuned)
    start = learn_rates(learner, learned, [1])[1]
    assert tuned.codebook == start.codebook
    target = learner.rows.tensors(learned.target_mean, learned.target_scale).y
    with torch.inference_mode():
        tuned_loss, start_loss = (
            nn.functional.mse_loss(rate.module(torch.from_numpy(X)), target).item() for rate in (tuned, start)
        )
    assert tuned_loss < start_loss


def test_layers_behind_the_first_are_shared(nested):
    heads = [found.module.head for found in nested.rates_.values()]
    for head in heads:
        assert list(head)[1:] == list(nested.head_)[1:]
        assert not head.training
    assert len({id(head[0]) for head in heads}) == 5


def test_equal_codebooks_give_equal_predictions(rng):
    X = rng.integers(0, 2, (100, 3)).astype(np.float32)
    nested = BitwiseRegressor(4, rates=(0, 1, 2), **QUICK).fit(X, X.sum(axis=1))
    assert nested.codebooks_[1] == nested.codebooks_[2] == nested.codebook_
    for rate in (1, 2):
        assert_array_equal(nested.predict(X, rate=rate), nested.predict(X))
    assert np.ptp(nested.predict(X, rate=0)) == 0


def with_norm(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs))


def test_running_statistics_stay(friedman):
    X, y = friedman
    fits = [BitwiseRegressor(3, rates=rates, head=with_norm, **QUICK).fit(X, y) for rates in ((), (1,))]
    for one, other in zip(fits[0].head_.state_dict().values(), fits[1].head_.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert fits[1].score(X, y, rate=1) > fits[1].score(X, y) - 0.3


def test_held_out_rows_are_never_trained_on(friedman, monkeypatch):
    sizes, train_net = [], Learner._train_net

    def counted(learner, module, training, *args, **kwargs):
        sizes.append(len(training))
        return train_net(learner, module, training, *args, **kwargs)

    monkeypatch.setattr(Learner, "_train_net", counted)
    BitwiseRegressor(3, rates=(1, 2), early_stopping=True, validation_fraction=0.2, **QUICK).fit(*friedman)
    assert set(sizes) == {240}


def test_two_fits_are_equal(friedman, nested):
    again = BitwiseRegressor(5, rates=[4, 3, 2, 1], **QUICK).fit(*friedman)
    assert again.codebooks_ == nested.codebooks_
    for rate in again.codebooks_:
        assert_array_equal(again.predict(friedman[0], rate=rate), nested.predict(friedman[0], rate=rate))


# -- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [(4,), (5,), (-1,), (True,), (1.0,), ("1",), ([1],)], ids=str)
def test_rates_that_are_refused(rates):
    with pytest.raises(ValueError, match="rates must be integers from 0 to below the bits of the finest codebook, 4"):
        check_rates(rates, 4)


def test_rates_that_are_taken():
    assert check_rates(np.array([1, 3]), 4) == [3, 1]
    assert check_rates((), 0) == []
    with pytest.raises(ValueError, match="rates holds 2 twice"):
        check_rates((2, 1, np.int64(2)), 4)


@pytest.mark.parametrize("rate", [3, True, 1.0, "1", None, [1]], ids=repr)
def test_unknown_rate(rate):
    with pytest.raises(ValueError, match=r"There is no rate .*: the rates of this model are \[2, 1\]"):
        rate_of({2: "fine", 1: "coarse"}, rate)
    assert rate_of({2: "fine", 1: "coarse"}, np.int64(1)) == "coarse"


class Late(nn.Module):
    """Begins with something else than a linear layer."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.linear(x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rates": (2,)}, "below the bits of the finest codebook, 2: got 2"),
        ({"rates": (1, 1)}, "rates holds 1 twice"),
        ({"rates": (1,), "head": Late}, "rates need a head that begins with a linear layer"),
        ({"rates": (1,), "head": NeuralNet(Late, nn.MSELoss)}, "rates need a head that begins with a linear layer"),
        ({"rates": (9,), "bit_budget": 9}, "below the bits of the finest codebook, 9: got 9"),
        ({"rates": (1,), "bit_budget": 9, "head": Late}, "rates need a head that begins with a linear layer"),
        ({"rates": (2,), "quantizer": QuantileQuantizer(2)}, "below the bits of the finest codebook, 2: got 2"),
        ({"rates": (1,), "quantizer": QuantileQuantizer(2), "head": Late}, "begins with a linear layer"),
        ({"rates": (1,), "quantizer": "passthrough"}, "quantizer='passthrough'"),
        *(
            ({"rates": (1,), "quantizer": kind()}, f"quantizer={kind.__name__}")
            for kind in (SoftQuantizer, LSQQuantizer, LLTQuantizer)
        ),
        ({"rates": 1}, "'rates' parameter"),
    ],
    ids=str,
)
def test_refused_before_training(friedman, monkeypatch, given, message):
    monkeypatch.setattr(Learner, "_train_net", None)
    with pytest.raises(ValueError, match=message):
        BitwiseRegressor(**{"n_bits": 2, **QUICK, **given}).fit(*friedman)


@pytest.mark.parametrize(
    "estimator",
    [
        BitwiseQuantizer(rates=(1,)),
        BitwiseRegressor(rates=(1,)),
        BitwiseRegressor(rates=(1,), quantizer=QuantileQuantizer()),
        BitwiseRegressor(quantizer=BitwiseQuantizer(rates=(1,))),
        BitwiseClassifier(rates=(1,)),
    ],
    ids=str,
)
def test_chunks_are_refused(friedman, estimator):
    with pytest.raises(ValueError, match="rates need all rows in memory"):
        estimator.fit_chunks([friedman])


def test_given_codebooks_stay(friedman):
    """They need not be those that would be learned, and equal ones share a net."""
    learner, learned = learned_of(*friedman)
    fine = learned.codebook
    given = {2: fine.coarsened(2), 1: fine.coarsened(1), 0: fine.coarsened(1)}
    rates = learn_rates(learner, learned, [0, 2, 1], codebooks=given)
    assert {rate: found.codebook for rate, found in rates.items()} == given
    assert rates[1].module is rates[0].module is not rates[2].module
    thresholds, counts = fine.thresholds, fine.counts  # one threshold less, with as many bits
    thresholds[0], counts[0] = thresholds[0][:-1], np.append(counts[0][:-2], counts[0][-2:].sum())
    few = Codebook.from_thresholds(thresholds, counts=counts)
    assert (few.n_bits == fine.n_bits).all()
    (found,) = learn_rates(learner, learned, [1], codebooks={1: few}).values()
    assert found.codebook is few
    assert found.module.quantization.n_columns == few.n_columns
    given[0] = Codebook.from_thresholds([t[:1] for t in fine.thresholds])
    with pytest.raises(ValueError, match="The codebook of rate 0 is not nested in that of the rate before it"):
        learn_rates(learner, learned, [0, 2, 1], codebooks=given)


def test_given_codebooks_need_counts(friedman):
    learner, learned = learned_of(*friedman)
    book = Codebook.from_thresholds(learned.codebook.coarsened(1).thresholds)
    with pytest.raises(ValueError, match="The codebook of rate 1 has no counts"):
        learn_rates(learner, learned, [1], codebooks={1: book})


def test_chunks_are_refused_by_the_function(friedman):
    learner, learned = learned_of(*friedman)
    learner.rows = object()
    with pytest.raises(ValueError, match="rates need all rows in memory"):
        learn_rates(learner, learned, [1])
