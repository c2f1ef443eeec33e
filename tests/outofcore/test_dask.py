"""Dask collections, and a cluster of two processes whose workers import no torch."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from skbsq.codec.encodings import ENCODINGS
from skbsq.outofcore import predict, transform
from tests.outofcore.conftest import Same, together
from tests.test_packaging import ROOT

pytest.importorskip("distributed")
import cloudpickle
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


@pytest.mark.parametrize("encode", ENCODINGS)
@pytest.mark.parametrize("chunks", [(30, 2), (7, 1)])
def test_array(book, X, encode, chunks):
    source = da.from_array(X, chunks=chunks)
    lazy = transform(book, source, encode=encode)
    (whole,) = transform(book, X, encode=encode)
    assert (lazy.shape, lazy.dtype) == (whole.shape, whole.dtype)
    assert lazy.chunks[0] == source.chunks[0]
    np.testing.assert_array_equal(lazy.compute(), whole)


def test_array_of_unknown_length(book, X):
    lazy = da.from_array(X, chunks=(30, 1))
    np.testing.assert_array_equal(transform(book, lazy[lazy[:, 0] > 0]).compute(), book.encode(X[X[:, 0] > 0]))


def test_predictions_of_an_array(regressor, classifier, X, frame):
    lazy = da.from_array(X, chunks=(30, 2))
    predicted = predict(regressor, lazy)
    assert (predicted.shape, predicted.dtype) == ((100,), np.float32)
    parts = [regressor.predict(frame[["a", "b"]][i : i + 30]) for i in range(0, 100, 30)]
    received = pickle.loads(cloudpickle.dumps(predicted))  # as by a worker
    np.testing.assert_array_equal(received.compute(), np.concatenate(parts))
    assert predict(classifier, lazy, method="predict_proba").shape == (100, 2)


def test_identical_work_has_an_identical_name(book, X):
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
    np.testing.assert_array_equal(packed[["byte0"]], together(transform(quantizer, frame, encode="packed")))


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


def test_names_of_transformed_columns(quantizer, lazy_frame):
    found = predict(quantizer, lazy_frame, method="transform", keep=["when"])
    assert found.columns.tolist() == found.compute().columns.tolist() == ["when", "a", "b"]


def test_empty_partitions(regressor, quantizer, lazy_frame):
    nobody = lazy_frame[lazy_frame["a"] > 100]
    assert predict(regressor, nobody).compute().dtype == np.float32
    assert transform(quantizer, nobody).compute().shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"columns": ["a", "c"]}, "The source has no column 'c': its columns are"),
        ({"keep": ["no"]}, "The source has no column 'no'"),
        ({"keep": ["a"]}, "A result is named 'a' too"),
        ({"output": "codes.parquet"}, "output must be None for a dask collection: call to_parquet"),
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
    with pytest.raises(ValueError, match="A dask collection must be a 2-d array or a data frame"):
        transform(book, da.from_array(X[:, 0]))
    with pytest.raises(ValueError, match=r"(?s)A dask collection must be .*: give source\.to_frame\(\)"):
        transform(book, lazy_frame["a"])
    with pytest.raises(ValueError, match="The source has 1 columns for 2 features"):
        transform(book, da.from_array(X[:, :1]))
    with pytest.raises(ValueError, match="The source is an array, which has no column 'a' to keep"):
        transform(book, da.from_array(X), keep=["a"])


# -- workers ---------------------------------------------------------------------------------------------------------


def test_what_a_worker_receives_needs_no_torch(quantizer, X, frame, tmp_path):
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
    command = [sys.executable, "-c", code, tmp_path / "graph"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert done.stdout.split(maxsplit=1) == ["100", "[]\n"]


def test_workers_that_encode_import_no_torch(client, quantizer, X):
    def loaded():  # dask sends an inner function as code, so that workers need not import this module
        return [name for name in ("skbsq", "sklearn", "skorch", "torch") if name in sys.modules]

    encoded = client.compute(transform(quantizer, da.from_array(X, chunks=(30, 2)))).result()
    np.testing.assert_array_equal(encoded, quantizer.codebook_.encode(X))
    found = list(client.run(loaded).values())
    assert ["skbsq"] in found
    assert all(names in (["skbsq"], []) for names in found)


# -- codes and packed rows --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(regressor, frame):
    return regressor.predict_codes(regressor.codebook_.encode(frame[["a", "b"]]))


@pytest.mark.parametrize(("encode", "method"), [("ordinal", "predict_codes"), ("packed", "predict_packed")])
def test_codes_and_packed_rows(encode, method, regressor, lazy_frame, X, expected):
    found = predict(regressor, transform(regressor, lazy_frame, encode=encode, keep=["when"]), method=method)
    assert (found.name, found.dtype) == ("prediction", np.float32)
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-5, atol=1e-6)
    encoded = transform(regressor, da.from_array(X, chunks=(30, 1)), encode=encode)
    np.testing.assert_allclose(predict(regressor, encoded, method=method), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # from dask, with this pandas
def test_packed_parquet(regressor, frame, expected, tmp_path):
    transform(regressor, frame, tmp_path / "packed.parquet", encode="packed", keep=["key"])
    found = predict(regressor, dd.read_parquet(tmp_path / "packed.parquet"), method="predict_packed")
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-5, atol=1e-6)
    text = dd.from_pandas(pd.DataFrame({"packed": [b"a", b"b"]}), npartitions=1)
    with pytest.raises(ValueError, match="'packed' holds text instead of bytes"):
        predict(regressor, text, method="predict_packed")


def test_packed_rows_are_no_features(regressor, lazy_frame):
    packed = transform(regressor, lazy_frame, encode="packed", keep=["a"])[["byte0", "byte1", "a"]]
    nameless = copy.copy(regressor)
    del nameless.feature_names_in_
    with pytest.raises(ValueError, match="For packed rows use method='predict_packed'"):
        predict(nameless, packed)


# -- columns that do not hold numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (pd.Series(["x", "y"]), "large_string: encode it"),
        (pd.Series(["x", "y"], dtype="category"), "dictionary.*: encode it"),
        (pd.to_datetime(["2020", "2021"]), "timestamp.*: turn it into numbers"),
        (pd.Series([1j, 2j]), "complex128"),
    ],
)
def test_columns_without_numbers(values, problem, regressor, book):
    lazy = dd.from_pandas(pd.DataFrame({"a": values, "b": [1.0, 2.0]}), npartitions=1)
    with pytest.raises(ValueError, match=f"'a' must hold numbers, got {problem}"):
        transform(book, lazy)


def test_objects_that_are_no_numbers(book):
    with config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(pd.DataFrame({"a": [1, "x"], "b": [1.0, 2.0]}), npartitions=1)
        with pytest.raises(ValueError, match="'a' must hold numbers, got object"):
            transform(book, lazy).compute()


@pytest.mark.parametrize("dtype", ["U1", "M8[s]", "c8"])
def test_arrays_without_numbers(dtype, book):
    with pytest.raises(ValueError, match="The column 0 must hold numbers, got"):
        transform(book, da.zeros((3, 2), dtype=dtype))


def test_masked_chunks(X):
    X = np.nan_to_num(X)
    masked = da.ma.masked_greater(da.from_array(X, chunks=(30, 2)), 1)
    np.testing.assert_array_equal(predict(Same(), masked), np.where(X > 1, np.nan, X))
