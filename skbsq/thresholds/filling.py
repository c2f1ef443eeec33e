"""Make a codebook of thresholds: missing codes, levels and counts."""

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skbsq.codebook.checks import check_missing, midpoint_levels
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.guards import GuardedFeature, threshold_below
from skbsq.codebook.labels import label, numbered_names, shortened
from skbsq.exceptions import MissingCodeWarning
from skbsq.thresholds.special import without_special


def may_be_missing(missing, names, nan_seen):
    """Find the features in which the parameter `missing` gives NaN a code.

    Parameters
    ----------
    missing : str, array-like, dict or Series
        See `skbsq.codebook.checks.check_missing`.
    names : sequence of str or None
    nan_seen : ndarray of bool of shape (d,)
        Features with a NaN in a row of positive weight.

    Returns
    -------
    ndarray of bool of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.filling import may_be_missing
    >>> may_be_missing(["code", "seen", "seen"], None, np.array([False, False, True]))
    array([ True, False,  True])
    """
    rules = check_missing(missing, names, nan_seen.size)
    return (rules == "code") | ((rules == "seen") & nan_seen)


@dataclass(frozen=True)
class Widths:
    """Bits that each feature may cost, and the number of levels that this leaves for numbers.

    Parameters
    ----------
    n_bits : ndarray of int64 of shape (d,)
    has_missing : ndarray of bool of shape (d,)
        Which features have a missing code.
    has_guard : ndarray of bool of shape (d,)
        Which features have guard codes.
    n_fixed : ndarray of int64 of shape (d,) or int, default=0
        Number of thresholds around special values.
    """

    n_bits: np.ndarray
    has_missing: np.ndarray
    has_guard: np.ndarray
    n_fixed: np.ndarray | int = 0

    @classmethod
    def of(cls, n_bits, may_be_missing, constant, nan_seen, guarded=False, special=None):
        """Find the features with a missing code, and those with guard codes.

        Every feature that may be missing has a missing code if it has at least one bit, unless it is constant and never
        missing. Guard codes must leave room for two other codes of numbers.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
        may_be_missing : ndarray of bool of shape (d,)
            See the function of this name.
        constant, nan_seen : ndarrays of bool of shape (d,)
            Features of at most one value, and features with a NaN.
        guarded : ndarray of bool of shape (d,), default=False
            Features that have guard codes if these have room.
        special : dict int -> Special, default=None
            Special values by feature.

        Returns
        -------
        Widths

        Examples
        --------
        >>> import numpy as np
        >>> from skbsq.thresholds.filling import Widths
        >>> yes = np.array([True, True])
        >>> Widths.of(np.array([2, 2]), yes, np.array([False, True]), np.array([False, False])).n_levels
        array([3, 4])
        """
        has_missing = may_be_missing & (n_bits >= 1) & (nan_seen | ~constant)
        n_fixed = np.zeros_like(n_bits)
        for j, of_feature in (special or {}).items():
            n_fixed[j] = of_feature.thresholds.size if n_bits[j] else 0
        return cls(n_bits, has_missing, guarded & guards_have_room(n_bits, has_missing), n_fixed)

    @property
    def n_levels(self):
        """Levels for numbers, without missing, guard and special codes: ndarray of int64 of shape (d,)."""
        return self._n_regular - self.n_fixed

    @property
    def _n_regular(self):
        return 2**self.n_bits - self.has_missing - 2 * self.has_guard

    def refuse_without_guards(self, guarded, names):
        """Reject features with bits that have no room for the guard codes they should have.

        Parameters
        ----------
        guarded : ndarray of bool of shape (d,)
        names : sequence of str or None

        Raises
        ------
        ValueError
            If there are such features. The message names the first.
        """
        refused = guarded & (self.n_bits > 0) & ~self.has_guard
        if refused.any():
            j = int(np.argmax(refused))
            bits, least = int(self.n_bits[j]), 3 if self.has_missing[j] else 2
            kept = "two guard codes and a missing code" if self.has_missing[j] else "two guard codes"
            raise ValueError(
                f"guard=True needs at least {least} bits for {label(names, j)}, got n_bits={bits}: {kept} would leave "
                f"it fewer than two codes for numbers. Give it {least} bits, or 0, or guard=False for this feature."
            )

    def refuse_without_special(self, names):
        """Reject features with bits that have no room for their special values and for one other code.

        Parameters
        ----------
        names : sequence of str or None

        Raises
        ------
        ValueError
            If there are such features. The message names the first.
        """
        refused = (self.n_fixed > 0) & (self.n_levels < 1)
        if refused.any():
            j = int(np.argmax(refused))
            bits, needed = int(self.n_bits[j]), 2 ** int(self.n_bits[j]) + 1 - int(self.n_levels[j])
            least = (needed - 1).bit_length()
            raise ValueError(
                f"special_values need at least {least} bits for {label(names, j)}, got n_bits={bits}: with the codes "
                f"beside them it needs {needed} codes. Give it {least} bits, or 0, or name fewer special values."
            )

    def warn_of_indicators(self, nan_seen, names, stacklevel):
        """Warn about features whose single bit is spent on a missing code, although no NaN was seen.

        Parameters
        ----------
        nan_seen : ndarray of bool of shape (d,)
        names : sequence of str or None
        stacklevel : int
            Number of calls between the user and the warning.

        Warns
        -----
        MissingCodeWarning
            If there are such features.
        """
        indicators = np.flatnonzero(self.has_missing & (self._n_regular == 1) & ~nan_seen)
        if indicators.size:
            names = numbered_names(nan_seen.size) if names is None else names
            warnings.warn(
                f'missing="code" leaves no threshold to the features {shortened(str(names[j]) for j in indicators)}: '
                "their single bit tells only NaN from numbers, and fit saw no NaN there. Give them 2 bits, or set "
                'missing="seen", which gives a missing code only to features in which fit sees NaN. '
                'For a categorical feature the rule may also be handle_unknown="missing".',
                MissingCodeWarning,
                stacklevel=stacklevel,
            )


