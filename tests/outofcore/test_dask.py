"""Dask collections, and a cluster of two processes: what its workers import, and searches on it."""

import copy
import functools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skbsq.outofcore import predict, transform
from tests.test_packaging import ROOT

pytest.importorskip("distributed")
import dask.array as da
import dask.dataframe as dd
from dask import config


@pytest.fixture(autouse=True)
def one_thread():
    with config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def lazy_frame(frame):
    return dd.from_pandas(frame.set_index("key"), npartitions=3)


# -- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encode", "dtype"), [("ordinal", "u1"), ("thermometer", "u1"), ("packed", "u1"), ("value", "f4")]
)
@pytest.mark.parametrize("chunks", [(30, 2), (100, 1), (7, 1)])
def test_array(book, X, encode, dtype, chunks):
    lazy = transform(book, da.from_array(X, chunks=chunks), encode=encode)
    (whole,) = transform(book, X, encode=encode)
    assert (lazy.shape, lazy.dtype) == (whole.shape, np.dtype(dtype))
    assert lazy.chunks[0] == da.from_array(X, chunks=chunks).chunks[0]
    np.testing.assert_array_equal(lazy.compute(), whole)


def test_array_of_unknown_length(book, X):
    lazy = da.from_array(X, chunks=(30, 1))
    np.testing.assert_array_equal(transform(book, lazy[lazy[:, 0] > 0]).compute(), book.encode(X[X[:, 0] > 0]))


def test_predictions_of_an_array(regressor, classifier, X, frame):
    lazy = da.from_array(X, chunks=(30, 2))
    predicted = predict(regressor, lazy)
    assert (predicted.shape, predicted.dtype) == ((100,), np.float32)
    parts = [regressor.predict(frame[["a", "b"]][i : i + 30]) for i in range(0, 100, 30)]
    np.testing.assert_array_equal(predicted.compute(), np.concatenate(parts))
    assert predict(classifier, lazy, method="predict_proba").shape == (100, 2)


def test_equal_work_has_an_equal_name(book, X):
    lazy = da.from_array(X, chunks=(30, 2))
    assert transform(book, lazy).name == transform(book, lazy).name
    assert transform(book, lazy).name != transform(book, lazy, encode="packed").name


# -- data frames -----------------------------------------------------------------------------------------------------


def test_frame(quantizer, frame, lazy_frame):
    lazy = transform(quantizer, lazy_frame)
    whole = pd.DataFrame(quantizer.transform(frame[["a", "b"]]), columns=["a", "b"], index=lazy_frame.compute().index)
    assert lazy.divisions == lazy_frame.divisions
    pd.testing.assert_frame_equal(lazy.compute(), whole)
    pd.testing.assert_series_equal(lazy.dtypes, whole.dtypes)


def test_frame_with_kept_columns(quantizer, frame, lazy_frame):
    packed = transform(quantizer, lazy_frame, encode="packed", keep=["when"]).compute()
    assert packed.columns.tolist() == ["when", "byte0"]
    assert packed["byte0"].tolist() == [code for (code,) in transform_now(quantizer, frame, "packed")]


def transform_now(quantizer, frame, encode):
    return np.concatenate(list(transform(quantizer, frame, encode=encode)))


def test_nullable_integers(book):
    frame = pd.DataFrame({"a": pd.array([2, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")})
    assert transform(book, dd.from_pandas(frame, npartitions=1)).compute().to_numpy().tolist() == [[3, 1], [4, 2]]


def test_names_that_are_alike_as_strings(book):
    frame = pd.DataFrame({1: [0.0, 2.0], "1": [1.0, 0.0]})
    found = transform(book, dd.from_pandas(frame, npartitions=1)).compute()
    np.testing.assert_array_equal(found, book.encode(frame))


def test_predictions_of_a_frame(regressor, classifier, frame, lazy_frame):
    predicted = predict(regressor, lazy_frame)
    assert (predicted.name, predicted.dtype) == ("prediction", np.float32)
    np.testing.assert_allclose(predicted.compute(), regressor.predict(frame[["a", "b"]]), rtol=1e-5, atol=1e-6)
    probabilities = predict(classifier, lazy_frame, method="predict_proba", keep=["when"])
    assert probabilities.columns.tolist() == ["when", "probability_no", "probability_yes"]
    assert len(probabilities.compute()) == 100


def test_empty_partitions(regressor, quantizer, lazy_frame):
    nobody = lazy_frame[lazy_frame["a"] > 100]
    assert predict(regressor, nobody).compute().dtype == np.float32
    assert transform(quantizer, nobody).compute().shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"columns": ["a", "c"]}, "The source has 0 columns 'c'"),
        ({"keep": ["no"]}, "The source has 0 columns 'no'"),
        ({"keep": ["a"]}, "There is a result of the name 'a'"),
        ({"output": "codes.parquet"}, "A dask collection writes itself: leave output out"),
    ],
)
def test_what_is_wrong_is_named(quantizer, lazy_frame, options, problem):
    with pytest.raises(ValueError, match=problem):
        transform(quantizer, lazy_frame, **options)


