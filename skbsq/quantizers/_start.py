"""Where learned thresholds start."""

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from skbsq.quantizers._base import adapted, regular_levels
from skbsq.quantizers._cells import between, gap_of
from skbsq.quantizers._rows import Rows
from skbsq.quantizers.kmeans import KMeansQuantizer
from skbsq.quantizers.quantile import QuantileQuantizer
from skbsq.quantizers.tree import TreeQuantizer
from skbsq.quantizers.uniform import UniformQuantizer

INITS = {
    "quantile": QuantileQuantizer,
    "kmeans": KMeansQuantizer,
    "tree": TreeQuantizer,
    "uniform": UniformQuantizer,
}
MAX_THRESHOLDS = 2**17

# Rows and features that `choose_init` looks at, and trees it grows: enough to see what is clearly better.
_PILOT_ROWS, _PILOT_FEATURES = 2048, 64
_N_TREES = 10
_MIN_PILOT_ROWS = 1000
# Quantiles serve most tables. Another start must lower the error by a tenth, and by twice its standard error.
_CLEARLY = 0.9


def make_init(init, n_bits, missing, task, seed):
    """The quantizer that an init stands for, set to the widths asked for."""
    quantizer = INITS[init]() if isinstance(init, str) else init
    return adapted(quantizer, "init", n_bits=n_bits, missing=missing, task=task, seed=seed)


def choose_init(rows, n_bits, missing, seed):
    """The start whose codes tell most about the target, on training rows held out for that.

    Each candidate is fitted on three quarters of (at most 2048) training rows and at most 64 features, drawn at random;
    a small forest learns the target from its codes there, and is scored on the other quarter. A forest, because it sees
    what codes tell together and not only one by one: where features matter only in combination, cuts made one feature
    at a time look bad.

    Parameters
    ----------
    rows : Rows
    n_bits : ndarray of int64 of shape (d,)
    missing : {"error", "code"}
    seed : int

    Returns
    -------
    str
        A key of `INITS`; "quantile" unless another has an error lower by a tenth, and by two standard errors of the
        difference; "quantile" too where there are too few rows to tell, and where they come in chunks.
    """
    if not isinstance(rows, Rows):
        return "quantile"
    n, d = rows.X.shape
    if n < _MIN_PILOT_ROWS or not n_bits.any():
        return "quantile"
    random = np.random.RandomState(seed)
    pilot, features = random.permutation(n)[:_PILOT_ROWS], np.sort(random.permutation(d)[:_PILOT_FEATURES])
    X, y, weights, n_bits = rows.X[np.ix_(pilot, features)], rows.y[pilot], rows.weights[pilot], n_bits[features]
    fit, score = slice(3 * pilot.size // 4), slice(3 * pilot.size // 4, None)
    if rows.task == "classification":
        target = (y[:, None] == rows.classes).astype(np.float64)
        if np.unique(y[fit]).size < 2:
            return "quantile"
    else:
        target = y.reshape(pilot.size, -1)
        spread = target[fit].std(axis=0)
        target = target / np.where(spread > 0, spread, 1.0)

    errors = {}
    for init in INITS:
        quantizer = make_init(init, n_bits, missing, rows.task, seed)
        quantizer.fit(X[fit], y[fit], sample_weight=weights[fit])  # names do not matter to these
        forest = ExtraTreesRegressor(_N_TREES, min_samples_leaf=3, random_state=seed)
        forest.fit(quantizer.transform(X[fit]), _squeeze(target[fit]), sample_weight=weights[fit])
        found = forest.predict(quantizer.transform(X[score])).reshape(len(target[score]), -1)
        errors[init] = ((found - target[score]) ** 2).mean(axis=1)
    share = weights[score] / weights[score].sum()
    best = min(errors, key=lambda init: share @ errors[init])
    gains = errors["quantile"] - errors[best]
    gain = share @ gains
    clear = gain > (1 - _CLEARLY) * (share @ errors["quantile"]) and gain > 2 * np.sqrt(share**2 @ (gains - gain) ** 2)
    return best if clear else "quantile"


def start_thresholds(quantizer, rows, n_bits, has_missing):
    """Thresholds to start from, one float32 array per feature.

    Parameters
    ----------
    quantizer : quantizer
        Unfitted, from `make_init`.
    rows : Rows
    n_bits : ndarray of int64 of shape (d,)
    has_missing : ndarray of bool of shape (d,)

    Returns
    -------
    list of d ndarrays of float32

    Raises
    ------
    ValueError
        If there are more than the widths have room for, or more than 2^17 in all.
    """
    starts = []
    for j, (found, values) in enumerate(zip(rows.cut(quantizer), rows.distinct(), strict=True)):
        starts.append(start_in_gaps(found, values))
        room = max(regular_levels(int(n_bits[j]), has_missing[j]) - 1, 0)
        if starts[-1].size > room:
            raise ValueError(
                f"init gives {starts[-1].size} thresholds for feature {j}, but n_bits={n_bits[j]} has room for {room}."
            )
    check_total(sum(t.size for t in starts))
    return starts


def check_total(total):
    """Refuse more thresholds than are trained."""
    if total > MAX_THRESHOLDS:
        raise ValueError(
            f"n_bits asks for {total} thresholds in all; at most 2^17 = {MAX_THRESHOLDS} are trained. Lower n_bits, "
            "for the features of most distinct values first."
        )


def start_in_gaps(thresholds, values):
    """Starts that lie between the distinct values of a feature, at most one fewer than these.

    A threshold on a value would flip all rows of that value at its first step.

    Parameters
    ----------
    thresholds : ndarray of float32
    values : ndarray of float32, strictly increasing

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.quantizers._start import start_in_gaps
    >>> start_in_gaps(np.float32([1.0]), np.float32([0, 1, 2]))
    array([1.5], dtype=float32)
    """
    if values.size < 2:
        return np.empty(0, dtype=np.float32)
    gap = gap_of(values, thresholds)
    inside = (gap >= 0) & (gap < values.size - 1)
    low = values[np.clip(gap, 0, values.size - 2)]
    high = values[np.clip(gap, 0, values.size - 2) + 1]
    moved = np.where(inside & (thresholds == low), between(low, high), thresholds)
    if moved.size > values.size - 1:
        _, first = np.unique(gap[inside], return_index=True)
        moved = moved[inside][first]
    return moved


def _squeeze(target):
    return target.ravel() if target.shape[1] == 1 else target
