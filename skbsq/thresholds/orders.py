"""Put categories into the order in which codes group them, and find the numbers that training reads."""

from dataclasses import dataclass, replace

import numpy as np

from skbsq.thresholds.features import at_places, between

N_FOLDS = 5


@dataclass(frozen=True)
class Order:
    """Categories of a feature in the order in which codes group them, and the floats that training reads for them.

    Parameters
    ----------
    names : tuple of str, int or bool
        In order.
    values : ndarray of float32 of shape (n_categories,)
        The float of each category, never falling. Merged categories have the same.
    ranks : ndarray of float32 of shape (n,)
        Place of each row's category in the order, NaN where it is missing. `order_by_weight` and `order_by_sums` give
        the places of the numbers in `Categories`; `of_rows` then looks up rows.
    is_counted : bool
        Whether the floats count the groups of merged categories from 0.
    room : int, default=0
        Number of codes.
    """

    names: tuple
    values: np.ndarray
    ranks: np.ndarray
    is_counted: bool
    room: int = 0

    @property
    def is_kept(self):
        """Whether every group of merged categories keeps a code of its own: there is a threshold in each gap."""
        return self.is_counted and bool(self.values[-1] < self.room)

    @property
    def is_one_hot(self):
        """Whether every category keeps a code of its own."""
        return self.is_kept and bool((np.diff(self.values) > 0).all())

    @property
    def floats(self):
        """The float of each row's category, NaN where it is missing: ndarray of float32 of shape (n,)."""
        return at_places(self.values, self.ranks)

    @property
    def gaps(self):
        """A threshold in each gap between the floats: ndarray of float32."""
        floats = np.unique(self.values)
        return between(floats[:-1], floats[1:])

    def placed(self, thresholds):
        """Move thresholds between floats to the middle between the places of categories.

        Parameters
        ----------
        thresholds : ndarray of float32

        Returns
        -------
        ndarray of float32
            Infinity for a threshold that no category exceeds. One that all exceed moves above the first.
        """
        place = np.searchsorted(self.values, thresholds, side="right") - 0.5
        first = np.searchsorted(self.values, self.values[0], side="right") - 0.5
        return np.where(place < len(self.names) - 1, np.maximum(place, first), np.inf).astype(np.float32)

    def unplaced(self, thresholds):
        """Move thresholds between the places of categories to the gaps between their floats.

        Parameters
        ----------
        thresholds : ndarray of float32

        Returns
        -------
        ndarray of float32
        """
        before = np.floor(thresholds).astype(np.int64)
        low, high = self.values[before], self.values[before + 1]
        return between(low, np.maximum(high, np.nextafter(low, np.float32(np.inf))))

    def some(self, index):
        """Select rows."""
        return replace(self, ranks=self.ranks[index])

    def of_rows(self, numbers):
        """Look up the ranks of rows in an order that has the ranks of all categories.

        Parameters
        ----------
        numbers : ndarray of float32 of shape (n,)
            Numbers in `Categories`, NaN where they are missing.

        Returns
        -------
        Order
        """
        return replace(self, ranks=at_places(self.ranks, numbers))

    def floats_of(self, categories, numbers):
        """Return the floats of other rows that hold the numbers of `Categories`."""
        place = {name: k for k, name in enumerate(self.names)}
        return at_places(self.values[[place[name] for name in categories.names]], numbers)

    @classmethod
    def of_book(cls, known, book, j):
        """Return the order that the categories of a feature have in a codebook.

        Parameters
        ----------
        known : sequence of str, int or bool
            The categories whose ranks are wanted.
        book : Codebook
        j : int
            The feature.

        Returns
        -------
        Order
            Its floats are the numbers of the categories in the codebook.
        """
        names = tuple(name for name in book.categories[j] if name is not None)
        number = {name: k for k, name in enumerate(names)}
        ranks = np.array([number[name] for name in known if name is not None], dtype=np.float32)
        return cls(names, np.arange(len(names), dtype=np.float32), ranks, is_counted=True)


