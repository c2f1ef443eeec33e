"""ONNX models with inputs of strings, integers and booleans give the codes of the codebook."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler, TargetEncoder

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, SoftQuantizer
from skbsq.export import to_codebook, to_onnx

QUICK = dict(max_epochs=2, hidden_sizes=(8, 4), batch_size=32, random_state=0)
INTEGER_MISSING = np.iinfo(np.int64).min


def run(model, inputs):
    """Return the outputs by name."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {i.name for i in session.get_inputs()} <= set(inputs)
    assert all(i.shape == ["n", 1] for i in session.get_inputs())
    inputs = {i.name: inputs[i.name] for i in session.get_inputs()}
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


def inputs_of(book, X):
    """Return the inputs for a frame, or an array of objects, with None where a category is missing."""
    columns = np.asarray(X, dtype=object).T
    inputs = {}
    for j, (name, column) in enumerate(
        zip(book.feature_names or [f"x{j}" for j in range(len(columns))], columns, strict=True)
    ):
        kinds = {type(category) for category in book.categories[j] or ()} - {type(None)}
        if not kinds:
            column = column.astype(np.float32)
        elif kinds == {str}:
            column = np.array(["" if value is None else value for value in column], dtype=object)
        elif kinds == {bool} and not book.has_missing[j]:
            column = column.astype(bool)
        else:
            column = np.array([INTEGER_MISSING if value is None else value for value in column], dtype=np.int64)
        inputs[name] = column[:, None]
    return inputs


def assert_equal_codes(book, X):
    """Compare rows one by one with the codebook: their codes, or that they are refused."""
    outputs = run(to_onnx(book), inputs_of(book, X))
    assert outputs["codes"].dtype == book.dtype
    refused = outputs.get("refused", np.zeros(len(X), dtype=bool))
    for row, codes, is_refused in zip(X, outputs["codes"].tolist(), refused.tolist(), strict=True):
        try:
            expected = book.encode(np.array([row], dtype=object)).tolist()[0]
        except ValueError:
            assert is_refused, row
            continue
        assert not is_refused, row
        assert codes == expected, row
    return refused


