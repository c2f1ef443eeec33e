"""The scorer of all rates: its names, real searches, and the rules of scikit-learn for scorers that return a dict."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseClassifier, BitwiseRegressor
from skbsq.model_selection import all_rates, best_rate, fewest_bits, rate_curve, rate_distortion, row_bits

QUICK = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def fitted(data):
    return BitwiseRegressor(3, rates=(2, 1), **QUICK).fit(*data)


def mean_prediction(model, X, y):
    return model.predict(X).mean()


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scoring", "names"),
    [
        (None, ["score"]),
        ("r2", ["r2"]),
        (mean_prediction, ["score"]),
        (["r2", "neg_max_error"], ["r2", "neg_max_error"]),
        (("r2",), ["r2"]),
        ({"a": "r2", "b": mean_prediction, "c": None}, ["a", "b", "c"]),
    ],
    ids=["none", "name", "function", "list", "tuple", "dict"],
)
def test_names_and_values(scoring, names, fitted, data):
    X, y = data
    found = pickle.loads(pickle.dumps(all_rates(scoring)))(fitted, X, y)
    assert list(found) == [f"{name}_at_{rate}" for rate in (1, 2, 3) for name in (*names, "row_bits")]
    assert [found[f"row_bits_at_{rate}"] for rate in (1, 2, 3)] == [10, 20, 30]
    for name in names:
        scores = [found[f"{name}_at_{rate}"] for rate in (1, 2, 3)]
        single = scoring[name] if isinstance(scoring, dict) else None if name == "score" else name
        single = scoring if callable(scoring) else single
        assert scores == pytest.approx(rate_curve(fitted, X, y, scoring=single)["score"].tolist())


def test_wrong_scores(fitted, data):
    with pytest.raises(ValueError, match="'nonsense' is not a valid scoring"):
        all_rates("nonsense")
    for scoring in ("row_bits", ["r2", "row_bits"], {"row_bits": row_bits}):
        with pytest.raises(ValueError, match="all_rates counts row_bits itself"):
            all_rates(scoring)
    with pytest.raises(ValueError, match="Only a BitwiseRegressor or BitwiseClassifier"):
        all_rates()(Ridge().fit(*data), *data)


# -- searches ----------------------------------------------------------------------------------------


def test_search_over_all_rates():
    X, y = make_friedman1(200, random_state=0)
    pipeline = make_pipeline(StandardScaler(), BitwiseRegressor(3, rates=(1, 2), max_epochs=5, random_state=0))
    search = GridSearchCV(
        pipeline,
        {"bitwiseregressor__hidden_sizes": [(4,), (32,)]},
        scoring=all_rates("r2"),
        refit=fewest_bits(0.0),
        cv=2,
        return_train_score=True,
    ).fit(X, y)
    table = rate_distortion(search.cv_results_)
    assert sorted(zip(table["candidate"], table["rate"], table["row_bits"], strict=True)) == [
        (k, rate, 10 * rate) for k in (0, 1) for rate in (1, 2, 3)
    ]
    # The scores are those of the rates of one fit.
    train, test = next(KFold(2).split(X))
    model = pipeline.set_params(bitwiseregressor__hidden_sizes=(4,)).fit(X[train], y[train])
    scaled = model[:-1].transform(X[test])
    for rate in (1, 2, 3):
        expected = r2_score(y[test], model[-1].predict(scaled, rate=rate))
        assert search.cv_results_[f"split0_test_r2_at_{rate}"][0] == pytest.approx(expected)
    picked, rate = search.best_index_, best_rate(search.cv_results_, 0.0)
    best = table.loc[table["score"].idxmax()]
    assert (picked, rate) == (best["candidate"], best["rate"])
    curve = rate_curve(search.best_estimator_, X, y).set_index("rate")
    assert curve.loc[rate, "row_bits"] == 10 * rate


def test_cross_validate_and_a_score_to_refit(fitted, data):
    found = cross_validate(fitted, *data, cv=2, scoring=all_rates())
    assert {name for name in found if name.startswith("test_")} == {
        f"test_{name}_at_{rate}" for name in ("score", "row_bits") for rate in (1, 2, 3)
    }
    search = GridSearchCV(fitted, {"lr": [0.001, 0.01]}, cv=2, scoring=all_rates("r2"), refit="r2_at_2").fit(*data)
    assert search.best_score_ == search.cv_results_["mean_test_r2_at_2"].max()


def test_classes(data):
    X, y = data[0], data[1] > np.median(data[1])
    fitted = BitwiseClassifier(2, rates=(1,), **QUICK).fit(X, y)
    found = all_rates("neg_log_loss")(fitted, X, y)
    for rate in (1, 2):
        expected = -log_loss(y, fitted.predict_proba(X, rate=rate))
        assert found[f"neg_log_loss_at_{rate}"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:(?s).*fits failed:sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
@pytest.mark.parametrize("sizes", [[(-1,), (8,)], [(8,), (-1,)]], ids=["first", "last"])
def test_a_candidate_that_fails(sizes, data):
    search = GridSearchCV(
        BitwiseRegressor(2, rates=(1,), max_epochs=2, random_state=0),
        {"hidden_sizes": sizes},
        scoring=all_rates(),
        refit=fewest_bits(),
        cv=2,
    ).fit(*data)
    assert search.best_params_ == {"hidden_sizes": (8,)}
    assert rate_distortion(search.cv_results_)["score"].isna().tolist() == [False, False, True, True]
    assert best_rate(search.cv_results_) in (1, 2)


@pytest.mark.parametrize(
    "grid",
    [{"n_bits": [2, 3]}, {"rates": [(1,), (0, 1)]}, {"rates": [(0, 1), (1,)]}],
    ids=["other finest", "more rates", "fewer rates"],
)
def test_candidates_with_different_rates(grid, data):
    regressor = BitwiseRegressor(2, rates=(1,), **QUICK)
    search = GridSearchCV(regressor, grid, cv=2, scoring=all_rates(), refit=fewest_bits())
    with pytest.raises(ValueError, match=r"with the same rates, but some have \[.*\] and some \[.*\]: leave n_bits"):
        search.fit(*data)


def test_scores_of_other_processes_know_their_rates(fitted, data):
    found = all_rates()(fitted, *data)
    sent = pickle.loads(pickle.dumps(found))
    assert sent == found
    assert [sent[name] for name in found] == list(found.values())
    other = pickle.loads(pickle.dumps(all_rates()(BitwiseRegressor(3, rates=(1,), **QUICK).fit(*data), *data)))
    for one, two in ((sent, other), (other, sent)):
        with pytest.raises(ValueError, match="candidates with the same rates"):
            one[next(iter(two))]


def test_a_scorer_that_fails(data):
    def failing(model, X, y):
        raise ZeroDivisionError("no score")

    search = GridSearchCV(
        BitwiseRegressor(2, rates=(1,), **QUICK),
        {"lr": [0.01]},
        cv=2,
        scoring=all_rates(failing),
        refit=fewest_bits(),
        error_score="raise",
    )
    with pytest.raises(ZeroDivisionError, match="no score"):
        search.fit(*data)
