"""Where learned thresholds start."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from skbsq.codebook.codebook import Codebook
from skbsq.thresholds.features import between, gap_of
from skbsq.thresholds.filling import Widths, find_thresholds
from skbsq.thresholds.kmeans import kmeans
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.tree import tree
from skbsq.thresholds.uniform import uniform
from skbsq.training.rows import Rows

RULES = {"quantile": quantile, "kmeans": kmeans, "tree": tree, "uniform": uniform}
MAX_THRESHOLDS = 2**17

# Rows and features that `choose_rule` looks at, and trees it grows: enough to see what is clearly better.
_PILOT_ROWS, _PILOT_FEATURES = 2048, 64
_N_TREES = 10
_MIN_PILOT_ROWS = 1000
# Quantiles serve most tables. Another start must lower the error by a tenth, and by twice its standard error.
_CLEARLY = 0.9


@dataclass(frozen=True)
class RuleStart:
    """Thresholds by a rule.

    Parameters
    ----------
    rule : str
        A key of `RULES`, or "auto" for the one whose codes tell most about the target.

    Examples
    --------
    >>> from skbsq.training import RuleStart
    >>> RuleStart("auto").is_narrowed, RuleStart("tree").is_narrowed
    (True, False)
    """

    rule: str
    is_given = False

    @property
    def is_narrowed(self):
        """Whether what is left of a wide model is the start of a narrow one."""
        return self.rule == "auto"

    def thresholds(self, rows, widths, missing, seed):
        """Where thresholds start, before they are moved off the values of rows.

        Parameters
        ----------
        rows : Rows or ChunkedRows
        widths : Widths
        missing : {"error", "code"}
        seed : int

        Returns
        -------
        rule : str
            That was used.
        thresholds : list of d ndarrays of float32
        """
        rule = choose_rule(rows, widths.n_bits, missing, seed) if self.rule == "auto" else self.rule
        features = rows.features_with_target() if rule == "tree" else rows.features()
        cuts = find_thresholds(_rule(rule, rows.task), features, widths.n_levels)
        return rule, Codebook.from_thresholds(cuts).thresholds


@dataclass(frozen=True)
class GivenStart:
    """Thresholds that are there already, such as those of a wider model.

    Parameters
    ----------
    given : list of d 1-d arrays

    Examples
    --------
    >>> from skbsq.training import GivenStart
    >>> GivenStart([[2.0, 1.0]]).thresholds(None, None, "error", 0)
    (None, [array([1., 2.], dtype=float32)])
    """

    given: list
    is_given = is_narrowed = True

    def thresholds(self, rows, widths, missing, seed):
        """The thresholds, sorted and merged, whatever the rows are.

        Parameters
        ----------
        rows, widths, missing, seed
            Not used; see `RuleStart.thresholds`.

        Returns
        -------
        rule : None
        thresholds : list of d ndarrays of float32
        """
        return None, Codebook.from_thresholds(self.given).thresholds


def _rule(name, task):
    return partial(tree, task=task) if name == "tree" else RULES[name]


def choose_rule(rows, n_bits, missing, seed):
    """The rule whose codes tell most about the target, on training rows held out for that.

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
        A key of `RULES`; "quantile" unless another has an error lower by a tenth, and by two standard errors of the
        difference; "quantile" too where there are too few rows to tell, and where they come in chunks.
    """
    if not isinstance(rows, Rows) or rows.n_rows < _MIN_PILOT_ROWS or not n_bits.any():
        return "quantile"
    random = np.random.RandomState(seed)
    pilot = random.permutation(rows.n_rows)[:_PILOT_ROWS]
    features = np.sort(random.permutation(rows.n_features)[:_PILOT_FEATURES])
    part = rows.some(pilot, features)
    fit, score = slice(3 * pilot.size // 4), slice(3 * pilot.size // 4, None)
    fitted = rows.some(pilot[fit], features)
    if rows.task == "classification":
        target = (part.y[:, None] == rows.classes).astype(np.float64)
        if np.unique(fitted.y).size < 2:
            return "quantile"
    else:
        target = part.y.reshape(pilot.size, -1)
        spread = target[fit].std(axis=0)
        target = target / np.where(spread > 0, spread, 1.0)
    widths = Widths.of(n_bits[features], missing, fitted.constant, fitted.nan_seen)
    errors = {}
    for name in RULES:
        cuts = find_thresholds(_rule(name, rows.task), fitted.features_with_target(), widths.n_levels)
        book = Codebook.from_thresholds(cuts, missing=missing, has_missing=widths.has_missing)
        codes = book.encode(part.X)
        forest = ExtraTreesRegressor(_N_TREES, min_samples_leaf=3, random_state=seed)
        forest.fit(codes[fit], _squeeze(target[fit]), sample_weight=fitted.weights)
        found = forest.predict(codes[score]).reshape(len(target[score]), -1)
        errors[name] = ((found - target[score]) ** 2).mean(axis=1)
    return _clearly_best(errors, part.weights[score])


def _clearly_best(errors, weights):
    """The rule of the least weighted mean error, or "quantile" where it is not clearly better."""
    share = weights / weights.sum()
    best = min(errors, key=lambda name: share @ errors[name])
    gains = errors["quantile"] - errors[best]
    gain = share @ gains
    clear = gain > (1 - _CLEARLY) * (share @ errors["quantile"]) and gain > 2 * np.sqrt(share**2 @ (gains - gain) ** 2)
    return best if clear else "quantile"


def check_starts(found, rows, widths):
    """Move starts off the values of rows, and refuse more than there is room for.

    Parameters
    ----------
    found : list of d ndarrays of float32
    rows : Rows or ChunkedRows
    widths : Widths

    Returns
    -------
    list of d ndarrays of float32

    Raises
    ------
    ValueError
        If there are more than the widths have room for, or more than 2^17 in all.
    """
    starts = []
    for j, (thresholds, values) in enumerate(zip(found, rows.distinct(), strict=True)):
        starts.append(start_in_gaps(thresholds, values))
        room = max(int(widths.n_levels[j]) - 1, 0)
        if starts[-1].size > room:
            raise ValueError(
                f"init gives {starts[-1].size} thresholds for feature {j}, but n_bits={widths.n_bits[j]} has room for "
                f"{room}."
            )
    check_total(sum(t.size for t in starts))
    return starts


def check_total(total):
    """Refuse more thresholds than are trained.

    Parameters
    ----------
    total : int

    Raises
    ------
    ValueError
        For more than 2^17.
    """
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
    >>> from skbsq.training.starts import start_in_gaps
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
