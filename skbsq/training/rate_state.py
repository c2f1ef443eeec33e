"""Convert the rates of a fitted estimator to arrays and plain values, and back."""

import math

import torch

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.json import check_keys
from skbsq.nn.joint import first_linear
from skbsq.training.net_state import checked
from skbsq.training.rates import Rate, rate_with_first


def plain_rates(attributes):
    """Replace the rates among fitted attributes by plain values, if the net is replaced too.

    Parameters
    ----------
    attributes : dict
        What `skbsq.training.net_state.plain_state` returned. Changed in place.

    Returns
    -------
    dict
    """
    rates = attributes.get("rates_")
    if rates is None:
        return attributes
    if rates is getattr(attributes.get("quantizer_"), "rates_", None):
        del attributes["rates_"]  # the quantizer stores them
    elif isinstance(attributes.get("net_"), dict):
        attributes["rates_"] = rates_state(rates)
    return attributes


def restore_rates(estimator):
    """Rebuild in place what `plain_rates` replaced, after the net is rebuilt.

    Parameters
    ----------
    estimator : LearnedEstimator

    Raises
    ------
    ValueError
        If the state is not one that `plain_rates` makes.
    """
    attributes = vars(estimator)
    if isinstance(state := attributes.get("rates_"), list):
        attributes["rates_"] = rates_from(state, estimator.codebook_, estimator.net_.module_)
    elif "rates_" not in attributes and hasattr(attributes.get("quantizer_"), "rates_"):
        attributes["rates_"] = attributes["quantizer_"].rates_


def rates_state(rates):
    """Convert rates to plain values and arrays.

    Parameters
    ----------
    rates : dict int -> Rate
        The first one is that of the model itself.

    Returns
    -------
    list of dict
        A rate that is equal to the one before it has no codebook and no weights, and neither has the first one.
    """
    (top, finer), *coarse = rates.items()
    states: list[dict] = [{"rate": top}]
    for rate, found in coarse:
        states.append({"rate": rate})
        if found.module is not finer.module:
            first = first_linear(found.module.head)
            weight, bias = first.weight.detach().numpy(), first.bias.detach().numpy()
            states[-1] |= {"codebook": found.codebook, "weight": weight, "bias": bias}
        finer = found
    return states


def rates_from(states, codebook, module):
    """Build rates from what `rates_state` returned, which may come from an untrusted file.

    Parameters
    ----------
    states : list of dict
    codebook : Codebook
    module : JointNet
        Codebook and net of the model.

    Returns
    -------
    dict int -> Rate

    Raises
    ------
    ValueError
        If the parts do not fit the model, or each other.
    """
    if type(states) is not list or not states:
        raise ValueError("The rates must be a list that begins with the finest.")
    rates: dict[int, Rate] = {}
    found = Rate(codebook, module)
    for state in states:
        own = {"codebook", "weight", "bias"} if rates and isinstance(state, dict) and len(state) > 1 else set()
        check_keys(state, {"rate"} | own, "a rate")
        rate = state["rate"]
        if type(rate) is not int or not 0 <= rate < min(rates, default=math.inf):
            raise ValueError(f"Rates must be integers that fall, got {rate!r}.")
        rates[rate] = found = _rate_from(state, found.codebook, module.head) if own else found
    return rates


def _rate_from(state, finer, shared):
    """Build a rate with a first layer that is not that of the model."""
    rate, book, first = state["rate"], state["codebook"], first_linear(shared)
    if first is None or not isinstance(book, Codebook) or not finer.is_refinement_of(book):
        raise ValueError(f"The codebook of rate {rate} does not belong to this model.")
    shape = first.out_features, max(book.n_columns, 1)
    weight = checked(state["weight"], "f4", shape, f"weights of rate {rate}")
    bias = checked(state["bias"], "f4", shape[:1], f"bias of rate {rate}")
    return rate_with_first(book, torch.from_numpy(weight), torch.from_numpy(bias), shared)
