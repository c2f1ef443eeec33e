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
    if way == "cheapest":
        found = surrogate.threshold_gradient(*problem, temperature)
    else:
        arguments = []
        if way == "series":
            middle, half = surrogate.felt_range(z, theta, temperature)
            arguments = [middle, half, surrogate.n_terms(half.max().item() / temperature, z.dtype)]
            if arguments[-1] > 1000:
                pytest.skip("nobody would expand in so many terms")
        found = getattr(surrogate, way)(*problem, temperature, *arguments) / -temperature
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
        assert (found[0] == 0).all()
        assert_close(found, slow(z, theta, weight, grad, temperature))


def test_the_cheapest_way_is_taken(problem, monkeypatch):
    taken = []
    for way in ("dense", "pairs", "series"):
        original = getattr(surrogate, way)
        monkeypatch.setattr(surrogate, way, lambda *a, way=way, original=original: taken.append(way) or original(*a))
    z, theta, weight, grad = problem
    z, grad = z.clamp(-3, 3).repeat(1, 10), grad.repeat(10, 1)
    for temperature in (1.0, 0.05, 1e-3):
        surrogate.threshold_gradient(z, theta, weight, grad, temperature)
    assert taken == ["series", "dense", "pairs"]
