"""What the displays share: axes to draw on, fitted parts to draw, names of features."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skbsq.codebook.labels import numbered_names

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#9A9A9A"


def pyplot():
    """matplotlib.pyplot, or how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("The displays need matplotlib: pip install 'skbsq[plot]'.") from error
    return pyplot


def axes_for(ax):
    """The given axes, or new ones."""
    return pyplot().subplots(layout="constrained")[1] if ax is None else ax


def tidy(ax):
    """A faint grid behind the data, and no frame above or to the right."""
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def fitted_part(estimator, attribute):
    """The estimator, or the first step of a pipeline or what a search found, that has an attribute of a fit."""
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
    """Names of the features of a fitted estimator, x0, x1, ... where it has none."""
    return np.asarray(getattr(part, "feature_names_in_", numbered_names(part.n_features_in_)), dtype=object)
