"""Plot the drift of received codes."""

import numpy as np
from scipy.stats import chi2

from skbsq.plotting._axes import BLUE, ORANGE, figure_and_axes, tidy


class DriftDisplay:
    """Population stability index of each feature, with the range that is expected without drift.

    Make one with `from_monitor` or `from_report`.

    Parameters
    ----------
    psi : array-like of float of shape (d,)
        Population stability index of each of the d features.
    limits : array-like of float of shape (d,)
        Upper ends of the expected ranges.
    names : array-like of shape (d,)
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
        The expected ranges.
    points_ : list of matplotlib Line2D
        Features within the range, then those beyond it.

    See Also
    --------
    skbsq.monitoring.CodeMonitor : Counts the codes and makes the report.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.monitoring import CodeMonitor
    >>> from skbsq.plotting import DriftDisplay
    >>> rng = np.random.default_rng(0)
    >>> codebook = QuantileQuantizer(2).fit(rng.normal(size=(1000, 3))).codebook_
    >>> received = codebook.encode(rng.normal([0, 0, 0.5], size=(500, 3)))
    >>> display = DriftDisplay.from_monitor(CodeMonitor(codebook).update(received))
    >>> (display.psi > display.limits).tolist()
    [False, False, True]
    """

    def __init__(self, psi, limits, *, names):
        self.psi = psi
        self.limits = limits
        self.names = names

    @classmethod
    def from_monitor(cls, monitor, *, alpha=0.05, sort=False, ax=None, **kwargs):
        """Draw the drift of the rows that a monitor received.

        Parameters
        ----------
        monitor : CodeMonitor
        alpha : float, default=0.05
            Probability that the picture shows any alarm without drift. Each of the features that have more than one
            cell takes an equal part of it (Bonferroni).
        sort : bool, default=False
            Whether to show the smallest p-values first, instead of features in the order of the codebook.
        ax : matplotlib Axes, default=None
            None: new axes, high enough for all names.
        **kwargs
            Parameters of ``Axes.plot``, for the points.

        Returns
        -------
        DriftDisplay

        Raises
        ------
        ValueError
            If the monitor received no rows, or alpha is not between 0 and 1.
        """
        return cls.from_report(monitor.report(as_dict=True), alpha=alpha, sort=sort, ax=ax, **kwargs)

    @classmethod
    def from_report(cls, report, *, alpha=0.05, sort=False, ax=None, **kwargs):
        """Draw the drift of a report.

        Parameters
        ----------
        report : DataFrame or dict
            Result of `skbsq.monitoring.CodeMonitor.report`, or some of its rows.
        alpha : float, default=0.05
            Probability that the picture shows any alarm without drift. Each of the features that have more than one
            cell takes an equal part of it (Bonferroni).
        sort : bool, default=False
            Whether to show the smallest p-values first, instead of features in the order of the report.
        ax : matplotlib Axes, default=None
            None: new axes, high enough for all names.
        **kwargs
            Parameters of ``Axes.plot``, for the points.

        Returns
        -------
        DriftDisplay

        Raises
        ------
        ValueError
            If alpha is not between 0 and 1.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha!r}.")
        columns = ("psi", "p_value", "n", "n_reference", "n_cells")
        psi, p_value, n, n_reference, n_cells = (np.asarray(report[name], dtype=float) for name in columns)
        tested = n_cells > 1
        limits = np.zeros(psi.size)
        limits[tested] = chi2.isf(alpha / max(1, tested.sum()), n_cells[tested] - 1) * (1 / n + 1 / n_reference)[tested]
        names = np.asarray([str(name) for name in report["feature"]], dtype=object)
        order = np.argsort(p_value, kind="stable") if sort else np.arange(psi.size)
        return cls(psi[order], limits[order], names=names[order]).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the points and ranges.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: new axes, high enough for all names.
        **kwargs
            Parameters of ``Axes.plot``, for the points.

        Returns
        -------
        DriftDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        if ax is None:
            self.figure_.set_figheight(max(2.0, 1.2 + 0.18 * len(self.names)))
        psi, limits, positions = np.asarray(self.psi), np.asarray(self.limits), np.arange(len(self.names))
        self.bars_ = self.ax_.barh(positions, limits, color="0.88", label="expected without drift")
        self.points_ = []
        for shown, color, marker, text in (
            (psi <= limits, BLUE, "o", "received"),
            (psi > limits, ORANGE, "D", "received, alarm"),
        ):
            style = {"color": color, "marker": marker, "linestyle": "none", "markersize": 5, "clip_on": False, **kwargs}
            self.points_ += self.ax_.plot(psi[shown], positions[shown], **style, label=text)
        # The index grows with the square of a small shift, so its root shows small and large shifts alike.
        self.ax_.set_xlim(0, 1.1 * max(psi.max(), limits.max()) or 1.0)
        self.ax_.set_xscale("function", functions=(np.sqrt, np.square))
        self.ax_.xaxis.get_major_locator().set_params(nbins=6)
        self.ax_.set_yticks(positions, self.names, fontsize=8)
        self.ax_.invert_yaxis()
        self.ax_.margins(y=0.01)
        tidy(self.ax_)
        self.ax_.grid(False, axis="y")
        self.ax_.set_xlabel("population stability index")
        if ax is None:
            self.figure_.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        return self