class TargetSums:
    """Sums of the target over the rows of each category of a feature and each fold.

    g is the number of categories, k of columns of the target.

    Parameters
    ----------
    n_categories : int
    n_columns : int

    Attributes
    ----------
    weight : ndarray of float64 of shape (g, N_FOLDS)
    sums : ndarray of float64 of shape (k, g, N_FOLDS)
        Of the target times the weight.
    squares : ndarray of float64 of shape (k, N_FOLDS)
        Of the squared target times the weight, over all categories.
    n_rows : ndarray of int64 of shape (N_FOLDS,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.orders import TargetSums
    >>> sums = TargetSums(2, 1)
    >>> sums.add(np.float32([0, 1, 1]), np.array([[5.0], [2.0], [4.0]]), np.ones(3), np.array([0, 0, 3]))
    >>> sums.sums[0]
    array([[5., 0., 0., 0., 0.],
           [2., 0., 0., 4., 0.]])
    """

    def __init__(self, n_categories, n_columns):
        self.weight = np.zeros((n_categories, N_FOLDS))
        self.sums = np.zeros((n_columns, n_categories, N_FOLDS))
        self.squares = np.zeros((n_columns, N_FOLDS))
        self.n_rows = np.zeros(N_FOLDS, dtype=np.int64)

    def add(self, numbers, target, weights, folds):
        """Add rows.

        Parameters
        ----------
        numbers : ndarray of float32 of shape (n,)
            Numbers of categories, NaN where they are missing.
        target : ndarray of float64 of shape (n, k)
            Near 0, so that its squares are exact enough.
        weights : ndarray of float64 of shape (n,)
            Positive.
        folds : ndarray of int64 of shape (n,)
        """
        seen = ~np.isnan(numbers)
        target, weights, folds = target[seen], weights[seen], folds[seen]
        place, shape = numbers[seen].astype(np.int64) * N_FOLDS + folds, self.weight.shape
        self.weight += np.bincount(place, weights, self.weight.size).reshape(shape)
        for sums, squares, column in zip(self.sums, self.squares, target.T, strict=True):
            sums += np.bincount(place, weights * column, self.weight.size).reshape(shape)
            squares += np.bincount(folds, weights * np.square(column), N_FOLDS)
        self.n_rows += np.bincount(folds, minlength=N_FOLDS)

    def shrunken_means(self, group, folds):
        """Compute the mean of the target for each group, shrunk towards the mean of all rows.

        Means are shrunk by the ratio of the variance within groups and between them, column by column: empirical Bayes,
        as in scikit-learn's TargetEncoder.

        Parameters
        ----------
        group : ndarray of int64 of shape (g,)
            Group of each category, from 0.
        folds : ndarray of bool of shape (N_FOLDS,)
            Folds whose rows count.

        Returns
        -------
        ndarray of float64 of shape (n_groups, k)
        """
        n_groups, n_rows = int(group.max()) + 1, int(self.n_rows[folds].sum())
        # Sums over the folds that count, rather than all less the others: they are 0 where there are no rows.
        weight = np.bincount(group, self.weight[:, folds].sum(axis=1), n_groups)[:, None]
        sums = np.stack([np.bincount(group, of_one[:, folds].sum(axis=1), n_groups) for of_one in self.sums], axis=1)
        total = weight.sum()
        if total == 0:
            return np.zeros_like(sums)
        overall = sums.sum(axis=0) / total
        sums -= weight * overall
        means = np.divide(sums, weight, out=np.zeros_like(sums), where=weight > 0)
        of_groups = (weight * np.square(means)).sum(axis=0)
        rest = np.maximum(self.squares[:, folds].sum(axis=1) - total * np.square(overall) - of_groups, 0)
        # The weight of one row is the unit in which the variance of a mean falls.
        unit, n_used = total / n_rows, np.count_nonzero(weight)
        within = rest / max(total - n_used * unit, unit)
        spread = of_groups - (n_used - 1) * within * unit
        size = total - np.square(weight).sum() / total
        variance = np.maximum(spread / size, 0) if size > 0 else np.zeros_like(spread)
        prior = np.divide(within * unit, variance, out=np.full_like(within, total), where=variance > 0)
        # Categories that repeat their target exactly leave no prior for a category without rows.
        shrunk = weight + np.minimum(prior, total)
        return overall + np.divide(sums, shrunk, out=means, where=shrunk > 0)


def order_by_weight(categories, weight, room):
    """Order categories by the weight of their rows, the heaviest first.

    Parameters
    ----------
    categories : Categories
    weight : ndarray of float64 of shape (n_categories,)
    room : int
        Number of codes.

    Returns
    -------
    Order
        With the ranks of the categories. Its floats count the groups.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import Categories
    >>> from skbsq.thresholds.orders import order_by_weight
    >>> weight = np.array([1.0, 2.0])
    >>> order_by_weight(Categories.of(["a", "b"], weight)[0], weight, 2).names
    ('b', 'a')
    """
    return _order(categories, -np.bincount(categories.group, weight), room)


