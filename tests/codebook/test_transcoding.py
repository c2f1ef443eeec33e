"""Codes of an old codebook as codes of a new one."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseRegressor, Codebook
from skbsq.codec import RowCodec
from skbsq.export import to_codebook
from tests.strategies import category_codes, codebooks, neighbours

NAN = np.nan
OLD = Codebook.from_thresholds(
    {"t": [10, 20], "p": [1000], "unused": []},
    levels=[[5, 14, 25], [990, 1010], [3]],
    counts=[[10, 60, 30], [50, 50], [100]],
)


# -- tables by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "table", "uncertain"),
    [
        ([10, 20], [0, 1, 2], 0),
        ([20], [0, 0, 1], 0),
        ([10, 15, 18], [0, 1, 3], 1),  # 14 of (10, 20] has the code 1, 25 the code 3
        ([14], [0, 0, 1], 1),  # a value on a threshold has the code below
        ([4, 13, 30], [1, 2, 2], 3),
        ([], [0, 0, 0], 0),
    ],
)
def test_tables_of_a_feature(thresholds, table, uncertain):
    transcoder = OLD.transcoder(Codebook.from_thresholds({"t": thresholds}))
    assert transcoder.tables[0].tolist() == table
    assert transcoder.cost()["n_uncertain"].tolist() == [uncertain]


def test_missing_codes():
    old = Codebook.from_thresholds([[1], [1], [], []], missing="seen", has_missing=[True, False, True, True])
    new = Codebook.from_thresholds([[0.5, 1], [1], [], []], missing="seen", has_missing=[True, True, True, False])
    tables = old.transcoder(new, same_units=True).tables
    # No bits in the new codebook: NaN shares the only code.
    assert [table.tolist() for table in tables] == [[0, 2, 3], [0, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_a_missing_code_needs_a_counterpart(names):
    old = Codebook.from_thresholds([[1], [2]], missing="seen", has_missing=[False, True], feature_names=names)
    new = Codebook.from_thresholds([[1], [2]], feature_names=names)
    where = "feature 1" if names is None else "feature 'b'"
    with pytest.raises(ValueError, match=f"{where} has a missing code in the old codebook only. Fit the new model"):
        old.transcoder(new, same_units=True)


def test_a_level_that_is_rounded_onto_a_threshold():
    """All values of the bin have the new code 1, and so has the old code."""
    old = Codebook.from_thresholds([[1, 2]], levels=[[0, 1, 3]])
    assert old.transcoder(Codebook.from_thresholds([[1]]), same_units=True).tables[0].tolist() == [0, 1, 1]


def test_wide_and_narrow_codes():
    wide = Codebook.from_thresholds({"a": np.arange(300)})
    narrow = Codebook.from_thresholds({"a": [99.5]}, levels=[[50, 149.5]])
    down, up = wide.transcoder(narrow).transcode([[99], [101], [300]]), narrow.transcoder(wide).transcode([[1]])
    assert (down.dtype, down.ravel().tolist()) == (np.uint8, [0, 1, 1])
    assert (up.dtype, up.ravel().tolist()) == (np.uint16, [150])


# -- properties ----------------------------------------------------------------------------------------------


@given(codebooks(), st.data())
def test_nested_codebooks_are_recoded(fine, data):
    n_bits = data.draw(st.lists(st.integers(0, 4), min_size=fine.n_features, max_size=fine.n_features))
    coarse = fine.coarsened(n_bits)
    transcoder = fine.transcoder(coarse, same_units=True)
    codes = np.minimum(np.arange(fine.n_levels.max())[:, None], fine.n_levels - 1)
    assert_array_equal(transcoder.transcode(codes), fine.recode(codes, coarse))
    assert transcoder.transcode(codes).dtype == coarse.dtype
    assert not transcoder.cost()["n_uncertain"].any()


@given(codebooks(), st.data())
def test_against_floats(old, data):
    """A code is that of the level if it is uncertain, and otherwise that of all values with the old code."""
    beside = [t for t in neighbours(np.concatenate(old.thresholds)) if np.isfinite(t)]
    other = st.lists(st.sampled_from([-3.0, 1.5, *beside]))
    thresholds = [[*data.draw(other), *t[::2]] for t in old.thresholds]
    new = Codebook.from_thresholds(thresholds, missing="code")
    transcoder = old.transcoder(new, same_units=True)
    values = neighbours(np.concatenate([*old.thresholds, *new.thresholds]))
    X = np.tile(values[:, None], old.n_features)
    codes, expected = old.encode(X), new.encode(X)
    found, levels = transcoder.transcode(codes), new.encode(np.nan_to_num(old.decode(codes)))
    n_uncertain = transcoder.cost()["n_uncertain"]
    for j in range(old.n_features):
        n_wrong = 0
        for code in np.unique(codes[:, j]):
            of_code = codes[:, j] == code
            possible = np.unique(expected[of_code, j])
            n_wrong += possible.size > 1
            assert set(found[of_code, j]) <= {np.clip(levels[of_code, j][0], possible[0], possible[-1])}
        assert n_wrong == n_uncertain.iloc[j]


# -- which features ------------------------------------------------------------------------------------------


def test_features_by_name():
    new = Codebook.from_thresholds({"p": [990, 1000, 1010], "later": [], "t": [15]})
    transcoder = OLD.transcoder(new)
    assert transcoder.source.tolist() == [1, -1, 0]
    assert transcoder.transcode([[0, 1, 0], [2, 0, 0]]).tolist() == [[2, 0, 0], [0, 0, 1]]
    assert transcoder.cost().index.tolist() == ["p", "later", "t"]
    # Names that match are not overruled.
    assert OLD.transcoder(new, same_units=True).source.tolist() == [1, -1, 0]


def test_a_feature_that_old_devices_do_not_send_has_one_code():
    transcoder = OLD.transcoder(Codebook.from_thresholds({"unused": [1, 2, 8]}))
    assert transcoder.tables[0].tolist() == [2]
    assert transcoder.cost().loc["unused"].tolist() == [1, 1.0]


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (Codebook.from_thresholds([[1], [1], [1]]), "the features of one of the codebooks have no names"),
        (Codebook.from_thresholds({"t": [1], "q": [1], "p": [1]}), r"'q' is none of .*, \['t', 'p', 'unused'\]"),
    ],
)
def test_by_position_only_if_asked_for(new, why):
    with pytest.raises(ValueError, match=f"{why}. If both .* give same_units=True"):
        OLD.transcoder(new)
    assert OLD.transcoder(new, same_units=True).source.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="it has 3 features, and the old codebook has 1"):
        Codebook.from_thresholds([[0]]).transcoder(new, same_units=True)


def test_a_folded_codebook_is_in_raw_units():
    parts = {"thresholds": {"t": [1.0]}}
    plain, folded = Codebook.from_thresholds(**parts), Codebook.from_thresholds(**parts, folded_from=bytes(8))
    assert folded.transcoder(folded).tables[0].tolist() == [0, 1]
    for old, new, which in [(folded, plain, "old"), (plain, folded, "new")]:
        with pytest.raises(ValueError, match=f"The {which} codebook was folded .* give same_units=True"):
            old.transcoder(new)
        assert old.transcoder(new, same_units=True).tables[0].tolist() == [0, 1]


def test_models_behind_scalers():
    """Two models, each behind a scaler: their folded codebooks are in raw units, and their own are not."""
    X = 100 + np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    given = {"max_epochs": 2, "hidden_sizes": (4,), "random_state": 0}
    old, new = (
        make_pipeline(StandardScaler(), BitwiseRegressor(n_bits, **given)).fit(rows, rows.sum(axis=1))
        for n_bits, rows in [(6, X), (2, X[:100] + 1)]
    )
    folded = to_codebook(new)
    transcoder = to_codebook(old).transcoder(folded, same_units=True)
    codes = transcoder.transcode(to_codebook(old).encode(X))
    assert (codes == folded.encode(X)).mean() > 0.9
    assert_array_equal(new[-1].predict_packed(RowCodec(folded).pack(codes), folded), new[-1].predict_codes(codes))


# -- what it costs, and use ----------------------------------------------------------------------------------


def test_cost():
    cost = OLD.transcoder(Codebook.from_thresholds({"p": [1000, 1005], "t": [15, 30]})).cost()
    assert cost.to_dict() == {"n_uncertain": {"p": 1, "t": 2}, "share": {"p": 0.5, "t": 0.9}}
    old = Codebook.from_thresholds([[1]], counts=[[1, 2, 5]], missing="code")
    new = Codebook.from_thresholds([[0]], missing="code")
    cost = old.transcoder(new, same_units=True).cost()
    assert cost.to_dict() == {"n_uncertain": {"x0": 1}, "share": {"x0": 1 / 8}}  # of all rows, those with NaN too
    assert np.isnan(new.transcoder(old, same_units=True).cost()["share"]["x0"])


def test_one_table_for_many_payloads():
    transcoder = pickle.loads(pickle.dumps(OLD.transcoder(Codebook.from_thresholds({"t": [15]}))))
    assert transcoder.transcode([[2, 0, 0]]).tolist() == [[1]]
    assert transcoder.transcode(np.zeros((0, 3), dtype=np.uint8)).shape == (0, 1)
    for codes, why in [([[3, 0, 0]], "Code 3 of feature 't'"), ([[0]], "1 features")]:
        with pytest.raises(ValueError, match=why):
            transcoder.transcode(codes)


# -- categories ----------------------------------------------------------------------------------------------

VALVE = Codebook.from_thresholds(
    {"valve": {"open": 0, "shut": 1, "ajar": 1, "stuck": 2, None: 3}, "t": [10]},
    levels=[["open", "ajar", "stuck"], [5, 15]],
    counts=[[4, 3, 2, 1], [5, 5]],
)


@pytest.mark.parametrize(
    ("codes", "table", "uncertain"),
    [
        ({"open": 1, "shut": 0, "ajar": 0, "stuck": 1, None: 2}, [1, 0, 1, 2], 0),
        ({"open": 0, "shut": 1, "ajar": 2, "stuck": 3, None: 4}, [0, 2, 3, 4], 1),
        ({"stuck": 0, "ajar": 1, "open": 2, "new": 3, None: 4}, [2, 1, 0, 4], 1),  # "shut" is unknown
        ({"open": 0, "new": 0}, [0, 0, 0, 0], 0),  # no bits
    ],
)
def test_tables_of_categories(codes, table, uncertain):
    transcoder = VALVE.transcoder(Codebook.from_thresholds({"valve": codes}))
    assert transcoder.tables[0].tolist() == table
    assert transcoder.cost()["n_uncertain"].tolist() == [uncertain]
    assert transcoder.cost()["share"].tolist() == [0.3 * uncertain]


def test_unknown_levels_become_missing_or_are_named():
    codes = {"open": 0, "shut": 1, None: 2}
    new = Codebook.from_thresholds({"valve": codes}, handle_unknown="missing")
    transcoder = VALVE.transcoder(new)
    assert transcoder.tables[0].tolist() == [0, 2, 2, 2]
    assert transcoder.cost()["n_uncertain"].tolist() == [1]  # "shut"; "stuck" is missing in the new codebook
    with pytest.raises(
        ValueError, match="the category 'ajar' of feature 'valve' is the level of an old code, and none"
    ):
        VALVE.transcoder(Codebook.from_thresholds({"valve": codes}))


def test_an_old_missing_code_may_stand_for_new_categories():
    old = Codebook.from_thresholds({"v": {"a": 0, None: 1}}, counts=[[3, 1]], handle_unknown="missing")
    same = Codebook.from_thresholds({"v": {"a": 0, None: 1}})
    more = Codebook.from_thresholds({"v": {"a": 0, "b": 1, None: 2}})
    assert old.transcoder(same).cost()["n_uncertain"].tolist() == [0]
    assert old.transcoder(more).cost().loc["v"].tolist() == [1, 0.25]
    assert same.transcoder(more).cost()["n_uncertain"].tolist() == [0]
    assert old.transcoder(more).tables[0].tolist() == [0, 2]


@pytest.mark.parametrize("names", [["valve", "t"], ["x", "y"]])
def test_a_category_is_no_number(names):
    new = Codebook.from_thresholds([[0.5], [10.0]], feature_names=names)
    with pytest.raises(ValueError, match="feature 'valve' is categorical in only one of the codebooks"):
        VALVE.transcoder(new, same_units=True)
    with pytest.raises(ValueError, match="is categorical in only one of the codebooks"):
        new.transcoder(VALVE, same_units=True)


def test_a_missing_category_needs_a_counterpart():
    new = Codebook.from_thresholds({"valve": {"open": 0, "shut": 1, "ajar": 1, "stuck": 1}})
    with pytest.raises(ValueError, match="feature 'valve' has a missing code in the old codebook only"):
        VALVE.transcoder(new)


@given(category_codes(), category_codes(), st.sampled_from(["error", "missing"]), st.sampled_from(["error", "missing"]))
def test_against_categories(first, second, old_rule, new_rule):
    """A code is that of the level, and it is certain if all that had the old code have that new code."""
    old = Codebook.from_thresholds([first], handle_unknown=old_rule)
    new = Codebook.from_thresholds([second], handle_unknown=new_rule)
    if None in first and new.refuses_nan[0]:
        return

    def encode(category):
        if new.n_bits[0] == 0:
            return 0
        return second.get(category, second.get(None) if new_rule == "missing" else None)

    expected = [encode(level) for level in old.levels[0]]
    if None in expected:
        with pytest.raises(ValueError, match="is the level of an old code, and none of the categories"):
            old.transcoder(new, same_units=True)
        return
    transcoder = old.transcoder(new, same_units=True)
    assert transcoder.tables[0].tolist() == expected
    members = {code: [known for known in first if first[known] == code] for code in first.values()}
    if old_rule == "missing" and None in first:
        members[first[None]] += [known for known in second if known not in first]
    n_wrong = sum(len({encode(known) for known in of_code}) > 1 for of_code in members.values())
    assert transcoder.cost()["n_uncertain"].tolist() == [n_wrong]