VALVE = {"open": 0, "ajar": 1, "shut": 1, "größe": 2}
BOOKS = {
    "kinds": Codebook.from_thresholds([VALVE, [0.5, 1.5], {3: 0, -3: 1, 8: 1}, {True: 0, False: 1}]),
    "missing": Codebook.from_thresholds(
        [VALVE | {None: 3}, [0.5], {3: 0, -3: 1, None: 2}, {True: 0, False: 1, None: 2}, {"a": 0, None: 1}]
    ),
    "unknown": Codebook.from_thresholds(
        [VALVE | {None: 3}, {3: 0, None: 1}, {True: 0, False: 0, None: 1}, {"a": 0, "b": 1}], handle_unknown="missing"
    ),
    "unsent": Codebook.from_thresholds([{"a": 0}, [1.0], {True: 0, False: 0}, VALVE, []]),
    "only categories": Codebook.from_thresholds({"codes": VALVE, "Add_0": {True: 0}, "refused": {2: 0, 1: 1}}),
    "one bool": Codebook.from_thresholds([{True: 0, None: 1}, {False: 0}, [1.0]]),
    "no bits": Codebook.from_thresholds([{"a": 0, "b": 0}, {5: 0}, []]),
    "wide": Codebook.from_thresholds(
        [{f"c{k}": k * 3 // 4 for k in range(400)}, [0.0]], missing="code", has_missing=[False, True]
    ),
}


def rows(book, rng, n=300):
    """Return rows with all categories, missing and unknown ones, thresholds and NaN."""
    columns = []
    for codes, thresholds in zip(book.categories, book.thresholds, strict=True):
        if codes is None:
            known, others = thresholds.tolist(), [-1.0, np.nan, np.inf, 0.75]
        else:
            kinds = {type(category) for category in codes} - {type(None)}
            known = [category for category in codes if category is not None]
            others = [] if bool in kinds and None not in codes else [None]
            others += ["unknown"] if str in kinds else [] if bool in kinds else [77, -(2**40)]
        column = np.empty(n, dtype=object)
        for i, is_known in enumerate(rng.random(n) < 0.8):
            values = known if known and (is_known or not others) else others
            column[i] = values[rng.integers(len(values))]
        columns.append(column)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", BOOKS)
def test_codes_are_equal(name, rng):
    book = BOOKS[name]
    X = rows(book, rng)
    if book.feature_names is not None:
        inputs = {f"{key}_": value for key, value in inputs_of(book, X).items()} | inputs_of(book, X)
        outputs = run(to_onnx(book), inputs)
        assert list(outputs) == ["codes", "refused"]
        book = Codebook.from_thresholds(book.parts)
    refused = assert_equal_codes(book, X)
    assert refused.mean() < 1
    assert refused.any() == (name != "no bits")


@settings(max_examples=15)
@given(data=st.data(), unknown=st.sampled_from(["error", "missing"]))
def test_any_strings(data, unknown):
    categories = data.draw(
        st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=6, unique=True)
    )
    codes = {category: k // 2 for k, category in enumerate(categories)}
    if data.draw(st.booleans()):
        codes[None] = max(codes.values()) + 1
    book = Codebook.from_thresholds([codes, [0.5]], handle_unknown=unknown)
    others = data.draw(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=4))
    X = np.array([[value, 1.0] for value in [*categories, *others, None]], dtype=object)
    if len(book.n_bits[book.n_bits > 0]) == 2:
        assert_equal_codes(book, X)


def test_no_string_is_a_category_where_it_is_one():
    book = Codebook.from_thresholds([{"": 0, "a": 1, None: 2}])
    assert run(to_onnx(book), {"x0": np.array([[""], ["a"]], dtype=object)})["codes"].tolist() == [[0], [1]]


def test_inputs_and_metadata():
    book = Codebook.from_thresholds(
        {"t": [0.5], "label": {"a": 0, "b": 1}, "off": [], "n": {1: 0, 2: 1}, "on": {True: 0, False: 1}}
    )
    model = to_onnx(book)
    kinds = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    assert kinds == {"t": 1, "label_": 8, "n": 7, "on": 9}  # float, string, int64, bool; nothing for 0 bits
    assert {o.domain: o.version for o in model.opset_import} == {"": 17, "ai.onnx.ml": 2}
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["fingerprint"] == book.fingerprint.hex()
    assert json.loads(metadata["feature_names"]) == ["t", "label", "off", "n", "on"]
    assert [o.name for o in model.graph.output] == ["codes", "refused"]


def test_one_row_and_none():
    model = to_onnx(Codebook.from_thresholds([{"a": 0, "b": 1}, [1.0]]))
    inputs = {"x0": np.array([["b"]], dtype=object), "x1": np.float32([[0]])}
    assert run(model, inputs)["codes"].tolist() == [[1, 0]]
    assert run(model, {name: value[:0] for name, value in inputs.items()})["codes"].shape == (0, 2)


@pytest.mark.parametrize("categories", [{"a": 0, 3: 1}, {-(2**63): 0, 1: 1}])
def test_categories_without_a_type_are_refused(categories):
    with pytest.raises(ValueError, match=r"no type for the categories of feature 'c', .*: turn them into strings"):
        to_onnx(Codebook.from_thresholds({"c": categories}))


# -- predictors ------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(rng):
    n = 300
    X = pd.DataFrame(
        {
            "t": rng.normal(20, 5, n).astype(np.float32),
            "valve": rng.choice(["open", "ajar", "shut"], n),
            "site": rng.integers(0, 9, n),
            "on": rng.random(n) < 0.4,
        }
    )
    return X, X["t"] + 9 * (X["valve"] == "open") - X["site"] * X["on"]


HEADS = {"learned": None, "fixed": QuantileQuantizer(3), "soft": SoftQuantizer(3)}
KINDS = dict(categorical_features=["valve", "site", "on"])


@pytest.mark.parametrize("kind", HEADS)
def test_regressor(kind, data):
    """The quantizer takes strings itself: features with a code per category are one-hot."""
    X, y = data
    regressor = BitwiseRegressor(2, quantizer=HEADS[kind], **KINDS, **QUICK).fit(X, y)
    book = regressor.codebook_
    assert book.is_one_hot.any()
    outputs = run(to_onnx(regressor), inputs_of(book, X))
    np.testing.assert_allclose(outputs["prediction"], regressor.predict(X), rtol=1e-5, atol=1e-4)
    assert not outputs["refused"].any()
    codes = run(to_onnx(regressor, part="encoder"), inputs_of(book, X))["codes"]
    np.testing.assert_array_equal(codes, book.encode(X))
    head = onnxruntime.InferenceSession(to_onnx(regressor, part="head").SerializeToString())
    np.testing.assert_allclose(head.run(None, {"codes": codes})[0], regressor.predict(X), rtol=1e-5, atol=1e-4)


def test_a_head_that_reads_bits(data):
    X, y = data
    from torch import nn

    head = lambda i, o: nn.Sequential(nn.Tanh(), nn.Linear(i, o))  # noqa: E731
    regressor = BitwiseRegressor(2, head=head, **KINDS, **QUICK).fit(X, y)
    outputs = run(to_onnx(regressor), inputs_of(regressor.codebook_, X))
    np.testing.assert_allclose(outputs["prediction"], regressor.predict(X), rtol=1e-5, atol=1e-4)


def test_a_pipeline_with_encoders(data):
    """A column without a category for some code, and columns in another order than those of the frame."""
    X, y = data
    steps = make_column_transformer(
        (StandardScaler(), ["t"]), (TargetEncoder(), ["site", "valve"]), (OrdinalEncoder(), ["on"])
    )
    classifier = BitwiseClassifier(3, **QUICK)
    pipeline = make_pipeline(steps, classifier).fit(X, np.where(y > y.median(), "high", "low"))
    book = to_codebook(pipeline)
    outputs = run(to_onnx(pipeline), inputs_of(book, X))
    np.testing.assert_allclose(outputs["probabilities"], pipeline.predict_proba(X), atol=1e-5)
    codes = run(to_onnx(pipeline, part="encoder"), inputs_of(book, X))["codes"]
    np.testing.assert_array_equal(codes, book.encode(X))
