"""Find numbers with which categories act together: their order then follows what they do together."""

from itertools import product

import numpy as np

_MOST_PRODUCTS = 4
_MAX_Z = 3.0
_RIDGE = 1e-3
_DEVIATIONS = 4


class Interactions:
    """Products of the target and a number, whose means tell apart categories that act together with the number.

    Parameters
    ----------
    target : ndarray of float64 of shape (n, k)
        See `skbsq.thresholds.orders.target_columns`.
    X : ndarray of float32 of shape (n, d)
        The numbers; NaN where they are missing.
    weights : ndarray of float64 of shape (n,)
        Positive.

    Examples
    --------
    The target is x for a category, -x for another and 0 for the third, so that their means are equal.

    >>> import numpy as np
    >>> from skbsq.thresholds.categories import Categories
    >>> from skbsq.thresholds.interactions import Interactions
    >>> x = np.float32([-1, 1, -1, 1, -1, 1])
    >>> target = (x * [1, 1, -1, -1, 0, 0])[:, None]
    >>> categories, numbers = Categories.of(["a", "b", "c"], np.ones(3))[0], np.float32([0, 0, 1, 1, 2, 2])
    >>> columns = Interactions(target, x[:, None], np.ones(6)).added_to(target, categories, numbers)
    >>> columns.shape, columns[:4].tolist()
    ((6, 2), [[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    """

    def __init__(self, target, X, weights):
        self.weights = weights
        # In float32, because this is a copy of all rows.
        self.z = np.stack([_standardized(x, weights) for x in X.T], axis=1) if X.shape[1] else X
        share = weights / weights.sum()
        rest = target - share @ target
        weighted = self.z * share[:, None].astype(np.float32)
        gram = (weighted.T @ self.z).astype(np.float64) + _RIDGE * np.eye(X.shape[1])
        # What numbers do alone is not the effect of a category.
        self.rest = rest - self.z @ np.linalg.solve(gram, weighted.T @ rest)

    def added_to(self, target, categories, numbers):
        """Add the products whose means differ most between categories, and more than by chance, at most four.

        Parameters
        ----------
        target : ndarray of float64 of shape (n, k)
        categories : Categories
        numbers : ndarray of float32 of shape (n,)
            Numbers of categories, NaN where they are missing.

        Returns
        -------
        ndarray of float64 of shape (n, k + m)
        """
        if categories.group.max() <= 1:
            return target  # two are in order in any case
        strengths = [
            (self._strength(k, z, categories, numbers), k, z)
            for k, z in product(range(target.shape[1]), range(self.z.shape[1]))
        ]
        kept = sorted(strengths, reverse=True)[:_MOST_PRODUCTS]
        return np.column_stack([target, *(self._product(k, z) for strength, k, z in kept if strength > 0)])

    def _product(self, k, z):
        return self.rest[:, k] * self.z[:, z]

    def _strength(self, k, z, categories, numbers):
        """Return the spread of the means of a product between categories, 0 if chance may explain it."""
        seen = ~np.isnan(numbers)
        group, weights = categories.group[numbers[seen].astype(np.int64)], self.weights[seen]
        values = self._product(k, z)[seen]
        values = values - weights @ values / weights.sum()
        weight, sums = np.bincount(group, weights), np.bincount(group, weights * values)
        n_used = np.count_nonzero(weight)
        between = np.divide(np.square(sums), weight, out=np.zeros_like(sums), where=weight > 0).sum()
        within = max(weights @ np.square(values) - between, 0)
        if not 1 < n_used < len(group):
            return 0.0
        degrees = n_used - 1, len(group) - n_used
        # The ratio of variances is about 1 by chance, with a variance of 2 over the degrees of freedom.
        limit = 1 + _DEVIATIONS * np.sqrt(2 / degrees[0])
        return between if between * degrees[1] > limit * within * degrees[0] else 0.0


def _standardized(x, weights):
    """Return z-scores in float32. A missing number counts as the mean, and a far one is clipped."""
    weights = np.where(np.isnan(x), 0, weights)
    x, total = np.nan_to_num(x.astype(np.float64)), weights.sum()
    mean = weights @ x / total if total > 0 else 0.0
    scale = np.sqrt(weights @ np.square(x - mean) / total) if total > 0 else 0.0
    z = np.where(weights > 0, x - mean, 0) / (scale if scale > 0 else np.inf)
    return np.clip(z, -_MAX_Z, _MAX_Z).astype(np.float32)
