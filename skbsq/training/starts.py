"""Initial thresholds: by a rule, or given."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor

from skbsq.codebook.codebook import Codebook
from skbsq.nn.losses import RegressionLoss, row_losses
from skbsq.thresholds.features import between, gap_of
from skbsq.thresholds.filling import find_thresholds
from skbsq.thresholds.kmeans import kmeans
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.special import with_fixed, without_fixed
from skbsq.thresholds.tree import tree
from skbsq.thresholds.uniform import uniform
from skbsq.training.rows import Rows
from skbsq.training.targets import target_scaling

RULES = {"quantile": quantile, "kmeans": kmeans, "tree": tree, "uniform": uniform}
MAX_THRESHOLDS = 2**17

# Limits of the pilot in `choose_rule`. They are enough to see a clear difference between rules.
_MIN_PILOT_ROWS, _MAX_PILOT_ROWS, _MAX_PILOT_FEATURES = 1000, 2048, 64
_N_TREES = 10
# Quantiles suit most data sets. Another rule must lower the error by a tenth, and by two standard errors.
_MIN_RELATIVE_GAIN = 0.1
# Share of the mean rate in each predicted rate, so that none is 0.
_MIN_RATE = 0.01
# Targets further from their centre count as this far, in spreads.
_MAX_SPREADS = 3.0
_SQUARED_ERROR = RegressionLoss()


@dataclass(frozen=True)
class RuleStart:
    """Start from thresholds that a rule finds.

    Parameters
    ----------
    rule : str
        A key of `RULES`, or "auto" for the rule whose codes predict the target best.
    loss : RegressionLoss, default=RegressionLoss()
        Measures how well codes predict the target of a regression.

    See Also
    --------
    GivenStart : Starts from given thresholds.

    Examples
    --------
    >>> from skbsq.training import RuleStart
    >>> RuleStart("auto").is_narrowed, RuleStart("tree").is_narrowed
    (True, False)
    """

    rule: str
    loss: RegressionLoss = _SQUARED_ERROR
    is_given = False

    @property
    def is_narrowed(self):
        """Whether a narrow model starts from the remaining thresholds of a wide model."""
        return self.rule == "auto"

    def thresholds(self, rows, widths, seed):
        """Find the initial thresholds. They may still lie on the values of rows.

        Parameters
        ----------
        rows : Rows or ChunkedRows
        widths : Widths
        seed : int

        Returns
        -------
        rule : str
            The rule that was used.
        thresholds : list of d ndarrays of float32

        Raises
        ------
        ValueError
            If the rule needs targets, and the rows come in chunks.
        """
        rule = self.rule
        if rule == "auto":
            rule = choose_rule(rows, widths.n_bits, seed, self.loss)
        return rule, Codebook.from_thresholds(_thresholds_by(rule, rows, widths.n_levels)).thresholds


@dataclass(frozen=True)
class GivenStart:
    """Start from given thresholds, such as those of a wider model.

    Parameters
    ----------
    given : list of d 1-d arrays

    See Also
    --------
    RuleStart : Starts from thresholds that a rule finds.

    Examples
    --------
    >>> from skbsq.training import GivenStart
    >>> from skbsq.training.rows import BaseRows
    >>> GivenStart([[2.0, 1.0]]).thresholds(BaseRows(), None, 0)
    (None, [array([1., 2.], dtype=float32)])
    """

    given: list
    is_given = is_narrowed = True

    def thresholds(self, rows, widths, seed):
        """Return the thresholds, sorted and merged.

        Parameters
        ----------
        rows : Rows or ChunkedRows
            The given thresholds of a categorical feature lie between the places of its categories.
        widths, seed
            Not used; see `RuleStart.thresholds`.

        Returns
        -------
        rule : None
        thresholds : list of d ndarrays of float32
        """
        given = list(self.given)
        for j, order in rows.orders.items():
            given[j] = order.unplaced(np.asarray(given[j], dtype=np.float32))
        return None, Codebook.from_thresholds(given).thresholds


def _thresholds_by(rule, rows, n_levels):
    """Find the thresholds of each feature by a rule."""
    if rule == "tree":
        return find_thresholds(partial(tree, task=rows.task), rows.features_with_target(), n_levels)
    return find_thresholds(RULES[rule], rows.features(), n_levels)


def choose_rule(rows, n_bits, seed, loss=_SQUARED_ERROR):
    """Choose the rule whose codes predict the target best, on training rows held out for this purpose.

    Each rule is fitted on three quarters of at most 2048 training rows and at most 64 features, drawn at random. A
    small forest learns the target from the codes, and is scored on the last quarter. A forest sees combinations of
    features: where only combinations matter, scores of single features would mislead.

    Parameters
    ----------
    rows : Rows
    n_bits : ndarray of int64 of shape (d,)
    seed : int
    loss : RegressionLoss, default=RegressionLoss()
        Scores a regression. A forest of squared errors is grown for every loss; its leaves then predict what the loss
        asks for, such as a quantile of the rows in them.

    Returns
    -------
    str
        A key of `RULES`: "quantile", unless the error of another rule is lower by a tenth, and by two standard errors
        of the difference. It is also "quantile" for fewer than 1000 rows, and for rows in chunks.
    """
    if not isinstance(rows, Rows) or rows.n_rows < _MIN_PILOT_ROWS or not n_bits.any():
        return "quantile"
    random = np.random.RandomState(seed)
    pilot = random.permutation(rows.n_rows)[:_MAX_PILOT_ROWS]
    features = np.sort(random.permutation(rows.n_features)[:_MAX_PILOT_FEATURES])
    part = rows.some(pilot, features)
    fit, score = slice(3 * pilot.size // 4), slice(3 * pilot.size // 4, None)
    fitted = rows.some(pilot[fit], features)
    if rows.task == "classification" and np.unique(fitted.y).size < 2:
        return "quantile"
    target = _pilot_target(part, fitted, loss)
    widths = fitted.widths(n_bits[features])
    errors = {}
    for rule in RULES:
        thresholds = with_fixed(_thresholds_by(rule, fitted, widths.n_levels), fitted.special, widths.n_bits)
        book = Codebook.from_thresholds(thresholds, missing="seen", has_missing=widths.has_missing)
        codes = book.encode_numbers(part.X)
        forest = ExtraTreesRegressor(_N_TREES, min_samples_leaf=3, random_state=seed)
        outputs = _outputs_of_forest(forest, codes[fit], target[fit], fitted.weights, codes[score], loss)
        outputs, wanted = torch.from_numpy(outputs), torch.from_numpy(target[score])
        errors[rule] = row_losses(loss.criterion("none"), outputs, wanted).numpy()
    return _clearly_best(errors, part.weights[score])


def _pilot_target(part, fitted, loss):
    """Scale the target of all rows of a pilot by its fitted rows, or return a column per class."""
    if part.task == "classification":
        return (part.y[:, None] == part.classes).astype(np.float64)
    y = part.y.reshape(part.n_rows, -1)
    if loss.name == "squared_error":
        spread = y[: fitted.n_rows].std(axis=0)
        return y / np.where(spread > 0, spread, 1.0)
    mean, scale = target_scaling(loss, fitted)
    return (y - mean) / scale


def _predicted_means(forest, codes, target, weights, codes_to_score):
    """Fit a forest, and predict the mean of each target."""
    forest.fit(codes, target.squeeze(), sample_weight=weights)
    return forest.predict(codes_to_score).reshape(len(codes_to_score), -1)


def _outputs_of_forest(forest, codes, target, weights, codes_to_score, loss):
    """Fit a forest, and predict for other codes what the head of a net with this loss would."""
    if loss.name in ("squared_error", "poisson"):
        means = _predicted_means(forest, codes, target, weights, codes_to_score)
        return np.log(means + _MIN_RATE * (1 - means)) if loss.name == "poisson" else means
    # Outliers would decide the splits.
    forest.fit(codes, np.clip(target, -_MAX_SPREADS, _MAX_SPREADS).squeeze(), sample_weight=weights)
    # The weight of each row in the leaves of the row to score: a quantile regression forest.
    shares = np.zeros((len(codes_to_score), len(codes)))
    for leaves, own in zip(forest.apply(codes).T, forest.apply(codes_to_score).T, strict=True):
        together = (own[:, None] == leaves) * weights
        shares += together / together.sum(axis=1, keepdims=True)
    wanted = (loss.quantile if loss.name == "quantile" else 0.5) * len(forest.estimators_)
    outputs = []
    for column in target.T:
        order = np.argsort(column)
        first = (shares[:, order].cumsum(axis=1) >= wanted).argmax(axis=1)
        outputs.append(column[order[first]])
    return np.column_stack(outputs)


def _clearly_best(errors, weights):
    """Return the rule with the lowest weighted mean error, or "quantile" if no rule is clearly better."""
    share = weights / weights.sum()
    best = min(errors, key=lambda rule: share @ errors[rule])
    gains = errors["quantile"] - errors[best]
    gain = share @ gains
    is_large = gain > _MIN_RELATIVE_GAIN * (share @ errors["quantile"])
    return best if is_large and gain > 2 * np.sqrt(share**2 @ (gains - gain) ** 2) else "quantile"


def check_starts(found, rows, widths):
    """Move initial thresholds off the values of rows, and reject too many.

    Parameters
    ----------
    found : list of d ndarrays of float32
    rows : Rows or ChunkedRows
    widths : Widths

    Returns
    -------
    list of d ndarrays of float32
        With the thresholds around special values, which stay where they are.

    Raises
    ------
    ValueError
        If a feature has more thresholds than its bits allow, or all features together more than 2^17.
    """
    starts, kept = [], rows.kept
    found = without_fixed(found, rows.special)
    for j, (thresholds, values) in enumerate(zip(found, rows.distinct(), strict=True)):
        starts.append(rows.orders[j].gaps if kept[j] else start_in_gaps(thresholds, values))
        room = max(int(widths.n_levels[j]) - 1, 0)
        if starts[-1].size > room:
            raise ValueError(
                f"init gives {starts[-1].size} thresholds for feature {j}, but n_bits={widths.n_bits[j]} has room for "
                f"{room}."
            )
    starts = with_fixed(starts, rows.special, widths.n_bits)
    check_total(sum(t.size for t in starts))
    return starts


def check_total(total):
    """Reject more thresholds than can be trained.

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
            "first for the features with the most distinct values."
        )


def start_in_gaps(thresholds, values):
    """Move thresholds between the distinct values of a feature, at most one per gap if they are too many.

    A threshold on a value would flip all rows of that value at its first step.

    Parameters
    ----------
    thresholds : ndarray of float32
    values : ndarray of float32, strictly increasing

    Returns
    -------
    ndarray of float32
        At most one threshold less than there are values.

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
    low, high = values[:-1].take(gap, mode="clip"), values[1:].take(gap, mode="clip")
    moved = np.where(inside & (thresholds == low), between(low, high), thresholds)
    if moved.size > values.size - 1:
        _, first = np.unique(gap[inside], return_index=True)
        moved = moved[inside][first]
    return moved
