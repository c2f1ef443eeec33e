"""Encoders of categories in front of a quantizer: the folded codebook gives the codes of the pipeline, or refuses."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from skbsq import (
    BitwiseClassifier,
    BitwiseRegressor,
    Codebook,
    QuantileQuantizer,
    Receiver,
    ThresholdQuantizer,
    UniformQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c, to_codebook
from skbsq.export._fold import fold

VALVES = ["open", "ajar", "shut", "stuck", "lost"]


def frame(rng, n=400):
    """Return a frame with numbers between strings, integers and booleans."""
    return pd.DataFrame(
        {
            "t": rng.normal(20, 5, n).astype(np.float32),
            "valve": rng.choice(VALVES, n, p=[0.5, 0.2, 0.2, 0.08, 0.02]),
            "p": rng.normal(1000, 9, n).astype(np.float32),
            "site": rng.integers(0, 6, n),
            "on": rng.random(n) < 0.4,
        }
    )


def target(X, rng):
    return X["t"] + 7 * X["valve"].isin(["open", "stuck"]) - X["site"] * X["on"] + rng.normal(size=len(X))


CATEGORIES = ["valve", "site", "on"]
STEPS = {
    "ordinal": lambda: make_column_transformer((OrdinalEncoder(), CATEGORIES), remainder="passthrough"),
    "ordinal and scalers": lambda: make_column_transformer(
        (StandardScaler(), ["p"]), (OrdinalEncoder(), CATEGORIES), (MinMaxScaler(), ["t"])
    ),
    "infrequent": lambda: make_column_transformer(
        (OrdinalEncoder(min_frequency=0.1), ["valve", "on"]),
        (OrdinalEncoder(max_categories=3), ["site"]),
        remainder=StandardScaler(),
    ),
    "target": lambda: make_column_transformer(
        (TargetEncoder(), CATEGORIES), remainder="passthrough", verbose_feature_names_out=False
    ),
    "scaled behind": lambda: make_pipeline(
        make_column_transformer((TargetEncoder(), CATEGORIES), remainder="passthrough"), StandardScaler()
    ),
    "scaled inside": lambda: make_column_transformer(
        (make_pipeline(OrdinalEncoder(), MinMaxScaler()), CATEGORIES), (StandardScaler(), ["t", "p"])
    ),
    "dropped": lambda: make_column_transformer(
        ("drop", ["on", "p"]), (OrdinalEncoder(), ["valve", "site"]), remainder="passthrough"
    ),
    "all": lambda: OrdinalEncoder(),
}
QUANTIZERS = {
    "uniform": lambda: UniformQuantizer(4),
    "quantile": lambda: QuantileQuantizer(2),
    "missing": lambda: QuantileQuantizer(3, missing="code"),
}


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("steps", STEPS)
def test_codes_are_those_of_the_pipeline(steps, quantizer, rng):
    X = frame(rng)
    if steps == "all":
        X = X[CATEGORIES]
    y = target(frame(rng), rng)
    pipeline = make_pipeline(STEPS[steps](), QUANTIZERS[quantizer]()).fit(X, y)
    book, columns = fold(pipeline)
    assert book.feature_names == tuple(X.columns)
    new = frame(rng, 1000)[list(X.columns)]
    np.testing.assert_array_equal(book.encode(new)[:, columns], pipeline.transform(new))
    inner = pipeline[-1].codebook_
    np.testing.assert_array_equal(book.n_levels[columns], inner.n_levels)
    for k, j in enumerate(columns):
        np.testing.assert_array_equal(book.counts[j], inner.counts[k])
    kept = np.isin(np.arange(book.n_features), columns)
    assert book.row_bits == inner.row_bits
    assert (book.n_bits[~kept] == 0).all()
    assert book.is_categorical[kept].tolist() == [name in CATEGORIES for name in X.columns[kept]]
    assert Codebook.from_json(book.to_json()) == book


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_other_frames(output, rng):
    X = frame(rng)
    steps = make_column_transformer((OrdinalEncoder(), ["valve", "on"]), ("passthrough", ["t", "p"]))
    pipeline = make_pipeline(steps, QuantileQuantizer(3)).set_output(transform=output)
    categorical = X.astype({"valve": "category"})
    for given in (categorical, pl.from_pandas(X)):
        pipeline.fit(given)
        book, columns = fold(pipeline, "float64" if given is not categorical else "float32")
        codes = np.asarray(pipeline.transform(given))
        np.testing.assert_array_equal(book.encode(given)[:, columns], codes)


def test_rows_without_names(rng):
    X = frame(rng)
    objects = X.to_numpy(dtype=object)
    steps = make_column_transformer((OrdinalEncoder(), [1, 4]), (StandardScaler(), [0, 2]))
    pipeline = make_pipeline(steps, QuantileQuantizer(3)).fit(objects)
    book, columns = fold(pipeline)
    assert columns.tolist() == [1, 4, 0, 2]
    assert book.feature_names is None
    np.testing.assert_array_equal(book.encode(objects)[:, columns], pipeline.transform(objects))
    numbers = X[["site", "t"]].to_numpy(dtype=np.float32)
    pipeline = make_pipeline(make_column_transformer((OrdinalEncoder(), [0])), QuantileQuantizer(2)).fit(numbers)
    book = to_codebook(pipeline)
    assert (book.is_categorical.tolist(), book.n_bits.tolist()) == ([True, False], [2, 0])
    np.testing.assert_array_equal(book.encode(numbers)[:, :1], pipeline.transform(numbers))


def test_categories_by_hand():
    X = pd.DataFrame({"size": ["S", "M", "L", "XL"], "x": np.float32([1, 2, 3, 4])})
    order = OrdinalEncoder(categories=[["S", "M", "L", "XL"]])
    steps = make_column_transformer((order, ["size"]), remainder="passthrough")
    book = to_codebook(make_pipeline(steps, ThresholdQuantizer([[0.5, 0.7, 2.5], [2.5]])).fit(X))
    # No category has number 0.5 to 0.7, but the code between is kept.
    assert book.categories == [{"S": 0, "no category (code 1)": 1, "M": 2, "L": 2, "XL": 3}, None]
    assert [levels.tolist() for levels in book.levels] == [["S", "no category (code 1)", "M", "XL"], [1.5, 3.5]]
    assert book.encode(X).tolist() == [[0, 0], [2, 0], [2, 1], [3, 1]]
    assert book.folded_order is None
    assert to_c(book, "shirt").count("SHIRT_size_") == 5


# -- missing and unknown categories ----------------------------------------------------------------------------------


def outcome(call, row):
    """Return codes, or None if there is an error."""
    try:
        return np.asarray(call(row)).tolist()
    except ValueError:
        return None


SEEN = {"c": ["a", "b", "c", None], "x": np.float32([0, 1, 2, 3])}
UNSEEN = {"c": ["a", "b", "c", "a"], "x": np.float32([0, 1, 2, 3])}
USE = dict(handle_unknown="use_encoded_value")


@pytest.mark.parametrize(
    ("encoder", "given", "missing", "unknown"),
    [
        (OrdinalEncoder(), SEEN, 3, None),
        (OrdinalEncoder(**USE, unknown_value=np.nan), SEEN, 3, 3),
        (OrdinalEncoder(**USE, unknown_value=np.nan), UNSEEN, 3, 3),
        (OrdinalEncoder(**USE, unknown_value=-1), SEEN, 3, None),
        (OrdinalEncoder(**USE, unknown_value=-1), UNSEEN, None, None),
        (OrdinalEncoder(**USE, unknown_value=np.nan, min_frequency=2), UNSEEN, 3, 3),
        (OrdinalEncoder(), UNSEEN, None, None),
        (TargetEncoder(target_type="continuous", cv=2), UNSEEN, None, None),
    ],
)
def test_missing_and_unknown(encoder, given, missing, unknown):
    """Those with the missing code have it, all others are refused."""
    X = pd.DataFrame(given)
    steps = make_column_transformer((encoder, ["c"]), remainder="passthrough")
    pipeline = make_pipeline(steps, ThresholdQuantizer([[0.5, 1.5], [1.5]], missing="code")).fit(X, X["x"])
    book = to_codebook(pipeline)
    assert book.handle_unknown == ("error" if unknown is None else "missing")
    for value, code in [("a", None), ("b", None), ("c", None), (None, missing), ("z", unknown)]:
        row = pd.DataFrame({"c": pd.Series([value], dtype=X["c"].dtype), "x": np.float32([2])})
        found = outcome(book.encode, row)
        if value in ("a", "b", "c"):
            assert found == outcome(pipeline.transform, row)
        elif code is None:
            assert found is None
        else:
            assert found == outcome(pipeline.transform, row) == [[code, 1]]


def test_missing_with_the_code_of_a_category_is_refused():
    X = pd.DataFrame(SEEN)
    for encoder in (OrdinalEncoder(encoded_missing_value=-1), TargetEncoder(target_type="continuous", cv=2)):
        steps = make_column_transformer((encoder, ["c"]), remainder="passthrough")
        pipeline = make_pipeline(steps, ThresholdQuantizer([[0.5, 1.5], [1.5]])).fit(X, X["x"])
        with pytest.raises(ValueError, match=r"Missing values of feature 'c' .* encoded_missing_value=np.nan, or"):
            to_codebook(pipeline)


def test_missing_with_the_highest_code_alone():
    X = pd.DataFrame(SEEN)
    steps = make_column_transformer((OrdinalEncoder(encoded_missing_value=99), ["c"]))
    pipeline = make_pipeline(steps, ThresholdQuantizer([[0.5, 1.5, 9.0]])).fit(X)
    book = to_codebook(pipeline)
    assert book.categories[0] == {"a": 0, "b": 1, "c": 2, None: 3}
    np.testing.assert_array_equal(book.encode(X)[:, :1], pipeline.transform(X))


def test_unknown_only_if_all_features_give_it_the_missing_code():
    X = pd.DataFrame({"a": ["x", "y", None], "b": ["x", "y", None]})
    free = OrdinalEncoder(**USE, unknown_value=np.nan)
    for second, rule in [(free, "missing"), (OrdinalEncoder(), "error")]:
        steps = make_column_transformer((free, ["a"]), (second, ["b"]))
        pipeline = make_pipeline(steps, ThresholdQuantizer([0.5], missing="code")).fit(X)
        assert to_codebook(pipeline).handle_unknown == rule


# -- quantizers that take categories themselves ----------------------------------------------------------------------


def test_a_quantizer_with_categories_behind_scalers(rng):
    X = frame(rng)
    X.loc[::20, "valve"] = None
    steps = make_column_transformer((StandardScaler(), ["p", "t"]), remainder="passthrough")
    steps.set_output(transform="pandas")
    pipeline = make_pipeline(steps, QuantileQuantizer(2, missing="seen", categorical_features=[2, 3, 4])).fit(X)
    book, columns = fold(pipeline)
    inner = pipeline[-1].codebook_
    assert inner.is_categorical.tolist() == [False, False, True, True, True]
    assert (columns.tolist(), book.is_categorical.tolist()) == ([2, 0, 1, 3, 4], [False, True, False, True, True])
    new = frame(rng)
    new.loc[::7, "valve"] = None
    np.testing.assert_array_equal(book.encode(new)[:, columns], pipeline.transform(new))
    for k, j in [(2, 1), (3, 3), (4, 4)]:
        assert book.categories[j] == inner.categories[k]
        assert book.levels[j].tolist() == inner.levels[k].tolist()


def test_steps_that_do_nothing_keep_the_codebook(rng):
    X = frame(rng)
    quantizer = QuantileQuantizer(2, handle_unknown="missing").fit(X)
    nothing = make_column_transformer(("passthrough", list(X.columns))).fit(X)
    assert to_codebook(Pipeline([("nothing", nothing), ("book", quantizer.codebook_)])) == quantizer.codebook_


def test_scaled_categories_are_refused(rng):
    X = frame(rng)[["site", "t"]]
    scaled = make_pipeline(StandardScaler(), QuantileQuantizer(2))
    with pytest.raises(ValueError, match="Step 'ordinalencoder' encodes column 0, which an earlier step scales"):
        to_codebook(make_pipeline(StandardScaler(), OrdinalEncoder(), QuantileQuantizer(2)).fit(X))
    book = Codebook.from_thresholds([{0: 0, 1: 1}, [0.5]])
    with pytest.raises(ValueError, match="feature 'site' is scaled before a quantizer that takes it as categories"):
        to_codebook(Pipeline([("scaler", scaled.fit(X)[0]), ("book", book)]))


# -- predictors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learned", [BitwiseRegressor, BitwiseClassifier])
def test_one_row_from_frame_to_bytes_to_prediction(learned, rng):
    """Also from a frame with strings in a column that the pipeline drops."""
    X = frame(rng).assign(note="nothing")
    y = target(X, rng)
    y = y > y.median() if learned is BitwiseClassifier else y
    steps = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.float32)),
        (TargetEncoder(), ["valve", "site"]),
        (OrdinalEncoder(), ["on"]),
    )
    model = learned(n_bits=3, max_epochs=1, hidden_sizes=(), random_state=0)
    pipeline = make_pipeline(steps, model).fit(X, y)
    book, expected = to_codebook(pipeline), pipeline.predict(X)
    assert (book.folded_from, book.folded_order.tolist()) == (model.codebook_.fingerprint, [0, 2, 1, 3, 4])
    codes = book.encode(X)
    assert (model.predict_packed(dumps(book, codes), codebook=book) == expected).all()
    assert (model.predict_packed(RowCodec(book).pack(codes), codebook=book) == expected).all()
    assert (Receiver([pipeline]).predict(dumps(book, codes)) == expected).all()


# -- what cannot be folded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "column", "problem"),
    [
        (
            OneHotEncoder(sparse_output=False),
            "valve",
            r"'columntransformer: onehotencoder' \(OneHotEncoder\) makes several",
        ),
        (
            TargetEncoder(cv=2),
            "valve",
            r"'columntransformer: targetencoder' \(TargetEncoder\) gives a number per class",
        ),
        (
            OrdinalEncoder(),
            "t",
            "Categories of feature 't' cannot be folded. A category must be .* Turn them into strings",
        ),
    ],
)
def test_other_encoders_are_refused(encoder, column, problem, rng):
    X = frame(rng, 60)
    steps = make_column_transformer((encoder, [column]), remainder="drop")
    pipeline = make_pipeline(steps, QuantileQuantizer(1)).fit(X, rng.integers(0, 3, 60))
    with pytest.raises(ValueError, match=problem):
        to_codebook(pipeline)


def test_guard_codes(rng):
    """Those of numbers keep their levels; no category has the others."""
    X = frame(rng)
    steps = make_column_transformer((OrdinalEncoder(), ["valve"]), (StandardScaler(), ["t"]))
    pipeline = make_pipeline(steps, QuantileQuantizer(3, guard=True)).fit(X)
    book, columns = fold(pipeline)
    assert book.has_guard.tolist() == [True, False, False, False, False]
    assert book.level_numbers[0][[0, -1]].tolist() == pytest.approx([X["t"].min(), X["t"].max()])
    assert [code for category, code in book.categories[1].items() if category.startswith("no category")][:1] == [0]
    new = frame(rng, 1000).assign(t=lambda X: 2 * X["t"] - 20)
    np.testing.assert_array_equal(book.encode(new)[:, columns], pipeline.transform(new))
