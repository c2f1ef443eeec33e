"""The table of bits and scores of a search."""

import numpy as np
import pytest

from skbsq.model_selection import fewest_bits, rate_distortion
from tests.model_selection.results import SCORES, results, results_of_rates


def test_table():
    table = rate_distortion(results(SCORES, [32, 8, 16, 16], params=[{"n_bits": b, "score": 1} for b in (4, 1, 2, 3)]))
    assert table.columns.tolist() == [
        *("candidate", "row_bits", "score", "std", "sem", "frontier", "n_bits", "param_score"),
    ]
    assert table["candidate"].tolist() == [1, 3, 2, 0]
    assert table["row_bits"].tolist() == [8, 16, 16, 32]
    np.testing.assert_allclose(table["score"], [0.8, 0.9, 0.85, 0.2])
    np.testing.assert_allclose(table["std"], [0.1, 0.1, 0.02, 0.1])
    np.testing.assert_allclose(table["sem"], table["std"] / np.sqrt(3))
    assert table["frontier"].tolist() == [True, True, False, False]
    assert table["n_bits"].tolist() == [1, 3, 2, 4]


def test_scores_by_name():
    several = {**results(SCORES, [1, 2, 3, 4]), "mean_test_r2": np.arange(4.0), "split0_test_r2": np.arange(4.0)}
    assert rate_distortion(several, score="r2")["score"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"2 scores besides row_bits, \['score', 'r2'\]: name one"):
        rate_distortion(several)
    with pytest.raises(ValueError, match="no score 'mse'"):
        fewest_bits(score="mse")(several)


def test_splits_of_a_score_whose_name_ends_like_another():
    several = results([[0.5, 0.7]], [1], params=[{}])
    several |= {"mean_test_x_test_score": np.ones(1), "split0_test_x_test_score": np.full(1, 9.0)}
    assert rate_distortion(several, score="score")["std"].item() == pytest.approx(np.sqrt(0.02))


def test_table_of_rates():
    """By hand: a row per candidate and rate."""
    found = results_of_rates(
        {1: [[0.1, 0.3], [0.4, 0.6]], 4: [[0.9, 0.7], [0.6, 0.6]]},
        {1: [9, 10], 4: [36, 40]},
        params=[{"lr": 0.1, "rate": "a"}, {"lr": 0.2, "rate": "b"}],
    )
    table = rate_distortion(found)
    assert table.columns.tolist() == [
        *("candidate", "rate", "row_bits", "score", "std", "sem", "frontier", "lr", "param_rate"),
    ]
    assert table["candidate"].tolist() == [0, 1, 0, 1]
    assert table["rate"].tolist() == [1, 1, 4, 4]
    assert table["row_bits"].tolist() == [9, 10, 36, 40]
    np.testing.assert_allclose(table["score"], [0.2, 0.5, 0.8, 0.6])
    np.testing.assert_allclose(table["std"], np.sqrt([0.02, 0.02, 0.02, 0]))
    np.testing.assert_allclose(table["sem"], table["std"] / np.sqrt(2))
    assert table["frontier"].tolist() == [True, True, True, False]
    assert table["lr"].tolist() == [0.1, 0.2, 0.1, 0.2]
    assert table["param_rate"].tolist() == ["a", "b", "a", "b"]


def test_scores_of_rates_by_name():
    one, two = ({1: [[s, s]], 12: [[s, s]]} for s in (0.5, 0.6))
    bits = {1: [10], 12: [120]}
    several = results_of_rates(one, bits)
    several |= {key.replace("r2", "x_at_3"): value for key, value in results_of_rates(two, bits).items()}
    assert rate_distortion(several, score="r2")["score"].tolist() == [0.5, 0.5]
    assert rate_distortion(several, score="x_at_3")["score"].tolist() == [0.6, 0.6]
    with pytest.raises(ValueError, match=r"2 scores besides row_bits, \['r2', 'x_at_3'\]: name one"):
        rate_distortion(several)
    with pytest.raises(ValueError, match="no score 'r2_at_1'"):
        rate_distortion(several, score="r2_at_1")


def test_a_name_that_ends_like_a_rate_means_nothing_without_all_rates():
    plain = results(SCORES, [1, 2, 3, 4])
    table = rate_distortion({key.replace("test_score", "test_score_at_4"): value for key, value in plain.items()})
    assert table.equals(rate_distortion(plain))