def order_by_sums(categories, sums, room):
    """Order categories by the mean of the target, and compute the floats that training reads.

    If there are codes for all groups, a row reads the place of its group. Otherwise it reads the mean of the target
    over the rows of its category outside of its own fold, shrunk towards the mean of all these rows.

    Parameters
    ----------
    categories : Categories
    sums : TargetSums
        With several columns of the target the order is that along the first principal component of the means.
    room : int
        Number of codes.

    Returns
    -------
    order : Order
        With the ranks of the categories.
    floats : ndarray of float32 of shape (n_categories, N_FOLDS)
        What training reads in a row of each category and fold.

    Notes
    -----
    For one target, or two classes, the partition of one feature that loses least consists of intervals in this order
    (W. D. Fisher, 1958, and Breiman and others, Classification and Regression Trees, 1984, Section 9.4). For several it
    is an approximation (D. Coppersmith, S. J. Hong and J. R. M. Hosking, 1999).

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import Categories
    >>> from skbsq.thresholds.orders import TargetSums, order_by_sums
    >>> sums = TargetSums(2, 1)
    >>> sums.add(np.float32([0, 1]), np.array([[1.0], [-1.0]]), np.ones(2), np.array([0, 1]))
    >>> order_by_sums(Categories.of(["a", "b"], np.ones(2))[0], sums, room=2)[0].names
    ('b', 'a')
    """
    group, folds = categories.group, np.arange(N_FOLDS)
    means = sums.shrunken_means(group, folds >= 0)
    centre, direction = _main_direction(means, np.bincount(group, sums.weight.sum(axis=1)))
    by_group = ((means - centre) @ direction).astype(np.float32)
    order = _order(categories, (means - centre) @ direction, room)
    if order.is_kept:
        return order, np.repeat(order.floats[:, None], N_FOLDS, axis=1)
    outside = [((sums.shrunken_means(group, folds != fold) - centre) @ direction)[group] for fold in folds]
    # Thresholds stay among the floats of the categories, so that each separates some of them.
    floats = np.clip(np.stack(outside, axis=1).astype(np.float32), by_group.min(), by_group.max())
    return replace(order, values=np.sort(by_group[group]), is_counted=False), floats


def order_by_target(categories, numbers, target, weights, room, folds):
    """Order categories by the mean of the target in rows that are all in memory, see `order_by_sums`.

    Rows of chunks take `TargetSums` instead.

    Parameters
    ----------
    categories : Categories
    numbers : ndarray of float32 of shape (n,)
        Numbers of categories, NaN where they are missing.
    target : ndarray of float64 of shape (n, k)
    weights : ndarray of float64 of shape (n,)
        Positive.
    room : int
        Number of codes.
    folds : ndarray of int64 of shape (n,)

    Returns
    -------
    order : Order
        With the ranks of the rows.
    floats : ndarray of float32 of shape (n,)
        What training reads in each row, NaN where it is missing.
    """
    sums = TargetSums(len(categories.names), target.shape[1])
    sums.add(numbers, target, weights, folds)
    order, by_fold = order_by_sums(categories, sums, room)
    return order.of_rows(numbers), floats_of_rows(by_fold, numbers, folds)


def floats_of_rows(by_fold, numbers, folds):
    """Look up what training reads in rows, see `skbsq.thresholds.orders.order_by_sums`.

    Parameters
    ----------
    by_fold : ndarray of float32 of shape (n_categories, N_FOLDS)
    numbers : ndarray of float32 of shape (n,)
    folds : ndarray of int64 of shape (n,)

    Returns
    -------
    ndarray of float32 of shape (n,)
        NaN where the number is NaN.
    """
    return at_places(by_fold.ravel(), numbers * by_fold.shape[1] + folds.astype(np.float32))


def _order(categories, key, room):
    """Order categories by a key per group; their floats count the groups."""
    order = np.lexsort((np.arange(len(categories.names)), categories.group, key[categories.group]))
    ranks = np.empty(order.size, dtype=np.float32)
    ranks[order] = np.arange(order.size)
    values = np.append(0, np.cumsum(np.diff(categories.group[order]) != 0)).astype(np.float32)
    names = tuple(categories.names[number] for number in order.tolist())
    return Order(names, values, ranks, is_counted=True, room=room)


def _main_direction(means, weight):
    """Return the centre and the first principal component of means with weights; (0, 1) for one column."""
    if means.shape[1] == 1:
        return np.zeros(1), np.ones(1)
    centre = weight @ means / weight.sum()
    _, vectors = np.linalg.eigh((means - centre).T @ ((means - centre) * weight[:, None]))
    direction = vectors[:, -1]
    return centre, direction * np.sign(direction[np.argmax(np.abs(direction))])


def draw_folds(n_rows, seed, groups=None):
    """Assign rows to folds at random, all rows of a group to the same.

    Parameters
    ----------
    n_rows : int
    seed : int or list of int
    groups : ndarray of int64 of shape (n_rows,), default=None

    Returns
    -------
    ndarray of int64 of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.orders import draw_folds
    >>> np.bincount(draw_folds(10, seed=0))
    array([2, 2, 2, 2, 2])
    """
    random = np.random.RandomState(seed)
    if groups is None:
        return random.permutation(n_rows) % N_FOLDS
    return (random.permutation(groups.max() + 1) % N_FOLDS)[groups]


def target_columns(y, classes, mean=0.0, scale=1.0):
    """Return the target as columns of numbers: an indicator per class, or for the second of two classes.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, k)
    classes : ndarray, or None for a regression
    mean, scale : ndarray of float64 of shape (k,) or float, default=0.0 and 1.0
        Columns of a regression are standardised with them.

    Returns
    -------
    ndarray of float64 of shape (n, columns)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.orders import target_columns
    >>> target_columns(np.array(["a", "b"]), np.array(["a", "b"]))
    array([[0.],
           [1.]])
    """
    if classes is not None:
        return (y[:, None] == (classes[1:] if classes.size == 2 else classes)).astype(np.float64)
    return (y.reshape(len(y), -1).astype(np.float64) - mean) / scale
