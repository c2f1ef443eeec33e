"""Make a codebook of thresholds: missing codes, levels and counts."""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.checks import midpoint_levels
from skbsq.codebook.codebook import Codebook


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
    def of(cls, n_bits, missing, constant, nan_seen):
        """Apply the rule of ``missing="code"``.

        Every feature with at least one bit has a missing code, unless it is constant and never missing.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
        missing : {"error", "code"}
        constant, nan_seen : ndarrays of bool of shape (d,)
            Features of at most one value, and features with a NaN.

        Returns
        -------
        Widths

        Examples
        --------
        >>> import numpy as np
        >>> from skbsq.thresholds.filling import Widths
        >>> Widths.of(np.array([2, 2]), "code", np.array([False, True]), np.array([False, False])).n_levels
        array([3, 4])
        """
        return cls(n_bits, (missing == "code") & (n_bits >= 1) & (nan_seen | ~constant))

    @property
    def n_levels(self):
        """Levels for numbers, one less if there is a missing code: ndarray of int64 of shape (d,)."""
        return 2**self.n_bits - self.has_missing


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
        missing, has_missing and names: see `CodebookBuilder`.

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
    missing : {"error", "code"}
    has_missing : ndarray of bool of shape (d,)
        Which features have a missing code.
    names : sequence of str or None
    """

    def __init__(self, thresholds, *, missing, has_missing, names):
        self.options = {"missing": missing, "has_missing": has_missing, "feature_names": names}
        self.book = Codebook.from_thresholds(thresholds, **self.options)
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
        codes = self.book.encode(X)
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
        return Codebook.from_thresholds(self.book.thresholds, levels=all_levels, counts=self.counts, **self.options)


def _levels_of(thresholds, low, high, weights, sums, *, mean):
    """Compute the levels of a feature's regular codes. A constant feature decodes to its mean in any case."""
    span = 0.0 if np.isnan(low) else float(high) - float(low)
    level = midpoint_levels(thresholds, lone_gap=span or None).astype(np.float64)
    if mean or thresholds.size == 0:
        np.divide(sums, weights, out=level, where=weights > 0)
    return level
