"""Validate fitted attributes read from an untrusted file."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from skbsq.codebook.categories import check_kinds
from skbsq.codebook.checks import check_names
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.json import check_keys
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.training.net_state import checked

_INITS = ("quantile", "kmeans", "tree", "uniform")
_OUTPUTS = ("default", "pandas", "polars")
_TASKS = ("regression", "classification")


def check_attributes(estimator, attributes):
    """Refuse attributes that no fit leaves. The net is checked where it is built.

    Parameters
    ----------
    estimator : BaseEstimator
    attributes : dict
        Changed in place: arrays are replaced by copies that the estimator owns.

    Raises
    ------
    ValueError
        If an attribute is missing, unknown or invalid. The message names it.
    """
    required, optional = estimator._required_attributes, estimator._optional_attributes
    wrong = [*(required - attributes.keys()), *(attributes.keys() - required - optional)]
    if wrong:
        what = "lacks" if wrong[0] in required else "has no"
        raise ValueError(f"A fitted {type(estimator).__name__} {what} {wrong[0]!r}.")
    known = {"_task": getattr(estimator, "_task", None), **attributes}
    for name, rule in _RULES.items():
        if name in attributes:
            known[name] = attributes[name] = _check(name, attributes[name], known, rule)


class _Rule(NamedTuple):
    """What an attribute must be. Each function also receives the attributes that were checked before."""

    array: Callable | None = None  # dtype and shape
    test: Callable | None = None
    read: Callable | None = None  # checks the value itself, and returns what the estimator stores


def _check(name, value, known, rule):
    if rule.array:
        value = checked(value, *rule.array(known), name)
    if rule.test and not rule.test(value, known):
        _refuse(name, value)
    return rule.read(value, known) if rule.read else value


def _refuse(name, value):
    raise ValueError(f"The attribute {name} is invalid: {value!r}.")


def _is_count(value):
    return type(value) is int and value >= 1


def _is_one_of(names):
    return lambda value, known: type(value) is str and value in names


def _is_dict(value, known):
    return type(value) is dict


def _feature_names(value, known):
    check_names(value)
    return value


def _codebook(value, known):
    names = known.get("feature_names_in_")
    names = None if names is None else tuple(names)
    if not isinstance(value, Codebook) or value.n_features != known["n_features_in_"]:
        _refuse("codebook_", value)
    if value.feature_names != names:
        raise ValueError(f"The codebook has the features {value.feature_names}, and the estimator {names}.")
    return value


def _are_classes(value, known):
    try:
        are_sorted = value.shape == known["target_mean_"].shape and np.array_equal(np.unique(value), value)
    except (AttributeError, TypeError):  # not an array, or labels without an order
        return False
    return are_sorted and value.size >= 2


def _are_rates(value, known):
    # They are stored beside the net that they share, and read the bits of a codebook. Rebuilding them checks the rest.
    return type(value) is list and "net_" in known and known.get("quantizer_", known) is not None


def _is_output_config(value, known):
    return type(value) is dict and value.keys() == {"transform"} and str(value["transform"]) in _OUTPUTS


def _summary(value, known):
    """Check a summary. The bytes of its digests are checked when they are read."""
    d = known["n_features_in_"]
    optional = {"categories", "special"}
    keys = {"size", "n_rows", "weights_are_ones", "low", "high", "n_missing", "sums", "sketches", *optional}
    check_keys(value, keys, "summary_", optional=optional)
    size, n_rows, sketches = value["size"], value["n_rows"], value["sketches"]
    if not _is_count(n_rows) or type(value["weights_are_ones"]) is not bool:
        _refuse("summary_", value)
    if size is not None and (type(size) is not int or not MIN_SIZE <= size <= MAX_SIZE):
        _refuse("summary_", size)
    low, high = (checked(value[name], "f4", (d,), f"{name} of summary_", finite=False) for name in ("low", "high"))
    n_missing, sums = checked(value["n_missing"], "i8", (d,), "n_missing"), checked(value["sums"], "f8", (3, d), "sums")
    special = _summarized_special(value.get("special", {}), d)
    of_special = np.array([j in special and special[j]["weights"].any() for j in range(d)], dtype=bool)
    never_seen = np.isnan(low) & np.isnan(high) & ((n_missing == n_rows) | (of_special & (n_missing < n_rows)))
    seen = (np.abs([low, high]) < np.inf).all(axis=0) & (low <= high) & (n_missing >= 0) & (n_missing < n_rows)
    if not (never_seen | seen).all() or (sums[[0, 2]] < 0).any():
        _refuse("summary_", value)
    if (sketches is None) != (size is None) or (
        size is not None and (type(sketches) is not list or len(sketches) != d)
    ):
        _refuse("summary_", sketches)
    arrays = {"low": low, "high": high, "n_missing": n_missing, "sums": sums}
    if "special" in value:
        arrays["special"] = special
    if "categories" in value:
        arrays["categories"] = _summarized_categories(value["categories"], d)
    return {**value, **arrays, "sketches": sketches and [_sketch(sketch, size) for sketch in sketches]}


def _summarized_categories(value, d):
    if type(value) is not dict or not all(type(j) is int and 0 <= j < d for j in value):
        _refuse("summary_", value)
    found = {}
    for j, of_feature in value.items():
        check_keys(of_feature, {"values", "weights"}, "categories of summary_")
        names = of_feature["values"]
        if type(names) is not list or not all(type(name) in (str, int, bool) for name in names):
            _refuse("summary_", names)
        check_kinds(names, f"feature {j}")
        weights = checked(of_feature["weights"], "f8", (len(names),), "weights of categories")
        if len(set(names)) != len(names) or not (weights >= 0).all():
            _refuse("summary_", of_feature)
        found[j] = {"values": names, "weights": weights}
    return found


def _summarized_special(value, d):
    if type(value) is not dict or not all(type(j) is int and 0 <= j < d for j in value):
        _refuse("summary_", value)
    found = {}
    for j, of_feature in value.items():
        check_keys(of_feature, {"values", "weights"}, "special of summary_")
        values = checked(of_feature["values"], "f4", (None,), "special values")
        weights = checked(of_feature["weights"], "f8", values.shape, "weights of special values")
        if not values.size or (np.diff(values) <= 0).any() or not (weights >= 0).all():
            _refuse("summary_", of_feature)
        found[j] = {"values": values, "weights": weights}
    return found


def _sketch(value, size):
    value = {"waiting": {}, **value} if type(value) is dict else value  # the first files had no `waiting`
    check_keys(value, {"values", "mass", "digests", "waiting"}, "a sketch")
    values = checked(value["values"], "f4", (None,), "values of a sketch")
    mass = checked(value["mass"], "f8", values.shape, "mass of a sketch")
    if values.size > size or (np.diff(values) <= 0).any() or (mass <= 0).any():
        _refuse("summary_", value)
    digests = _by_exponent(value["digests"], "u1", "digest of a sketch")
    waiting = _by_exponent(value["waiting"], "f4", "values of a sketch")
    if any(not 0 < data.size < size or (np.diff(data) < 0).any() for data in waiting.values()):
        _refuse("summary_", value)
    return {"values": values, "mass": mass, "digests": digests, "waiting": waiting}


def _by_exponent(value, dtype, what):
    if type(value) is not dict:
        _refuse("summary_", value)
    for exponent in value:
        if type(exponent) is not int or abs(exponent) > 1100:
            _refuse("summary_", exponent)
    return {exponent: checked(data, dtype, (None,), what) for exponent, data in value.items()}


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


# In this order, because later checks use the attributes checked before.
_RULES = {
    "n_features_in_": _Rule(test=lambda value, known: _is_count(value)),
    "feature_names_in_": _Rule(array=lambda known: ("O", (known["n_features_in_"],)), read=_feature_names),
    "codebook_": _Rule(read=_codebook),
    "summary_": _Rule(read=_summary),
    "target_mean_": _Rule(array=lambda known: ("f8", (None,)), test=lambda value, known: value.size > 0),
    "target_scale_": _Rule(
        array=lambda known: ("f8", known["target_mean_"].shape), test=lambda value, known: (value > 0).all()
    ),
    "target_ndim_": _Rule(
        test=lambda value, known: type(value) is int and (value == 2 or (value == 1 == known["target_mean_"].size))
    ),
    "target_range_": _Rule(
        array=lambda known: ("f4", (2, known["target_mean_"].size)),
        test=lambda value, known: (value[0] <= value[1]).all(),
    ),
    "classes_": _Rule(test=_are_classes),
    "task_": _Rule(test=_is_one_of(_TASKS)),
    "best_epoch_": _Rule(test=lambda value, known: value is None or _is_count(value)),
    "init_": _Rule(test=lambda value, known: isinstance(value, BaseEstimator) or _is_one_of(_INITS)(value, known)),
    "initial_thresholds_": _Rule(
        test=lambda value, known: type(value) is list and len(value) == known["n_features_in_"],
        read=lambda value, known: [checked(array, "f4", (None,), "initial_thresholds_") for array in value],
    ),
    "threshold_lr_ratio_": _Rule(test=lambda value, known: type(value) is float and 0 <= value < np.inf),
    "_sklearn_output_config": _Rule(test=_is_output_config),
    "net_": _Rule(test=_is_dict),
    "rates_": _Rule(test=_are_rates),
    "allocation_": _Rule(test=_is_dict),
    "length_search_": _Rule(test=_is_dict),
    "quantizer_": _Rule(read=_quantizer),
    "feature_importances_": _Rule(
        array=lambda known: ("f8", (known["n_features_in_"],)), test=lambda value, known: (value >= 0).all()
    ),
}