def guards_have_room(n_bits, has_missing):
    """Return whether two guard codes leave at least two other codes for numbers.

    Parameters
    ----------
    n_bits : int or ndarray of int64
    has_missing : bool or ndarray of bool

    Returns
    -------
    bool or ndarray of bool

    Examples
    --------
    >>> from skbsq.thresholds.filling import guards_have_room
    >>> guards_have_room(2, False), guards_have_room(2, True)
    (True, False)
    """
    return 2**n_bits - has_missing - 2 >= 2


def find_thresholds(rule, features, n_levels):
    """Find the thresholds of every feature by a rule.

    Parameters
    ----------
    rule : callable
        ``rule(feature, n_levels)`` returns the thresholds of a feature that is not constant, for 2 levels or more.
    features : iterable of d Features
    n_levels : ndarray of int64 of shape (d,)

    Returns
    -------
    list of d 1-d array-likes
        Empty if the feature is constant or has one level.
    """
    return [
        [] if feature.is_constant or levels < 2 else rule(feature, levels)
        for feature, levels in zip(features, n_levels.tolist(), strict=True)
    ]


def build_codebook(X, weights, thresholds, *, levels, **options):
    """Build the codebook of given thresholds, with levels and counts learned from rows.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    weights : ndarray of float64 of shape (n,)
        Positive.
    thresholds : list of d 1-d arrays
    levels : {"mean", "midpoint"}
        See `CodebookBuilder.codebook`.
    **options
        has_missing, has_guard and names: see `CodebookBuilder`.

    Returns
    -------
    Codebook
    """
    builder = CodebookBuilder(thresholds, **options)
    builder.add(X, weights)
    return builder.codebook(levels)


