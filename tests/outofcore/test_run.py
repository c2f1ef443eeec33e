"""`transform` and `predict` return in chunks what estimators return in memory."""

import re
import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbsq import BitwiseRegressor, Codebook, UniformQuantizer
from skbsq.codec import RowCodec
from skbsq.codec.encodings import ENCODINGS
from skbsq.outofcore import predict, transform
from tests.outofcore.conftest import EARLY_POLARS, together
from tests.strategies import codebooks

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet  # noqa: E402

# -- transform -------------------------------------------------------------------------------------------------------


@given(codebooks(missing=st.just("code")), st.integers(1, 5), st.sampled_from(ENCODINGS), st.data())
def test_chunks_are_the_rows_of_the_whole(book, batch_size, encode, data):
    X = data.draw(hnp.arrays(np.float32, (7, book.n_features), elements=st.floats(width=32)))
    codes = book.encode(X)
    whole = {
        "ordinal": codes,
        "thermometer": book.thermometer(codes),
        "value": book.decode(codes),
        "packed": RowCodec(book).pack(codes),
    }[encode]
    chunks = list(transform(book, X, encode=encode, batch_size=batch_size))
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    assert {chunk.dtype for chunk in chunks} == {whole.dtype}
    assert [len(chunk) for chunk in chunks[:-1]] == [batch_size] * (-(-7 // batch_size) - 1)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_to_npy(book, X, dtype, order, tmp_path):
    X = np.nan_to_num(X).astype(dtype, order=order)
    np.save(tmp_path / "rows.npy", X)
    codes = transform(book, tmp_path / "rows.npy", tmp_path / "codes.npy", batch_size=30)
    assert isinstance(codes, np.memmap)
    assert codes.flags.c_contiguous
    np.testing.assert_array_equal(codes, book.encode(X))
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), book.encode(X))


def test_codes_beyond_8_bits(tmp_path):
    book = Codebook.from_thresholds([np.arange(300)])
    codes = transform(book, np.arange(5.0)[:, None] * 100, tmp_path / "codes.npy", batch_size=2)
    assert codes.dtype == np.uint16
    assert codes.ravel().tolist() == [0, 100, 200, 300, 300]


def test_no_rows(book, tmp_path):
    for source in (np.empty((0, 2)), iter([])):
        out = transform(book, source, tmp_path / "codes.npy")
        assert (out.shape, out.dtype) == ((0, 2), np.uint8)
    out = transform(book, np.empty((0, 2)), tmp_path / "codes.parquet")
    assert out.count_rows() == 0
    assert out.schema.names == ["x0", "x1"]


def test_chunks_are_read_lazily(book):
    taken = []

    def parts():
        for i in range(3):
            taken.append(i)
            yield np.zeros((4, 2))

    results = transform(book, parts())
    assert taken == []
    next(results)
    assert taken == [0]


def test_memory_does_not_grow_with_rows(book, tmp_path):
    peaks = []
    for n in (2**14, 2**17):
        np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(n, 2)))
        tracemalloc.start()
        transform(book, tmp_path / "rows.npy", tmp_path / "codes.npy", batch_size=2**12)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    codes_of_all = 2**17 * 2
    assert peaks[1] - peaks[0] < codes_of_all / 8
    assert peaks[1] < codes_of_all


def test_the_encoding_of_the_quantizer_is_the_default(quantizer, regressor, X):
    packed = UniformQuantizer(2, encode="packed").fit(X[:5])
    np.testing.assert_array_equal(together(transform(packed, X[:5])), packed.transform(X[:5]))
    np.testing.assert_array_equal(together(transform(quantizer, X)), quantizer.codebook_.encode(X))
    np.testing.assert_array_equal(together(transform(regressor, X)), regressor.codebook_.encode(X))
    values = together(transform(quantizer, X, encode="value"))
    np.testing.assert_array_equal(values, quantizer.codebook_.decode(quantizer.codebook_.encode(X)))


def test_infinities_are_refused_as_by_the_quantizer(X):
    fitted = UniformQuantizer(2).fit(X[:5])
    rows = np.zeros((9, 2))
    rows[7, 1] = np.inf
    with pytest.raises(ValueError, match=r"chunk of rows 6 to 8: Input X contains infinity in feature 1 \(row 1\)"):
        list(transform(fitted, rows, batch_size=3))
    np.testing.assert_array_equal(together(transform(fitted.codebook_, rows)), fitted.codebook_.encode(rows))


def test_nan_is_refused_with_its_rows(X):
    with pytest.raises(ValueError, match=r"chunk of rows 5 to 9: X contains NaN in feature 1 \(row 2\)"):
        list(transform(UniformQuantizer(2).fit(X[:5]), X, batch_size=5))


