"""From thresholds to a codebook: missing codes, levels and counts."""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.checks import midpoint_levels
from skbsq.codebook.codebook import Codebook


@dataclass(frozen=True)
class Widths:
    """What each feature may cost, and how many levels that leaves for numbers.

    Parameters
    ----------
    n_bits : ndarray of int64 of shape (d,)
    has_missing : ndarray of bool of shape (d,)
        Features that own a missing code.
    """

    n_bits: np.ndarray
    has_missing: np.ndarray

    @classmethod
    def of(cls, n_bits, missing, constant, nan_seen):
        """Widths by the rule of ``missing="code"``.

        Every feature that is sent owns a missing code, unless it is constant and never missing.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
        missing : {"error", "code"}
        constant, nan_seen : ndarrays of bool of shape (d,)
            Features of one value at most, and those in which NaN was seen.

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
        """Levels for numbers, one given up for the missing code: ndarray of int64 of shape (d,)."""
        return 2**self.n_bits - self.has_missing


def cut_features(rule, features, n_levels):
    """Cut every feature by a rule.

    Parameters
    ----------
    rule : callable
        ``rule(feature, n_levels)`` gives the thresholds of a feature that is not constant, for 2 levels or more.
    features : iterable of d Features
    n_levels : ndarray of int64 of shape (d,)

    Returns
    -------
    list of d 1-d array-likes
        Empty where the feature is constant or has one level.
    """
    cuts = []
    for feature, levels in zip(features, n_levels.tolist(), strict=True):
        cuts.append([] if feature.is_constant or levels < 2 else rule(feature, levels))
    return cuts


def build_codebook(X, weights, thresholds, *, missing, has_missing, levels, names):
    """The codebook of given thresholds, with levels and counts learned from rows.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    weights : ndarray of float64 of shape (n,)
        Positive.
    thresholds : list of d 1-d arrays
    missing : {"error", "code"}
    has_missing : ndarray of bool of shape (d,)
    levels : {"mean", "midpoint"}
        The weighted mean of the bin's rows (midpoint where it has none), or the midpoint throughout.
    names : sequence of str or None

    Returns
    -------
    Codebook
    """
    filling = CodebookFilling(thresholds, missing=missing, has_missing=has_missing, names=names)
    filling.add(X, weights)
    return filling.codebook(levels)


class CodebookFilling:
    """A codebook of given thresholds whose levels and counts come from rows, in one chunk or in several.

    Parameters
    ----------
    thresholds, missing, has_missing, names
        See `build_codebook`.
    """

    def __init__(self, thresholds, *, missing, has_missing, names):
        self.given = {"missing": missing, "has_missing": has_missing, "feature_names": names}
        self.book = Codebook.from_thresholds(thresholds, **self.given)
        self.counts = [np.zeros(n, dtype=np.int64) for n in self.book.n_levels.tolist()]
        self.mass = [np.zeros(t.size + 1) for t in self.book.thresholds]
        self.total = [np.zeros(t.size + 1) for t in self.book.thresholds]
        self.low = np.full(self.book.n_features, np.nan)
        self.high = np.full(self.book.n_features, np.nan)

    def add(self, X, weights):
        """Count rows in.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
        weights : ndarray of float64 of shape (n,)
            Positive.
        """
        codes = self.book.encode(X)
        self.low, self.high = np.fmin(self.low, np.fmin.reduce(X)), np.fmax(self.high, np.fmax.reduce(X))
        for j, n_levels in enumerate(self.book.n_levels.tolist()):
            # Copies of a column: several passes are made over each, and bincount wants intp.
            x, code, w = np.ascontiguousarray(X[:, j]), codes[:, j].astype(np.intp), weights
            self.counts[j] += np.bincount(code, minlength=n_levels)
            seen = ~np.isnan(x)
            if not seen.all():
                x, code, w = x[seen], code[seen], w[seen]
            self.mass[j] += np.bincount(code, weights=w, minlength=self.mass[j].size)
            self.total[j] += np.bincount(code, weights=w * x, minlength=self.mass[j].size)

    def codebook(self, levels):
        """The codebook with what was counted.

        Parameters
        ----------
        levels : {"mean", "midpoint"}

        Returns
        -------
        Codebook
        """
        sums = zip(self.book.thresholds, self.low, self.high, self.mass, self.total, strict=True)
        all_levels = [level_means(*own, mean=levels == "mean") for own in sums]
        return Codebook.from_thresholds(self.book.thresholds, levels=all_levels, counts=self.counts, **self.given)


def level_means(thresholds, low, high, mass, total, *, mean):
    """Levels of a feature's regular codes.

    Parameters
    ----------
    thresholds : ndarray of float32
    low, high : float
        Extremes of the rows; NaN without any.
    mass, total : ndarray of float64, one more than thresholds
        Weight of the rows of each code, and weighted sum of their values.
    mean : bool
        The mean of a code's rows where it has some; else the midpoint, unless there is but one code.

    Returns
    -------
    ndarray of float64
    """
    span = 0.0 if np.isnan(low) else float(high) - float(low)
    level = midpoint_levels(thresholds, lone_gap=span or None).astype(np.float64)
    if mean or thresholds.size == 0:
        np.divide(total, mass, out=level, where=mass > 0)
    return level
