"""What a search knows of the rates of a model: a model of each rate, and the names of its scores."""

import copy
import re

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

ROW_BITS = "row_bits"
_MEAN = "mean_test_"
_AT = re.compile(rf"{_MEAN}{ROW_BITS}_at_(\d+)").fullmatch


def models_of_rates(estimator):
    """Return a fitted model of each rate.

    Parameters
    ----------
    estimator : BitwiseRegressor, BitwiseClassifier, or Pipeline that ends in one
        Fitted with `rates`.

    Returns
    -------
    dict int -> estimator
        From the lowest rate to the highest. Each is of the class of `estimator`.

    Raises
    ------
    ValueError
        If the estimator is another one, or has no rates.
    """
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    if not hasattr(last, "predict_codes"):
        raise ValueError(
            "Only a BitwiseRegressor or BitwiseClassifier, or a pipeline that ends in one, has scores of several "
            f"rates: got {estimator!r}."
        )
    check_is_fitted(last)
    if not hasattr(last, "rates_"):
        raise ValueError(f"This {type(last).__name__} has only one rate: fit with rates=... to have coarser ones.")
    return {rate: _at(estimator, rate) for rate in sorted(last.rates_)}


def _at(estimator, rate):
    if not isinstance(estimator, Pipeline):
        return estimator.at(rate)
    made, (name, last) = copy.copy(estimator), estimator.steps[-1]
    made.steps = [*estimator.steps[:-1], (name, _at(last, rate))]
    return made


def name_at(name, rate):
    """Return the name of a score at a rate.

    Parameters
    ----------
    name : str
    rate : int

    Returns
    -------
    str
    """
    return f"{name}_at_{rate}"


def searched_rates(cv_results):
    """Return the rates whose scores a search has.

    Parameters
    ----------
    cv_results : dict

    Returns
    -------
    list of int
        Empty without the scorer `all_rates`.
    """
    return [int(match[1]) for match in map(_AT, cv_results) if match]


def score_names(cv_results):
    """Return the names of the scores of a search, without rates and without row_bits.

    Parameters
    ----------
    cv_results : dict

    Returns
    -------
    list of str
    """
    names = [key.removeprefix(_MEAN) for key in cv_results if key.startswith(_MEAN)]
    if rates := searched_rates(cv_results):
        ends = tuple(name_at("", rate) for rate in rates)
        names = [name.rpartition("_at_")[0] for name in names if name.endswith(ends)]
    return [name for name in dict.fromkeys(names) if name != ROW_BITS]
