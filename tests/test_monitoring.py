"""The monitor counts codes exactly, and its p-values are those of a test that holds its level."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from skbsq import Codebook, QuantileQuantizer, UniformQuantizer
from skbsq.monitoring import CodeMonitor, _added, _chi2_sf, _merge_rare
from tests.strategies import codebooks

COLUMNS = ["feature", "psi", "p_value", "ends", "missing", "guard", "n", "n_reference", "n_cells"]


def book(counts=((40, 60), (50, 30, 20, 10)), **options):
    options = {"has_missing": [False, True], "missing": "seen", "feature_names": ["a", "b"], **options}
    return Codebook.from_thresholds([[0.5], [1, 2]], counts=counts, **options)


def codes_of(*counts):
    """Rows whose codes have these counts."""
    return np.column_stack([np.repeat(np.arange(len(c)), c) for c in counts])


def one_feature(reference, received, **options):
    """The row of a report on a feature with these counts; with missing="code" the last one is that of NaN."""
    codebook = Codebook.from_thresholds([range(len(reference) - 1 - bool(options))], counts=[reference], **options)
    report = CodeMonitor(codebook).update(codes_of(received)).report(as_dict=True)
    return {name: values[0] for name, values in report.items()}


# -- the report ------------------------------------------------------------------------------------------------------


def test_report_by_hand():
    monitor = CodeMonitor(book()).update(codes_of([20, 20], [10, 10, 15, 5]))
    report = monitor.report()
    assert list(report) == COLUMNS
    assert report["feature"].tolist() == ["a", "b"]

    def psi(reference, received):
        added = 0.5 + 1 / len(reference)
        q, p = ([(c + added) / (sum(counts) + added * len(counts)) for c in counts] for counts in (reference, received))
        return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))

    # Five rows of the smaller sample of 40 are an eighth of the pooled rows: 17.5 of 140, and 18.75 of 150, so that the
    # missing code with 15 rows joins the highest regular code.
    assert report["psi"].tolist() == pytest.approx([psi([40, 60], [20, 20]), psi([50, 30, 30], [10, 10, 20])])
    assert report["n_cells"].tolist() == [2, 3]
    assert report["n"].tolist() == [40, 40]
    assert report["n_reference"].tolist() == [100, 110]
    scaled = report["psi"] / (1 / report["n"] + 1 / report["n_reference"])
    np.testing.assert_allclose(report["p_value"], chi2.sf(scaled, report["n_cells"] - 1))
    assert report["ends"].tolist() == [1, 25 / 40]
    np.testing.assert_array_equal(report["missing"], [np.nan, 5 / 40])
    assert report["guard"].isna().all()  # every code has reference rows


def test_report_as_dict():
    monitor = CodeMonitor(book()).update(codes_of([20, 20], [10, 10, 15, 5]))
    columns = monitor.report(as_dict=True)
    pd.testing.assert_frame_equal(pd.DataFrame(columns), monitor.report())
    assert {type(value) for values in columns.values() for value in values} == {str, float, int}


def test_features_without_names_have_numbers():
    assert CodeMonitor(book(feature_names=None)).update([[0, 0]]).report()["feature"].tolist() == [0, 1]


def test_codes_beyond_the_reference_are_guards():
    row = one_feature([0, 0, 6, 0, 4, 0, 0], [1, 2, 3, 10, 5, 6, 3], missing="code")
    assert row["guard"] == (1 + 2 + 6) / 30  # the code in the middle and the missing one are none
    assert row["missing"] == 3 / 30
    assert row["ends"] == (1 + 6) / 30
    only_missing = one_feature([0, 0, 6], [1, 2, 3], missing="code")
    assert (only_missing["guard"], only_missing["missing"]) == (0.5, 0.5)


def test_categories_have_no_ends():
    codes = {"open": 0, "shut": 1, "ajar": 2, None: 3}
    book = Codebook.from_thresholds({"valve": codes}, counts=[[0, 800, 150, 50]], handle_unknown="missing")
    monitor = CodeMonitor(book).update(book.encode([["open"]] * 100 + [["shut"]] * 200 + [["gone"]] * 100))
    report = {name: values[0] for name, values in monitor.report(as_dict=True).items()}
    assert math.isnan(report["ends"])
    assert math.isnan(report["guard"])
    assert report["missing"] == 0.25
    assert report["p_value"] < 1e-6
    assert CodeMonitor.from_json(monitor.to_json()).to_json() == monitor.to_json()


def test_equal_shares_are_no_drift():
    row = one_feature([100, 200, 300], [10, 20, 30])
    assert row["psi"] == pytest.approx(0, abs=1e-3)
    assert row["p_value"] > 0.95


@pytest.mark.parametrize(
    ("reference", "received", "cells"),
    [
        ([50, 50, 50, 50], [5, 5, 5, 5], [55, 55, 55, 55]),
        ([50, 50, 50, 50], [4, 4, 4, 4], [108, 108]),  # 4.3 rows of 16 are expected per code
        ([0, 300, 0, 0], [0, 290, 10, 0], [590, 10]),
        ([0, 300, 0, 0], [0, 291, 9, 0], [600]),
        ([1, 1, 1, 997], [1, 1, 1, 997], [2000]),  # too few rows are left at the lower end
        ([9, 991], [0, 1], [1001]),
    ],
)
def test_rare_codes_are_merged(reference, received, cells):
    merged = _merge_rare(np.array(reference), np.array(received))
    assert sum(merged).tolist() == cells
    assert [counts.sum() for counts in merged] == [sum(reference), sum(received)]
    assert one_feature(reference, received)["n_cells"] == len(cells)


def test_a_missing_code_is_a_cell_unless_rare():
    assert one_feature([100, 100, 10], [90, 100, 10], missing="code")["n_cells"] == 3
    assert one_feature([100, 100, 3], [100, 100, 3], missing="code")["n_cells"] == 2
    # A sensor that fails: 30 % of the rows are missing, which training never saw.
    row = one_feature([100, 100, 0], [70, 70, 60], missing="code")
    assert row["missing"] == 0.3
    assert row["p_value"] < 1e-9


def test_a_single_cell_shows_nothing():
    for reference, received in [([10], [7]), ([100, 100], [9, 0])]:
        row = one_feature(reference, received)
        assert (row["psi"], row["p_value"], row["n_cells"]) == (0, 1, 1)


def test_a_code_without_rows_keeps_psi_finite():
    row = one_feature([100, 100, 100], [0, 0, 100])
    assert 1 < row["psi"] < 10
    assert row["p_value"] < 1e-9


def test_readings_beyond_the_training_rows_have_guard_codes():
    codebook = QuantileQuantizer(3, guard=True, missing="code").fit(np.arange(1, 100.0)[:, None]).codebook_
    inside, outside = np.arange(1, 100.0, 10), [0.99, -1e9, 99.01, 1e9, 100.0]
    monitor = CodeMonitor(codebook).update(codebook.encode(np.append(inside, outside)[:, None]))
    assert monitor.report()["guard"].tolist() == [5 / 15]
    assert CodeMonitor(codebook).update(codebook.encode(inside[:, None])).report()["guard"].tolist() == [0]
    coarse = codebook.coarsened(2)  # there the guard codes have no room beside the missing code
    report = CodeMonitor(coarse).update(codebook.recode(codebook.encode([[0.0]]), coarse)).report()
    assert np.isnan(report["guard"]).all()


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1, 0.03, 0.02])
def test_false_alarms_of_two_cells_exactly(share):
    n, n_reference = 500, 2000
    received, reference = np.arange(n + 1)[:, None], np.arange(n_reference + 1)

    def false_alarms(added):
        q, p = ((counts + added) / (total + 2 * added) for counts, total in ((reference, n_reference), (received, n)))
        psi = (p - q) * np.log(p / q * (1 - q) / (1 - p))
        # Below 25 pooled rows, 5 of the smaller sample are not expected, and there is one cell.
        pooled = received + reference
        several = (pooled >= 25) & (n + n_reference - pooled >= 25)
        alarm = several & (psi / (1 / n + 1 / n_reference) > chi2.isf(0.05, 1))
        return binom.pmf(received[:, 0], n, share) @ alarm @ binom.pmf(reference, n_reference, share)

    assert 0.045 < false_alarms(_added(2)) < 0.05
    if share <= 0.03:
        assert false_alarms(0.5) > 0.0505  # rare cells are why more than half a row is added


@pytest.fixture(scope="module")
def no_drift():
    """A thousand features, each of which is a repeat with thresholds and rows of its own."""
    rng = np.random.default_rng(0)
    return [rng.gamma(2.0, size=(n, 1000)) for n in (2000, 500)]


@pytest.mark.parametrize("quantizer", [QuantileQuantizer, UniformQuantizer])
@pytest.mark.parametrize(("n_bits", "missing"), [(1, 0.0), (3, 0.0), (3, 0.1), (6, 0.0), (6, 0.004)])
def test_false_alarms(no_drift, quantizer, n_bits, missing):
    rng = np.random.default_rng(0)
    past, now = (np.where(rng.random(X.shape) < missing, np.nan, X) for X in no_drift)
    codebook = quantizer(n_bits, missing="code" if missing else "error").fit(past).codebook_
    p_values = np.array(CodeMonitor(codebook).update(codebook.encode(now)).report(as_dict=True)["p_value"])
    # Four standard errors of a share of 1000 repeats; benchmarks/results/drift.csv has more of them.
    for alpha in (0.05, 0.01):
        assert (p_values < alpha).mean() < alpha + 4 * math.sqrt(alpha * (1 - alpha) / 1000)


@pytest.mark.parametrize("n", [500, 5000])
def test_p_values_account_for_both_samples(n):
    """With a small reference, the number of received rows alone would raise alarms everywhere."""
    rng = np.random.default_rng(1)
    codebook = QuantileQuantizer(3).fit(rng.normal(size=(300, 1000))).codebook_
    report = CodeMonitor(codebook).update(codebook.encode(rng.normal(size=(n, 1000)))).report()
    assert 0.03 < (report["p_value"] < 0.05).mean() < 0.07
    assert (chi2.sf(report["psi"] * n, 7) < 0.05).mean() > 0.3


def test_shifts_are_found():
    rng = np.random.default_rng(2)
    codebook = QuantileQuantizer(3).fit(rng.normal(size=(2000, 200))).codebook_
    report = CodeMonitor(codebook).update(codebook.encode(rng.normal(0.2, size=(500, 200)))).report()
    assert (report["p_value"] < 0.05).mean() > 0.7


def test_drift_within_an_outer_code_is_invisible():
    codebook = QuantileQuantizer(2).fit(np.arange(100.0)[:, None]).codebook_
    near, far = (CodeMonitor(codebook).update(codebook.encode(np.full((50, 1), x))).report() for x in (99, 1e9))
    pd.testing.assert_frame_equal(near, far)


# -- the chi-square distribution -------------------------------------------------------------------------------------


def test_chi2_sf():
    for df in [1, 2, 3, 4, 7, 10, 31, 32, 63, 64, 255, 256, 1000, 65535]:
        x = df * np.concatenate([[0.0], np.geomspace(1e-6, 1, 30), np.linspace(1, 3, 40), np.geomspace(3, 700, 20)])
        expected = chi2.sf(x, df)
        x, expected = x[expected > 1e-290], expected[expected > 1e-290]
        np.testing.assert_allclose([_chi2_sf(v, df) for v in x.tolist()], expected, rtol=1e-10, atol=0)


def test_chi2_sf_at_the_ends():
    assert _chi2_sf(0.0, 0) == _chi2_sf(0.0, 5) == _chi2_sf(1e-300, 5) == 1
    assert _chi2_sf(1e6, 5) == _chi2_sf(1e6, 4) == 0


# -- counts ----------------------------------------------------------------------------------------------------------


@st.composite
def batches(draw):
    """A codebook, and batches of codes."""
    codebook = draw(codebooks())
    row = st.tuples(*(st.integers(0, n - 1) for n in codebook.n_levels.tolist()))
    rows = draw(st.lists(st.lists(row, max_size=8), min_size=1, max_size=4))
    return codebook, [np.array(part, dtype=int).reshape(-1, codebook.n_features) for part in rows]


@given(batches())
def test_merge_equals_update_with_all_rows(drawn):
    codebook, parts = drawn
    reference = np.zeros((1, codebook.n_features), dtype=int)
    everything, merged = (CodeMonitor(codebook, reference=reference) for _ in range(2))
    everything.update(np.concatenate(parts))
    for part in parts:
        merged.merge(CodeMonitor(codebook, reference=reference).update(part))
    assert merged.to_json() == everything.to_json()
    assert merged.n_rows == sum(map(len, parts))
    assert CodeMonitor.from_json(merged.to_json()).to_json() == merged.to_json()


def test_reference_codes_stand_in_for_counts():
    by_counts = CodeMonitor(book()).update([[0, 1]])
    reference = codes_of([50, 60], [50, 30, 20, 10])
    by_codes = CodeMonitor(book(counts=None), reference=reference).update([[0, 1]])
    assert by_codes.report()["n_reference"].tolist() == [110, 110]
    assert by_codes.report().loc[1].tolist() == pytest.approx(by_counts.report().loc[1].tolist(), nan_ok=True)
    # They take the place of counts, too.
    replaced = CodeMonitor(book(), reference=reference).update([[0, 1]])
    pd.testing.assert_frame_equal(replaced.report(), by_codes.report())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.float32, bool])
def test_codes_of_every_type(dtype):
    assert CodeMonitor(book()).update(np.array([[0, 1]], dtype=dtype)).report()["n"].tolist() == [1, 1]


def test_chaining_and_reset():
    monitor = CodeMonitor(book())
    assert monitor.update([[0, 0]]) is monitor
    assert monitor.merge(CodeMonitor(book()).update([[1, 1]])) is monitor
    assert repr(monitor) == f"CodeMonitor({book()!r}, n_rows=2)"
    assert monitor.reset() is monitor
    assert monitor.to_json() == CodeMonitor(book()).to_json()


def test_merge_leaves_the_other_alone():
    first, other = CodeMonitor(book()), CodeMonitor(book()).update([[1, 1]])
    first.merge(other).update([[0, 0]])
    assert (first.n_rows, other.n_rows) == (2, 1)


def test_invalid_codes_count_nothing():
    monitor = CodeMonitor(book())
    with pytest.raises(ValueError, match=r"Code 4 of feature 'b' \(row 1\) is out of range"):
        monitor.update([[0, 0], [0, 4]])
    with pytest.raises(ValueError, match="codes has 1 features, but this codebook has 2"):
        monitor.update([[0]])
    assert monitor.to_json() == CodeMonitor(book()).to_json()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CodeMonitor("book"), TypeError, "CodeMonitor takes a Codebook, got str"),
        (lambda: CodeMonitor(book(counts=None)), ValueError, "no counts of training rows .* as reference"),
        (lambda: CodeMonitor(book([[0, 0], [1, 1, 1, 1]])), ValueError, "no rows for feature 'a'"),
        (lambda: CodeMonitor(book(), reference=np.empty((0, 2), int)), ValueError, "no rows for feature 'a'"),
        (lambda: CodeMonitor(book(), reference=[[2, 0]]), ValueError, "Code 2 of feature 'a'"),
        (lambda: CodeMonitor(book()).report(), ValueError, "No rows were received: call update"),
        (lambda: CodeMonitor(book()).merge(book()), TypeError, "must be a CodeMonitor, got Codebook"),
        (
            lambda: CodeMonitor(book()).merge(CodeMonitor(book([[1, 1], [1, 1, 1, 1]]))),
            ValueError,
            "different codebook",
        ),
        (
            lambda: CodeMonitor(book()).merge(CodeMonitor(book(), reference=[[0, 0]])),
            ValueError,
            "different reference",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- saved monitors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy",
    [lambda m: CodeMonitor.from_json(m.to_json()), lambda m: pickle.loads(pickle.dumps(m))],
    ids=["json", "pickle"],
)
def test_saved_monitors_go_on(copy):
    monitor = CodeMonitor(book(), reference=codes_of([5, 5], [2, 2, 2, 4])).update([[0, 1], [1, 3]])
    copied = copy(monitor)
    assert copied.codebook == monitor.codebook
    pd.testing.assert_frame_equal(copied.update([[1, 1]]).report(), monitor.update([[1, 1]]).report())
    assert copied.merge(monitor).n_rows == 6


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"format": "skbsq-codebook"}, "Not the JSON text of a monitor"),
        ({"version": 2}, "has format version 2; this skbsq reads version 1"),
        ({"version": True}, "has format version True"),
        ({"more": 1}, "Unknown field 'more' in the monitor"),
        ({"codebook": "{}"}, "Not the JSON text of a codebook"),
        ({"codebook": None}, "Not the JSON text of a codebook"),
        ({"reference": [[1, 1]]}, '"reference" must be a list of 2 lists'),
        ({"reference": {}}, '"reference" must be a list of 2 lists'),
        ({"reference": [[0, 0], [1, 1, 1, 1]]}, "The reference has no rows for feature 'a'"),
        ({"received": [[1, 1], [1, 1, 0]]}, "feature 'b' in \"received\" must be 4 non-negative integers"),
        ({"received": [[1, 1], [3, 0, -1, 0]]}, "must be 4 non-negative integers"),
        ({"received": [[1, 1], [1, 0.5, 0.5, 0]]}, "must be a list of integers"),
        ({"received": [[1, True], [1, 1, 0, 0]]}, "must be a list of integers"),
        ({"received": [[1, 1], [1, 0, 0, 0]]}, "different numbers of rows"),
        ({"received": [[2**63, 0], [2**63, 0, 0, 0]]}, "too large"),
    ],
)
def test_damaged_text_is_refused(damage, message):
    document = json.loads(CodeMonitor(book()).update([[0, 1]]).to_json()) | damage
    with pytest.raises(ValueError, match=message):
        CodeMonitor.from_json(json.dumps(document))


def test_text_with_an_absent_field_or_cut_off_is_refused():
    text = CodeMonitor(book()).to_json()
    document = json.loads(text)
    del document["received"]
    with pytest.raises(ValueError, match="Field 'received' is missing in the monitor"):
        CodeMonitor.from_json(json.dumps(document))
    with pytest.raises(ValueError, match="Not the JSON text of a monitor"):
        CodeMonitor.from_json(text[:-3])
