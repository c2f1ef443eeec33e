"""Plot scores against rates."""

from skbsq.model_selection import rate_distortion
from skbsq.plotting._axes import BLUE, GREY, figure_and_axes, tidy


class RateDistortionDisplay:
    """Score of each candidate of a search against its bits per row.

    Make one with `from_cv_results`.

    Parameters
    ----------
    table : DataFrame
        Result of `skbsq.model_selection.rate_distortion`.
    score_name : str, default="score"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    errorbar_ : matplotlib ErrorbarContainer
        The candidates, with the standard error over splits.
    line_ : matplotlib Line2D
        The frontier: the best score with at most this number of bits.

    See Also
    --------
    skbsq.model_selection.rate_distortion : The table of the display.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import row_bits
    >>> from skbsq.plotting import RateDistortionDisplay
    >>> X, y = make_friedman1(200, random_state=0)
    >>> search = GridSearchCV(
    ...     make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
    ...     {"quantilequantizer__n_bits": [1, 2, 3]},
    ...     scoring={"r2": "r2", "row_bits": row_bits},
    ...     refit=False,
    ... ).fit(X, y)
    >>> display = RateDistortionDisplay.from_cv_results(search.cv_results_, score="r2")
    >>> display.ax_.get_xlabel()
    'bits per row'
    """

    def __init__(self, table, *, score_name="score"):
        self.table = table
        self.score_name = score_name

    @classmethod
    def from_cv_results(cls, cv_results, *, score=None, ax=None, **kwargs):
        """Draw the candidates of a search.

        Parameters
        ----------
        cv_results : dict
            ``cv_results_`` of a search with the scorer `skbsq.model_selection.row_bits`, or with
            `skbsq.model_selection.all_rates`, which gives a point per candidate and rate.
        score : str, default=None
            Name of the score. Needed if the search has several scores.
        ax : matplotlib Axes, default=None
            None: new axes.
        **kwargs
            Parameters of ``Axes.errorbar``.

        Returns
        -------
        RateDistortionDisplay

        Raises
        ------
        ValueError
            If the search did not use the scorer `skbsq.model_selection.row_bits`, or if `score` is not one of its
            scores.
        """
        table = rate_distortion(cv_results, score=score)
        if table["row_bits"].isna().all():
            raise ValueError('cv_results has no row_bits: search with scoring={"score": ..., "row_bits": row_bits}.')
        return cls(table, score_name=score or "score").plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the candidates and the frontier.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: new axes.
        **kwargs
            Parameters of ``Axes.errorbar``.

        Returns
        -------
        RateDistortionDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        scored = self.table.dropna(subset=["row_bits", "score"])
        style = {"fmt": "o", "color": GREY, "markersize": 5, "capsize": 3, "elinewidth": 1, "label": "candidates"}
        bars = scored["sem"].fillna(0.0)
        self.errorbar_ = self.ax_.errorbar(scored["row_bits"], scored["score"], yerr=bars, **{**style, **kwargs})
        best = scored[scored["frontier"]]
        (self.line_,) = self.ax_.plot(
            best["row_bits"], best["score"], color=BLUE, marker="o", drawstyle="steps-post", label="best so far"
        )
        tidy(self.ax_)
        self.ax_.set(xlabel="bits per row", ylabel=self.score_name)
        self.ax_.legend(frameon=False)
        return self
