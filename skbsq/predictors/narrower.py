"""Continue the training of a fitted predictor with fewer bits per feature."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from skbsq.nn.threads import serial_after_fork
from skbsq.training.budget import WideModel, warm
from skbsq.training.recipe import Recipe
from skbsq.training.rows import read_rows
from skbsq.training.starts import GivenStart


def go_on_narrower(model, X, y, n_bits, share):
    """Narrow a fitted predictor with learned thresholds, and continue its training.

    Parameters
    ----------
    model : BitwiseRegressor or BitwiseClassifier
        A predictor with the default head.
    X, y : array-likes
        The rows that the model was fitted on.
    n_bits : int
        Maximum bits per feature.
    share : float
        Epochs of this training, as a fraction of those of the model.

    Returns
    -------
    BitwiseRegressor or BitwiseClassifier
        A new predictor.
    """
    with serial_after_fork():
        narrow, recipe = clone(model), Recipe.of(model)
        rows = read_rows(narrow, X, y, None, model._task, model._missing, recipe.class_weight)
        wide = WideModel(model.codebook_, model.net_, model.target_mean_, model.target_scale_, rows)
        narrow.n_bits = np.minimum(wide.n_bits, n_bits)  # set_params fails if a subclass's constructor lacks n_bits
        thresholds, head = wide.narrowed(narrow.n_bits)
        epochs = model.n_iter_ if recipe.max_epochs == "auto" else recipe.max_epochs
        recipe = replace(recipe, max_epochs=max(1, round(share * epochs)), **warm(recipe, head))
        return narrow._learn_bits(rows, recipe, GivenStart(thresholds))
