"""Write encoders and predictors as ONNX models. Needs onnx."""

import json

import numpy as np

from skbsq.export._fold import fold, split_off
from skbsq.export._onnx_codes import encode, rows_with_nan
from skbsq.export._onnx_inputs import ML_OPSET, columns_of, encode_columns

PARTS = ("whole", "encoder", "head")
# onnxruntime reads these since 1.12. Opset 17 is the first with LayerNormalization, which a head may have.
_OPSET = 17
_IR_VERSION = 8
_OUTPUTS = {"codes", "prediction", "label", "probabilities", "refused"}


def to_onnx(fitted, *, part="whole", dtype="float32"):
    """Write an encoder or a predictor as an ONNX model.

    For every float32 the codes are exactly those of the codebook. Predictions are those of ``predict`` up to the
    rounding of float32.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline that ends in one
        Steps before the quantizer are folded into the thresholds, see `to_codebook`.
    part : {"whole", "encoder", "head"}, default="whole"
        "whole": floats to predictions for a predictor, floats to codes for anything else. "encoder": floats to codes,
        also for a predictor. "head": codes to predictions, for the server that receives the codes; needs a predictor.
    dtype : {"float32", "float64"}, default="float32"
        Type in which the scalers of a pipeline compute, see `to_codebook`. The model always reads float32.

    Returns
    -------
    onnx.ModelProto
        Its metadata holds the fingerprint of the codebook, in hexadecimal, and a JSON list of the feature names. The
        notes list inputs and outputs.

    Raises
    ------
    ValueError
        If `to_codebook` raises it, if the head has a layer that cannot be written, if labels or categories have no ONNX
        type, or if the model lacks the `part`.
    sklearn.exceptions.NotFittedError
        If `fitted`, or a step of it, is not fitted.

    See Also
    --------
    to_codebook : Fold a pipeline into one codebook.
    to_c : Write an encoder as a C header.
    register_skl2onnx : Convert a pipeline with a quantizer in any place.

    Notes
    -----
    Inputs:

    - ``X``: float32 of shape (n, d), or
    - if there are categorical features, one per feature with bits, of shape (n, 1): float32 for a numeric feature,
      string, int64 or bool for a categorical one. A bool that may be missing is int64. It has the name of the feature,
      or x0, x1, ...; with an underscore behind it if an output has that name. An empty string, and the lowest int64,
      are missing values, unless they are categories. Or
    - ``codes``, for the head: uint8, or uint16 if a feature has more than 8 bits, of shape (n, d). They must be codes
      of the codebook; the model does not check that.

    Outputs, in this order:

    - ``codes``, of an encoder: of the types above;
    - ``prediction``, of a regressor: float32 of shape (n,) or (n, k), in the units of y, for k targets; rates with
      ``loss="poisson"``;
    - ``label``, of a classifier: int64 (also for bool) or string, of shape (n,), and ``probabilities``: float32 of
      shape (n, k), in the order of ``classes_``, for k classes;
    - ``refused``, unless the input is `codes`, if any feature refuses NaN, see `Codebook.refuses_nan`, or categories:
      bool of shape (n,), true for rows with NaN in such a feature, or with a category for which Python raises an error.
      Ignore the other outputs for these rows.

    The model reads infinities as `Codebook.encode` does.

    A predictor with ``quantizer="passthrough"`` has predictions but no codes.

    Examples
    --------
    >>> import numpy as np, onnxruntime
    >>> from skbsq import Codebook
    >>> from skbsq.export import to_onnx
    >>> model = to_onnx(Codebook.from_thresholds([[0.5], [1, 2]]))
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> codes, refused = session.run(None, {"X": np.float32([[0.5, 1.5], [0.6, np.nan]])})
    >>> codes.tolist(), refused.tolist()
    ([[0, 1], [1, 0]], [False, True])
    """
    from skbsq.export._graph import Graph

    if part not in PARTS:
        raise ValueError(f"part must be one of {list(PARTS)}, got {part!r}.")
    before, _, last = split_off(fitted)
    predictor = last if hasattr(last, "predict_codes") else None
    if part == "head" and predictor is None:
        raise ValueError(f'part="head" needs a predictor, which has a head; got {fitted!r}.')
    if getattr(predictor, "quantizer_", False) is None:
        return _full_precision(before, predictor, part)

    book, columns = fold(fitted, dtype)
    graph, outputs, refused = Graph(), [], []
    if part == "head":
        sources = [("codes", book.dtype, book.n_features)]
        codes = graph.cast("codes", np.int32)
    elif book.is_categorical.any():
        columns_read = columns_of(book, _OUTPUTS)
        sources = [(column.name, column.dtype, 1) for column in columns_read]
        graph = Graph(taken={name for name, _, _ in sources})
        codes, rows = encode_columns(
            graph, {column.feature: (column.name, column.dtype) for column in columns_read}, book
        )
        refused = [("refused", rows, np.bool_, ("n",))] * (rows is not None)
    else:
        sources = [("X", np.float32, book.n_features)]
        codes = encode(graph, "X", book)
        refused = _refused(graph, np.flatnonzero(book.refuses_nan), book.n_features)
    if part == "encoder" or predictor is None:
        outputs.append(("codes", graph.cast(codes, book.dtype), book.dtype, ("n", book.n_features)))
    else:
        from skbsq.export._onnx_head import read_codes

        outputs += _predictions(graph, read_codes(graph, codes, columns, predictor.net_.module_), predictor)
    metadata = {"fingerprint": book.fingerprint.hex(), "feature_names": json.dumps(book.feature_names)}
    return _model(graph, sources, outputs + refused, metadata)