def test_columns_without_names(book, lazy_frame):
    with pytest.raises(ValueError, match="The source has 3 columns for 2 features: name them in columns"):
        transform(book, lazy_frame)
    assert transform(book, lazy_frame, columns=["a", "b"]).columns.tolist() == ["a", "b"]


def test_other_shapes(book, X, lazy_frame):
    with pytest.raises(ValueError, match="Dask collections are arrays of two dimensions or data frames"):
        transform(book, da.from_array(X[:, 0]))
    with pytest.raises(ValueError, match="Dask collections are arrays of two dimensions or data frames"):
        transform(book, lazy_frame["a"])
    with pytest.raises(ValueError, match="The source has 1 columns for 2 features"):
        transform(book, da.from_array(X[:, :1]))
    with pytest.raises(ValueError, match="The source is an array, which has no column 'a' to keep"):
        transform(book, da.from_array(X), keep=["a"])


# -- workers ---------------------------------------------------------------------------------------------------------


def test_what_a_worker_gets_needs_no_torch(quantizer, X, frame, tmp_path):
    import cloudpickle

    graph = transform(quantizer, dd.from_pandas(frame, npartitions=2)).optimize().__dask_graph__()
    (tmp_path / "graph").write_bytes(cloudpickle.dumps(dict(graph)))
    code = (
        "import pickle, sys\n"
        "graph = pickle.load(open(sys.argv[1], 'rb'))\n"
        "import dask\n"
        "keys = [key for key in graph if 'call_on_frame' in str(key)]\n"
        "rows = sum(len(part) for part in dask.get(graph, keys))\n"
        "print(rows, [name for name in ('torch', 'sklearn', 'skorch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "graph"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    assert done.stdout.split(maxsplit=1) == ["100", "[]\n"]


def loaded(names):
    return [name for name in names if name in sys.modules]


def test_workers_that_encode_import_no_torch(client, quantizer, regressor, X):
    lazy = da.from_array(X, chunks=(30, 2))
    np.testing.assert_array_equal(client.compute(transform(quantizer, lazy)).result(), quantizer.codebook_.encode(X))
    names = functools.partial(loaded, ["skorch", "torch"])
    assert list(client.run(names).values()) == [[], []]
    client.compute(predict(regressor, lazy)).result()
    assert ["skorch", "torch"] in client.run(names).values()  # it can tell


# -- codes and packed rows --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codes(regressor, frame):
    return regressor.codebook_.encode(frame[["a", "b"]])


def test_codes_and_packed_rows_of_a_frame(regressor, lazy_frame, codes):
    expected = regressor.predict_codes(codes)
    for encode, method in (("ordinal", "predict_codes"), ("packed", "predict_packed")):
        encoded = transform(regressor, lazy_frame, encode=encode, keep=["when"])
        found = predict(regressor, encoded, method=method)
        assert (found.name, found.dtype) == ("prediction", np.float32)
        np.testing.assert_allclose(found.compute(), expected, rtol=1e-5, atol=1e-6)


def test_codes_and_packed_rows_of_an_array(regressor, X, codes):
    expected = regressor.predict_codes(codes)
    for encode, method in (("ordinal", "predict_codes"), ("packed", "predict_packed")):
        encoded = transform(regressor, da.from_array(X, chunks=(30, 1)), encode=encode)
        np.testing.assert_allclose(predict(regressor, encoded, method=method), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask's, of this pandas
def test_packed_parquet(regressor, frame, codes, tmp_path):
    transform(regressor, frame, tmp_path / "packed.parquet", encode="packed", keep=["key"])
    found = predict(regressor, dd.read_parquet(tmp_path / "packed.parquet"), method="predict_packed")
    np.testing.assert_allclose(found.compute(), regressor.predict_codes(codes), rtol=1e-5, atol=1e-6)
    wide = clone(regressor).set_params(n_bits=5).fit(frame[["a", "b"]], frame["a"])  # 2 bytes
    transform(wide, frame, tmp_path / "wide.parquet", encode="packed")
    found = predict(wide, dd.read_parquet(tmp_path / "wide.parquet"), method="predict_packed")
    np.testing.assert_allclose(found.compute(), wide.predict(frame[["a", "b"]]), rtol=1e-5, atol=1e-6)
    text = dd.from_pandas(pd.DataFrame({"packed": [b"a", b"b"]}), npartitions=1)
    with pytest.raises(ValueError, match="'packed' holds text in place of bytes"):
        predict(regressor, text, method="predict_packed")


def test_packed_rows_are_no_features(regressor, lazy_frame, X):
    packed = transform(regressor, lazy_frame, encode="packed")
    nameless = copy.copy(regressor)
    del nameless.feature_names_in_
    with pytest.raises(ValueError, match="Packed rows are read by method='predict_packed'"):
        predict(nameless, packed)


# -- what holds no numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["transform", "predict"])
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (pd.Series(["x", "y"]), "'a' must hold numbers, got large_string: encode it"),
        (pd.Series(["x", "y"], dtype="category"), "'a' must hold numbers, got dictionary.*: encode it"),
        (pd.to_datetime(["2020", "2021"]), "'a' must hold numbers, got timestamp.*: turn it into numbers"),
        (pd.to_timedelta([1, 2]), "'a' must hold numbers, got duration.*: turn it into numbers"),
        (pd.period_range("2020", periods=2, freq="D"), "'a' must hold numbers, got .*period.*: turn it into"),
        (pd.Series([1j, 2j]), "'a' must hold numbers, got complex128"),
        (pd.arrays.SparseArray([0.0, 1.0]), "'a' must hold numbers, got Sparse"),
    ],
)
def test_columns_of_no_numbers(values, problem, method, regressor, book):
    lazy = dd.from_pandas(pd.DataFrame({"a": values, "b": [1.0, 2.0]}), npartitions=1)
    with pytest.raises(ValueError, match=problem):
        transform(book, lazy) if method == "transform" else predict(regressor, lazy)


