"""Split off rows to find the length of training."""

import copy
import math

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold, train_test_split

# With fewer rows nothing is held out, because the loss on so few rows is too noisy.
MIN_ROWS = 20
_N_FOLDS = 5
# Folds are added until this many rows are held out in all; more folds are not worth their time.
_ENOUGH_HELD_OUT = 300
_MAX_ROWS_PER_FOLD = 10_000


def hold_outs(rows, validation_fraction, seed, *, single=False):
    """Split rows into training rows and held-out rows, once or several times.

    Parameters
    ----------
    rows : Rows
    validation_fraction : "auto", float or CV splitter
        "auto": up to five folds with the same distribution of the target, until 300 rows are held out; with many rows
        one fold of at most 10,000 rows. A float: one random part, stratified for classes. A splitter: its last split.
        Rows of a group stay together.
    seed : int
    single : bool, default=False
        Return only one split.

    Returns
    -------
    list of (kept, held_out)
        Arrays of row numbers, one pair per split.

    Raises
    ------
    ValueError
        If the rows cannot be split this way.
    """
    if isinstance(validation_fraction, str) and validation_fraction != "auto":
        raise ValueError(
            f'validation_fraction must be "auto", a share of the rows or a CV splitter, got {validation_fraction!r}.'
        )
    if not isinstance(validation_fraction, str | float):
        splits = [_last_split(validation_fraction, rows, seed)]
    elif rows.groups is not None:
        splits = _group_splits(rows, validation_fraction, seed)
    elif validation_fraction == "auto":
        splits = _balanced_splits(rows, seed)
    else:
        splits = [_random_split(rows, validation_fraction, seed)]
    for kept, held_out in splits:
        if len(kept) == 0 or len(held_out) == 0:
            raise ValueError(
                f"validation_fraction={validation_fraction!r} leaves {len(kept)} rows to train on and "
                f"{len(held_out)} to validate on: both are needed."
            )
    return splits[:1] if single else splits


def _n_folds_used(n_rows, n_folds):
    return max(1, min(n_folds, math.ceil(_ENOUGH_HELD_OUT * n_folds / n_rows)))


def _balanced_splits(rows, seed):
    """Put every fifth row, in the order of the target, into the same fold. Ties are broken at random."""
    n = rows.n_rows
    random = np.random.RandomState(seed)
    target = rows.y if rows.y.ndim == 1 else rows.y[:, 0]
    if rows.task == "classification":
        target = np.searchsorted(rows.classes, target)
    order = np.lexsort((random.permutation(n), target))
    n_folds = min(_N_FOLDS, n)
    fold = np.empty(n, dtype=np.int64)
    fold[order] = (np.arange(n) + random.randint(n_folds)) % n_folds
    if rows.task == "classification":
        # The only row of a class must be trained on.
        fold[np.bincount(target)[target] == 1] = -1
    splits = []
    for k in range(_n_folds_used(n, n_folds)):
        held_out = np.flatnonzero(fold == k)
        if held_out.size > _MAX_ROWS_PER_FOLD:
            held_out = np.sort(random.permutation(held_out)[:_MAX_ROWS_PER_FOLD])
        splits.append((np.setdiff1d(np.arange(n), held_out, assume_unique=True), held_out))
    return splits


def _group_splits(rows, validation_fraction, seed):
    """Split so that rows of a group stay together."""
    n_groups = np.unique(rows.groups).size
    if n_groups < 2:
        raise ValueError(
            f"groups holds {n_groups} group, and the rows of a group stay together: no rows can be held out. Give at "
            "least two groups, or early_stopping=False."
        )
    if validation_fraction != "auto":
        splitter = GroupShuffleSplit(1, test_size=validation_fraction, random_state=seed)
        return list(splitter.split(rows.X, groups=rows.groups))
    n_folds = min(_N_FOLDS, n_groups)
    if rows.task == "classification" and np.unique(rows.y, return_counts=True)[1].min() >= n_folds:
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(rows.X, rows.y, rows.groups))
    return splits[: _n_folds_used(rows.n_rows, n_folds)]


def _random_split(rows, share, seed):
    """Hold out a random share of the rows, stratified for classes."""
    labels = rows.y if rows.task == "classification" else None
    try:
        return train_test_split(np.arange(rows.n_rows), test_size=share, stratify=labels, random_state=seed)
    except ValueError as error:
        raise ValueError(f"early_stopping cannot hold out validation_fraction={share}: {error}") from error


def _last_split(splitter, rows, seed):
    """Return the last split of a CV splitter."""
    given, splitter = splitter, copy.deepcopy(splitter)
    if getattr(splitter, "random_state", seed) is None:
        splitter.random_state = seed
    groups = () if rows.groups is None else (rows.groups,)
    try:
        *_, (kept, held_out) = splitter.split(rows.X, rows.y, *groups)
    except Exception as error:  # a user's splitter may raise anything
        raise ValueError(
            f"validation_fraction={given!r} cannot split the {rows.n_rows} rows of positive weight "
            f"({str(error).rstrip('.')}). It receives X, y, and the groups if fit received groups."
        ) from error
    for part in map(np.asarray, (kept, held_out)):
        if part.size and (part.dtype.kind not in "iu" or part.min() < 0):
            raise ValueError(f"validation_fraction={given!r} must give row numbers from 0, got {part[:3]}...")
        if part.size and part.max() >= rows.n_rows:
            raise ValueError(
                f"validation_fraction={given!r} names row {part.max()}, and there are {rows.n_rows} rows of positive "
                "weight."
            )
    return kept, held_out
