"""The attributes that a fit leaves in an estimator, checked: they may come from a file of anybody's."""

import numpy as np
from sklearn.base import BaseEstimator

from skbsq.codebook.checks import check_names
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.json import check_keys
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.training.plain import checked

_INITS = ("quantile", "kmeans", "tree", "uniform")
_OUTPUTS = ("default", "pandas", "polars")


def check_attributes(estimator, attributes):
    """Refuse attributes that no fit leaves; the net is checked where it is made.

    Parameters
    ----------
    estimator : BaseEstimator
    attributes : dict
        Changed in place: arrays become the estimator's own.

    Raises
    ------
    ValueError
        Naming the attribute.
    """
    required, optional = estimator._required_attributes, estimator._optional_attributes
    wrong = [*(required - attributes.keys()), *(attributes.keys() - required - optional)]
    if wrong:
        what = "lacks" if wrong[0] in required else "has no"
        raise ValueError(f"A fitted {type(estimator).__name__} {what} {wrong[0]!r}.")
    known = {"_task": getattr(estimator, "_task", None), **attributes}
    # Those that others are checked against come first.
    for name, check in _CHECKS.items():
        if name in attributes:
            known[name] = attributes[name] = check(attributes[name], known)


def _refuse(name, value):
    raise ValueError(f"The attribute {name} makes no sense: {value!r}.")


def _n_features(value, known):
    if type(value) is not int or value < 1:
        _refuse("n_features_in_", value)
    return value


def _feature_names(value, known):
    names = checked(value, "O", (known["n_features_in_"],), "feature_names_in_")
    check_names(names)
    return names


def _codebook(value, known):
    names = known.get("feature_names_in_")
    names = None if names is None else tuple(names)
    if not isinstance(value, Codebook) or value.n_features != known["n_features_in_"]:
        _refuse("codebook_", value)
    if value.feature_names != names:
        raise ValueError(f"The codebook has the features {value.feature_names}, and the estimator {names}.")
    return value


def _target_mean(value, known):
    mean = checked(value, "f8", (None,), "target_mean_")
    if not mean.size:
        _refuse("target_mean_", value)
    return mean


def _target_scale(value, known):
    scale = checked(value, "f8", known["target_mean_"].shape, "target_scale_")
    if not (scale > 0).all():
        _refuse("target_scale_", value)
    return scale


def _target_ndim(value, known):
    if type(value) is not int or value not in (1, 2) or (value == 1 and known["target_mean_"].size > 1):
        _refuse("target_ndim_", value)
    return value


def _classes(value, known):
    try:
        right = value.shape == known["target_mean_"].shape and np.array_equal(np.unique(value), value)
    except (AttributeError, TypeError):  # no array, or labels of kinds that have no order
        right = False
    if not right or value.size < 2:
        _refuse("classes_", value)
    return value


def _task(value, known):
    if type(value) is not str or value not in ("regression", "classification"):
        _refuse("task_", value)
    return value


def _best_epoch(value, known):
    if value is not None and (type(value) is not int or value < 1):
        _refuse("best_epoch_", value)
    return value


def _init(value, known):
    if not isinstance(value, BaseEstimator) and (type(value) is not str or value not in _INITS):
        _refuse("init_", value)
    return value


def _threshold_lr_ratio(value, known):
    if type(value) is not float or not 0 <= value < np.inf:
        _refuse("threshold_lr_ratio_", value)
    return value


def _initial_thresholds(value, known):
    if type(value) is not list or len(value) != known["n_features_in_"]:
        _refuse("initial_thresholds_", value)
    return [checked(own, "f4", (None,), "initial_thresholds_") for own in value]


def _output_config(value, known):
    if type(value) is not dict or value.keys() != {"transform"} or str(value["transform"]) not in _OUTPUTS:
        _refuse("_sklearn_output_config", value)
    return value


def _described(value, known):
    if type(value) is not dict:
        raise ValueError(f"A net, or the allocation of bits, must be described by fields, got {value!r}.")
    return value


