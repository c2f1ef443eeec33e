"""SoftQuantizer, LSQQuantizer and LLTQuantizer: what they do beyond the contract of all estimators."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbsq import LLTQuantizer, LSQQuantizer, SoftQuantizer

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
RIVALS = [
    SoftQuantizer(**QUICK),
    SoftQuantizer(learn_values=True, **QUICK),
    LSQQuantizer(**QUICK),
    LLTQuantizer(**QUICK),
    LLTQuantizer(granularity=4, **QUICK),
]
each = pytest.mark.parametrize("rival", RIVALS, ids=str)
NAN = float("nan")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(200, 3)).astype(np.float32)
    return X, X[:, 0] ** 2 + X[:, 1] + 0.1 * rng.normal(size=200)


@each
def test_training_loss_goes_down(rival, rng):
    X = rng.normal(size=(500, 3))
    y = np.abs(X[:, 0]) + X[:, 1]
    rival = clone(rival).set_params(n_bits=3, max_epochs=12, lr=0.01, hidden_sizes=(32,)).fit(X, y)
    loss = rival.history_["train_loss"]
    assert loss.iloc[-1] < 0.3 * loss.iloc[0]


@each
@pytest.mark.parametrize("n_bits", [2, 4, 8, [0, 2, 3]])
def test_each_code_has_the_value_that_the_head_reads(rival, n_bits, data):
    """The frozen net reads the value of each code, and its outputs for codes equal those for floats."""
    X, y = data
    quantizer = clone(rival).set_params(n_bits=n_bits).fit(X, y)
    widths = np.broadcast_to(n_bits, 3)
    assert (quantizer.n_bits_ <= widths).all()
    assert quantizer.n_levels_[2] > 2
    module = quantizer.net_.module_
    codes = torch.from_numpy(quantizer.transform(X).astype(np.int32))
    with torch.no_grad():
        values = module.quantization.from_codes(codes)
        assert torch.equal(module.quantization(torch.from_numpy(X)), values)
        assert torch.equal(module(torch.from_numpy(X)), module.from_codes(codes))
    assert values.shape == (200, 3)
    for j in range(3):
        assert len(np.unique(values[:, j])) <= quantizer.n_levels_[j]


@each
def test_missing_values_have_their_own_code(rival, data):
    X, y = data
    X[::7, 0] = NAN
    quantizer = clone(rival).set_params(n_bits=2, missing="code").fit(X, y)
    codes = quantizer.transform(X)
    assert (codes[::7, 0] == quantizer.n_levels_[0] - 1).all()
    assert (codes[1::7, 0] < quantizer.n_levels_[0] - 1).all()
    assert (quantizer.n_bits_ <= 2).all()
    assert quantizer.net_.module_.quantization(torch.from_numpy(X)).shape == (200, 6)


@each
def test_constant_features_cost_nothing(rival, data):
    X, y = data
    X[:, 1] = 5.0
    quantizer = clone(rival).set_params(n_bits=3).fit(X, y)
    assert quantizer.n_bits_[1] == 0
    assert quantizer.codebook_.levels[1].tolist() == [5.0]


def test_lsq_rejects_one_bit(data):
    with pytest.raises(ValueError, match="n_bits is 1 for feature 1: with 1 bit LSQ"):
        LSQQuantizer([2, 1, 2], **QUICK).fit(*data)


def test_lsq_takes_one_bit_for_constants_and_for_missing_indicators(data):
    X, y = data
    X[:, 1] = 5.0
    assert LSQQuantizer([2, 1, 2], **QUICK).fit(X, y).n_bits_[1] == 0
    X[::3, 1] = NAN
    assert LSQQuantizer([2, 1, 2], missing="code", **QUICK).fit(X, y).n_levels_[1] == 2


def test_too_many_thresholds(data):
    X, y = data
    for rival in (LSQQuantizer(16, **QUICK), LLTQuantizer(16, **QUICK)):
        with pytest.raises(ValueError, match="Lower n_bits"):
            rival.fit(np.column_stack([X, X]), y)


def test_one_bit(data):
    for rival in (SoftQuantizer(1, **QUICK), LLTQuantizer(1, **QUICK)):
        assert (rival.fit(*data).n_levels_ == 2).all()


def test_steps_start_as_in_the_paper(data):
    X, y = data
    quantizer = LSQQuantizer(4, threshold_lr_ratio=0.0, **QUICK).fit(X, y)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    step = 2 * np.abs(z).mean(axis=0) / np.sqrt(7) * X.std(axis=0)
    for t, s in zip(quantizer.thresholds_, step, strict=True):
        np.testing.assert_allclose(np.diff(t), s, rtol=1e-4)


def test_tables_start_uniform(data):
    X, y = data
    quantizer = LLTQuantizer(3, threshold_lr_ratio=0.0, **{**QUICK, "batch_size": len(X)}).fit(X, y)
    step = 3 * X.std(axis=0) / 3
    for t, s in zip(quantizer.thresholds_, step, strict=True):
        np.testing.assert_allclose(np.diff(t)[:2], s, rtol=1e-3)


def test_tables_start_over_the_bulk_of_a_feature(data):
    """The scale reaches a far row only if this row is among those drawn, as many as a batch has."""
    X, y = data
    X = X.copy()
    X[0, 0] = 1e4
    for seed, far_is_drawn in ((0, False), (1, True)):
        quantizer = LLTQuantizer(
            3, threshold_lr_ratio=0.0, max_epochs=1, hidden_sizes=(8,), batch_size=len(X) // 2, random_state=seed
        ).fit(X, y)
        step = np.diff(quantizer.thresholds_[0])[0] / np.delete(X[:, 0], 0).std()
        assert (step > 1.3) == far_is_drawn


def test_granularity_is_checked(data):
    with pytest.raises(ValueError, match="granularity"):
        LLTQuantizer(2, granularity=0, **QUICK).fit(*data)
