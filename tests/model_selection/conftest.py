"""The rows that the tests of this folder share."""

import pytest
from sklearn.datasets import make_friedman1


@pytest.fixture(scope="session")
def data():
    return make_friedman1(120, random_state=0)
