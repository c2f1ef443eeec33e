"""The quantizers as steps of a pipeline that skl2onnx converts. Needs skl2onnx."""

import numpy as np

_ENCODINGS = {"ordinal": np.int64, "thermometer": np.int64, "value": np.float32}


def register_skl2onnx():
    """Make skl2onnx convert the quantizers.

    Then ``skl2onnx.to_onnx`` takes a pipeline with a quantizer anywhere, such as one in front of gradient boosting. For
    a quantizer or predictor at the end, `to_onnx` does more: it folds scalers exactly, and tells rows with NaN.

    Notes
    -----
    The output is int64 where `encode` is "ordinal" or "thermometer", and float32 where it is "value"; "packed" is
    refused. For the same input its values are exactly those of ``transform``. The input can be float32, float64 or
    int64.

    What skl2onnx makes of a scaler in front can round differently from scikit-learn, so that a value next to a
    threshold may get the neighbouring code. Thresholds need no scaler: leave it out.

    A model has no errors: under ``missing="error"`` NaN is read as code 0.

    Calling it again does no harm.

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
            f"skl2onnx converts quantizers whose encode is one of {list(_ENCODINGS)}, got {quantizer.encode!r}: bytes "
            "mean nothing to the step behind."
        )
    kind = FloatTensorType if quantizer.encode == "value" else Int64TensorType
    n_columns = quantizer.get_feature_names_out().size
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), n_columns])


def _convert(scope, operator, container):
    from onnx import helper

    from skbsq.export._graph import Graph
    from skbsq.export._onnx_codes import bits_of, encode, values_of

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
