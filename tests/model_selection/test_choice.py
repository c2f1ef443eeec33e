"""The choice of the fewest bits among the candidates of a search, and of a rate."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseRegressor, QuantileQuantizer
from skbsq.model_selection import best_rate, fewest_bits, rate_distortion, row_bits
from tests.model_selection.results import SCORES, results, results_of_rates

QUICK = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}

# Candidate 1 at rate 4 is the best: 0.9 with a standard error of 0.1 / sqrt(3) = 0.0577.
AT_RATES = results_of_rates(
    {1: [[0.3, 0.3, 0.3], [0.4, 0.4, 0.4]], 2: [[0.85, 0.85, 0.85], [0.7, 0.7, 0.7]], 4: [[0.6] * 3, [0.8, 0.9, 1.0]]},
    {1: [9, 10], 2: [18, 20], 4: [36, 40]},
)


def test_within_one_standard_error():
    assert fewest_bits("1se")(results(SCORES, [8, 16, 24, 32])) == 2
    assert fewest_bits()(results(SCORES)) == 2


@pytest.mark.parametrize(("fraction", "picked"), [(0.0, 3), (0.05, 3), (0.06, 2), (0.12, 1), (0.7, 1), (0.78, 0)])
def test_within_a_fraction(fraction, picked):
    assert fewest_bits(fraction)(results(SCORES, [8, 16, 24, 32])) == picked


def test_fraction_of_a_negative_score():
    scores = [[-1.2], [-1.09], [-1.0]]
    assert fewest_bits(0.1)(results(scores, [1, 2, 3])) == 1
    assert fewest_bits(0.2)(results(scores, [1, 2, 3])) == 0


def test_fitted_bits_count_and_not_the_order_of_candidates():
    assert fewest_bits(0.0)(results([[0.5], [0.9], [0.9]], [8, 24, 16])) == 2
    # Among equal bits the better score wins.
    assert fewest_bits(0.5)(results([[0.7], [0.9], [0.8]], [8, 8, 8])) == 1


def test_failed_candidates_are_passed_over():
    assert fewest_bits(1.0)(results([[np.nan], [0.9], [0.9]], [8, 16, 24])) == 1
    with pytest.raises(ValueError, match="No candidate has a score"):
        fewest_bits()(results([[np.nan], [np.nan]], [8, 16]))


def test_one_split_has_no_standard_error():
    assert fewest_bits("1se")(results([[0.8], [0.9]], [8, 16])) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([{"alpha": 1}, {"alpha": 2}], "n_bits or bit_budget if the search varies one of these, but it varies none"),
        ([{"n_bits": 1, "bit_budget": 9}, {"n_bits": 2, "bit_budget": 8}], r"varies 2 of them \(bit_budget, n_bits\)"),
        ([{"q__n_bits": 1}, {"q__n_bits": None}], "q__n_bits=None is not a whole number"),
        ([{"n_bits": [1, 2]}, {"n_bits": [2, 1]}], r"n_bits=\[1, 2\] is not a whole number"),
    ],
)
def test_without_an_order_of_bits_the_message_names_the_way_out(params, message):
    with pytest.raises(ValueError, match=message) as caught:
        fewest_bits()(results([[0.8], [0.9]], params=params))
    assert 'scoring={"score": ..., "row_bits": row_bits}' in str(caught.value)
    assert fewest_bits(1.0)(results([[0.8], [0.9]], [8, 4], params=params)) == 1


def test_one_varying_parameter_is_enough():
    params = [{"a__n_bits": 4, "b__n_bits": b, "alpha": 1} for b in (3, 2, 1)]
    assert fewest_bits(1.0)(results([[0.9], [0.8], [0.7]], params=params)) == 2


@pytest.mark.parametrize("tolerance", ["2se", -0.1, True, None, np.inf, np.nan])
def test_tolerance_is_checked(tolerance):
    with pytest.raises(ValueError, match='tolerance must be "1se" or a fraction'):
        fewest_bits(tolerance)


# -- rates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tolerance", "candidate", "rate"),
    [("1se", 0, 2), (0.0, 1, 4), (0.06, 0, 2), (0.5, 0, 2), (0.56, 1, 1), (0.7, 0, 1)],
)
def test_each_rate_of_a_candidate_competes(tolerance, candidate, rate):
    assert fewest_bits(tolerance)(AT_RATES) == candidate
    assert best_rate(AT_RATES, tolerance) == rate
    assert best_rate(AT_RATES, tolerance, score="r2") == rate


def test_the_rate_of_a_candidate_that_failed_is_passed_over():
    failed = results_of_rates({1: [[np.nan], [0.5]], 2: [[np.nan], [0.8]]}, {1: [np.nan, 10], 2: [np.nan, 20]})
    assert (fewest_bits(0.5)(failed), best_rate(failed, 0.5)) == (1, 1)
    assert (fewest_bits()(failed), best_rate(failed)) == (1, 2)
    with pytest.raises(ValueError, match="No candidate has a score"):
        best_rate(results_of_rates({1: [[np.nan]]}, {1: [np.nan]}))


def test_best_rate_needs_rates():
    with pytest.raises(ValueError, match=r"no scores of rates: search with scoring=all_rates\("):
        best_rate(results(SCORES, [8, 16, 24, 32]))
    with pytest.raises(ValueError, match='tolerance must be "1se"'):
        best_rate(AT_RATES, -1)


# -- real searches -----------------------------------------------------------------------------------


def test_grid_search_picks_the_best_of_the_good(data):
    grid = {"bitwiseregressor__n_bits": [1, 2, 3], "bitwiseregressor__hidden_sizes": [(4,), (8,)]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), BitwiseRegressor(**QUICK)),
        grid,
        scoring={"score": "r2", "row_bits": row_bits},
        refit=fewest_bits(0.0),
        cv=2,
    ).fit(*data)
    table = rate_distortion(search.cv_results_)
    assert sorted(table["row_bits"]) == [10, 10, 20, 20, 30, 30]
    picked = table.set_index("candidate").loc[search.best_index_]
    assert picked["score"] == table["score"].max()
    assert row_bits(search) == picked["row_bits"]
    assert search.predict(data[0]).shape == (120,)


def test_randomized_search_orders_by_n_bits_alone(data):
    search = RandomizedSearchCV(
        make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
        {"quantilequantizer__n_bits": [1, 2, 3, 4]},
        n_iter=4,
        cv=3,
        refit=fewest_bits(1e9),
        random_state=0,
    ).fit(*data)
    assert search.best_params_ == {"quantilequantizer__n_bits": 1}


def test_halving_searches_never_call_it(data):
    def refit(cv_results):
        raise AssertionError

    search = HalvingGridSearchCV(
        make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
        {"quantilequantizer__n_bits": [1, 2, 3, 4]},
        cv=3,
        refit=refit,
        random_state=0,
    ).fit(*data)
    assert fewest_bits(1e9)(search.cv_results_) in range(len(search.cv_results_["params"]))
