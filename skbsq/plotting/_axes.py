"""Helpers of the displays: axes, fitted estimators, and names of features."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skbsq.codebook.labels import numbered_names

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#9A9A9A"


def pyplot():
    """Return matplotlib.pyplot, or raise an ImportError that says how to install it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("The displays need matplotlib: pip install 'skbsq[plot]'.") from error
    return pyplot


def figure_and_axes(ax):
    """Return the axes with their figure; new ones for None."""
    return pyplot().subplots(layout="constrained") if ax is None else (ax.figure, ax)


def tidy(ax):
    """Draw a faint grid behind the data, and remove the frame at the top and right."""
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def fitted_part(estimator, attribute):
    """Return the estimator, or the first one inside a pipeline or search, that has a fitted attribute."""
    check_is_fitted(estimator)
    for part in _parts(estimator):
        if getattr(part, attribute, None) is not None:
            return part
    raise ValueError(f"{type(estimator).__name__} has no {attribute}: give a fitted estimator of skbsq.")


def _parts(estimator):
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from _parts(step)
    elif hasattr(estimator, "best_estimator_"):
        yield from _parts(estimator.best_estimator_)
    else:
        yield estimator


def names_of(part):
    """Return the names of the features of a fitted estimator; x0, x1, ... if they have none."""
    return np.asarray(getattr(part, "feature_names_in_", numbered_names(part.n_features_in_)), dtype=object)
