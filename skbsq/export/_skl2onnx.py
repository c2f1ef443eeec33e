"""Let skl2onnx convert pipelines with quantizers. Needs skl2onnx."""

import numpy as np

from skbsq.export._onnx_codes import bits_of, encode, values_of

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
    The output is int64 if `encode` is "ordinal" or "thermometer", and float32 if it is "value". The conversion raises a
    ValueError if it is "packed". For the same input the values are exactly those of ``transform``. The input can be
    float32, float64 or int64.

    skl2onnx may round a scaler before the quantizer differently from scikit-learn, so a value next to a threshold may
    get the neighbouring code. Leave the scaler out: thresholds do not need it.

    An ONNX model cannot raise an error: NaN in a feature without a missing code is read as code 0.

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
    kind = FloatTensorType if quantizer.encode == "value" else Int64TensorType
    n_columns = quantizer.get_feature_names_out().size
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), n_columns])


def _convert(scope, operator, container):
    from onnx import helper

    from skbsq.export._graph import Graph

    quantizer, source, target = operator.raw_operator, operator.inputs[0].full_name, operator.outputs[0].full_name
    book = quantizer.codebook_
    graph = Graph(scope.get_unique_variable_name)
    output = encode(graph, graph.cast(source, np.float32), book)
    if quantizer.encode == "thermometer":
        output = bits_of(graph, output, book.columns)
    elif quantizer.encode == "value":
        output = values_of(graph, output, book.levels)
    graph.name_output(graph.cast(output, _ENCODINGS[quantizer.encode]), target)
    for constant in graph.constants:
        container.add_initializer(constant.name, constant.data_type, constant.dims, constant)
    for node in graph.nodes:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        container.add_node(node.op_type, list(node.input), list(node.output), name=node.name, **attributes)
