"""Categories out of core: the codes of transform, whatever holds the rows, and no object per value."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbsq import BitwiseRegressor, QuantileQuantizer
from skbsq.codebook import columns
from skbsq.outofcore import predict, transform

CATEGORICAL = ["kind", "on", "count"]
TRAINING = dict(max_epochs=1, hidden_sizes=(4,), random_state=0)


@pytest.fixture
def X(rng):
    X = pd.DataFrame({"t": rng.normal(size=150), "kind": rng.choice(list("abcde"), 150).astype(object)})
    X["on"], X["count"] = rng.random(150) < 0.5, rng.integers(0, 6, 150)
    X.loc[4, "kind"] = None
    return X


@pytest.fixture
def quantizer(X):
    return QuantileQuantizer(2, missing="seen", categorical_features=CATEGORICAL).fit(X)


def with_dictionaries(table):
    """Each part of the rows has a dictionary of its own."""
    whole = table["kind"].combine_chunks()
    parts = [whole[:60].dictionary_encode(), whole[60:61].dictionary_encode(), whole[61:].dictionary_encode()]
    return table.set_column(1, "kind", pa.chunked_array(parts))


def views(table):
    return table.cast(
        pa.schema([("t", pa.float32()), ("kind", pa.string_view()), ("on", pa.bool_()), ("count", "int8")])
    )


SOURCES = {
    "pandas": lambda X, path: X,
    "categories": lambda X, path: X.astype({"kind": "category", "count": "category"}),
    "nullable": lambda X, path: X.convert_dtypes(),
    "polars": lambda X, path: pl.from_pandas(X),
    "polars categories": lambda X, path: pl.from_pandas(X).cast({"kind": pl.Categorical}),
    "polars enum": lambda X, path: pl.from_pandas(X).cast({"kind": pl.Enum(list("edcba"))}),
    "table": lambda X, path: pa.Table.from_pandas(X),
    "dictionaries": lambda X, path: with_dictionaries(pa.Table.from_pandas(X)),
    "views": lambda X, path: views(pa.Table.from_pandas(X)),
    "objects": lambda X, path: X.to_numpy(),
    "parts": lambda X, path: [X[:10], pa.Table.from_pandas(X[10:90]), with_dictionaries(pa.Table.from_pandas(X[90:]))],
    "parquet": lambda X, path: parquet.write_table(pa.Table.from_pandas(X), path / "x.parquet", row_group_size=40),
    "parquet dictionaries": lambda X, path: parquet.write_table(
        with_dictionaries(pa.Table.from_pandas(X)), path / "x.parquet", row_group_size=40
    ),
    "csv": lambda X, path: X.to_csv(path / "x.csv", index=False),
    "feather": lambda X, path: feather.write_feather(X, path / "x.feather"),
}
each_source = pytest.mark.parametrize("source", SOURCES)


def rows_in(source, X, path):
    made = SOURCES[source](X, path)
    return next(path.iterdir()) if made is None or source == "feather" else made


@each_source
@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "packed", "value"])
def test_results_are_those_of_transform(source, encode, X, quantizer, tmp_path):
    quantizer.set_params(encode=encode)
    chunks = list(transform(quantizer, rows_in(source, X, tmp_path), batch_size=37))
    assert len(chunks) > 1
    np.testing.assert_array_equal(np.concatenate(chunks), quantizer.transform(X))


@each_source
def test_predictions_are_those_of_predict(source, X, tmp_path):
    given = dict(missing="seen", categorical_features=CATEGORICAL, **TRAINING)
    model = BitwiseRegressor(n_bits=2, **given).fit(X, X["t"])
    piped = make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), BitwiseRegressor(n_bits=2, **given))
    for fitted in (model, piped.fit(X, X["t"])):
        found = np.concatenate(list(predict(fitted, rows_in(source, X, tmp_path), batch_size=37)))
        np.testing.assert_allclose(found, fitted.predict(X), rtol=1e-5)


def test_text_of_parquet_is_read_as_dictionaries(X, quantizer, tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.Table.from_pandas(X), path)
    kinds, split = [], columns.joined_dictionary
    monkeypatch.setattr(columns, "joined_dictionary", lambda column: (kinds.append(column.type), split(column))[1])
    list(transform(quantizer, path))
    assert [pa.types.is_dictionary(kind) for kind in kinds] == [True, False, False]


def test_a_kept_column_keeps_its_type(X, quantizer, tmp_path):
    parquet.write_table(pa.Table.from_pandas(X), tmp_path / "x.parquet")
    out = transform(
        quantizer.set_params(encode="packed"), tmp_path / "x.parquet", tmp_path / "out.parquet", keep=["kind"]
    )
    assert out.schema.field("kind").type == pa.large_string()
    assert out.to_table()["kind"].to_pylist() == [None if pd.isna(one) else one for one in X["kind"]]


def test_a_file_of_levels_has_types(X, quantizer, tmp_path):
    quantizer.set_params(encode="value")
    out = transform(quantizer, X, tmp_path / "levels.parquet", batch_size=40)
    assert [str(kind) for kind in out.schema.types] == ["float", "string", "bool", "int64"]
    expected = quantizer.inverse_transform(quantizer.transform(X))
    assert out.to_table().to_pylist()[4] == {**expected.iloc[4].to_dict(), "kind": None}
    assert out.to_table()["kind"].to_pylist()[5:] == expected["kind"].tolist()[5:]
    # The way back, from the file.
    back = predict(quantizer, tmp_path / "levels.parquet", tmp_path / "back.parquet", method="inverse_transform")
    assert back.schema.types == out.schema.types
    assert back.to_table().to_pylist() == out.to_table().to_pylist()
    with pytest.raises(ValueError, match=r"write \.parquet"):
        transform(quantizer, X, tmp_path / "levels.npy")


def test_decoding_of_codes(X, quantizer, tmp_path):
    codes = quantizer.transform(X)
    decoded = np.concatenate(list(predict(quantizer, codes, method="inverse_transform", batch_size=40)))
    expected = quantizer.codebook_.decode(codes)
    assert decoded.shape == expected.shape
    assert decoded[5:].tolist() == expected[5:].tolist()


def test_levels_of_several_types_have_no_column(tmp_path):
    rows = np.array([["a"], [1]], dtype=object)
    quantizer = QuantileQuantizer(1, categorical_features=[0], encode="value").fit(rows)
    with pytest.raises(ValueError, match="'x0' holds more than values of type str"):
        transform(quantizer, rows, tmp_path / "x.parquet")


def test_a_matrix_of_numbers_holds_integer_categories(tmp_path, rng):
    rows = np.stack([rng.normal(size=90), rng.integers(3, 9, 90), rng.integers(0, 2, 90)], axis=1)
    quantizer = QuantileQuantizer(2, categorical_features=[1, 2]).fit(rows)
    np.save(tmp_path / "x.npy", rows)
    out = transform(quantizer, tmp_path / "x.npy", tmp_path / "codes.npy", batch_size=20)
    np.testing.assert_array_equal(out, quantizer.transform(rows))


def test_unknown_categories_name_their_chunk(X, quantizer):
    X.loc[120, "kind"] = "z"
    message = r"In the chunk of rows 100 to 149: 'z' \(row 20\) is no category of feature 'kind'"
    with pytest.raises(ValueError, match=message):
        list(transform(quantizer, X, batch_size=50))


def test_no_rows(X, quantizer):
    model = BitwiseRegressor(n_bits=2, missing="seen", categorical_features=CATEGORICAL, **TRAINING).fit(X, X["t"])
    assert [chunk.shape for chunk in predict(model, X[:0])] == [(0,)]
    assert [chunk.shape for chunk in transform(quantizer, X[:0])] == [(0, 4)]


def test_a_folder_of_files_with_other_types(X, quantizer, tmp_path):
    table = pa.Table.from_pandas(X)
    parquet.write_table(table[:70], tmp_path / "a.parquet")
    parquet.write_table(table[70:].set_column(3, "count", table[70:]["count"].cast("int8")), tmp_path / "b.parquet")
    np.testing.assert_array_equal(np.concatenate(list(transform(quantizer, tmp_path))), quantizer.transform(X))


# -- dask --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["object", "category", "string[pyarrow]"])
@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "packed", "value"])
def test_dask_frames(dtype, encode, X, quantizer):
    frames = pytest.importorskip("dask.dataframe")
    source = frames.from_pandas(X.astype({"kind": dtype}), npartitions=3)
    quantizer.set_params(encode=encode)
    out = transform(quantizer, source, keep=["t"] if encode == "packed" else [])
    found = out.compute()
    assert found.dtypes.astype(str).tolist() == out.dtypes.astype(str).tolist()
    expected = quantizer.set_output(transform="pandas").transform(X)
    if encode == "packed":
        expected.insert(0, "t", X["t"])
    pd.testing.assert_frame_equal(found, expected, check_column_type=False)


def test_dask_predictions(X):
    frames = pytest.importorskip("dask.dataframe")
    model = BitwiseRegressor(n_bits=2, missing="seen", categorical_features=CATEGORICAL, **TRAINING).fit(X, X["t"])
    found = predict(model, frames.from_pandas(X, npartitions=2)).compute()
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5)


def test_dask_arrays_hold_objects(X, quantizer):
    arrays = pytest.importorskip("dask.array")
    source = arrays.from_array(X.to_numpy(), chunks=(50, 4))
    np.testing.assert_array_equal(transform(quantizer, source).compute(), quantizer.transform(X))
