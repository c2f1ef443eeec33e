"""Read the head of a predictor as linear maps with a ReLU between two of them. Needs torch."""

import numpy as np
from torch import nn

from skbsq.nn.heads import ByteDropout
from skbsq.nn.joint import has_hooks
from skbsq.nn.losses import output_kind, predicts_logarithm

_WAY_OUT = (
    'Fit with hidden_sizes=(16,) and without head, or export part="encoder" and predict on the server, with '
    "predict_codes."
)


def read_stages(predictor):
    """Return the linear maps of a predictor's head; the output is in the units of the target.

    The first map has a column per code of each feature, as if it read indicators of the codes. Normalizations and
    neighbouring linear layers are folded.

    Parameters
    ----------
    predictor : BitwiseRegressor or BitwiseClassifier
        Fitted.

    Returns
    -------
    list of (weight, bias)
        ndarrays of float64 of shape (units, inputs) and (units,). A classifier of two classes has one output, the
        logit of the second class.

    Raises
    ------
    ValueError
        If the head has other layers, or if its output is not the target and not logits.
    """
    net = predictor.net_
    first = net.module_.first_table()
    if first is None:
        head = net.module_.head
        layer = head[0] if isinstance(head, nn.Sequential) and len(head) else head
        raise ValueError(
            f"The head must begin with an nn.Linear that reads bits, got {layer!r} behind "
            f"{type(predictor.quantizer_).__name__}. {_WAY_OUT}"
        )
    table, layers = first
    table = table.double().numpy()
    stages = _followed([(table[:-1].T, table[-1])], layers)
    weight, bias = stages[-1]
    if hasattr(predictor, "classes_"):
        stages[-1] = _logits(net, weight, bias)
    else:
        stages[-1] = _target(predictor, weight, bias)
    if not all(np.isfinite(part).all() for stage in stages for part in stage):
        raise ValueError("The head has weights that are not finite, of which no integers can be made.")
    return stages


def _followed(stages, layers):
    """Apply torch layers after some stages, in evaluation mode."""
    for layer in layers:
        if type(layer).forward is nn.Sequential.forward and not has_hooks(layer):
            stages = _followed(stages, layer)
            continue
        follow = LAYERS.get(type(layer))
        followed = None if follow is None or has_hooks(layer) else follow(stages, layer)
        if followed is None:
            known = ", ".join(kind.__name__ for kind in LAYERS)
            raise ValueError(
                f"The head has a layer that integers cannot compute: {layer!r}. Layers can be {known}, without hooks. "
                f"{_WAY_OUT}"
            )
        stages = followed
    return stages


def _linear(stages, layer):
    weight = _array(layer.weight)
    before, bias = stages[-1]
    bias = weight @ bias if layer.bias is None else weight @ bias + _array(layer.bias)
    return [*stages[:-1], (weight @ before, bias)]


def _relu(stages, layer):
    n_units = stages[-1][1].size
    return [*stages, (np.eye(n_units), np.zeros(n_units))]


def _batch_norm(stages, layer):
    if layer.running_mean is None:
        return None
    factor = 1 / np.sqrt(_array(layer.running_var) + layer.eps)
    factor = factor if layer.weight is None else factor * _array(layer.weight)
    shift = 0.0 if layer.bias is None else _array(layer.bias)
    weight, bias = stages[-1]
    return [*stages[:-1], (factor[:, None] * weight, (bias - _array(layer.running_mean)) * factor + shift)]


def _same(stages, layer):
    return stages


def _array(tensor):
    return tensor.detach().cpu().double().numpy()


LAYERS = {
    nn.Linear: _linear,
    nn.ReLU: _relu,
    nn.BatchNorm1d: _batch_norm,
    nn.Dropout: _same,
    ByteDropout: _same,
    nn.Identity: _same,
}


def _logits(net, weight, bias):
    if (kind := output_kind(net)) != "logit":
        raise ValueError(
            f"The head must end in logits for integers to choose a class, but it ends in {kind!r}. {_WAY_OUT}"
        )
    if bias.size != 2:
        return weight, bias
    return np.diff(weight, axis=0), np.diff(bias)


def _target(predictor, weight, bias):
    net = predictor.net_
    if predicts_logarithm(net):
        raise ValueError(
            'With loss="poisson" the head predicts logarithms, of which integers cannot compute the rate: fit with '
            'another loss, or export part="encoder".'
        )
    if callable(net.predict_nonlinearity):
        raise ValueError(
            f"The net's predict_nonlinearity is {net.predict_nonlinearity!r}, which integers cannot compute. {_WAY_OUT}"
        )
    scale = predictor.target_scale_
    return scale[:, None] * weight, scale * bias + predictor.target_mean_
