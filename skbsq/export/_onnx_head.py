"""Write the head of a predictor, and its inputs, in ONNX. Needs torch, as a fitted predictor does."""

import numpy as np
from torch import nn

from skbsq.codebook.floats import FLOAT32_MAX
from skbsq.export._onnx_codes import bits_of, values_of
from skbsq.nn.heads import ByteDropout
from skbsq.nn.joint import has_hooks
from skbsq.nn.values import CodeValues

# Features that are looked up together in the table of the first layer: few, so that their rows stay in the cache.
_FEATURES_AT_ONCE = 8


def read_codes(graph, codes, columns, net):
    """Compute the output of the head for codes.

    Parameters
    ----------
    graph : Graph
    codes : str
        int32 of shape (n, D).
    columns : ndarray of int of shape (d,)
        Feature k of the net is column ``columns[k]`` of the codes.
    net : JointNet
        Frozen.

    Returns
    -------
    str
        float32 of shape (n, n_outputs).
    """
    first = net.first_table()
    if first is not None:
        table, layers = first
        return run_layers(graph, _look_up(graph, codes, columns, table.numpy(), net.quantization), layers)
    if isinstance(net.quantization, CodeValues):
        inputs = _values(graph, codes, columns, net.quantization)
    else:
        inputs = _bits(graph, codes, columns, net)
    return run_layers(graph, inputs, [net.head])


def read_floats(graph, x, net):
    """Compute the output of the head for floats, at full precision.

    Parameters
    ----------
    graph : Graph
    x : str
        float32 of shape (n, d).
    net : JointNet
        With a Standardization.

    Returns
    -------
    str
        float32 of shape (n, n_outputs).
    """
    layer = net.quantization
    mean, scale = layer.space.mean.numpy(), layer.space.scale.numpy()
    z = graph.add("Div", graph.add("Sub", graph.cast(x, np.float64), mean), scale)
    z = graph.cast(z, np.float32)
    missing = layer.missing.numpy()
    if missing.size:
        # A row with NaN in any other feature is refused, so it does not matter what stands for that NaN.
        nan = graph.add("IsNaN", x)
        z = graph.add("Where", nan, np.float32(0), graph.add("Clip", z, -FLOAT32_MAX, FLOAT32_MAX))
        z = graph.add("Concat", z, graph.cast(_pick(graph, nan, missing), np.float32), axis=1)
    return run_layers(graph, z, [net.head])


