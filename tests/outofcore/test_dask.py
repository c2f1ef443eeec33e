"""Dask collections, and a cluster of two processes: what its workers import, and searches on it."""

import functools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

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
