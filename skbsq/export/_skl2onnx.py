"""Let skl2onnx convert pipelines with quantizers. Needs skl2onnx."""

import numpy as np

from skbsq.codebook.labels import label
from skbsq.export._onnx_codes import bits_of, encode, values_of
from skbsq.export._onnx_inputs import ML_OPSET, encode_columns, type_of

_ENCODINGS = {"ordinal": np.int64, "thermometer": np.int64, "value": np.float32}


def register_skl2onnx():
    """Register the quantizers with skl2onnx.

    Then ``skl2onnx.to_onnx`` converts a pipeline with a quantizer in any place, for example before gradient boosting.
    If the pipeline ends in a quantizer or predictor, prefer `to_onnx`: it folds scalers exactly and reports rows with
    NaN.

    Calling this function again has no effect.

    See Also
    --------
    to_onnx : Write an encoder or a predictor as an ONNX model.

    Notes
    -----
    A quantizer with categorical features must be the first step, because other steps of skl2onnx do not mix strings and
    numbers. Its inputs can be one or several, such as one per column of a data frame: categories that are strings need
    strings, other categories int64 or bool. A missing category is the empty string, or the lowest int64. With
    ``encode="value"`` the conversion raises a ValueError, because the values would be strings and numbers.

    The output is int64 if `encode` is "ordinal" or "thermometer", and float32 if it is "value". The conversion raises a
    ValueError if it is "packed". For the same input the values are exactly those of ``transform``. The input can be
    float32, float64 or int64.

    skl2onnx may round a scaler before the quantizer differently from scikit-learn, so a value next to a threshold may
    get the neighbouring code. Leave the scaler out: thresholds do not need it.

    An ONNX model cannot raise an error: NaN in a feature without a missing code is read as code 0, and so is a category
    that the quantizer refuses.

    Examples
    --------
    >>> import numpy as np, skl2onnx
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.export import register_skl2onnx
    >>> register_skl2onnx()
    >>> X = np.arange(20, dtype=np.float32).reshape(10, 2)
    >>> pipeline = make_pipeline(QuantileQuantizer(2), LinearRegression()).fit(X, X[:, 0])
    >>> [output.name for output in skl2onnx.to_onnx(pipeline, X).graph.output]
    ['variable']
    """
    from skl2onnx import update_registered_converter

    import skbsq

    for name in skbsq.__all__:
        if name.endswith("Quantizer"):
            update_registered_converter(getattr(skbsq, name), f"Skbsq{name}", _shape, _convert)


def _shape(operator):
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    quantizer = operator.raw_operator
    if quantizer.encode not in _ENCODINGS:
        raise ValueError(
            f"skl2onnx converts quantizers whose encode is one of {list(_ENCODINGS)}, got {quantizer.encode!r}: the "
            "next step cannot read packed bytes."
        )
    if quantizer.encode == "value" and quantizer.codebook_.is_categorical.any():
        raise ValueError(
            'encode="value" gives strings and numbers of a quantizer with categorical features, which ONNX cannot mix: '
            'use encode="ordinal" or "thermometer".'
        )
    kind = FloatTensorType if quantizer.encode == "value" else Int64TensorType
    n_columns = quantizer.get_feature_names_out().size
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), n_columns])


def _convert(scope, operator, container):
    from onnx import helper

    from skbsq.export._graph import Graph

    quantizer, target = operator.raw_operator, operator.outputs[0].full_name
    book = quantizer.codebook_
    graph = Graph(scope.get_unique_variable_name)
    if book.is_categorical.any():
        output, _ = encode_columns(graph, _columns(graph, operator.inputs, book), book)
    else:
        output = encode(graph, graph.cast(operator.inputs[0].full_name, np.float32), book)
    if quantizer.encode == "thermometer":
        output = bits_of(graph, output, book.columns)
    elif quantizer.encode == "value":
        output = values_of(graph, output, book.levels)
    graph.name_output(graph.cast(output, _ENCODINGS[quantizer.encode]), target)
    for constant in graph.constants:
        container.add_initializer(constant.name, constant.data_type, constant.dims, constant)
    for node in graph.nodes:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.domain:
            attributes |= {"op_domain": node.domain, "op_version": ML_OPSET}
        container.add_node(node.op_type, list(node.input), list(node.output), name=node.name, **attributes)


def _columns(graph, inputs, book):
    """Return the column of each feature and its type, from inputs that hold the features in their order."""
    from skl2onnx.common.data_types import StringTensorType

    found = {}
    for given in inputs:
        for k in range(given.type.shape[1]):
            j = len(found)
            dtype, feature = type_of(book, j), label(book.feature_names, j)
            if isinstance(given.type, StringTensorType) != (dtype.kind == "O"):
                kind = "strings" if dtype.kind == "O" else "numbers"
                raise ValueError(f"{feature} needs an input of {kind}: give skl2onnx one input per column.")
            column = graph.add("Gather", given.full_name, np.array([k]), axis=1)
            kind = {"f": np.float32, "O": object}.get(dtype.kind, np.int64)
            found[j] = (column if kind is object else graph.cast(column, kind), np.dtype(kind))
    return found
