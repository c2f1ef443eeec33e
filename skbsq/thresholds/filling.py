"""Make a codebook of thresholds: missing codes, levels and counts."""

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skbsq.codebook.checks import check_missing, midpoint_levels
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import numbered_names, shortened
from skbsq.exceptions import MissingCodeWarning


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
    """

    n_bits: np.ndarray
    has_missing: np.ndarray

    @classmethod
    def of(cls, n_bits, may_be_missing, constant, nan_seen):
        """Find the features with a missing code.

        Every feature that may be missing has one if it has at least one bit, unless it is constant and never missing.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
        may_be_missing : ndarray of bool of shape (d,)
            See the function of this name.
        constant, nan_seen : ndarrays of bool of shape (d,)
            Features of at most one value, and features with a NaN.

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
        return cls(n_bits, may_be_missing & (n_bits >= 1) & (nan_seen | ~constant))

    @property
    def n_levels(self):
        """Levels for numbers, one less if there is a missing code: ndarray of int64 of shape (d,)."""
        return 2**self.n_bits - self.has_missing

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
        indicators = np.flatnonzero(self.has_missing & (self.n_levels == 1) & ~nan_seen)
        if indicators.size:
            names = numbered_names(nan_seen.size) if names is None else names
            warnings.warn(
                f'missing="code" leaves no threshold to the features {shortened(str(names[j]) for j in indicators)}: '
                "their single bit tells only NaN from numbers, and fit saw no NaN there. Give them 2 bits, or set "
                'missing="seen", which gives a missing code only to features in which fit sees NaN.',
                MissingCodeWarning,
                stacklevel=stacklevel,
            )


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
        has_missing and names: see `CodebookBuilder`.

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
    categories : dict int -> tuple, default=None
        By feature, its categories in order. Rows hold their places, and thresholds lie between places.
    handle_unknown : {"error", "missing"}, default="error"
        See `skbsq.Codebook.from_thresholds`.
    """

    def __init__(self, thresholds, *, has_missing, names, categories=None, handle_unknown="error"):
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
        self.low, self.high = np.fmin(self.low, np.fmin.reduce(X)), np.fmax(self.high, np.fmax.reduce(X))
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
        sums = zip(self.book.thresholds, self.low, self.high, self.weights, self.sums, strict=True)
        all_levels = [_levels_of(*sums_of_one, mean=levels == "mean") for sums_of_one in sums]
        for j, known in self.categories.items():
            all_levels[j] = _most_frequent(known, self.book.thresholds[j], self.category_weights[j])
        return Codebook.from_thresholds(self.book.parts, levels=all_levels, counts=self.counts, **self.options)


def _most_frequent(categories, thresholds, weights):
    """Return the category of each code whose rows have most weight."""
    starts = [0, *(np.floor(thresholds).astype(int) + 1).tolist(), len(categories)]
    return [categories[start + int(np.argmax(weights[start:stop]))] for start, stop in pairwise(starts)]


def _levels_of(thresholds, low, high, weights, sums, *, mean):
    """Compute the levels of a feature's regular codes. A constant feature decodes to its mean in any case."""
    span = 0.0 if np.isnan(low) else float(high) - float(low)
    level = midpoint_levels(thresholds, lone_gap=span or None).astype(np.float64)
    if mean or thresholds.size == 0:
        np.divide(sums, weights, out=level, where=weights > 0)
    return level
