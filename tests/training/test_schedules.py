import numpy as np
import pytest

from skbsq.training import temperature_at
from skbsq.training.schedules import SCHEDULES


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ends(schedule):
    assert temperature_at(0.0, schedule=schedule, start=2.0, end=0.5) == 2.0
    assert temperature_at(1.0, schedule=schedule, start=2.0, end=0.5) == pytest.approx(0.5)
    assert all(0.5 <= temperature_at(p, schedule=schedule, start=2.0, end=0.5) <= 2 for p in np.linspace(0, 1, 31))


@pytest.mark.parametrize(
    ("schedule", "progress", "temperature"),
    [
        ("exponential", 0.5, 0.1),
        ("linear", 0.25, 0.7525),
        ("cosine", 0.5, 0.505),
        ("warmup", 0.5, 1.0),
        ("warmup", 0.75, 0.505),
        ("cyclical", 1 / 3, 0.01),
        ("cyclical", 1 / 6, 0.505),
        ("cyclical", 2 / 3, 1.0),
        ("cyclical", 5 / 6, 0.505),
    ],
)
def test_by_hand(schedule, progress, temperature):
    assert temperature_at(progress, schedule=schedule, start=1.0, end=0.01) == pytest.approx(temperature)


def test_exponential_is_the_factor_of_the_paper():
    """tau is multiplied by f^(1 / epochs) after each epoch."""
    tau, f, epochs = 1.0, 1e-3, 7
    for epoch in range(epochs):
        assert temperature_at(epoch / epochs, start=1.0, end=f) == pytest.approx(tau)
        tau *= f ** (1 / epochs)


def test_unknown_schedule():
    with pytest.raises(ValueError, match=r"must be one of .*'cyclical'.*, got 'sawtooth'"):
        temperature_at(0.5, schedule="sawtooth")
