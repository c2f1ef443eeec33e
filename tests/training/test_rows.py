"""Checked training rows of learned quantizers and predictors."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbsq import BitwiseRegressor
from skbsq.training.rows import Rows, read_rows
from tests import reference

NAN = float("nan")


def rows_of(X, weights):
    return Rows(X, np.zeros(len(X)), weights, "regression", None, None)


@given(
    X=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=st.integers(-5, 5) | st.just(NAN)
    ),
    data=st.data(),
)
def test_moments_equal_reference(X, data):
    weights = data.draw(hnp.arrays(np.float64, len(X), elements=st.floats(0.125, 1)))
    found = rows_of(X, weights).moments()
    np.testing.assert_allclose(found, reference.moments(X.tolist(), weights.tolist()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e30, -1e-30])
def test_moments_of_a_constant_are_exact(value):
    X = np.full((7, 1), value, dtype=np.float32)
    mean, scale = rows_of(X, np.linspace(0.1, 0.9, 7)).moments()
    assert mean.tolist() == X[0].tolist()
    assert scale.tolist() == [1.0]


def checked(X, weights=None):
    return read_rows(BitwiseRegressor(), X, np.arange(len(X), dtype=float), weights, "regression", "error", False, None)


def test_rows_are_copied_only_if_some_are_dropped():
    X = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    assert np.shares_memory(checked(X).X, X)
    assert not np.shares_memory(checked(X, np.arange(10.0)).X, X)


def test_rows_that_are_read_only_are_not_copied_for_torch():
    X = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    X.flags.writeable = False
    for form in (X, np.asfortranarray(X)):
        tensor = checked(form).tensors(np.zeros(1), np.ones(1)).x
        np.testing.assert_array_equal(tensor.numpy(), X)
        assert tensor.is_contiguous()
        assert (tensor.data_ptr() == X.ctypes.data) == (form is X)
    assert not X.flags.writeable


def test_rows_live_as_long_as_their_tensor():
    X = np.ones((1000, 300), dtype=np.float32)
    X.flags.writeable = False
    gone = weakref.ref(X)
    tensor = checked(X).tensors(np.zeros(1), np.ones(1)).x
    del X
    gc.collect()
    assert gone() is not None
    assert tensor.sum() == 300_000
    del tensor
    gc.collect()
    assert gone() is None
