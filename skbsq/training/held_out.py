"""Rows held out of training, to see how long it should go on."""

import copy
import math

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold, train_test_split

# With fewer rows nothing is held out: the loss of so few says little.
MIN_ROWS = 20
_N_FOLDS = 5
# Held-out rows, over all folds, after which another fold is not worth its time; and most rows of one fold.
_ENOUGH = 300
_MOST = 10_000


def hold_outs(rows, validation_fraction, seed, *, single=False):
    """Split rows into those to train on and those to hold out, once or several times.

    Parameters
    ----------
    rows : Rows
    validation_fraction : "auto", float or CV splitter
        "auto": five folds with the same distribution of the target, of which as many are used as hold out 300 rows;
        one of 10,000 rows at most where rows are many. A float: one random part, stratified for classes. A splitter:
        its last split. Rows of a group stay together.
    seed : int
    single : bool, default=False
        Return one split only.

    Returns
    -------
    list of (kept, held_out)
        Arrays of row numbers.

    Raises
    ------
    ValueError
        If the rows cannot be split so.
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
    return max(1, min(n_folds, math.ceil(_ENOUGH * n_folds / n_rows)))


def _balanced_splits(rows, seed):
    """Folds that hold every fifth row in the order of the target; ties are broken at random."""
    n = len(rows.X)
    random = np.random.RandomState(seed)
    target = rows.y if rows.y.ndim == 1 else rows.y[:, 0]
    if rows.task == "classification":
        target = np.searchsorted(rows.classes, target)
    order = np.lexsort((random.permutation(n), target))
    n_folds = min(_N_FOLDS, n)
    fold = np.empty(n, dtype=np.int64)
    fold[order] = (np.arange(n) + random.randint(n_folds)) % n_folds
    if rows.task == "classification":
        # The only row of a class has to be learned from.
        fold[np.bincount(target)[target] == 1] = -1
    splits = []
    for k in range(_n_folds_used(n, n_folds)):
        held_out = np.flatnonzero(fold == k)
        if held_out.size > _MOST:
            held_out = np.sort(random.permutation(held_out)[:_MOST])
        kept = np.ones(n, dtype=bool)
        kept[held_out] = False
        splits.append((np.flatnonzero(kept), held_out))
    return splits


def _group_splits(rows, validation_fraction, seed):
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
    return splits[: _n_folds_used(len(rows.X), n_folds)]


def _random_split(rows, share, seed):
    labels = rows.y if rows.task == "classification" else None
    try:
        return train_test_split(np.arange(len(rows.X)), test_size=share, stratify=labels, random_state=seed)
    except ValueError as error:
        raise ValueError(f"early_stopping cannot hold out validation_fraction={share}: {error}") from error


def _last_split(splitter, rows, seed):
    """Row numbers of the last split of a splitter."""
    given, splitter = splitter, copy.deepcopy(splitter)
    if getattr(splitter, "random_state", seed) is None:
        splitter.random_state = seed
    groups = () if rows.groups is None else (rows.groups,)
    try:
        *_, (kept, held_out) = splitter.split(rows.X, rows.y, *groups)
    except Exception as error:  # of the splitter, whoever wrote it
        raise ValueError(
            f"validation_fraction={given!r} cannot split the {len(rows.X)} rows of positive weight "
            f"({str(error).rstrip('.')}). It receives X, y and, where fit does, groups."
        ) from error
    for part in map(np.asarray, (kept, held_out)):
        if part.size and (part.dtype.kind not in "iu" or part.min() < 0):
            raise ValueError(f"validation_fraction={given!r} must give row numbers from 0, got {part[:3]}...")
        if part.size and part.max() >= len(rows.X):
            raise ValueError(
                f"validation_fraction={given!r} names row {part.max()}, and there are {len(rows.X)} rows of "
                "positive weight."
            )
    return kept, held_out
