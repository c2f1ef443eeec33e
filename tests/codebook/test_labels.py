"""Labels are never ignored: columns are checked by name, and values per feature are read by label."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import BitwiseRegressor, Codebook, QuantileQuantizer, ThresholdQuantizer
from skbsq.codebook.labels import check_columns, in_feature_order, labels_of, without_pandas
from skbsq.codec import RowCodec
from skbsq.export import to_c
from skbsq.model_selection import bits_path

FRAMES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow table": pa.table,
    "arrow batch": pa.RecordBatch.from_pydict,
    "narwhals": lambda data: pytest.importorskip("narwhals").from_native(pl.DataFrame(data)),
    "dask": lambda data: pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(data), npartitions=1),
}
each_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
QUICK = dict(max_epochs=2, hidden_sizes=(4,), random_state=0)


def columns(matrix, names):
    return {name: np.asarray(matrix)[:, j] for j, name in enumerate(names)}


def backwards(data):
    return dict(reversed(data.items()))


@pytest.fixture
def X(rng):
    return rng.normal(size=(40, 3)) * [1, 10, 100]


@each_frame
@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value"])
def test_inverse_transform_refuses_columns_in_another_order(frame, encode, X):
    data = columns(X, "abc")
    quantizer = QuantileQuantizer(2, encode=encode).fit(frame(data))
    sent = columns(quantizer.transform(frame(data)), quantizer.get_feature_names_out())
    np.testing.assert_array_equal(
        quantizer.inverse_transform(frame(sent)), quantizer.codebook_.decode(quantizer.codebook_.encode(X))
    )
    with pytest.raises(ValueError, match=r"Column 0 of X is 'c.*', but 'a.*' is expected"):
        quantizer.inverse_transform(frame(backwards(sent)))


@each_frame
def test_packed_bytes_in_another_order_are_refused(frame, X):
    quantizer = QuantileQuantizer(6, encode="packed").fit(X)
    sent = columns(quantizer.transform(X), quantizer.get_feature_names_out())
    codec = RowCodec(quantizer.codebook_)
    assert list(sent) == ["byte0", "byte1", "byte2"] == codec.byte_names()
    np.testing.assert_array_equal(codec.unpack(frame(sent)), quantizer.codebook_.encode(X))
    for refuses in (codec.unpack, quantizer.inverse_transform):
        with pytest.raises(ValueError, match=r"Column 0 of .* is 'byte2', but 'byte0' is expected"):
            refuses(frame(backwards(sent)))


@each_frame
@pytest.mark.parametrize("names", ["abc", ["x0", "x1", "x2"]])
def test_a_codebook_refuses_columns_in_another_order(frame, names, X):
    """Even if a codebook has no names: then its columns are x0, x1, ..."""
    book = QuantileQuantizer(2).fit(pd.DataFrame(columns(X, names)) if names == "abc" else X).codebook_
    codes = book.encode(X)
    bits = columns(book.thermometer(codes), book.column_names())
    np.testing.assert_array_equal(book.codes_from_thermometer(frame(bits)), codes)
    with pytest.raises(ValueError, match="Column 0 of bits is"):
        book.codes_from_thermometer(frame(backwards(bits)))
    with pytest.raises(ValueError, match="Column 0 of codes is"):
        book.decode(frame(backwards(columns(codes, names))))
    with pytest.raises(ValueError, match="Column 0 of codes is"):
        RowCodec(book).pack(frame(backwards(columns(codes, names))))


@each_frame
def test_fit_stores_the_names_of_any_frame_and_predict_checks_them(frame, X):
    data = columns(X, "abc")
    model = BitwiseRegressor(1, **QUICK).fit(frame(data), X[:, 0])
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.codebook_.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(model.predict(frame(data)), model.predict(pd.DataFrame(data)))
    for refuses in (model.predict, model.quantizer_.transform):
        with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
            refuses(frame(backwards(data)))
    with pytest.raises(ValueError, match="Column 0 of X is 'c', but 'a' is expected"):
        model.codebook_.encode(frame(backwards(data)))
    with pytest.raises(ValueError, match="Column 0 of codes is 'c'"):
        model.predict_codes(frame(backwards(columns(model.codebook_.encode(X), "abc"))))


def test_generated_names_are_compared_with_each_other_only():
    check_columns(["a", "b"], ["x0", "x1"], "X", strict=False)
    check_columns([1, 0], ["a", "b"], "X")  # no names, as scikit-learn has it
    with pytest.raises(ValueError, match="Column 0 of X is 'x1'"):
        check_columns(["x1", "x0"], ["x0", "x1"], "X", strict=False)


def test_labels_of():
    assert labels_of({"a": 1}) == ["a"]
    assert labels_of(pd.Series([1, 2], index=["b", "a"])) == ["b", "a"]
    assert labels_of(pd.Series([1, 2], index=[1, 0])) == [1, 0]
    for without in ([1, 2], (1, 2), np.array([1, 2]), pd.Series([1, 2]), pl.Series([1, 2]), 3, None):
        assert labels_of(without) is None


@given(order=st.permutations(range(4)))
def test_values_are_read_by_their_labels(order):
    """Labels are names or numbers, in a dict or a Series, in any order."""
    names = ["a", "b", "c", "d"]
    values = [10 * j for j in order]
    for labels in ([names[j] for j in order], list(order)):
        for given_values in (dict(zip(labels, values, strict=True)), pd.Series(values, index=labels)):
            assert in_feature_order(given_values, names, 4, "n_bits") == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.Series([1, 2], index=["a", "a"]), "n_bits names 'a' twice"),
        (pd.Series([1, 2], index=["a", "z"]), r"'z', which is not a feature; the features are \['a', 'b'\]"),
        ({"a": 1}, "n_bits leaves out 'b': a dict or Series must name every feature"),
        (pd.Series([1, 2], index=[5, 6]), "n_bits names 5, which is not a feature"),
        (pd.Series([1, 2], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 1)])), r"n_bits names \('a', 1\)"),
        ({"a": 1, 1: 2}, "n_bits names 1"),
        (pd.Series(dtype=float, index=pd.Index([], dtype=str)), "n_bits leaves out 'a'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        in_feature_order(values, ["a", "b"], 2, "n_bits")


def test_messages_do_not_list_thousands_of_names():
    with pytest.raises(ValueError, match=r"'x9', \.\.\.\]\.$"):
        in_feature_order({"z": 1}, None, 1000, "n_bits")


def test_bits_from_a_series(X):
    frame = pd.DataFrame(X, columns=list("abc"))
    by_label = pd.Series({"c": 4, "b": 2, "a": 1})
    assert QuantileQuantizer(by_label).fit(frame).n_bits_.tolist() == [1, 2, 4]
    assert QuantileQuantizer(pd.Series([4, 2, 1])).fit(frame).n_bits_.tolist() == [4, 2, 1]
    assert BitwiseRegressor(by_label, quantizer=None, **QUICK).fit(frame, X[:, 0]).n_bits_.tolist() == [1, 2, 4]
    capped = BitwiseRegressor(pd.Series({"c": 2, "b": 0, "a": 1}), bit_budget=9, **QUICK).fit(frame, X.sum(axis=1))
    assert (capped.allocation_["cap"].to_dict()) == {"a": 1, "b": 0, "c": 2}


@pytest.mark.parametrize("names", [list("abc"), None])
def test_an_allocation_can_be_sorted_and_given_again(names, X):
    rows = X if names is None else pd.DataFrame(X, columns=names)
    model = BitwiseRegressor(bit_budget=5, **QUICK).fit(rows, X[:, 1])
    bits = model.allocation_["n_bits"]
    again = QuantileQuantizer(bits.sort_values()).fit(rows)
    assert again.n_bits_.tolist() == bits.tolist()
    assert len(set(bits)) > 1  # or their order would say nothing


@pytest.mark.parametrize("hold", [dict, pd.Series, pd.DataFrame, pl.DataFrame, pa.table])
def test_thresholds_by_label(hold):
    def lists(thresholds):
        return [t.tolist() for t in thresholds]

    frame = pd.DataFrame({"a": [0.0, 9], "b": [0.0, 9]})
    by_label = hold({"b": [1.0, 2.0], "a": [5.0, 6.0]})
    assert lists(ThresholdQuantizer(by_label).fit(frame).thresholds_) == [[5, 6], [1, 2]]
    assert lists(Codebook.from_thresholds(by_label, feature_names=["a", "b"]).thresholds) == [[5, 6], [1, 2]]
    named = Codebook.from_thresholds(by_label)
    assert named.feature_names == ("b", "a")
    assert lists(named.thresholds) == [[1, 2], [5, 6]]


def test_thresholds_by_number():
    numbered = Codebook.from_thresholds({1: [1.0, 2.0], 0: [5.0]})
    assert numbered.feature_names is None
    assert [t.tolist() for t in numbered.thresholds] == [[5], [1, 2]]


def test_thresholds_of_features_are_no_scalars():
    """A Series with a number per feature is not an array of thresholds for all features."""
    frame = pd.DataFrame({"a": [0.0, 9], "b": [0.0, 9]})
    with pytest.raises(ValueError, match="thresholds of feature 'a' must be a 1-d array"):
        ThresholdQuantizer(pd.Series({"b": 1.0, "a": 5.0})).fit(frame)


def test_levels_counts_and_missing_codes_from_labels():
    book = Codebook.from_thresholds(
        {"a": [0.0], "b": [1.0, 2.0]},
        levels={"b": [0, 1.5, 3], "a": [-1, 1]},
        counts=pd.Series({"b": [1, 2, 3, 4], "a": [5, 6]}),
        missing="code",
        has_missing={"b": True, "a": False},
    )
    assert [levels.tolist()[:3] for levels in book.levels] == [[-1, 1], [0, 1.5, 3]]
    assert [counts.tolist() for counts in book.counts] == [[5, 6], [1, 2, 3, 4]]
    assert book.has_missing.tolist() == [False, True]


def test_scales_of_a_converter_from_labels():
    book = Codebook.from_thresholds({"a": [10.0], "b": [10.0]})
    by_position = to_c(book, "hut", scale=[1.0, 2.0], offset=[0.0, 4.0])
    assert to_c(book, "hut", scale={"b": 2.0, "a": 1.0}, offset=pd.Series({"b": 4.0, "a": 0.0})) == by_position
    with pytest.raises(ValueError, match="scale leaves out 'b'"):
        to_c(book, "hut", scale={"a": 1.0})


def test_quantizers_merge_if_their_bits_are_equal_in_another_form(X):
    pytest.importorskip("datasketches")
    frame = pd.DataFrame(X, columns=list("abc"))
    one = QuantileQuantizer(pd.Series({"c": 4, "b": 2, "a": 1})).partial_fit(frame)
    same = QuantileQuantizer({"a": 1, "b": 2, "c": 4}).partial_fit(frame)
    assert one.merge(same).n_bits_.tolist() == [1, 2, 4]
    with pytest.raises(ValueError, match="n_bits is"):
        one.merge(QuantileQuantizer(pd.Series({"a": 4, "b": 2, "c": 1})).partial_fit(frame))


def test_without_pandas():
    assert without_pandas(pd.Series([1, 2], index=["b", "a"])) == {"b": 1, "a": 2}
    assert without_pandas(pd.Series([1, 2])).tolist() == [1, 2]
    assert without_pandas({"a": 1}) == {"a": 1}


def test_inner_labels_are_numbers_of_codes():
    """They may be in any order: value_counts of pandas sorts by frequency."""
    by_code = pd.Series([0] + [1] * 5 + [2] * 3).value_counts()
    book = Codebook.from_thresholds([[0.0, 1.0]], counts=[by_code], levels=[pd.Series({2: 3.0, 0: -1.0, 1: 0.5})])
    assert book.counts[0].tolist() == [1, 5, 3]
    assert book.levels[0].tolist() == [-1, 0.5, 3]
    with pytest.raises(ValueError, match=r"labels of the counts of feature 0 must be the numbers from 0 to 2"):
        Codebook.from_thresholds([[0.0, 1.0]], counts=[by_code.rename({0: 7})])


def test_numbers_as_labels_of_columns_and_of_bits_must_not_contradict(X):
    frame = pd.DataFrame(X, columns=[2, 1, 0])
    with pytest.raises(ValueError, match=r"n_bits has numbers as labels, and so have the columns of X"):
        QuantileQuantizer(pd.Series([1, 2, 3], index=[2, 1, 0])).fit(frame)
    assert QuantileQuantizer([1, 2, 3]).fit(frame).n_bits_.tolist() == [1, 2, 3]
    assert QuantileQuantizer({2: 3, 0: 1, 1: 2}).fit(pd.DataFrame(X)).n_bits_.tolist() == [1, 2, 3]


@each_frame
def test_generated_names_in_another_order_are_refused_after_a_fit_without_names(frame, X):
    quantizer = QuantileQuantizer(2).fit(X)
    swapped = backwards(columns(X, ["x0", "x1", "x2"]))
    for entry in (quantizer.transform, quantizer.codebook_.encode):
        with pytest.raises(ValueError, match="Column 0 of X is 'x2', but 'x0' is expected"):
            entry(frame(swapped))


def test_mixed_names_are_names():
    book = Codebook.from_thresholds({"a": [0.0], "b": [0.0], "c": [0.0]})
    with pytest.raises(ValueError, match="Column 0 of X is 'c', but 'a' is expected"):
        book.encode(pd.DataFrame([[1, 2, 3]], columns=["c", "b", 0]))


def test_columns_of_one_name_are_refused(X):
    with pytest.raises(ValueError, match="X has several columns named 'a'"):
        QuantileQuantizer().fit(pd.DataFrame(X, columns=["a", "b", "a"]))


def test_rows_with_labels_are_refused(X):
    frame = pd.DataFrame(X, columns=list("abc"))
    quantizer = QuantileQuantizer(2).fit(frame)
    for rows in ([frame.iloc[0][["c", "b", "a"]], frame.iloc[1]], [dict(frame.iloc[0])]):
        with pytest.raises(ValueError, match=r"list of rows with labels: .*pandas.DataFrame"):
            quantizer.transform(rows)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_targets_of_chunks_are_in_one_order(frame, X):
    pytest.importorskip("datasketches")
    y, swapped = frame(columns(X, "ab")), frame(backwards(columns(X[:, :2], "ab")))
    model = BitwiseRegressor(1, **QUICK).fit_chunks([(X, y), (X, y)], validation=(X, y))
    np.testing.assert_allclose(model.target_mean_, X[:, :2].mean(axis=0))
    for chunks, validation in (([(X, y), (X, swapped)], None), ([(X, y)], (X, swapped))):
        with pytest.raises(ValueError, match="Column 0 of y is 'b', but 'a' is expected"):
            BitwiseRegressor(1, **QUICK).fit_chunks(chunks, validation=validation)


def test_paths_of_bits_take_any_frame(X):
    data = columns(X, "abc")
    expected = bits_path(BitwiseRegressor(**QUICK), pd.DataFrame(data), X[:, 0], [1], cv=2)["score"]
    for name in ("polars", "arrow batch", "dask"):
        found = bits_path(BitwiseRegressor(**QUICK), FRAMES[name](data), X[:, 0], [1], cv=2)["score"]
        pd.testing.assert_series_equal(found, expected)