def _summary(value, known):
    """All but the bytes of the digests, which are read where they are used."""
    d = known["n_features_in_"]
    check_keys(
        value, {"size", "n_rows", "weights_are_ones", "low", "high", "n_missing", "sums", "sketches"}, "summary_"
    )
    size, n_rows, sketches = value["size"], value["n_rows"], value["sketches"]
    if type(n_rows) is not int or n_rows < 1 or type(value["weights_are_ones"]) is not bool:
        _refuse("summary_", value)
    if size is not None and (type(size) is not int or not MIN_SIZE <= size <= MAX_SIZE):
        _refuse("summary_", size)
    low, high = (checked(value[name], "f4", (d,), f"{name} of summary_", finite=False) for name in ("low", "high"))
    n_missing, sums = checked(value["n_missing"], "i8", (d,), "n_missing"), checked(value["sums"], "f8", (3, d), "sums")
    never_seen = np.isnan(low) & np.isnan(high) & (n_missing == n_rows)
    seen = (np.abs([low, high]) < np.inf).all(axis=0) & (low <= high) & (n_missing >= 0) & (n_missing < n_rows)
    if not (never_seen | seen).all() or (sums[[0, 2]] < 0).any():
        _refuse("summary_", value)
    if (sketches is None) != (size is None) or (
        size is not None and (type(sketches) is not list or len(sketches) != d)
    ):
        _refuse("summary_", sketches)
    arrays = {"low": low, "high": high, "n_missing": n_missing, "sums": sums}
    return {**value, **arrays, "sketches": sketches and [_sketch(own, size) for own in sketches]}


def _sketch(value, size):
    value = {"waiting": {}, **value} if type(value) is dict else value  # files of before have none
    check_keys(value, {"values", "mass", "digests", "waiting"}, "a sketch")
    values = checked(value["values"], "f4", (None,), "values of a sketch")
    mass = checked(value["mass"], "f8", values.shape, "mass of a sketch")
    if values.size > size or (np.diff(values) <= 0).any() or (mass <= 0).any() or type(value["digests"]) is not dict:
        _refuse("summary_", value)
    digests = {}
    for exponent, data in value["digests"].items():
        if type(exponent) is not int or abs(exponent) > 1100:
            _refuse("summary_", exponent)
        digests[exponent] = checked(data, "u1", (None,), "digest of a sketch")
    return {"values": values, "mass": mass, "digests": digests, "waiting": _waiting(value["waiting"], size)}


def _waiting(value, size):
    """Values of a sketch that are in no digest so far."""
    if type(value) is not dict:
        _refuse("summary_", value)
    waiting = {}
    for exponent, data in value.items():
        if type(exponent) is not int or abs(exponent) > 1100:
            _refuse("summary_", exponent)
        waiting[exponent] = checked(data, "f4", (None,), "values of a sketch")
        if not 0 < waiting[exponent].size < size or (np.diff(waiting[exponent]) < 0).any():
            _refuse("summary_", value)
    return waiting


def _quantizer(value, known):
    if value is None:
        if "net_" not in known:
            raise ValueError("A fitted predictor that reads floats lacks 'net_'.")
        return value
    learned = hasattr(value, "net_")
    if not hasattr(value, "codebook_") or learned == ("net_" in known):
        _refuse("quantizer_", value)
    _codebook(value.codebook_, known)
    if learned and (value.target_mean_.shape, value.task_) != (known["target_mean_"].shape, known["_task"]):
        raise ValueError("The quantizer was learned for another target than that of the predictor.")
    return value


_CHECKS = {
    "n_features_in_": _n_features,
    "feature_names_in_": _feature_names,
    "codebook_": _codebook,
    "summary_": _summary,
    "target_mean_": _target_mean,
    "target_scale_": _target_scale,
    "target_ndim_": _target_ndim,
    "classes_": _classes,
    "task_": _task,
    "best_epoch_": _best_epoch,
    "init_": _init,
    "initial_thresholds_": _initial_thresholds,
    "threshold_lr_ratio_": _threshold_lr_ratio,
    "_sklearn_output_config": _output_config,
    "net_": _described,
    "allocation_": _described,
    "length_search_": _described,
    "quantizer_": _quantizer,
}
