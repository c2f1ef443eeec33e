"""Measure what each feature is worth to a trained net."""

import numpy as np

from skbsq.nn.losses import has_known_loss
from skbsq.training.budget import WideModel
from skbsq.training.rows import Rows

# More rows would change the importances little.
_MAX_ROWS = 2048


def feature_importances(learned, rows):
    """Compute the share of each feature in the loss that dropping single features adds.

    A dropped feature has no bits: its codes are merged, and the head reads the mean of their inputs.

    Parameters
    ----------
    learned : Learned
    rows : Rows or ChunkedRows
        Training rows, of which up to 2048 are used.

    Returns
    -------
    ndarray of float64 of shape (d,) or None
        At least 0; the sum is 1, or 0 if no feature lowers the loss. None if the rows are not in memory, if the head
        does not begin with a linear layer of bits, or if the criterion of a skorch net is not a difference.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import BitwiseRegressor
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = BitwiseRegressor(n_bits=2, max_epochs=5, random_state=0).fit(X, X[:, 1])
    >>> bool(model.feature_importances_[1] > 0.9)
    True
    """
    measures = rows.task == "classification" or has_known_loss(learned.net)
    if not isinstance(rows, Rows) or learned.codebook is None or not measures:
        return None
    if learned.net.module_.first_table() is None:
        return None
    index = np.random.RandomState(0).permutation(rows.n_rows)[:_MAX_ROWS]
    costs = np.maximum(WideModel.of(learned, rows.some(index)).costs_of_dropping(), 0.0)
    return costs / (costs.sum() or 1.0)
