"""Results of searches, made by hand."""

import numpy as np

# The last candidate is the best: 0.9 with a standard error of 0.1 / sqrt(3) = 0.0577.
SCORES = [[0.1, 0.2, 0.3], [0.7, 0.8, 0.9], [0.83, 0.85, 0.87], [0.8, 0.9, 1.0]]


def results(scores, bits=None, params=None):
    """cv_results_ of a search; scores (n_candidates, n_splits)."""
    scores = np.asarray(scores, dtype=float)
    found = {"params": params or [{"n_bits": b} for b in range(1, len(scores) + 1)]}
    found |= {f"split{i}_test_score": column for i, column in enumerate(scores.T)}
    found |= {"mean_test_score": scores.mean(axis=1), "std_test_score": scores.std(axis=1)}
    if bits is not None:
        found |= {"mean_test_row_bits": np.asarray(bits), "split0_test_row_bits": np.asarray(bits)}
    return found


def results_of_rates(scores, bits, params=None):
    """cv_results_ of a search with all_rates("r2").

    Parameters
    ----------
    scores : dict int -> array-like of shape (n_candidates, n_splits)
        R2 at each rate.
    bits : dict int -> array-like of shape (n_candidates,)
        Bits per row at each rate.
    params : list of dict, default=None

    Returns
    -------
    dict
    """
    n_candidates = len(next(iter(scores.values())))
    found = {"params": params or [{"lr": 0.1 * (k + 1)} for k in range(n_candidates)]}
    for rate, table in scores.items():
        table = np.asarray(table, dtype=float)
        for name, values in (("r2", table), ("row_bits", np.outer(bits[rate], np.ones(table.shape[1])))):
            found |= {f"split{i}_test_{name}_at_{rate}": column for i, column in enumerate(values.T)}
            found |= {f"mean_test_{name}_at_{rate}": values.mean(axis=1)}
    return found
