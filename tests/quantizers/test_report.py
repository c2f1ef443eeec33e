"""The report of codes: by hand, and against a slow reference."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skbsq import BitwiseClassifier, Codebook, QuantileQuantizer, ThresholdQuantizer
from skbsq.quantizers.report import weights_of_evidence

NAN = float("nan")
X = pd.DataFrame({"age": [20.0, 30, 40, NAN, 50, 20], "home": ["rent", "own", "own", "free", "rent", "rent"]})
Y = np.array(["good", "good", "bad", "bad", "good", "bad"])


@pytest.fixture
def quantizer():
    thresholds = {"age": [25, 45], "home": {"own": 0, "free": 0, "rent": 1}}
    return ThresholdQuantizer(thresholds, missing="seen").fit(X)


def test_counts_of_the_training_rows(quantizer):
    table = quantizer.table("age")
    assert table["bin"].tolist() == ["(-inf, 25.0]", "(25.0, 45.0]", "(45.0, inf)", "missing"]
    assert table["rows"].tolist() == [2, 2, 1, 1]
    assert table["share"].tolist() == [2 / 6, 2 / 6, 1 / 6, 1 / 6]
    assert list(table) == ["bin", "rows", "share"]
    pd.testing.assert_frame_equal(table, quantizer.table(0))
    pd.testing.assert_frame_equal(table, quantizer.table("age", X))


def test_two_classes_by_hand(quantizer):
    table = quantizer.table("home", X, Y)
    assert table["bin"].tolist() == ["own, free", "rent"]
    assert table["event_rate"].tolist() == [1 / 3, 2 / 3]
    # Of three bad rows two are in the first code, and one of three good rows.
    np.testing.assert_allclose(table["woe"], [math.log(2), -math.log(2)])
    np.testing.assert_allclose(table["iv"], [math.log(2) / 3, math.log(2) / 3])
    assert table.attrs == {"event": "good", "iv": pytest.approx(2 * math.log(2) / 3)}


def test_codes_with_one_class_get_half_a_row_of_both(quantizer):
    table = quantizer.table("age", X, Y == "good")
    assert table["event_rate"].tolist() == [0.5, 0.5, 1, 0]
    half = math.log(1.5 / 0.5)
    np.testing.assert_allclose(table["woe"], [0, 0, -half, half])
    assert table.attrs["event"] is True


def test_a_code_without_rows_has_no_evidence(quantizer):
    table = quantizer.table("age", X[:3], [0, 1, 0])
    assert table["rows"].tolist() == [1, 2, 0, 0]
    assert table[["event_rate", "woe"]].isna().to_numpy().tolist() == [[False] * 2] * 2 + [[True] * 2] * 2
    assert table["iv"].tolist()[2:] == [0, 0]
    assert np.isfinite(table.attrs["iv"])


def test_numeric_targets(quantizer):
    table = quantizer.table("home", X, [1.5, 2, 3, 4, 5, 6])
    assert list(table) == ["bin", "rows", "share", "target_mean"]
    np.testing.assert_allclose(table["target_mean"], [3, 12.5 / 3])
    assert table.attrs == {}
    assert quantizer.table("home", X, [1.5, 2.5] * 3).columns[-1] == "target_mean"
    assert quantizer.table("home", X, [0.0, 1.0] * 3).columns[-1] == "iv"


def test_weights(quantizer):
    weights = [1, 1, 1, 0, 3, 1]
    table = quantizer.table("home", X, [1.0, 2, 3, 4, 5, 6], weights)
    assert table["rows"].tolist() == [2, 3]
    np.testing.assert_allclose(table["share"], [2 / 7, 5 / 7])
    np.testing.assert_allclose(table["target_mean"], [2.5, 22 / 5])
    pd.testing.assert_frame_equal(
        quantizer.table("age", X, Y, weights), quantizer.table("age", X, Y, 1000 * np.array(weights))
    )


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 3)), min_size=2, max_size=30),
)
def test_evidence_equals_reference(rows):
    assume(len({event for _, event, _ in rows}) == 2)
    total = {event: sum(w for _, e, w in rows if e == event) for event in (False, True)}
    half = 0.5 * sum(total.values()) / len(rows)
    codes, events, weights = map(np.array, zip(*rows, strict=True))
    of_codes = [np.bincount(codes, weights * found, minlength=4) for found in (events, ~events)]
    woe, iv = weights_of_evidence(*of_codes, half)
    for code in range(4):
        good, bad = (sum(w for c, e, w in rows if c == code and e == event) for event in (True, False))
        if not good + bad:
            assert math.isnan(woe[code])
            assert iv[code] == 0
            continue
        if not (good and bad):
            good, bad = good + half, bad + half
        shares = bad / total[False], good / total[True]
        assert woe[code] == pytest.approx(math.log(shares[0] / shares[1]))
        assert iv[code] == pytest.approx((shares[0] - shares[1]) * woe[code])
        assert iv[code] >= 0


def test_a_predictor_has_the_report_of_its_codebook():
    model = BitwiseClassifier(1, max_epochs=1, hidden_sizes=(4,), random_state=0).fit(
        X.drop(index=3), Y[[0, 1, 2, 4, 5]]
    )
    table = model.table("home", X.drop(index=3), Y[[0, 1, 2, 4, 5]])
    assert table["rows"].sum() == 5
    assert table["bin"].tolist() in (["own", "rent"], ["rent", "own"])


def test_numbers_of_features_without_names():
    quantizer = QuantileQuantizer(1).fit([[1.0], [2.0]])
    assert quantizer.table(np.int64(0))["bin"].tolist() == ["(-inf, 1.5]", "(1.5, inf)"]
    with pytest.raises(ValueError, match="There is no feature 1: give a number from 0 to 0"):
        quantizer.table(1)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("year",), r"no feature 'year': give a number from 0 to 1, or a name among \['age', 'home'\]"),
        ((True,), "no feature True"),
        ((-1,), "no feature -1"),
        (("age", None, Y), "y belongs to rows: give X too"),
        (("age", None, None, [1]), "sample_weight belongs to rows"),
        (("age", X, ["a", "b", "c"] * 2), "y has 3 classes.*y == 'a'"),
        (("age", X, np.ones((6, 2))), "y has 2 targets"),
        (("age", X, Y[:3]), "inconsistent numbers of samples"),
        (("age", X.assign(home="boat")), "boat"),
    ],
)
def test_errors(quantizer, given, match):
    with pytest.raises(ValueError, match=match):
        quantizer.table(*given)


def test_a_codebook_without_counts_needs_rows():
    quantizer = ThresholdQuantizer([[1.0]]).fit([[0.0], [2.0]])
    quantizer.codebook_ = Codebook.from_thresholds([[1.0]])
    with pytest.raises(ValueError, match="no counts of its training rows: give X"):
        quantizer.table(0)
