"""Special values of a numeric feature: numbers such as -999 that stand for something else, each with a code of its own.

A special value is a bin of its own between ordinary thresholds, so nothing but a fit knows of it.
"""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.guards import threshold_below
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import in_feature_order, label, labels_of
from skbsq.codebook.matrix import refuse_mask

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Special:
    """The special values of a feature, and the thresholds around them.

    Parameters
    ----------
    values : ndarray of float32
        Strictly increasing.
    thresholds : ndarray of float32
        Strictly increasing.
    """

    values: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, values, lowest, highest):
        """Find the thresholds that give each special value a code of its own.

        Parameters
        ----------
        values : ndarray of float32
            Strictly increasing.
        lowest, highest : float32
            The lowest and the highest other value of the training rows, NaN if there is none.

        Returns
        -------
        Special
            A threshold just below each value with another value below it, and one at each value with another value
            above it. So no code is spent on numbers beyond all rows.

        Examples
        --------
        >>> import numpy as np
        >>> from skbsq.thresholds.special import Special
        >>> Special.of(np.float32([-999, 2]), np.float32(1), np.float32(4)).thresholds
        array([-999.       ,    1.9999999,    2.       ], dtype=float32)
        """
        if np.isnan(lowest):
            return cls(values, values[:-1])
        below = np.array([threshold_below(value) for value in values[values > lowest]], dtype=np.float32)
        return cls(values, np.union1d(below, values[values < highest]))


def check_special(special_values, names, n_features, categorical=()):
    """Validate `special_values`, and return those of each feature that has some.

    Parameters
    ----------
    special_values : array-like of numbers, dict, pandas Series or None
        Numbers are those of every numeric feature. A dict or Series has an array-like per feature, and may leave out
        features.
    names : sequence of str, or None for x0, x1, ...
    n_features : int
    categorical : collection of int, default=()
        Categorical features, which have no special values.

    Returns
    -------
    dict int -> ndarray of float32
        Strictly increasing values, with 0.0 for -0.0, by number of the feature.

    Raises
    ------
    ValueError
        For values that are no finite numbers in float32, an unknown feature, and a categorical feature that is named.

    Examples
    --------
    >>> from skbsq.thresholds.special import check_special
    >>> check_special({"b": [-999, -1]}, ["a", "b"], 2)
    {1: array([-999.,   -1.], dtype=float32)}
    """
    if special_values is None:
        return {}
    if labels_of(special_values) is None:
        values = _checked(special_values, "all features")
        return {j: values for j in range(n_features) if j not in categorical} if values.size else {}
    of_features = in_feature_order(special_values, names, n_features, "special_values", fill=())
    found = {}
    for j, values in enumerate(of_features):
        values = _checked(values, label(names, j))
        if values.size and j in categorical:
            raise ValueError(
                f"special_values names {label(names, j)}, which is categorical: its categories have codes anyway. "
                "Leave it out."
            )
        if values.size:
            found[j] = values
    return found


def _checked(values, feature):
    """Return special values as strictly increasing float32."""
    raw = np.asarray(refuse_mask(values, "special_values"))
    if raw.ndim > 1 or (raw.size and raw.dtype.kind not in "fiu"):
        raise ValueError(f"special_values must be numbers, got {values!r} for {feature}.")
    raw = np.atleast_1d(raw)
    cast = as_float32(raw) + np.float32(0)
    if not (finite := np.isfinite(cast)).all():
        raise ValueError(
            f"special_values must be finite in float32, got {raw[np.argmin(finite)]} for {feature}: NaN is the "
            "subject of missing."
        )
    if (subnormal := (np.abs(cast) < _TINY) & (raw != 0)).any():
        raise ValueError(
            f"special_values must not be subnormal in float32, got {raw[np.argmax(subnormal)]} for {feature}: where "
            "subnormals are flushed to zero it has no code of its own. Use 0."
        )
    return np.unique(cast)


def special_of_rows(X, values):
    """Find the thresholds around the special values of features in rows.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    values : dict int -> ndarray of float32
        As `check_special` returns them.

    Returns
    -------
    dict int -> Special
    """
    found = {}
    for j, of_feature in values.items():
        others = X[~np.isin(X[:, j], of_feature), j]
        # fmin leaves out NaN, which is left if there are no other values.
        extremes = (function.reduce(others, initial=np.float32(np.nan)) for function in (np.fmin, np.fmax))
        found[j] = Special.of(of_feature, *extremes)
    return found


def without_special(X, special):
    """Return rows with NaN in place of special values.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
        Not changed.
    special : dict int -> Special

    Returns
    -------
    ndarray of float32 of shape (n, d)
        X itself if there are no special values.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.special import Special, without_special
    >>> without_special(np.float32([[-999], [5]]), {0: Special.of(np.float32([-999]), 5, 5)})
    array([[nan],
           [ 5.]], dtype=float32)
    """
    if not special:
        return X
    X = X.copy()
    for j, of_feature in special.items():
        X[np.isin(X[:, j], of_feature.values), j] = np.nan
    return X


def has_fixed(special, n_features):
    """Return which features have thresholds around special values, and so more than one code.

    Parameters
    ----------
    special : dict int -> Special
    n_features : int

    Returns
    -------
    ndarray of bool of shape (n_features,)
    """
    return np.array([j in special and special[j].thresholds.size > 0 for j in range(n_features)], dtype=bool)


def special_by_label(special, names):
    """Return special values as the parameter of a quantizer.

    Parameters
    ----------
    special : dict int -> Special
    names : sequence of str or None

    Returns
    -------
    dict
        By name, or by number of the feature if there are no names.
    """
    return {j if names is None else names[j]: of_feature.values for j, of_feature in special.items()}


def with_fixed(thresholds, special, n_bits):
    """Add the thresholds around special values to those that a rule found for the other values.

    Parameters
    ----------
    thresholds : list of d 1-d array-likes
    special : dict int -> Special
    n_bits : ndarray of int64 of shape (d,)
        A feature of 0 bits is left as it is.

    Returns
    -------
    list of d 1-d array-likes
        Those of features with special values are sorted and merged.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.special import Special, with_fixed
    >>> with_fixed([[2.5], []], {0: Special.of(np.float32([-999]), 1, 4)}, np.array([2, 2]))
    [array([-999. ,    2.5], dtype=float32), []]
    """
    return [
        np.union1d(np.asarray(t, dtype=np.float32), special[j].thresholds) if j in special and n_bits[j] else t
        for j, t in enumerate(thresholds)
    ]


def without_fixed(thresholds, special):
    """Remove the thresholds around special values.

    Parameters
    ----------
    thresholds : list of d ndarrays of float32
    special : dict int -> Special

    Returns
    -------
    list of d ndarrays of float32
    """
    return [np.setdiff1d(t, special[j].thresholds) if j in special else t for j, t in enumerate(thresholds)]
