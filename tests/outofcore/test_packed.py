"""Models predict from codes and packed rows that `transform` wrote."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, UniformQuantizer
from skbsq.codec import RowCodec
from skbsq.export import to_codebook
from skbsq.outofcore import predict, transform
from tests.outofcore.conftest import EARLY_POLARS, FAST, together

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, feather, parquet  # noqa: E402

FIXED = pa.binary(2)


@pytest.fixture(scope="module")
def rows():
    """60 rows of three features, whose columns are not in the order of the model."""
    return pd.DataFrame(np.random.default_rng(1).normal(size=(60, 3)), columns=["c", "a", "b"])


@pytest.fixture(scope="module")
def model(rows):
    """A model whose packed rows have 11 bits, which are 2 bytes."""
    return BitwiseClassifier([5, 3, 3], **FAST).fit(rows[["a", "b", "c"]], np.where(rows["a"] > 0, "yes", "no"))


@pytest.fixture(scope="module")
def nameless(model):
    nameless = copy.copy(model)
    del nameless.feature_names_in_
    return nameless


@pytest.fixture(scope="module")
def other(rows):
    """Another model with the same features and bits."""
    return BitwiseRegressor([5, 3, 3], **FAST).fit(rows[["a", "b", "c"]] * 2, rows["a"])


@pytest.fixture(scope="module")
def codes(model, rows):
    return model.codebook_.encode(rows[["a", "b", "c"]])


@pytest.fixture(scope="module")
def packed(model, codes):
    return RowCodec(model.codebook_).pack(codes)


def check_predictions(model, source, codes, method="predict_packed", **options):
    found = together(predict(model, source, method=method, **options))
    np.testing.assert_array_equal(found, model.predict_codes(codes))


def of_bytes(packed, kind):
    return pa.table({"packed": pa.array([row.tobytes() for row in packed], kind)})


# -- packed rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encode", "ending"), [("packed", "_packed"), ("ordinal", "_codes")])
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("end", ["npy", "parquet"])
def test_files(end, method, encode, ending, model, rows, codes, tmp_path):
    path = tmp_path / f"codes.{end}"
    transform(model, rows, path, encode=encode)
    found = together(predict(model, path, method=method + ending, batch_size=25))
    on_codes = getattr(model, f"{method}_codes")
    np.testing.assert_array_equal(found, np.concatenate([on_codes(codes[i : i + 25]) for i in range(0, 60, 25)]))


def test_names_of_results(model, rows, tmp_path):
    transform(model, rows.assign(key=range(60)), tmp_path / "packed.parquet", encode="packed", keep=["key"])
    options = {"method": "predict_proba_packed", "keep": ["key"]}
    out = predict(model, tmp_path / "packed.parquet", tmp_path / "out.parquet", **options)
    assert out.schema.names == ["key", "probability_no", "probability_yes"]
    assert out.to_table()["key"].to_pylist() == list(range(60))


@pytest.mark.parametrize(
    "make",
    [
        lambda packed: packed,
        lambda packed: np.asfortranarray(packed),
        lambda packed: packed.astype(float),
        lambda packed: [packed[:7], packed[7:]],
        lambda packed: of_bytes(packed, FIXED),
        lambda packed: of_bytes(packed, pa.binary()),
        lambda packed: of_bytes(packed, pa.large_binary()),
        lambda packed: of_bytes(packed, pa.binary()).slice(1),
        lambda packed: of_bytes(packed, FIXED).slice(1),
        lambda packed: of_bytes(packed, FIXED).to_reader(7),
        lambda packed: of_bytes(packed, FIXED).to_batches(7),
        lambda packed: of_bytes(packed, FIXED).to_pandas(),
        lambda packed: of_bytes(packed, FIXED).rename_columns(["payload"]),
        lambda packed: dataset.dataset(of_bytes(packed, FIXED)),
        lambda packed: pa.table({"byte1": packed[:, 1], "key": packed[:, 0], "byte0": packed[:, 0]}),
        lambda packed: pd.DataFrame(packed),
        pytest.param(lambda packed: pl.from_arrow(of_bytes(packed, FIXED)), marks=EARLY_POLARS),
    ],
)
def test_sources_of_packed_rows(make, model, packed, codes):
    found = together(predict(model, make(packed), method="predict_packed"))
    np.testing.assert_array_equal(found, model.predict_codes(codes)[-len(found) :])
    assert len(found) >= 59


def test_views_of_bytes(model, packed, codes):
    table = of_bytes(packed, pa.binary_view())
    try:
        table["packed"].cast(pa.large_binary())
    except pa.ArrowNotImplementedError:
        pytest.skip("an early pyarrow")
    check_predictions(model, table, codes)


def test_columns_of_packed_rows_are_named(model, packed, codes):
    table = pa.table({"sent": of_bytes(packed, FIXED)["packed"], "packed": list(range(60)), "x": packed[:, 0]})
    table = table.append_column("y", pa.array(packed[:, 1]))
    for columns in (["sent"], ["x", "y"]):
        check_predictions(model, table, codes, columns=columns)
    with pytest.raises(ValueError, match="columns names 3 columns for 2 bytes of a packed row"):
        predict(model, table, method="predict_packed", columns=["sent", "x", "y"])


def test_the_packed_column_may_be_kept(model, packed, tmp_path):
    out = predict(model, of_bytes(packed, FIXED), tmp_path / "o.parquet", method="predict_packed", keep=["packed"])
    assert out.schema.names == ["packed", "prediction"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: p[:, :1], "The source has 1 columns for 2 bytes of a packed row"),
        (lambda p: of_bytes(p[:, :1], pa.binary(1)), "Row 0 of the column 'packed' has 1 bytes.* have 2 bytes"),
        (lambda p: pa.table({"packed": [b"ab", None]}), "rows 0 to 1: Row 1 of the column 'packed' is null"),
        (lambda p: pa.table({"packed": [b"ab", b"abc"]}), "Row 1 of the column 'packed' has 3 bytes"),
        (lambda p: pa.table({"packed": pa.nulls(2)}), "rows 0 to 1: Row 0 of the column 'packed' is null"),
        (lambda p: pa.table({"packed": [1, 2]}), "The source has 1 columns for 2 bytes of a packed row"),
        (lambda p: pa.table({"packed": ["ab"]}), "'packed' holds text instead of bytes.*convert-string"),
        (lambda p: pa.table({"a": [1.0], "b": [1.0], "c": [1.0]}), "The source has 3 columns for 2 bytes of a packed"),
        (lambda p: [p[:20], p[20:] | 128], "rows 20 to 59: Row 0 does not end with zero bits"),
    ],
)
def test_packed_rows_that_are_none(make, problem, model, packed):
    with pytest.raises(ValueError, match=problem):
        list(predict(model, make(packed), method="predict_packed"))


def test_rows_of_no_bytes(tmp_path):
    model = BitwiseRegressor(0, **FAST).fit(np.eye(8), np.arange(8.0))
    packed = transform(model, np.eye(8), tmp_path / "x.npy", encode="packed")
    assert packed.shape == (8, 0)
    assert len(together(predict(model, packed, method="predict_packed"))) == 8
    with pytest.raises(ValueError, match="A row of this codebook has 0 bytes, which Parquet has no type for"):
        transform(model, np.eye(8), tmp_path / "x.parquet", encode="packed")


def test_no_packed_rows(model, packed, tmp_path):
    assert predict(model, packed[:0], tmp_path / "o.npy", method="predict_packed").shape == (0,)
    table = of_bytes(packed, FIXED)[:0]
    assert predict(model, table, tmp_path / "o.npy", method="predict_proba_packed").shape == (0, 2)


# -- codes -----------------------------------------------------------------------------------------------------------


def test_columns_of_codes_are_taken_by_name(model, codes, tmp_path):
    table = pa.table(dict(zip("abc", codes.T, strict=True))).select(["c", "a", "b"])
    parquet.write_table(table.append_column("key", [list(range(60))]), tmp_path / "codes.parquet")
    check_predictions(model, tmp_path / "codes.parquet", codes, "predict_codes")
    check_predictions(model, table.rename_columns(["z", "x", "y"]), codes, "predict_codes", columns=[*"xyz"])


def test_columns_of_codes_that_transform_named(model, nameless, rows, codes, tmp_path):
    """The columns may come in another order, and with other columns."""
    book = Codebook.from_thresholds(model.codebook_.thresholds)
    transform(book, rows[["a", "b", "c"]].to_numpy(), tmp_path / "o.parquet")
    table = parquet.read_table(tmp_path / "o.parquet")
    assert table.column_names == ["x0", "x1", "x2"]
    table = table.select(["x2", "x0", "x1"]).append_column("key", [list(range(60))])
    check_predictions(nameless, table, codes, "predict_codes")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c[:, :2], "The source has 2 columns for 3 features"),
        (lambda c: c + 100, "rows 30 to 59: Code 1.* of feature 'a' .* is out of range"),
        (lambda c: c + 0.5, "codes must be whole numbers"),
        (lambda c: np.ma.masked_equal(c, c[0, 0]), "missing or masked|whole numbers"),
    ],
)
def test_codes_that_are_none(change, problem, model, codes):
    with pytest.raises(ValueError, match=problem):
        list(predict(model, [codes[:30], change(codes[30:])], method="predict_codes"))


# -- where codes come from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encode", "method"), [("packed", "predict_packed"), ("ordinal", "predict_codes")])
@pytest.mark.parametrize("read", ["path", "folder", "filtered", "union", "table", "feather"])
def test_codes_of_another_model_are_refused(read, encode, method, model, other, rows, tmp_path):
    """In a folder the second file is that of the other model."""
    for i, fitted in enumerate((model, other) if read in ("folder", "filtered", "union") else (other,)):
        transform(fitted, rows, tmp_path / f"{i}.parquet", encode=encode)
    files = [str(file) for file in sorted(tmp_path.iterdir())]
    if read == "feather":
        feather.write_feather(parquet.read_table(files[0]), tmp_path / "codes.feather")
    source = {
        "path": lambda: files[0],
        "folder": lambda: tmp_path,
        "filtered": lambda: dataset.dataset(files).filter(dataset.field(dataset.dataset(files).schema.names[0]) != 9),
        "union": lambda: dataset.dataset([dataset.dataset(file) for file in files]),
        "table": lambda: parquet.read_table(files[0]),
        "feather": lambda: tmp_path / "codes.feather",
    }[read]()
    fingerprints = f"{other.codebook_.fingerprint.hex()}.*{model.codebook_.fingerprint.hex()}"
    with pytest.raises(ValueError, match=fingerprints):
        list(predict(model, source, method=method))


@pytest.mark.parametrize(("encode", "method"), [("packed", "predict_packed"), ("ordinal", "predict_codes")])
def test_codes_of_a_rate_are_read_by_the_model_of_the_rate(encode, method, rows, tmp_path):
    nested = BitwiseRegressor(3, rates=(1,), **FAST).fit(rows[["a", "b", "c"]], rows["a"])
    transform(nested.at(1), rows, tmp_path / "codes.parquet", encode=encode)
    with pytest.raises(ValueError, match=r"that is rate 1 of this model, so use its at\(1\)"):
        list(predict(nested, tmp_path / "codes.parquet", method=method))
    found = np.concatenate([*predict(nested.at(1), tmp_path / "codes.parquet", method=method)])
    np.testing.assert_array_equal(found, nested.predict(rows[["a", "b", "c"]], rate=1))
    np.testing.assert_array_equal(found, np.concatenate([*predict(nested.at(1), rows)]))


def test_codes_of_an_equal_encoder_are_read(model, rows, codes, tmp_path):
    """The fingerprint depends on the thresholds, not on names and levels."""
    nameless = Codebook.from_thresholds(model.codebook_.thresholds)
    transform(nameless, rows[["a", "b", "c"]], tmp_path / "packed.parquet", encode="packed")
    check_predictions(model, tmp_path / "packed.parquet", codes)


def test_packed_rows_of_a_folded_codebook(rows, tmp_path):
    X = rows.to_numpy(dtype=np.float32)
    pipeline = make_pipeline(StandardScaler(), BitwiseRegressor(3, **FAST)).fit(X, X[:, 0])
    transform(to_codebook(pipeline), X, tmp_path / "packed.parquet", encode="packed")
    found = together(predict(pipeline[-1], tmp_path / "packed.parquet", method="predict_packed"))
    np.testing.assert_allclose(found, pipeline.predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("encode", "method", "problem"),
    [
        ("packed", "predict_codes", "encoding 'packed', but method='predict_codes' reads 'ordinal': use method='predi"),
        ("ordinal", "predict_proba_packed", "use method='predict_proba_codes'"),
        ("value", "predict_codes", "encoding 'value'.* use encode='ordinal' in transform"),
        ("thermometer", "predict_packed", "encoding 'thermometer'.* use encode='packed' in transform"),
        ("ordinal", "predict", "codes of this codebook, not features. For codes use method='predict_codes'"),
        ("packed", "predict_proba", "not features. For packed rows use method='predict_proba_packed'"),
    ],
)
def test_an_encoding_that_the_method_does_not_read(encode, method, problem, model, rows, tmp_path):
    transform(model, rows, tmp_path / "o.parquet", encode=encode)
    with pytest.raises(ValueError, match=problem):
        predict(model, tmp_path / "o.parquet", method=method)


def test_codes_are_not_encoded_again(model, rows, tmp_path):
    transform(model, rows, tmp_path / "codes.parquet")
    with pytest.raises(ValueError, match="The source holds codes of this codebook, not features"):
        transform(model.codebook_, tmp_path / "codes.parquet")


def test_levels_are_features(model, rows, codes, tmp_path):
    transform(model, rows, tmp_path / "levels.parquet", encode="value")
    check_predictions(model, tmp_path / "levels.parquet", codes, "predict")


def test_features_that_were_kept_with_codes(model, rows, codes, tmp_path):
    source = rows.join(rows.rename(columns=str.upper))
    transform(model, source, tmp_path / "o.parquet", keep=["A", "B", "C"])
    check_predictions(model, tmp_path / "o.parquet", codes, "predict", columns=["A", "B", "C"])


def test_other_models_read_codes_as_features(model, rows, tmp_path):
    codes = transform(model, rows, tmp_path / "codes.parquet")
    downstream = LinearRegression().fit(codes.to_table().to_pandas(), rows["a"])
    assert len(together(predict(downstream, tmp_path / "codes.parquet"))) == 60


def test_metadata_that_is_no_codebook(model, packed):
    table = of_bytes(packed, FIXED).replace_schema_metadata({"skbsq-codebook": "{}"})
    with pytest.raises(ValueError, match="The source's metadata 'skbsq-codebook' cannot be read"):
        predict(model, table, method="predict_packed")


# -- packed rows instead of features, and models without a codebook ----------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda p: of_bytes(p, FIXED),
        lambda p: of_bytes(p, pa.large_binary()).append_column("a", [[1.0] * 60]),
        lambda p: p,
        lambda p: pa.table({"byte0": p[:, 0], "byte1": p[:, 1]}),
    ],
)
def test_packed_rows_are_no_features(make, model, nameless, packed):
    for fitted in (model, nameless):
        with pytest.raises(ValueError, match=r"predict_packed|no column 'a'.*byte0"):
            list(predict(fitted, make(packed)))


def test_a_column_of_bytes_is_no_feature(packed):
    quantizer = UniformQuantizer(2).fit(np.eye(2))
    table = of_bytes(packed, FIXED).append_column("x", [[1.0] * 60])
    with pytest.raises(ValueError, match=r"'packed' must hold numbers, got fixed_size_binary\[2\].*predict_packed"):
        list(transform(quantizer, table))


def test_codes_need_a_codebook(rows):
    model = BitwiseRegressor(quantizer="passthrough", **FAST).fit(rows, rows["a"])
    with pytest.raises(ValueError, match="method='predict_packed' reads codes, and this BitwiseRegressor has no codeb"):
        predict(model, rows, method="predict_packed")


@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value", "packed"])
@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_inverse_transform(encode, names, rng, tmp_path):
    """From Parquet, arrays, and tables with columns in another order; features may have names or not."""
    X = rng.normal(size=(50, 3))
    rows = X if names is None else pd.DataFrame(X, columns=names)
    quantizer = QuantileQuantizer(2, encode=encode).fit(rows)
    expected = quantizer.codebook_.decode(quantizer.codebook_.encode(X))
    written = transform(quantizer, rows, tmp_path / "sent.parquet")
    for source in (tmp_path / "sent.parquet", written.to_table().select(written.schema.names[::-1])):
        found = predict(quantizer, source, tmp_path / "back.parquet", method="inverse_transform").to_table()
        assert found.column_names == (names or ["x0", "x1", "x2"])
        np.testing.assert_array_equal(np.column_stack([column.to_numpy() for column in found.columns]), expected)
    array = transform(quantizer, X, tmp_path / "sent.npy")
    np.testing.assert_array_equal(
        predict(quantizer, array, tmp_path / "back.npy", method="inverse_transform"), expected
    )
    empty = predict(quantizer, array[:0], tmp_path / "none.npy", method="inverse_transform")
    assert empty.shape == (0, 3)


def test_inverse_transform_of_another_encoding(rng, tmp_path):
    X = rng.normal(size=(50, 3))
    quantizer = QuantileQuantizer(2).fit(X)
    transform(quantizer, X, tmp_path / "sent.parquet", encode="packed")
    with pytest.raises(ValueError, match=r"has encoding 'packed'.*reads 'ordinal': set encode='packed'"):
        predict(quantizer, tmp_path / "sent.parquet", tmp_path / "back.npy", method="inverse_transform")


def test_columns_may_be_an_array_of_names(rng, tmp_path):
    X = pd.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "c"])
    quantizer = QuantileQuantizer(2).fit(X)
    found = transform(quantizer, X, tmp_path / "codes.npy", columns=quantizer.feature_names_in_)
    np.testing.assert_array_equal(found, quantizer.transform(X))
