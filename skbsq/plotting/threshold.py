"""Plot thresholds over the values of features."""

import math

import numpy as np

from skbsq.codebook.labels import columns_of
from skbsq.codebook.matrix import as_matrix, as_table
from skbsq.plotting._axes import BLUE, ORANGE, fitted_part, names_of, pyplot, tidy

_MAX_PANELS = 12
_MAX_NAMED_CATEGORIES = 30


class ThresholdDisplay:
    """Histograms of features with their thresholds, before and after learning.

    A categorical feature has a bar per category, in the order of their codes, with lines between the codes.

    Make one with `from_estimator`.

    Parameters
    ----------
    values : list of 1-d arrays
        Values of each feature that is shown, without missing values. Numbers of categories in a categorical feature.
    thresholds : list of 1-d arrays
        Thresholds of these features, in the units of the values.
    names : list of str
        Titles of the panels.
    initial_thresholds : list of 1-d arrays, default=None
        Thresholds before learning, of numeric features. None: they are not shown.
    categories : list of None or list, default=None
        The categories of each categorical feature by their numbers, and None for numeric features. None: there are
        none.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        One per feature.
    figure_ : matplotlib Figure

    See Also
    --------
    AllocationDisplay : Bits of each feature.
    HistoryDisplay : Losses and temperature over the epochs.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseQuantizer
    >>> from skbsq.plotting import ThresholdDisplay
    >>> X, y = make_friedman1(200, random_state=0)
    >>> quantizer = BitwiseQuantizer(2, max_epochs=3, hidden_sizes=(16,), random_state=0).fit(X, y)
    >>> display = ThresholdDisplay.from_estimator(quantizer, X, features=[0, 3])
    >>> [ax.get_title() for ax in display.axes_]
    ['x0 (2 bits)', 'x3 (2 bits)']
    """

    def __init__(self, values, thresholds, *, names, initial_thresholds=None, categories=None):
        self.values = values
        self.thresholds = thresholds
        self.names = names
        self.initial_thresholds = initial_thresholds
        self.categories = categories

    @classmethod
    def from_estimator(cls, estimator, X, *, features=None, axes=None, **kwargs):
        """Draw the thresholds of a fitted estimator over data.

        Parameters
        ----------
        estimator : quantizer or predictor
            Fitted. For a pipeline give its quantizer or predictor, and X as transformed by the steps before.
        X : array-like of shape (n, d)
            Values of the histograms: n rows of d features.
        features : list of int or str, default=None
            Features to show. None: the 12 features with most thresholds, in their order in X.
        axes : list of matplotlib Axes, default=None
            One per feature that is shown. None: new axes.
        **kwargs
            Parameters of ``Axes.hist``.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ValueError
            If the estimator contains no codebook, if it does not have a feature, if `features` is empty, or if X lacks
            a feature or has another number of features.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        part = fitted_part(estimator, "codebook_")
        names = names_of(part)
        X = as_table(X, "X")
        columns = columns_of(X)
        if columns is not None and hasattr(part, "feature_names_in_"):
            known = list(part.feature_names_in_)
            if absent := [name for name in known if name not in columns]:
                raise ValueError(f"X has no column of the feature {absent[0]!r}, but {columns}.")
            X = X.select(known) if hasattr(X, "column_names") else X[known]
        book = part.codebook_
        X = as_matrix(X, "X", categorical=book.category_readers).astype(float)
        if X.shape[1] != names.size:
            raise ValueError(f"X must have {names.size} columns, as in fit, got shape {X.shape}.")
        thresholds = book.thresholds
        categories = [None if codes is None else [one for one in codes if one is not None] for codes in book.categories]
        if features is None:
            shown = sorted(np.argsort([-t.size for t in thresholds], kind="stable")[:_MAX_PANELS].tolist())
        else:
            shown = [_index_of(feature, names) for feature in features]
        if not shown:
            raise ValueError("features is empty: there is nothing to show.")
        initial = getattr(getattr(part, "quantizer_", part), "initial_thresholds_", None)
        columns = [X[:, j] for j in shown]
        return cls(
            [column[np.isfinite(column)] for column in columns],
            [thresholds[j] for j in shown],
            names=[f"{names[j]} ({book.n_bits[j]} bits)" for j in shown],
            initial_thresholds=None if initial is None else [initial[j] for j in shown],
            categories=[categories[j] for j in shown] if book.is_categorical.any() else None,
        ).plot(axes=axes, **kwargs)

    def plot(self, axes=None, **kwargs):
        """Draw the histograms and thresholds.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            One per feature. None: new axes.
        **kwargs
            Parameters of ``Axes.hist``.

        Returns
        -------
        ThresholdDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the number of axes differs from the number of features.
        ImportError
            If matplotlib is not installed.
        """
        self.axes_ = _panels(len(self.names)) if axes is None else list(axes)
        if len(self.axes_) != len(self.names):
            raise ValueError(f"{len(self.names)} features need as many axes, got {len(self.axes_)}.")
        self.figure_ = self.axes_[0].figure
        for i, ax in enumerate(self.axes_):
            values, thresholds = self.values[i], self.thresholds[i]
            categories = None if self.categories is None else self.categories[i]
            if categories is None:
                low, high = _window(values, thresholds)
                ax.hist(values, **{"bins": 50, "range": (low, high), "color": "0.8", **kwargs})
            else:
                low, high = -0.5, len(categories) - 0.5
                bars = {"bins": np.arange(len(categories) + 1) - 0.5, "range": None}
                ax.hist(values, **{"rwidth": 0.8, "color": "0.8", **kwargs, **bars})
            if self.initial_thresholds is not None and categories is None:
                for k, t in enumerate(self.initial_thresholds[i]):
                    ax.axvline(t, ymax=0.5, color=ORANGE, linestyle=":", linewidth=1.2, label="_" * (k > 0) + "start")
            for k, t in enumerate(thresholds):
                ax.axvline(t, color=BLUE, linewidth=1, label="_" * (k > 0) + "threshold")
            ax.set_xlim(low, high)
            ax.set_title(self.names[i], fontsize=9)
            ax.set_yticks([])
            if categories is not None:
                named = categories if len(categories) <= _MAX_NAMED_CATEGORIES else []
                ax.set_xticks(range(len(named)), [str(category) for category in named], rotation=90, parse_math=False)
            ax.tick_params(labelsize=8)
            tidy(ax)
            ax.grid(False)
        handles, labels = self.axes_[0].get_legend_handles_labels()
        if axes is None and handles:
            self.figure_.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        return self


def _index_of(feature, names):
    if isinstance(feature, str):
        found = np.flatnonzero(names == feature)
        if found.size == 0:
            raise ValueError(f"There is no feature {feature!r}: the names are {', '.join(map(str, names[:10]))}, ...")
        return int(found[0])
    if not -names.size <= feature < names.size:
        raise ValueError(f"There is no feature {feature}: there are {names.size}.")
    return int(feature) % names.size


def _panels(number):
    n_columns = min(4, number)
    n_rows = math.ceil(number / n_columns)
    _, axes = pyplot().subplots(
        n_rows, n_columns, figsize=(3.2 * n_columns, 0.6 + 2.0 * n_rows), squeeze=False, layout="constrained"
    )
    axes = axes.ravel().tolist()
    for ax in axes[number:]:
        ax.remove()
    return axes[:number]


def _window(values, thresholds):
    """Return the range to show: all thresholds and 99 % of the values, because far outliers would squeeze the rest."""
    ends = np.concatenate([np.quantile(values, [0.005, 0.995]) if values.size else [0.0, 1.0], thresholds])
    low, high = float(ends.min()), float(ends.max())
    margin = 0.05 * (high - low) or max(0.5, 1e-6 * abs(low))
    return low - margin, high + margin