class CodebookBuilder:
    """Build a codebook of given thresholds whose levels and counts come from one or several chunks of rows.

    Parameters
    ----------
    thresholds : list of d 1-d arrays
    has_missing : ndarray of bool of shape (d,)
        Which features have a missing code.
    names : sequence of str or None
    has_guard : ndarray of bool of shape (d,), default=None
        Features to which guard codes are added, at the extremes of the rows. None: none.
    categories : dict int -> tuple, default=None
        By feature, its categories in order. Rows hold their places, and thresholds lie between places.
    handle_unknown : {"error", "missing"}, default="error"
        See `skbsq.Codebook.from_thresholds`.
    special : dict int -> Special, default=None
        Special values by feature. Their thresholds are among the given ones.
    """

    def __init__(
        self,
        thresholds,
        *,
        has_missing,
        names,
        has_guard=None,
        categories=None,
        handle_unknown="error",
        special=None,
    ):
        self.special = special or {}
        self.has_guard = np.zeros(len(thresholds), dtype=bool) if has_guard is None else has_guard
        self.options = {"missing": "seen", "has_missing": has_missing, "feature_names": names}
        self.options["handle_unknown"] = handle_unknown
        self.categories = categories or {}
        thresholds = list(thresholds)
        for j, known in self.categories.items():
            thresholds[j] = dict(
                zip(known, np.searchsorted(thresholds[j], np.arange(len(known))).tolist(), strict=True)
            )
        self.book = Codebook.from_thresholds(thresholds, **self.options)
        # Weight of the rows of each category.
        self.category_weights = {j: np.zeros(len(known)) for j, known in self.categories.items()}
        self.counts = [np.zeros(n, dtype=np.int64) for n in self.book.n_levels.tolist()]
        # Per feature and regular code: the weight of its rows, and the weighted sum of their values.
        self.weights = [np.zeros(t.size + 1) for t in self.book.thresholds]
        self.sums = [np.zeros(t.size + 1) for t in self.book.thresholds]
        # Extremes without special values.
        self.low, self.high = np.full((2, self.book.n_features), np.nan)

    def add(self, X, weights):
        """Add rows.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
        weights : ndarray of float64 of shape (n,)
            Positive.
        """
        codes = self.book.encode_numbers(X)
        others = without_special(X, self.special)
        self.low, self.high = np.fmin(self.low, np.fmin.reduce(others)), np.fmax(self.high, np.fmax.reduce(others))
        for j, n_levels in enumerate(self.book.n_levels.tolist()):
            # Contiguous copies are faster for several passes over a column, and bincount wants intp.
            x, code, w = np.ascontiguousarray(X[:, j]), codes[:, j].astype(np.intp), weights
            self.counts[j] += np.bincount(code, minlength=n_levels)
            seen = ~np.isnan(x)
            if not seen.all():
                x, code, w = x[seen], code[seen], w[seen]
            self.weights[j] += np.bincount(code, weights=w, minlength=self.weights[j].size)
            self.sums[j] += np.bincount(code, weights=w * x, minlength=self.weights[j].size)
            if j in self.categories:
                self.category_weights[j] += np.bincount(x.astype(np.intp), w, minlength=len(self.categories[j]))

    def codebook(self, levels):
        """Return the codebook with the levels and counts of the rows added so far.

        Parameters
        ----------
        levels : {"mean", "midpoint"}
            The weighted mean of a code's rows (the midpoint if it has none), or the midpoint for every code.

        Returns
        -------
        Codebook
        """
        parts = [self._feature(j, mean=levels == "mean") for j in range(self.book.n_features)]
        thresholds, all_levels, counts = map(list, zip(*parts, strict=True))
        counts = None if self.counts is None else counts
        return Codebook.from_thresholds(thresholds, levels=all_levels, counts=counts, **self.options)

    def _feature(self, j, *, mean):
        """Return thresholds, levels and counts (None if they are not known) of a feature, with its guard codes."""
        t, low, high, sums = self.book.thresholds[j], self.low[j], self.high[j], (self.weights[j], self.sums[j])
        counts = None if self.counts is None else self.counts[j]
        if j in self.categories:
            return self.book.parts[j], _most_frequent(self.categories[j], t, self.category_weights[j]), counts
        special = self.special[j].values if j in self.special and t.size else None
        inside = low, high
        if special is not None:
            low, high = np.fmin(low, special[0]), np.fmax(high, special[-1])
        if not self.has_guard[j] or np.isnan(low):
            return t, _levels_of(t, *inside, *sums, mean=mean, special=special), counts
        if np.isneginf(threshold_below(low)):
            raise ValueError(
                f"guard=True needs a float32 below the smallest value of {label(self.options['feature_names'], j)}, "
                f"{low}: if that marks missing values, replace it by NaN."
            )
        feature = GuardedFeature(t, low, high)
        level = _levels_of(feature.thresholds, *inside, *map(feature.spread, sums), mean=mean, special=special)
        if counts is not None:
            counts = np.append(feature.spread(counts[: t.size + 1]), counts[t.size + 1 :])
        return feature.thresholds, feature.with_ends(level, low, high), counts


def _most_frequent(categories, thresholds, weights):
    """Return the category of each code whose rows have most weight."""
    starts = [0, *(np.floor(thresholds).astype(int) + 1).tolist(), len(categories)]
    return [categories[start + int(np.argmax(weights[start:stop]))] for start, stop in pairwise(starts)]


def _levels_of(thresholds, low, high, weights, sums, *, mean, special=None):
    """Compute the levels of a feature's regular codes. A constant feature decodes to its mean in any case."""
    span = 0.0 if np.isnan(low) else float(high) - float(low)
    # Thresholds around special values that lie beyond the other values are no ends of bins for these.
    inner = thresholds if special is None else _among(thresholds, low, high)
    level = midpoint_levels(inner, lone_gap=span or None).astype(np.float64)
    if special is not None:
        first = np.searchsorted(thresholds, inner[0]) if inner.size else 0
        level = level[np.clip(np.arange(thresholds.size + 1) - first, 0, inner.size)]
        above = np.nextafter(thresholds, np.float32(np.inf))
        level = np.clip(level, np.append(-np.inf, above), np.append(thresholds, np.inf))
    if mean or inner.size == 0:
        np.divide(sums, weights, out=level, where=weights > 0)
    if special is not None:
        level[np.searchsorted(thresholds, special)] = special
    return level


def _among(thresholds, low, high):
    """Return the thresholds among values, guard thresholds included; none if there are no values."""
    if np.isnan(low):
        return thresholds[:0]
    return thresholds[(thresholds >= threshold_below(low)) & (thresholds <= high)]
