import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, PredefinedSplit, ShuffleSplit, TimeSeriesSplit

from skbsq.training.held_out import hold_outs
from skbsq.training.rows import Rows


def make_rows(y, task="regression", groups=None):
    y = np.asarray(y)
    classes = np.unique(y) if task == "classification" else None
    return Rows(np.zeros((len(y), 2), dtype=np.float32), y, np.ones(len(y)), task, None, classes, groups)


@pytest.mark.parametrize(
    ("n", "n_parts", "size"), [(20, 5, 4), (100, 5, 20), (500, 3, 100), (1_000, 2, 200), (3_000, 1, 600)]
)
def test_few_rows_are_held_out_in_several_parts(n, n_parts, size):
    splits = hold_outs(make_rows(np.arange(float(n))), "auto", 0)
    assert [len(held_out) for _, held_out in splits] == [size] * n_parts
    for kept, held_out in splits:
        assert sorted([*kept, *held_out]) == list(range(n))
    together = np.concatenate([held_out for _, held_out in splits])
    assert len(set(together)) == len(together)
    assert len(hold_outs(make_rows(np.arange(float(n))), "auto", 0, single=True)) == 1


def test_at_most_10000_rows_are_held_out():
    [(kept, held_out)] = hold_outs(make_rows(np.arange(100_000.0)), "auto", 0)
    assert (len(kept), len(held_out)) == (90_000, 10_000)


def test_parts_have_the_same_distribution(rng):
    """Rare peaks are spread over all parts; random parts might miss them."""
    y = np.zeros(300)
    y[rng.permutation(300)[:10]] = 100.0
    for _, held_out in hold_outs(make_rows(y), "auto", 0):
        assert (y[held_out] > 0).sum() == 2
    labels = np.array(["rare"] * 5 + ["common"] * 95)
    for _, held_out in hold_outs(make_rows(labels, "classification"), "auto", 0):
        assert (labels[held_out] == "rare").sum() == 1


def test_several_targets_are_split_by_the_first(rng):
    y = np.column_stack([np.arange(50.0), rng.normal(size=50)])
    assert len(hold_outs(make_rows(y), "auto", 0)) == 5


@pytest.mark.parametrize("n_rare", [1, 2, 3])
def test_a_class_of_few_rows_is_always_trained_on(n_rare):
    labels = np.array([0] * 20 + [1] * 20 + [2] * n_rare)
    for seed in range(20):
        for kept, _ in hold_outs(make_rows(labels, "classification"), "auto", seed):
            assert set(labels[kept]) == {0, 1, 2}


def test_groups_stay_together(rng):
    groups = rng.integers(0, 12, size=240)
    for rows in (
        make_rows(rng.normal(size=240), groups=groups),
        make_rows(rng.integers(0, 2, size=240), "classification", groups),
        make_rows(np.arange(240) // 239, "classification", groups),  # too few of a class to be stratified
    ):
        for fraction in ("auto", 0.25, GroupKFold(3)):
            for kept, held_out in hold_outs(rows, fraction, 0):
                assert not set(groups[kept]) & set(groups[held_out])


def test_one_group_cannot_be_held_out():
    rows = make_rows(np.arange(30.0), groups=np.zeros(30, dtype=np.int64))
    with pytest.raises(ValueError, match=r"groups holds 1 group.*early_stopping=False"):
        hold_outs(rows, "auto", 0)


def test_the_last_split_of_a_splitter():
    rows = make_rows(np.arange(60.0))
    [(kept, held_out)] = hold_outs(rows, TimeSeriesSplit(5), 0)
    assert (kept.tolist(), held_out.tolist()) == (list(range(50)), list(range(50, 60)))
    first, again = (hold_outs(rows, ShuffleSplit(2), 7)[0][1] for _ in range(2))
    np.testing.assert_array_equal(first, again)


class Splits:
    """A CV splitter that yields given splits."""

    def __init__(self, *splits):
        self.splits = splits

    def split(self, X, y):
        yield from self.splits


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (GroupKFold(2), r"validation_fraction=GroupKFold.* cannot split the 40 rows .*groups"),
        (PredefinedSplit([-1] * 40 + [0] * 10), "names row 49, and there are 40 rows"),
        (Splits((np.arange(30.0), np.arange(30, 40))), "must give row numbers from 0"),
        (Splits((np.arange(30), np.arange(-10, 0))), "must give row numbers from 0"),
        (Splits(), "cannot split the 40 rows"),
        (PredefinedSplit(np.zeros(40)), "0 rows to train on"),
    ],
)
def test_splitters_that_are_refused(splitter, message):
    with pytest.raises(ValueError, match=message):
        hold_outs(make_rows(np.arange(40.0)), splitter, 0)
