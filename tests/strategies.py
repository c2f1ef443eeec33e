"""Inputs for the tests of properties."""

import numpy as np
from hypothesis import strategies as st

from skbsq import Codebook

finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def codebooks(draw, missing=st.sampled_from(["error", "seen", "code"])):
    thresholds, missing = draw(st.lists(st.lists(finite32, max_size=6), min_size=1, max_size=4)), draw(missing)
    has_missing = [draw(st.booleans()) for _ in thresholds] if missing == "seen" else None
    return Codebook.from_thresholds(thresholds, missing=missing, has_missing=has_missing)


def neighbours(thresholds):
    """Return the thresholds, zeros of both signs, the floats next to all of these, and the infinities."""
    t = np.concatenate([thresholds, np.float32([0.0, -0.0])])
    ends = np.float32([-np.inf, np.inf])
    with np.errstate(over="ignore", under="ignore"):
        beside = [np.nextafter(t, end) for end in ends]
    return np.concatenate([t, *beside, ends])