def _look_up(graph, codes, columns, table, quantization):
    """Sum the table rows that the codes select, and the last row, which is the bias."""
    # A feature that is not sent adds nothing. At least one feature stays, because the sum needs the number of rows.
    sent = np.flatnonzero(quantization.n_levels.numpy() > 1)
    sent = sent if sent.size else np.zeros(1, dtype=np.int64)
    offsets = quantization.offsets.numpy()[sent].astype(np.int32)
    index = graph.add("Add", _pick(graph, codes, columns[sent]), offsets)
    sizes = [part.size for part in np.array_split(sent, -(-sent.size // _FEATURES_AT_ONCE))]
    # Several nodes share the table.
    table, total = graph.constant(table), table[-1]
    for part in graph.split(index, sizes):
        rows = graph.add("Gather", table, part)
        total = graph.add("Add", graph.add("ReduceSum", rows, np.array([1], dtype=np.int64), keepdims=0), total)
    return total


def _bits(graph, codes, columns, net):
    """Compute the thermometer bits in the order in which the head reads them."""
    layer = net.quantization
    feature, low, high = (part.numpy() for part in (layer.feature, layer.low, layer.high))
    bits = np.stack([columns[feature], low, high], axis=1)
    if net.column_map is not None:
        # The map has -1 for an input of zeros: no code is both above 0 and at most 0.
        bits = np.append(bits, [[0, 0, 0]], axis=0)[net.column_map.numpy()]
    return graph.cast(bits_of(graph, codes, bits), np.float32)


def _values(graph, codes, columns, layer):
    """Look up a value per feature, and add the indicators of NaN."""
    codes = _pick(graph, codes, columns)
    values, missing = values_of(graph, codes, list(layer.values.numpy())), layer.missing.numpy()
    if not missing.size:
        return values
    missing_codes = layer.encoder.missing_code.numpy().ravel()[missing].astype(np.int32)
    nan = graph.add("Equal", _pick(graph, codes, missing), missing_codes)
    return graph.add("Concat", values, graph.cast(nan, np.float32), axis=1)


def _pick(graph, codes, columns):
    return graph.add("Gather", codes, columns.astype(np.int64), axis=1)


def run_layers(graph, x, layers):
    """Apply torch layers one after the other, in evaluation mode.

    Parameters
    ----------
    graph : Graph
    x : str
        float32 of shape (n, units).
    layers : list of nn.Module
        Layers of `LAYERS`, or nn.Sequential of them.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For any other layer, and for layers with hooks.
    """
    for layer in layers:
        if type(layer).forward is nn.Sequential.forward and not has_hooks(layer):
            x = run_layers(graph, x, list(layer))
            continue
        write = LAYERS.get(type(layer))
        x = None if write is None or has_hooks(layer) else write(graph, x, layer)
        if x is None:
            known = ", ".join(kind.__name__ for kind in LAYERS)
            raise ValueError(
                f"The head has a layer that to_onnx cannot write: {layer!r}. It can write nn.Sequential of {known}, "
                'without hooks, over the last axis. Export the encoder alone, with part="encoder", and run the head '
                "in torch, with predict_codes."
            )
    return x


def _array(tensor):
    return tensor.detach().cpu().numpy()


def _linear(graph, x, layer):
    bias = [] if layer.bias is None else [_array(layer.bias)]
    return graph.add("Gemm", x, _array(layer.weight), *bias, transB=1)


def _batch_norm(graph, x, layer):
    if layer.running_mean is None:
        return None
    statistics = _array(layer.running_mean), _array(layer.running_var)
    return graph.add("BatchNormalization", x, *_affine(layer, layer.num_features), *statistics, epsilon=layer.eps)


def _layer_norm(graph, x, layer):
    if len(layer.normalized_shape) != 1:
        return None
    affine = _affine(layer, layer.normalized_shape)
    return graph.add("LayerNormalization", x, *affine, axis=-1, epsilon=layer.eps)


def _affine(layer, shape):
    """Return weight and bias of a normalization; ones and zeros if it has none."""
    weight = np.ones(shape, dtype=np.float32) if layer.weight is None else _array(layer.weight)
    return weight, np.zeros_like(weight) if layer.bias is None else _array(layer.bias)


def _gelu(graph, x, layer):
    if layer.approximate == "tanh":
        cube = graph.add("Mul", graph.add("Mul", x, x), x)
        inner = graph.add("Add", x, graph.add("Mul", cube, np.float32(0.044715)))
        gate = graph.add("Tanh", graph.add("Mul", inner, np.float32(np.sqrt(2 / np.pi))))
    else:
        gate = graph.add("Erf", graph.add("Mul", x, np.float32(np.sqrt(0.5))))
    return graph.add("Mul", graph.add("Mul", x, np.float32(0.5)), graph.add("Add", gate, np.float32(1)))


def _softplus(graph, x, layer):
    scaled = graph.add("Softplus", graph.add("Mul", x, np.float32(layer.beta)))
    return graph.add("Div", scaled, np.float32(layer.beta))


def _over_classes(op):
    # Outputs have two axes; for dim=None torch takes the last axis.
    return lambda graph, x, layer: graph.add(op, x, axis=-1) if layer.dim in (None, -1, 1) else None


LAYERS = {
    nn.Linear: _linear,
    nn.Identity: lambda graph, x, layer: x,
    nn.Dropout: lambda graph, x, layer: x,
    ByteDropout: lambda graph, x, layer: x,
    nn.AlphaDropout: lambda graph, x, layer: x,
    nn.ReLU: lambda graph, x, layer: graph.add("Relu", x),
    nn.ReLU6: lambda graph, x, layer: graph.add("Clip", x, np.float32(0), np.float32(6)),
    nn.LeakyReLU: lambda graph, x, layer: graph.add("LeakyRelu", x, alpha=layer.negative_slope),
    nn.PReLU: lambda graph, x, layer: graph.add("PRelu", x, _array(layer.weight)),
    nn.ELU: lambda graph, x, layer: graph.add("Elu", x, alpha=layer.alpha),
    nn.SELU: lambda graph, x, layer: graph.add("Selu", x),
    nn.GELU: _gelu,
    nn.SiLU: lambda graph, x, layer: graph.add("Mul", x, graph.add("Sigmoid", x)),
    nn.Softplus: _softplus,
    nn.Sigmoid: lambda graph, x, layer: graph.add("Sigmoid", x),
    nn.Tanh: lambda graph, x, layer: graph.add("Tanh", x),
    nn.Hardtanh: lambda graph, x, layer: graph.add("Clip", x, np.float32(layer.min_val), np.float32(layer.max_val)),
    nn.Softmax: _over_classes("Softmax"),
    nn.LogSoftmax: _over_classes("LogSoftmax"),
    nn.BatchNorm1d: _batch_norm,
    nn.LayerNorm: _layer_norm,
}
