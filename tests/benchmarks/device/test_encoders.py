"""What the encoders of `benchmarks.device` are given."""

import numpy as np
import pytest

from benchmarks.device.encoders import RANDOM, code_trees, make_job


def test_no_two_features_are_alike():
    """Else a linker would merge their functions, and flash would look small."""
    thresholds = [tuple(t / t[0]) for t in make_job(81, 4).book.thresholds]
    assert len(set(thresholds)) == 81


def test_rows_of_counts_and_floats_are_the_same_at_first():
    job = make_job(8, 4)
    counts, count_codes = job.rows("i2", RANDOM)
    values, codes = job.rows("f8", RANDOM)
    assert counts.dtype == np.int16
    assert (codes == count_codes).all()
    assert values.tolist() == (counts * job.scale).astype(np.float32).tolist()


def test_compared_rows_meet_every_threshold():
    job = make_job(4, 3)
    values, _ = job.rows("f4", 1000)
    for j, t in enumerate(job.book.thresholds):
        assert np.isin(t, values[:, j]).all()
        assert np.isin(np.nextafter(t, np.float32(np.inf)), values[:, j]).all()


@pytest.mark.parametrize("on_counts", [False, True])
def test_trees_give_the_codes(on_counts):
    job = make_job(4, 3)
    values, codes = job.rows("i2" if on_counts else "f4", 200)
    for j, tree in enumerate(code_trees(job, on_counts=on_counts)):
        # emlearn asks x < t on counts, where scikit-learn asks x <= t.
        assert (tree.predict(values[:, [j]] + on_counts) == codes[:, j]).all()
        assert tree.get_depth() == 3