# -- columns ---------------------------------------------------------------------------------------------------------


def test_columns_are_taken_by_name(quantizer, frame, tmp_path):
    parquet.write_table(pa.table(frame), tmp_path / "rows.parquet", row_group_size=9)
    out = transform(quantizer, tmp_path / "rows.parquet", tmp_path / "codes.parquet", keep=["key"], batch_size=30)
    table = out.to_table()
    assert table.schema.names == ["key", "a", "b"]
    assert table.schema.field("a").type == pa.uint8()
    assert table["key"].to_pylist() == frame["key"].tolist()
    np.testing.assert_array_equal(np.stack([table["a"], table["b"]]).T, quantizer.transform(frame[["a", "b"]]))


def test_the_file_contains_the_codebook(quantizer, frame, tmp_path):
    transform(quantizer, frame, tmp_path / "codes.parquet")
    text = parquet.read_schema(tmp_path / "codes.parquet").metadata[b"skbsq-codebook"]
    assert Codebook.from_json(text) == quantizer.codebook_


def test_columns_without_names_are_given(book, frame, X):
    np.testing.assert_array_equal(together(transform(book, frame, columns=["a", "b"])), book.encode(X))
    np.testing.assert_array_equal(together(transform(book, frame[["a", "b"]])), book.encode(X))
    with pytest.raises(ValueError, match="The source has 4 columns for 2 features: name them in columns"):
        list(transform(book, frame[["key", "b", "a", "key"]].set_axis([*"abcd"], axis=1)))


def test_all_but_the_kept_columns_are_features(book, frame, X, tmp_path):
    out = transform(book, frame[["key", "a", "b"]], tmp_path / "codes.parquet", keep=["key"])
    assert out.schema.names == ["key", "a", "b"]


