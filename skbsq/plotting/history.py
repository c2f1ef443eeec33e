"""Plot the history of a training."""

import numpy as np

from skbsq.plotting._axes import BLUE, GREY, ORANGE, figure_and_axes, fitted_part, tidy


class HistoryDisplay:
    """Curves of the losses and the temperature over the epochs.

    Make one with `from_estimator`.

    Parameters
    ----------
    history : DataFrame
        One row per epoch, as in ``history_`` of a learned estimator.
    best_epoch : int, default=None
        Epoch that early stopping restored, counted from 1.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the losses.
    temperature_ax_ : matplotlib Axes or None
        Axes of the temperature, on the right.
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D

    See Also
    --------
    ThresholdDisplay : Thresholds before and after learning.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.plotting import HistoryDisplay
    >>> X, y = make_friedman1(200, random_state=0)
    >>> regressor = BitwiseRegressor(2, max_epochs=3, hidden_sizes=(16,), random_state=0).fit(X, y)
    >>> HistoryDisplay.from_estimator(regressor).ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, history, *, best_epoch=None):
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A learned quantizer or a predictor, or a pipeline or search that contains one.
        ax : matplotlib Axes, default=None
            None: new axes.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        ValueError
            If the estimator contains no history of a training.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        part = fitted_part(estimator, "history_")
        return cls(part.history_, best_epoch=part.best_epoch_).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: new axes.

        Returns
        -------
        HistoryDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        epochs = np.arange(1, len(self.history) + 1)
        self.lines_ = []
        for column, label, color in (("train_loss", "training", BLUE), ("valid_loss", "validation", ORANGE)):
            if column in self.history:
                self.lines_ += self.ax_.plot(epochs, self.history[column], color=color, label=label)
        tidy(self.ax_)
        self.ax_.set(xlabel="epoch", ylabel="loss", yscale="log")
        self.temperature_ax_ = None
        if "temperature" in self.history:
            self.temperature_ax_ = self.ax_.twinx()
            self.temperature_ax_.set(ylabel="temperature", yscale="log")
            self.temperature_ax_.spines["top"].set_visible(False)
            temperature = self.history["temperature"]
            self.lines_ += self.temperature_ax_.plot(
                epochs, temperature, color=GREY, linestyle=":", label="temperature"
            )
        if self.best_epoch is not None:
            self.lines_.append(
                self.ax_.axvline(self.best_epoch, color="black", linewidth=1, linestyle="--", label="kept")
            )
        self.ax_.legend(handles=self.lines_, frameon=False)
        return self
