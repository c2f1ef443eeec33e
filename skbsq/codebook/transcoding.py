"""Codes of an old codebook as codes of a new one, by way of the levels. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.bins import codes_of_thresholds
from skbsq.codebook.kernels import decode
from skbsq.codebook.labels import label, numbered_names, shortened


class Transcoder:
    """Turn codes of an old codebook into codes of a new one, without floats at run time.

    An old code stands for a bin of values. If no new threshold lies inside the bin, all of its values have the same new
    code, and the result is exact. Otherwise the new code is that of the old level. `cost` shows how often that happens.

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
        If features do not match, or if an old missing code has no counterpart.

    See Also
    --------
    skbsq.Codebook.transcoder : Makes one.
    skbsq.Codebook.recode : Codes of a codebook with some of the same thresholds, always exact.

    Notes
    -----
    d is the number of features of the new codebook. They are matched by name, so that their order and number may
    differ. If a new feature is not in the old codebook, `same_units` matches all features by their position.

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
        thresholds, levels = old.thresholds, old.levels
        for j, (k, target) in enumerate(zip(self.source.tolist(), new.thresholds, strict=True)):
            table, uncertain = _table(thresholds[k], levels[k], target)
            if old.has_missing[k]:
                if new.refuses_nan[j]:
                    raise ValueError(
                        f"Codes cannot become codes of new: {label(old.feature_names, k)} has a missing code in the "
                        'old codebook only. Fit the new model with missing="code" for it.'
                    )
                table = np.append(table, new.n_levels[j] - 1)
            self.tables.append(table.astype(new.dtype))
            self._uncertain.append(uncertain)

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
            One row per new feature: n_uncertain (old codes with a new threshold inside their bin), and share (their
            share of the training rows of the old codebook, NaN if it has no counts). Of such rows, at most this share
            has a wrong code.
        """
        import pandas as pd  # not at the top, because transcoding works without pandas

        names, shares = self.new.feature_names or numbered_names(self.new.n_features), np.full(len(self.tables), np.nan)
        for j, counts in enumerate(() if self.old.counts is None else [self.old.counts[k] for k in self.source]):
            uncertain = self._uncertain[j]
            shares[j] = counts[: uncertain.size][uncertain].sum() / max(counts.sum(), 1)
        n_uncertain = [int(uncertain.sum()) for uncertain in self._uncertain]
        return pd.DataFrame({"n_uncertain": n_uncertain, "share": shares}, index=pd.Index(names, name="feature"))


def _table(thresholds, levels, target):
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
    codes = np.searchsorted(target, levels[: thresholds.size + 1])
    return np.clip(codes, lowest, highest), lowest < highest


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
            f"Codes cannot become codes of new: {why}. If both codebooks have the same features in the same order and "
            "in the same units, give same_units=True."
        )
    if old.n_features != new.n_features:
        raise ValueError(
            f"Codes cannot become codes of new: it has {new.n_features} features, and the old codebook has "
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
