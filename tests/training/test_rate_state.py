"""Rates as plain values, and states that are refused."""

import copy

import numpy as np
import pytest

from skbsq import BitwiseRegressor, Codebook
from skbsq.training.rate_state import rates_from, rates_state


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).astype(np.float32)
    X[:, 2] = X[:, 2] > 0
    estimator = BitwiseRegressor(3, rates=(0, 1, 2), max_epochs=2, hidden_sizes=(5,), random_state=0)
    return estimator.fit(X, X.sum(axis=1))


def rebuilt(states, fitted):
    return rates_from(states, fitted.codebook_, fitted.net_.module_)


def test_there_and_back(fitted):
    states = rates_state(fitted.rates_)
    assert states[0] == {"rate": 3}
    assert [state["rate"] for state in states] == [3, 2, 1, 0]
    found = rebuilt(states, fitted)
    assert found[3].module is fitted.net_.module_
    for rate, expected in fitted.rates_.items():
        assert found[rate].codebook == expected.codebook
        assert np.array_equal(found[rate].module.first_table()[0], expected.module.first_table()[0])
        assert list(found[rate].module.head)[1:] == list(fitted.head_)[1:]


def test_an_equal_rate_has_no_state_of_its_own(fitted):
    rates = {3: fitted.rates_[3], 2: fitted.rates_[3], 1: fitted.rates_[1], 0: fitted.rates_[1]}
    states = rates_state(rates)
    assert [sorted(state) for state in states] == [["rate"], ["rate"], ["bias", "codebook", "rate", "weight"], ["rate"]]
    found = rebuilt(states, fitted)
    assert found[2] is found[3]
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda states: None, "must be a list"),
        (lambda states: [], "must be a list"),
        (lambda states: tuple(states), "must be a list"),
        (lambda states: [3, *states[1:]], "a rate"),
        (lambda states: [states[1], *states[1:]], "a rate"),
        (lambda states: [states[0], states[0]], "must be integers that fall, got 3"),
        (lambda states: [states[0], states[2], states[1]], "must be integers that fall, got 2"),
        (lambda states: [{"rate": True}], "must be integers that fall, got True"),
        (lambda states: [{"rate": -1}], "must be integers that fall, got -1"),
        (lambda states: [{"rate": 3.0}], "must be integers that fall, got 3.0"),
        (lambda states: [{}], "a rate"),
        (lambda states: [states[0], {**states[1], "more": 1}], "a rate"),
        (lambda states: [states[0], {"rate": 2, "codebook": states[1]["codebook"]}], "a rate"),
    ],
)
def test_lists_that_are_refused(fitted, change, message):
    with pytest.raises(ValueError, match=message):
        rebuilt(change(rates_state(fitted.rates_)), fitted)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("codebook", None, "codebook of rate 1 does not belong to this model"),
        ("codebook", Codebook.from_thresholds([[0.123], [], []]), "codebook of rate 1 does not belong to this model"),
        ("codebook", Codebook.from_thresholds([[], []]), "codebook of rate 1 does not belong to this model"),
        ("codebook", Codebook.from_thresholds([[], [], []]), "weights of rate 1 must be float32 of shape"),
        ("weight", None, "weights of rate 1 must be an array"),
        ("weight", np.zeros((5, 2), dtype=np.float32), "weights of rate 1 must be float32 of shape"),
        ("weight", np.zeros((5, 3)), "weights of rate 1 must be float32 of shape"),
        ("weight", np.full((5, 3), np.nan, dtype=np.float32), "weights of rate 1 must be finite"),
        ("bias", None, "bias of rate 1 must be an array"),
        ("bias", np.zeros(4, dtype=np.float32), "bias of rate 1 must be float32 of shape"),
    ],
)
def test_parts_that_are_refused(fitted, key, value, message):
    states = rates_state(fitted.rates_)
    states[2] = {**states[2], key: value}
    with pytest.raises(ValueError, match=message):
        rebuilt(states, fitted)


@pytest.mark.parametrize("state", [[], [{"rate": 3}, 2]], ids=str)
def test_an_estimator_with_a_corrupt_state_is_refused(fitted, state):
    attributes = fitted.quantizer_.__getstate__()
    with pytest.raises(ValueError, match=r"rates|a rate"):
        copy.copy(fitted.quantizer_).__setstate__({**attributes, "rates_": state})