def test_packed_rows_are_bytes_of_fixed_size(quantizer, frame, X, tmp_path):
    table = transform(quantizer, frame, tmp_path / "out.parquet", encode="packed", batch_size=30).to_table()
    assert table.schema.field("packed").type == pa.binary(1)
    packed = RowCodec(quantizer.codebook_).pack(quantizer.codebook_.encode(X))
    assert table["packed"].to_pylist() == [row.tobytes() for row in packed]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"columns": ["a", "c"]}, "The source has no column 'c': its columns are ['key', 'b', 'a', 'when']"),
        ({"columns": ["a"]}, "columns names 1 columns for 2 features"),
        ({"columns": "ab"}, "columns and keep must be sequences of names, got 'ab'"),
        ({"columns": ["a", "when"]}, "The column 'when' must hold numbers, got"),
        ({"keep": ["no"]}, "The source has no column 'no'"),
        ({"keep": ["a"]}, "A result is named 'a' too: rename the column of the source to keep it"),
        ({"keep": ["key", "key"]}, "keep names 'key' twice"),
        ({"columns": ["a", "a"]}, "columns names 'a' twice"),
        ({"encode": "onehot"}, "encode must be one of"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_named(quantizer, frame, options, problem, tmp_path):
    with pytest.raises(ValueError, match=re.escape(problem)):
        transform(quantizer, frame, tmp_path / "codes.parquet", **options)
    assert list(tmp_path.iterdir()) == []


def test_keep_needs_columns_in_source_and_output(quantizer, frame, X, tmp_path):
    with pytest.raises(ValueError, match=r"keep needs a \.parquet output"):
        transform(quantizer, frame, tmp_path / "codes.npy", keep=["key"])
    with pytest.raises(ValueError, match="The source is an array, which has no column 'key' to keep"):
        transform(quantizer, X, tmp_path / "codes.parquet", keep=["key"])


@pytest.mark.parametrize("wrong", [UniformQuantizer(), make_pipeline(UniformQuantizer()), 3])
def test_transform_needs_a_codebook(wrong, X):
    with pytest.raises(ValueError, match="transform needs a Codebook, or a fitted estimator that has one"):
        transform(wrong, X)


# -- predict ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 30, None])
def test_chunks_of_predictions_are_those_of_predict(regressor, X, frame, batch_size):
    size = batch_size or len(X)
    parts = [regressor.predict(frame[["a", "b"]][i : i + size]) for i in range(0, len(X), size)]
    for source in (X, frame):
        found = together(predict(regressor, source, batch_size=batch_size))
        np.testing.assert_array_equal(found, np.concatenate(parts))


def test_probabilities_and_labels(classifier, frame, X, tmp_path):
    out = predict(classifier, frame, tmp_path / "out.parquet", method="predict_proba", keep=["key"]).to_table()
    assert out.schema.names == ["key", "probability_no", "probability_yes"]
    np.testing.assert_array_equal(out["probability_yes"], classifier.predict_proba(frame[["a", "b"]])[:, 1])
    labels = predict(classifier, X, tmp_path / "labels.npy")
    np.testing.assert_array_equal(labels, classifier.predict(frame[["a", "b"]]))


def test_pipeline_by_method(X):
    pipeline = make_pipeline(SimpleImputer(), UniformQuantizer(2)).fit(X)
    found = together(predict(pipeline, X, method="transform", batch_size=30))
    np.testing.assert_array_equal(found, pipeline.transform(X))


def test_labels_that_are_objects(X, tmp_path):
    class Labels:
        n_features_in_ = 2

        def predict(self, X):
            return np.array(["no"] * len(X), dtype=object)

    model = Labels()
    with pytest.raises(ValueError, match=r"\.npy file cannot hold results of type object"):
        predict(model, X, tmp_path / "out.npy")
    assert set(predict(model, X, tmp_path / "out.parquet").to_table()["prediction"].to_pylist()) == {"no"}


def test_predict_needs_a_fitted_estimator_with_the_method(regressor, X):
    with pytest.raises(ValueError, match="BitwiseRegressor has no method 'predict_log'"):
        predict(regressor, X, method="predict_log")
    with pytest.raises(ValueError, match="predict needs a fitted estimator, got BitwiseRegressor"):
        predict(BitwiseRegressor(), X)


def test_data_set_of_many_files(quantizer, frame, tmp_path):
    for i in range(4):
        parquet.write_table(pa.table(frame[25 * i : 25 * i + 25]), tmp_path / f"part{i}.parquet")
    whole = quantizer.transform(frame[["a", "b"]])
    for source in (tmp_path, dataset.dataset(tmp_path), sorted(tmp_path.iterdir())):
        np.testing.assert_array_equal(together(transform(quantizer, source, batch_size=30)), whole)


# -- parts that differ ------------------------------------------------------------------------------------------------


def test_row_labels_of_a_frame_are_no_feature(book, frame, X, tmp_path):
    rows = frame[["a", "b"]][frame["a"] > 0]
    expected = book.encode(X[X[:, 0] > 0])
    np.testing.assert_array_equal(together(transform(book, rows)), expected)
    rows.to_parquet(tmp_path / "rows.parquet")
    np.testing.assert_array_equal(transform(book, tmp_path / "rows.parquet", tmp_path / "o.npy"), expected)


def test_parts_may_have_their_columns_in_another_order(book, frame, X):
    parts = [frame[["a", "b"]][:40], frame[["b", "a"]][40:]]
    np.testing.assert_array_equal(together(transform(book, parts)), book.encode(X))
    with pytest.raises(ValueError, match="no column 'a'"):
        list(transform(book, [frame[["a", "b"]], frame[["b", "key"]]]))


def test_predict_invents_no_rows_if_there_are_rows():
    """A row of zeros is not in the domain of every model."""
    X = np.random.default_rng(0).uniform(1, 2, (20, 2))
    model = make_pipeline(FunctionTransformer(np.log), LinearRegression()).fit(X, X[:, 0])
    parts = list(predict(model, [X[:0], X[:0], X, X[:0]]))
    assert [part.shape for part in parts] == [(0,), (0,), (20,), (0,)]
    np.testing.assert_array_equal(together(predict(model, X, batch_size=20)), model.predict(X))
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=r"called on a row of zeros.*infinity"):
        list(predict(model, X[:0]))


def test_a_column_that_changes_its_type(book, frame, tmp_path):
    parts = [frame[["a", "b"]].assign(key=None), frame[["a", "b"]].assign(key="noon")]
    with pytest.raises(ValueError, match=r"The column 'key' is \w*string in a chunk, but null in the first: cast it"):
        transform(book, parts, tmp_path / "o.parquet", columns=["a", "b"], keep=["key"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["category", pytest.param("polars", marks=EARLY_POLARS)])
def test_categories_are_kept(kind, book, frame, tmp_path):
    rows = frame.assign(when=frame["when"].astype("category"))
    rows = pl.from_pandas(rows) if kind == "polars" else rows
    kept = transform(book, [rows, rows], tmp_path / "o.parquet", columns=["a", "b"], keep=["when"])
    assert kept.to_table()["when"].to_pylist() == ["noon"] * 200


def test_chunks_of_many_thermometer_bits_are_small():
    book = Codebook.from_thresholds([np.arange(2**12 - 1)])
    first = next(transform(book, np.zeros((2**14, 1)), encode="thermometer"))
    assert 2**20 < first.size <= 2**22
