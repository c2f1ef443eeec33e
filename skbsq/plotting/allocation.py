"""Plot the bits per feature."""

import numpy as np

from skbsq.plotting._axes import BLUE, figure_and_axes, fitted_part, names_of, tidy


class AllocationDisplay:
    """Bar chart of the bits of each feature.

    Make one with `from_estimator`.

    Parameters
    ----------
    n_bits : array-like of int of shape (d,)
        Bits of each of the d features.
    names : array-like of str of shape (d,)
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer

    See Also
    --------
    ThresholdDisplay : Histograms of features with their thresholds.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.plotting import AllocationDisplay
    >>> X, y = make_friedman1(100, n_features=5, random_state=0)
    >>> display = AllocationDisplay.from_estimator(QuantileQuantizer(n_bits=[3, 3, 2, 1, 0]).fit(X))
    >>> [int(bar.get_width()) for bar in display.bars_]
    [3, 3, 2, 1, 0]
    """

    def __init__(self, n_bits, *, names):
        self.n_bits = n_bits
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, *, sort=False, ax=None, **kwargs):
        """Draw the bits of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A quantizer or predictor, or a pipeline or search that contains one.
        sort : bool, default=False
            Whether to show features with more bits first, instead of in their order in X.
        ax : matplotlib Axes, default=None
            None: new axes, high enough for all names.
        **kwargs
            Parameters of ``Axes.barh``.

        Returns
        -------
        AllocationDisplay

        Raises
        ------
        ValueError
            If the estimator contains no codebook.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        part = fitted_part(estimator, "codebook_")
        n_bits, names = np.asarray(part.codebook_.n_bits), names_of(part)
        order = np.argsort(-n_bits, kind="stable") if sort else np.arange(n_bits.size)
        return cls(n_bits[order], names=names[order]).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: new axes, high enough for all names.
        **kwargs
            Parameters of ``Axes.barh``.

        Returns
        -------
        AllocationDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        if ax is None:
            self.figure_.set_figheight(max(2.0, 0.8 + 0.18 * len(self.names)))
        positions = np.arange(len(self.names))
        self.bars_ = self.ax_.barh(positions, self.n_bits, **{"color": BLUE, **kwargs})
        self.ax_.set_yticks(positions, self.names, fontsize=8)
        self.ax_.invert_yaxis()
        self.ax_.margins(y=0.01)
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        tidy(self.ax_)
        self.ax_.grid(False, axis="y")
        self.ax_.set_xlabel(f"bits ({int(np.sum(self.n_bits))} per row)")
        return self