def _full_precision(before, predictor, part):
    from skbsq.export._graph import Graph
    from skbsq.export._onnx_head import read_floats

    if part != "whole":
        raise ValueError(f'part={part!r} needs codes, and quantizer="passthrough" has none.')
    if before:
        raise ValueError(
            f"Step {before[0][0]!r} comes before a predictor that reads floats: steps can only be folded into "
            "thresholds. Leave it out, the predictor standardizes its input itself."
        )
    graph, net = Graph(), predictor.net_.module_
    outputs = _predictions(graph, read_floats(graph, "X", net), predictor)
    d = predictor.n_features_in_
    outputs += _refused(graph, np.setdiff1d(np.arange(d), net.quantization.missing.numpy()), d)
    names = getattr(predictor, "feature_names_in_", None)
    metadata = {"feature_names": json.dumps(None if names is None else names.tolist())}
    return _model(graph, [("X", np.float32, d)], outputs, metadata)


def _refused(graph, features, n_features):
    """Return the output for rows with NaN in some of the features, if there are such features."""
    if not features.size:
        return []
    x = "X" if features.size == n_features else graph.add("Gather", "X", features, axis=1)
    return [("refused", rows_with_nan(graph, x), np.bool_, ("n",))]


def _predictions(graph, output, predictor):
    """Turn the output of the head into outputs of the model: tuples of name, value, dtype and shape."""
    if hasattr(predictor, "classes_"):
        classes = _labels(predictor.classes_)
        label = graph.add("Gather", classes, graph.add("ArgMax", output, axis=1, keepdims=0))
        shape = ("n", classes.size)
        return [
            ("label", label, classes.dtype, ("n",)),
            ("probabilities", _probabilities(graph, output, predictor.net_), np.float32, shape),
        ]
    from skbsq.nn.losses import predicts_logarithm

    _refuse_nonlinearity(predictor.net_)
    # `predict` computes this in float64 too.
    output = graph.cast(output, np.float64)
    if predicts_logarithm(predictor.net_):
        output = graph.add("Exp", output)
    output = graph.add("Mul", output, predictor.target_scale_)
    output = graph.cast(graph.add("Add", output, predictor.target_mean_), np.float32)
    if hasattr(predictor, "target_range_"):
        low, high = predictor.target_range_
        output = graph.add("Min", graph.add("Max", output, low), high)
    if predictor.target_ndim_ == 1:
        return [("prediction", graph.add("Reshape", output, np.array([-1])), np.float32, ("n",))]
    return [("prediction", output, np.float32, ("n", predictor.target_mean_.size))]


def _labels(classes):
    """Return the classes in a type that ONNX has: int64, or object for strings."""
    labels = np.asarray(classes.tolist())
    if labels.dtype.kind == "U":
        return labels.astype(object)
    if labels.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            whole = labels.astype(np.int64)
        if (whole == labels).all():
            return whole
    raise ValueError(f"to_onnx writes labels that are strings or whole numbers in int64, got {classes!r}.")


def _refuse_nonlinearity(net):
    if callable(net.predict_nonlinearity):
        raise ValueError(
            f"The net's predict_nonlinearity is {net.predict_nonlinearity!r}, which to_onnx cannot write: give "
            'skorch\'s net "auto", or None and make it the last layer of the head.'
        )


def _probabilities(graph, output, net):
    from skbsq.nn.losses import output_kind

    _refuse_nonlinearity(net)
    kind = output_kind(net)
    if kind == "logit":
        return graph.add("Softmax", output, axis=-1)
    return graph.add("Exp", output) if kind == "log-probability" else output


def _model(graph, sources, outputs, metadata):
    from onnx import helper

    import skbsq
    from skbsq.export._graph import tensor_type

    for output, value, _, _ in outputs:
        graph.name_output(value, output)
    inside = helper.make_graph(
        graph.nodes,
        "skbsq",
        [helper.make_tensor_value_info(name, tensor_type(dtype), ["n", size]) for name, dtype, size in sources],
        [helper.make_tensor_value_info(output, tensor_type(dtype), shape) for output, _, dtype, shape in outputs],
        graph.constants,
    )
    domains = {node.domain for node in graph.nodes} | {""}
    model = helper.make_model(
        inside,
        producer_name="skbsq",
        producer_version=skbsq.__version__,
        opset_imports=[helper.make_opsetid(name, ML_OPSET if name else _OPSET) for name in sorted(domains)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, metadata)
    return model
