"""Codes of an old codebook as codes of a new one, by way of the levels. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.bins import codes_of_thresholds
from skbsq.codebook.kernels import decode
from skbsq.codebook.labels import label, numbered_names, shortened

_CANNOT = "Codes cannot become codes of new:"


class Transcoder:
    """Turn codes of an old codebook into codes of a new one, without floats at run time.

    An old code stands for a bin of values, or for some categories. If no new threshold lies inside the bin, or if its
    categories share a new code, the result is exact. Otherwise the new code is that of the old level. `cost` shows how
    often that happens.

    Parameters
    ----------
    old, new : Codebook
        With thresholds in the same units, those of the raw features: fold scalers with `skbsq.export.to_codebook`.
    same_units : bool, default=False
        True if both have the same features in the same units, as you know. Needed if features have no names or
        other names, and if only one of the codebooks was folded from a pipeline.

    Attributes
    ----------
    old, new : Codebook
    source : ndarray of int64 of shape (d,)
        Number of the old feature of each new feature. -1 for a new feature of 0 bits that is not in the old codebook.
    tables : list of d ndarrays
        The new code of each old code, per new feature.

    Raises
    ------
    ValueError
        If features do not match, or if an old missing code has no counterpart. If the level of an old code is a
        category that the new codebook does not know, and the new feature has no missing code for it.

    See Also
    --------
    skbsq.Codebook.transcoder : Makes one.
    skbsq.Codebook.recode : Codes of a codebook with some of the same thresholds, always exact.

    Notes
    -----
    d is the number of features of the new codebook. They are matched by name, so that their order and number may
    differ. If a new feature is not in the old codebook, `same_units` matches all features by their position.

    Under ``handle_unknown="missing"`` of the new codebook, categories that it does not know have its missing code.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codebook.transcoding import Transcoder
    >>> old = Codebook.from_thresholds({"t": [10, 20]}, levels=[[5, 14, 25]], counts=[[10, 60, 30]])
    >>> new = Codebook.from_thresholds({"t": [10, 15, 18]})
    >>> transcoder = Transcoder(old, new)
    >>> transcoder.transcode([[0], [1], [2]]).ravel()
    array([0, 1, 3], dtype=uint8)
    >>> transcoder.cost()
             n_uncertain  share
    feature
    t                  1    0.6
    """

    def __init__(self, old, new, *, same_units=False):
        self.old, self.new = old, new
        self.source = _sources(old, new, same_units)
        self.tables, self._uncertain = [], []
        parts, levels, targets = old.parts, old.levels, new.parts
        for j, k in enumerate(self.source.tolist()):
            table, uncertain = self._table(k, parts[k], levels[k], j, targets[j])
            self.tables.append(table.astype(new.dtype))
            self._uncertain.append(uncertain)

    def _table(self, k, part, levels, j, target):
        """Return the new code of each code of old feature k, and whether it may be wrong."""
        old, new = self.old, self.new
        if new.n_bits[j] == 0:
            return np.zeros(levels.size, dtype=np.int64), np.zeros(levels.size, dtype=bool)
        feature = label(old.feature_names, k)
        if old.is_categorical[k] != new.is_categorical[j]:
            raise ValueError(
                f"Codes cannot become codes of new: {feature} is categorical in only one of the codebooks."
            )
        if old.has_missing[k] and not new.has_missing[j]:
            raise ValueError(
                f"{_CANNOT} {feature} has a missing code in the old codebook only. Fit the new model with "
                'missing="code" for it.'
            )
        missing_code = new.n_levels[j] - 1
        if not new.is_categorical[j]:
            table, uncertain = np.full(levels.size, missing_code), np.zeros(levels.size, dtype=bool)
            regular = part.size + 1
            table[:regular], uncertain[:regular] = _by_thresholds(part, levels[:regular], target)
            return table, uncertain
        unknown = missing_code if new.handle_unknown == "missing" and new.has_missing[j] else -1
        table, uncertain = _by_categories(part, levels, target, unknown)
        if (table < 0).any():
            raise ValueError(
                f"{_CANNOT} the category {levels[np.argmin(table)]!r} of {feature} is the level of an old code, and "
                'none of the categories of the new codebook. Fit the new model with handle_unknown="missing", or on '
                "rows with this category."
            )
        if old.has_missing[k] and old.handle_unknown == "missing":
            uncertain[-1] = bool(target.keys() - part.keys())
        return table, uncertain

    def transcode(self, codes):
        """Turn codes of the old codebook into codes of the new one.

        Parameters
        ----------
        codes : array-like of int of shape (n, d of the old codebook)

        Returns
        -------
        ndarray of shape (n, d)
            uint8, or uint16 if any new feature has more than 8 bits.

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong.
        """
        codes = self.old.check_codes(codes)
        starts = np.cumsum([0, *(table.size for table in self.tables[:-1])])
        return decode(codes[:, self.source], np.concatenate(self.tables), starts)

    def cost(self):
        """Count the old codes whose new code may be wrong. Needs pandas.

        Returns
        -------
        DataFrame
            One row per new feature: n_uncertain (old codes with a new threshold inside their bin, or whose categories
            have several new codes or are unknown), and share (their share of the training rows of the old codebook, NaN
            if it has no counts). Of such rows, at most this share has a wrong code. An old missing code counts too, if
            it stands for unknown categories of which the new codebook has some.
        """
        import pandas as pd  # not at the top, because transcoding works without pandas

        names, shares = self.new.feature_names or numbered_names(self.new.n_features), np.full(len(self.tables), np.nan)
        for j, counts in enumerate(() if self.old.counts is None else [self.old.counts[k] for k in self.source]):
            uncertain = self._uncertain[j]
            shares[j] = counts[: uncertain.size][uncertain].sum() / max(counts.sum(), 1)
        n_uncertain = [int(uncertain.sum()) for uncertain in self._uncertain]
        return pd.DataFrame({"n_uncertain": n_uncertain, "share": shares}, index=pd.Index(names, name="feature"))


def _by_thresholds(thresholds, levels, target):
    """Return the code among other thresholds for each regular code, and whether it may be wrong.

    Parameters
    ----------
    thresholds, levels : ndarrays of float32
        Of the feature in the old codebook.
    target : ndarray of float32
        Thresholds of the feature in the new codebook.

    Returns
    -------
    table : ndarray of int64
    uncertain : ndarray of bool
        Codes with a new threshold inside their bin.
    """
    lowest, highest = (
        codes_of_thresholds(thresholds, target),
        np.append(np.searchsorted(target, thresholds), target.size),
    )
    # A level may lie outside its bin, because rounding puts it on a threshold, or because the user gave it.
    codes = np.searchsorted(target, levels)
    return np.clip(codes, lowest, highest), lowest < highest


def _by_categories(categories, levels, target, unknown):
    """Return the code among other categories for each code, and whether it may be wrong.

    Parameters
    ----------
    categories, target : dicts category -> code
        Of the feature in the old and in the new codebook, with None if it has a missing code.
    levels : ndarray of object
        Of the feature in the old codebook.
    unknown : int
        Code of a category that is not in `target`, or -1.

    Returns
    -------
    table : ndarray of int64
    uncertain : ndarray of bool
        Codes with a category whose code differs from that of the level.
    """
    table = np.array([target.get(category, unknown) for category in levels], dtype=np.int64)
    uncertain = np.zeros(table.size, dtype=bool)
    for category, code in categories.items():
        uncertain[code] |= target.get(category, unknown) != table[code]
    return table, uncertain


def _sources(old, new, same_units):
    """Return the number of the old feature of each new one; -1 if it is not in the old codebook and has no bits."""
    names = None not in (old.feature_names, new.feature_names)
    numbers = {name: k for k, name in enumerate(old.feature_names)} if names else {}
    source = np.array([numbers.get(name, -1) for name in new.feature_names or numbered_names(new.n_features)])
    unknown = (source < 0) & (new.n_bits > 0)
    if names and not unknown.any():
        if not same_units:
            _check_folded(old, new)
        return source
    if not same_units:
        why = "the features of one of the codebooks have no names"
        if names:
            name = new.feature_names[np.argmax(unknown)]
            why = f"{name!r} is none of the features of the old codebook, {shortened(old.feature_names)}"
        raise ValueError(
            f"{_CANNOT} {why}. If both codebooks have the same features in the same order and "
            "in the same units, give same_units=True."
        )
    if old.n_features != new.n_features:
        raise ValueError(
            f"{_CANNOT} it has {new.n_features} features, and the old codebook has "
            f"{old.n_features}. Without equal names, features are matched by position."
        )
    return np.arange(new.n_features)


def _check_folded(old, new):
    """Reject equal names if only one codebook is known to be in raw units."""
    if (old.folded_from is None) != (new.folded_from is None):
        folded, other = ("new", "old") if old.folded_from is None else ("old", "new")
        raise ValueError(
            f"The {folded} codebook was folded from a pipeline, so that its thresholds are in raw units, and the "
            f"{other} one was not. If there is a scaler in front of it, fold both with skbsq.export.to_codebook; if "
            "its thresholds are in raw units too, give same_units=True."
        )
