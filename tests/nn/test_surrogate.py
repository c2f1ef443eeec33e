import math

import numpy as np
import pytest
import torch

from skbsq.nn import surrogate

FAR = torch.finfo(torch.float32).max


def slow(z, theta, weight, grad, temperature):
    """The sum of `skbsq.nn.surrogate`, pair by pair, in float64."""
    z, theta, weight, grad = (tensor.double() for tensor in (z, theta, weight, grad))
    soft = torch.sigmoid((z[:, None, :] - theta[:, :, None]) / temperature)
    slope = soft * (1 - soft)
    return (slope * torch.einsum("fmu,nu->fmn", weight, grad)).sum(2) / -temperature


@pytest.fixture
def problem(rng):
    f, m, n, units = 3, 8, 40, 5
    z = rng.normal(size=(f, n))
    z[0, 3] = -np.inf  # missing
    z[1, :2] = [60.0, -60.0]
    theta = np.sort(rng.normal(size=(f, m)))
    theta[:, 0] = theta[2, -3:] = FAR  # slots without a threshold
    arrays = z, theta, rng.normal(size=(f, m, units)), rng.normal(size=(n, units))
    return [torch.tensor(array.astype(np.float32)) for array in arrays]


def assert_close(found, expected):
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * expected.abs().max())


@pytest.mark.parametrize("temperature", [3.0, 1.0, 0.1, 0.01, 1e-3])
@pytest.mark.parametrize("way", ["dense", "pairs", "series", "cheapest"])
def test_every_way_gives_the_same_sum(way, temperature, problem):
    z, theta, *_ = problem
    middle, half = surrogate.felt_range(z, theta, temperature)
    if way == "series" and surrogate.n_terms(half / temperature).max() > 1000:
        pytest.skip("nobody would expand in so many terms")
    if way == "cheapest":
        found = surrogate.threshold_gradient(*problem, temperature)
    else:
        felt = (middle, half) if way == "series" else ()
        found = getattr(surrogate, way)(*problem, temperature, *felt) / -temperature
    assert_close(found, slow(*problem, temperature))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows(n, problem):
    z, theta, weight, grad = problem
    few = z[:, 1 : n + 1], theta, weight, grad[1 : n + 1]
    for temperature in (1.0, 0.01):
        assert_close(surrogate.threshold_gradient(*few, temperature), slow(*few, temperature))


def test_values_that_are_all_missing(problem):
    z, theta, weight, grad = problem
    z[0] = -torch.inf
    for temperature in (1.0, 0.01):
        found = surrogate.threshold_gradient(z, theta, weight, grad, temperature)
        assert found[0].abs().max() < 1e-20
        assert_close(found, slow(z, theta, weight, grad, temperature))


def test_each_feature_takes_its_cheapest_way(rng, monkeypatch):
    """Narrow, far apart, and in between."""
    taken = {}
    for way in ("dense", "pairs", "series"):

        def spy(z, *rest, way=way, original=getattr(surrogate, way)):
            taken[way] = z.std(1).tolist()
            return original(z, *rest)

        monkeypatch.setattr(surrogate, way, spy)
    z = torch.tensor(rng.normal(size=(3, 400)).astype(np.float32)) * torch.tensor([[1.0], [1000.0], [30.0]])
    problem = z, z[:, :200].clone(), torch.randn(3, 200, 4), torch.randn(400, 4)
    found = surrogate.threshold_gradient(*problem, 1.0)
    assert {way: round(math.log10(spread[0])) for way, spread in taken.items()} == {"series": 0, "pairs": 3, "dense": 1}
    assert_close(found, slow(*problem, 1.0))


def test_a_few_features_at_a_time(problem, monkeypatch):
    monkeypatch.setattr(surrogate, "_ARRAY_SIZE", 1)
    assert_close(surrogate.threshold_gradient(*problem, 0.1), slow(*problem, 0.1))


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_series_of_a_feature_that_is_all_missing(temperature, rng):
    """Its middle was NaN, and with it the gradients of every feature beside it."""
    z = torch.tensor(rng.normal(size=(2, 256)).astype(np.float32))
    z[0] = -torch.inf
    problem = z, torch.randn(2, 64), torch.randn(2, 64, 4), torch.randn(256, 4)
    found = surrogate.threshold_gradient(*problem, temperature)
    assert found[0].abs().max() < 1e-20
    assert_close(found, slow(*problem, temperature))


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_series_keeps_the_rows_at_the_ends(temperature, rng):
    """Rounding put the smallest or largest row outside the interval, and it was lost."""
    for _ in range(20):
        z = torch.tensor(rng.lognormal(size=(3, 256)).astype(np.float32)) + 5
        grad = torch.zeros(256, 4)
        grad[z[0].argmax()] = grad[z[0].argmin()] = 1.0  # these rows alone
        problem = z, z[:, :64].clone(), torch.randn(3, 64, 4), grad
        assert_close(surrogate.threshold_gradient(*problem, temperature), slow(*problem, temperature))
