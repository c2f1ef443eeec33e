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
    """
    (top, _), *coarse = rates.items()
    states: list[dict] = [{"rate": top}]
    for rate, found in coarse:
        first = first_linear(found.module.head)
        bias = None if first.bias is None else first.bias.detach().numpy()
        states.append({"rate": rate, "codebook": found.codebook, "weight": first.weight.detach().numpy(), "bias": bias})
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
    first, rates, finer = first_linear(module.head), {}, codebook
    for k, state in enumerate(states):
        check_keys(state, {"rate", "codebook", "weight", "bias"} if k else {"rate"}, "a rate")
        rate = state["rate"]
        if type(rate) is not int or not 0 <= rate < min(rates, default=math.inf):
            raise ValueError(f"Rates must be integers that fall, got {rate!r}.")
        if k == 0:
            rates[rate] = Rate(codebook, module)
            continue
        book, bias = state["codebook"], state["bias"]
        if first is None or not isinstance(book, Codebook) or not finer.is_refinement_of(book):
            raise ValueError(f"The codebook of rate {rate} does not belong to this model.")
        shape = first.out_features, max(book.n_columns, 1)
        weight = checked(state["weight"], "f4", shape, f"weights of rate {rate}")
        if (bias is None) != (first.bias is None):
            raise ValueError(f"The bias of rate {rate} does not belong to this model.")
        if bias is not None:
            bias = torch.from_numpy(checked(bias, "f4", shape[:1], f"bias of rate {rate}"))
        rates[rate], finer = rate_with_first(book, torch.from_numpy(weight), bias, module.head), book
    return rates