def test_objects_of_no_numbers(book):
    with config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(pd.DataFrame({"a": [1, "x"], "b": [1.0, 2.0]}), npartitions=1)
        with pytest.raises(ValueError, match="'a' must hold numbers, got object"):
            transform(book, lazy).compute()


@pytest.mark.parametrize("dtype", ["U1", "M8[s]", "m8[s]", "c8"])
def test_arrays_of_no_numbers(dtype, book):
    with pytest.raises(ValueError, match="The column 0 must hold numbers, got"):
        transform(book, da.zeros((3, 2), dtype=dtype))


def test_masked_chunks(X):
    masked = da.ma.masked_greater(da.from_array(np.nan_to_num(X), chunks=(30, 2)), 1)
    model = MeanOfRows()
    expected = np.nansum(np.where(np.nan_to_num(X) > 1, np.nan, np.nan_to_num(X)), axis=1)
    np.testing.assert_allclose(predict(model, masked), expected)


class MeanOfRows:
    """It takes NaN, and knows no masks."""

    n_features_in_ = 2

    def predict(self, X):
        return np.nansum(np.asarray(X), axis=1)


def test_a_series_is_no_frame(book, lazy_frame):
    with pytest.raises(ValueError, match=r"give source\.to_frame\(\)"):
        transform(book, lazy_frame["a"])


def test_names_of_transformed_columns(quantizer, lazy_frame):
    found = predict(quantizer, lazy_frame, method="transform", keep=["when"])
    assert found.columns.tolist() == ["when", "a", "b"]
    assert found.compute().columns.tolist() == ["when", "a", "b"]
