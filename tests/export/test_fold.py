"""The codebook of a pipeline gives the codes of the pipeline for every float32, or there is an error."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from skbsq import BitwiseRegressor, Codebook, QuantileQuantizer, Receiver, ThresholdQuantizer, UniformQuantizer
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_codebook
from skbsq.export._fold import fold
from tests.strategies import neighbours

NAN = float("nan")
MAX = np.finfo(np.float32).max

SCALERS = {
    "standard": StandardScaler(),
    "mean": StandardScaler(with_std=False),
    "std": StandardScaler(with_mean=False),
    "min-max": MinMaxScaler(),
    "range": MinMaxScaler(feature_range=(-3, 7)),
    "clip": MinMaxScaler(clip=True),
    "max-abs": MaxAbsScaler(),
    "robust": RobustScaler(unit_variance=True),
    "passthrough": "passthrough",
    "nothing": FunctionTransformer(),
}


def probes(book, columns, n_raw, rng):
    """Return rows with every threshold, the floats next to it, and floats of any magnitude."""
    special = neighbours(np.concatenate([book.thresholds[j] for j in columns]))
    special = np.concatenate([special, rng.integers(-(2**31), 2**31, size=300).astype(np.int32).view(np.float32)])
    special = special[np.isfinite(special)]
    x = np.zeros((len(special), n_raw), dtype=np.float32)
    x[:, columns] = special[:, None]
    return x


def usable(pipeline, x):
    """Tell which rows the scalers keep within float32. The quantizers refuse the others."""
    with np.errstate(all="ignore"):
        for _, step in pipeline.steps[:-1]:
            x = x if isinstance(step, str) else step.transform(x)
        return np.isfinite(np.asarray(x, dtype=np.float32)).all(axis=1)


def assert_equal_codes(pipeline, rng, dtype="float32"):
    book, columns = fold(pipeline, dtype)
    x = probes(book, columns, book.n_features, rng).astype(dtype)
    if book.feature_names is not None:
        x = pd.DataFrame(x, columns=book.feature_names)
    x = x[usable(pipeline, x)]
    assert len(x) > 100
    with np.errstate(all="ignore"):
        expected = pipeline.transform(x)
    np.testing.assert_array_equal(book.encode(x)[:, columns], expected)
    return book, columns


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaler", SCALERS)
def test_scaler_is_folded_exactly(scaler, dtype, rng):
    X = rng.normal([0, 1e4, -1e-3], [1, 3, 1e-5], size=(500, 3)).astype(np.float32).astype(dtype)
    pipeline = make_pipeline(SCALERS[scaler], QuantileQuantizer(4)).fit(X)
    book, columns = assert_equal_codes(pipeline, rng, dtype)
    assert columns.tolist() == [0, 1, 2]
    assert book.row_bits == 12


def test_scalers_round_in_the_type_of_their_input():
    """If many values lie on thresholds, the wrong type changes about half of their codes."""
    x32 = np.arange(1000, dtype=np.float32)[:, None] % 37 * np.float32(0.1)
    x64 = x32.astype(np.float64)
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(5)).fit(x64)
    codes = pipeline.transform(x64)
    np.testing.assert_array_equal(to_codebook(pipeline, dtype="float64").encode(x32), codes)
    np.testing.assert_array_equal(to_codebook(pipeline, dtype="float32").encode(x32), pipeline.transform(x32))
    assert (codes != pipeline.transform(x32)).mean() > 0.1


@settings(max_examples=60)
@given(
    kind=st.sampled_from(["standard", "min-max", "max-abs", "robust"]),
    center=st.sampled_from([0.0, 1.0, -1e5, 3e-39, 1e30]),
    spread=st.sampled_from([1.0, 1e-42, 1e-20, 1e4, 1e37]),
    seed=st.integers(0, 10_000),
)
def test_exact_or_refused_at_any_scale(kind, center, spread, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        X = np.clip(center + spread * rng.normal(size=(60, 1)), -MAX / 4, MAX / 4).astype(np.float32)
    thresholds = np.unique(rng.choice([-2.0, -0.5, -0.0, 1e-45, 1e-3, 0.3, 0.7, 3.0, 1e30], 4))
    pipeline = make_pipeline(SCALERS[kind], ThresholdQuantizer(thresholds))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline.fit(X)
    except ValueError:
        return  # the scaler overflows
    try:
        book = to_codebook(pipeline)
    except ValueError as error:
        assert any(why in str(error) for why in ("lies between", "exceeds the threshold", "keep the order"))  # noqa: PT017
        return
    x = probes(book, [0], 1, rng)
    with np.errstate(all="ignore"):
        z = pipeline[0].transform(x)
    np.testing.assert_array_equal(book.encode(x), pipeline[1].codebook_.encode(z))


def test_thresholds_by_hand():
    X = np.float32([[0], [8]])
    book = to_codebook(make_pipeline(MinMaxScaler(), ThresholdQuantizer([0.25, 0.5])).fit(X))
    assert book.thresholds[0].tolist() == [2.0, 4.0]
    assert book.levels[0].tolist() == [0.0, 3.0, 8.0]
    assert [c.tolist() for c in book.counts] == [[1, 0, 1]]


def test_codebooks_without_a_pipeline(rng):
    book = Codebook.from_thresholds([[0.5]])
    assert to_codebook(book) is book
    X = rng.normal(size=(60, 2)).astype(np.float32)
    quantizer = QuantileQuantizer(2).fit(X)
    assert to_codebook(quantizer) is quantizer.codebook_
    predictor = BitwiseRegressor(quantizer=quantizer, max_epochs=1, hidden_sizes=()).fit(X, X[:, 0])
    assert to_codebook(predictor) is predictor.codebook_
    scaled = make_pipeline(StandardScaler(), predictor).fit(X, X[:, 0])
    expected = make_pipeline(scaled[0], scaled[1].quantizer_).transform(X)
    np.testing.assert_array_equal(to_codebook(scaled).encode(X), expected)


@pytest.mark.parametrize("before", [[], ["passthrough"], [None], [FunctionTransformer()]])
def test_steps_that_do_nothing(before, rng):
    X = pd.DataFrame(rng.normal(size=(60, 2)).astype(np.float32), columns=["a", "b"])
    pipeline = make_pipeline(*before, QuantileQuantizer(2)).fit(X)
    assert to_codebook(pipeline) == pipeline[-1].codebook_


SELECTIONS = {
    "variance": (VarianceThreshold(0.01), [0, 2, 4]),
    "k best": (SelectKBest(k=2), [2, 4]),
    "model": (SelectFromModel(Ridge(alpha=100), max_features=1), [4]),
}


@pytest.mark.parametrize("kind", SELECTIONS)
@pytest.mark.parametrize("scale_first", [False, True])
def test_selection(kind, scale_first, rng):
    X = rng.normal(5, [1, 0.01, 2, 0.02, 3], size=(300, 5)).astype(np.float32)
    y = (2 * X[:, 2] + 5 * X[:, 4] > 35).astype(int)
    selector, selected = SELECTIONS[kind]
    steps = [StandardScaler(with_std=False), selector, MinMaxScaler()] if scale_first else [selector, StandardScaler()]
    pipeline = make_pipeline(*steps, QuantileQuantizer(3)).fit(X, y)
    book, columns = assert_equal_codes(pipeline, rng)
    assert columns.tolist() == selected
    assert book.n_features == 5
    inner = pipeline[-1].codebook_
    np.testing.assert_array_equal(book.n_bits[columns], inner.n_bits)
    others = np.setdiff1d(np.arange(5), columns)
    assert book.n_bits[others].tolist() == [0] * others.size
    assert book.row_bits == inner.row_bits
    assert book.encode(X)[:, others].max() == 0
    for j in others:
        assert book.levels[j] == pytest.approx(5 if scale_first else 0, abs=0.5)
        assert book.counts[j].tolist() == [300]


def test_levels_are_scaled_back(rng):
    X = rng.normal([100, -2], [5, 0.1], size=(400, 2)).astype(np.float32)
    scaled = to_codebook(make_pipeline(StandardScaler(), UniformQuantizer(3)).fit(X))
    plain = UniformQuantizer(3).fit(X).codebook_
    for one, other in zip(scaled.levels, plain.levels, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert scaled.levels[0].dtype == np.float32


def test_missing_code(rng):
    X = rng.normal(3, 2, size=(200, 3)).astype(np.float32)
    X[::5, 0] = NAN
    X[:, 1] = 7
    pipeline = make_pipeline(StandardScaler(), VarianceThreshold(), QuantileQuantizer(2, missing="code")).fit(X)
    book, columns = assert_equal_codes(pipeline, rng)
    assert columns.tolist() == [0, 2]
    assert book.has_missing.tolist() == [True, False, True]
    np.testing.assert_array_equal(book.encode(X)[:, columns], pipeline.transform(X))
    assert book.encode([[NAN, NAN, NAN]]).tolist() == [[3, 0, 3]]
    assert book.counts[0].tolist()[-1] == 40


def test_missing_codes_as_seen(rng):
    """NaN is refused as by the quantizer, but accepted in a column that is not selected."""
    X = rng.normal(3, 2, size=(200, 3)).astype(np.float32)
    X[::5, 0] = NAN
    X[:, 1] = 7
    pipeline = make_pipeline(StandardScaler(), VarianceThreshold(), QuantileQuantizer(2, missing="seen")).fit(X)
    book, columns = fold(pipeline)
    assert book.has_missing.tolist() == [True, False, False]
    assert book.refuses_nan.tolist() == [False, False, True]
    np.testing.assert_array_equal(book.encode(X)[:, columns], pipeline.transform(X))
    assert book.encode([[NAN, NAN, -100.0]]).tolist() == [[3, 0, 0]]
    for refuse in (book.encode, pipeline.transform):
        with pytest.raises(ValueError, match=r"NaN in feature \d \(row 0\), which has no missing code"):
            refuse(np.float32([[0, 0, NAN]]))


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_and_names(output, frame, rng):
    """There is no warning: warnings are errors here."""
    X = rng.normal(size=(100, 3)).astype(np.float32)
    X[:, 1] = 0
    X = frame(dict(zip("abc", X.T, strict=True)))
    dtype = "float64" if frame is pl.DataFrame else "float32"  # scikit-learn scales polars frames in float64
    pipeline = make_pipeline(StandardScaler(), VarianceThreshold(), QuantileQuantizer(3))
    pipeline.set_output(transform=output).fit(X)
    book = to_codebook(pipeline, dtype=dtype)
    assert book.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(book.encode(np.asarray(X))[:, [0, 2]], np.asarray(pipeline.transform(X)))


def test_column_transformer(rng):
    X = pd.DataFrame(rng.normal(3, 2, size=(200, 5)).astype(np.float32), columns=list("abcde"))
    scale = make_column_transformer(
        (StandardScaler(), ["a"]),
        ("drop", ["b"]),
        (make_pipeline(MinMaxScaler(), RobustScaler()), [2, 3]),
        (StandardScaler(), []),
        remainder="passthrough",
    )
    pipeline = make_pipeline(scale, QuantileQuantizer(3)).fit(X)
    book, columns = assert_equal_codes(pipeline, rng)
    assert columns.tolist() == [0, 2, 3, 4]
    assert book.feature_names == tuple("abcde")
    plain = QuantileQuantizer(3).fit(X).codebook_
    for j in columns:
        np.testing.assert_allclose(book.levels[j], plain.levels[j], rtol=1e-4)


def test_nested_pipelines(rng):
    X = rng.normal(3, 2, size=(100, 2)).astype(np.float32)
    inner = make_pipeline(StandardScaler(), "passthrough"), make_pipeline(MinMaxScaler(), QuantileQuantizer(3))
    book, _ = assert_equal_codes(make_pipeline(*inner).fit(X), rng)
    assert book.row_bits == 6


def test_pipeline_is_not_changed(rng):
    X = rng.normal(3, 2, size=(100, 2)).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(copy=False), QuantileQuantizer(3)).fit(X.copy())
    before = pipeline[-1].codebook_.to_json(), pipeline[0].mean_.copy()
    to_codebook(pipeline)
    assert (pipeline[-1].codebook_.to_json(), pipeline[0].mean_.tolist()) == (before[0], before[1].tolist())


# -- pipelines that cannot be exact ----------------------------------------------------------------------------


def test_a_threshold_that_no_float_exceeds_keeps_its_code():
    X = np.float32([[0], [1]])
    book = to_codebook(make_pipeline(MinMaxScaler(clip=True), ThresholdQuantizer([0.5, 1.0])).fit(X))
    assert book.thresholds[0].tolist() == [0.5, MAX]
    assert book.n_bits.tolist() == [2]
    assert book.encode([[0], [0.6], [MAX]]).ravel().tolist() == [0, 1, 1]


def test_thresholds_without_a_float_between_or_below_are_refused():
    X = pd.DataFrame({"speed": np.float32([0, 1])})
    for thresholds, problem in [
        ([0.5, 1.0, 2.0], "feature 'speed' lies between the thresholds 1.0 and 2.0, and none exceeds them"),
        (
            [-1.0, 0.5],
            "Every float32 of feature 'speed' exceeds the threshold -1.0, so no value has code 0: leave",
        ),
    ]:
        with pytest.raises(ValueError, match=problem):
            to_codebook(make_pipeline(MinMaxScaler(clip=True), ThresholdQuantizer(thresholds)).fit(X))


def test_timestamps_are_refused():
    """They were scaled in float64, so the quantizer saw values that no float32 reading can have."""
    seconds = 1.7e9 + np.arange(100.0)[:, None]
    pipeline = make_pipeline(StandardScaler(), UniformQuantizer(4)).fit(seconds)
    with pytest.raises(ValueError, match=r"No float32 of feature 0 lies between the thresholds .* subtract an offset"):
        to_codebook(pipeline)


class Negated(StandardScaler):
    def transform(self, X):
        return -super().transform(X)


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (SimpleImputer(), r"'simpleimputer' \(SimpleImputer\) cannot be folded.*missing=\"seen\""),
        (PowerTransformer(), r"'powertransformer' \(PowerTransformer\) cannot"),
        (FunctionTransformer(np.abs), r"'functiontransformer' \(FunctionTransformer\) cannot"),
        (Negated(), r"'negated' \(Negated\) cannot"),
        (ColumnTransformer([("gap", SimpleImputer(), [0])]), r"'columntransformer: gap' \(SimpleImputer\) cannot"),
        (
            ColumnTransformer([("a", StandardScaler(), [0])], transformer_weights={"a": -1}),
            "'columntransformer' multiplies columns by transformer_weights",
        ),
    ],
)
def test_other_steps_are_refused(step, problem, rng):
    pipeline = make_pipeline(StandardScaler(), step, QuantileQuantizer(2)).fit(rng.normal(size=(50, 2)))
    with pytest.raises(ValueError, match=f"Step {problem}"):
        to_codebook(pipeline)


@pytest.mark.parametrize("scale", [-1.0, 0.0, NAN, 1e-60])
def test_scale_that_does_not_keep_the_order_is_refused(scale, rng):
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(2)).fit(rng.normal(size=(50, 2)))
    pipeline[0].scale_[1] = scale
    with pytest.raises(ValueError, match=r"'standardscaler' has scale_\[1\] = .* values of feature 1"):
        to_codebook(pipeline)


def test_repeated_columns_are_refused(rng):
    parts = [(StandardScaler(), [0]), (MinMaxScaler(), [0])]
    pipeline = make_pipeline(make_column_transformer(*parts), QuantileQuantizer(2)).fit(rng.normal(size=(50, 2)))
    with pytest.raises(ValueError, match=r"return the columns \[0, 0\], but a codebook has every feature once"):
        to_codebook(pipeline)


def test_reordered_columns_take_their_places_again(rng):
    X = rng.normal(3, [1, 2, 3, 4], size=(200, 4)).astype(np.float32)
    scale = make_column_transformer((StandardScaler(), [3, 0]), (MinMaxScaler(), [2]), remainder="drop")
    pipeline = make_pipeline(scale, QuantileQuantizer([1, 2, 3])).fit(X)
    book, columns = assert_equal_codes(pipeline, rng)
    assert (columns.tolist(), book.n_bits.tolist()) == ([3, 0, 2], [2, 0, 3, 1])
    assert (book.folded_order.tolist(), book.folded_from) == ([3, 0, 2], pipeline[-1].codebook_.fingerprint)
    assert Codebook.from_json(book.to_json()) == book == pickle.loads(pickle.dumps(book))
    assert book != to_codebook(make_pipeline(StandardScaler(), QuantileQuantizer([2, 0, 3, 1])).fit(X))
    # Folded once more, into the order of the quantizer, with a column that is dropped.
    back = make_column_transformer(("drop", [3]), ("passthrough", [4, 0, 2, 1]))
    again = to_codebook(Pipeline([("back", back.fit(np.zeros((2, 5)))), ("book", book)]))
    assert (again.n_bits.tolist(), again.folded_order.tolist()) == ([0, 1, 3, 0, 2], [1, 4, 2])


def test_rows_in_another_order_are_predicted(rng):
    X = rng.normal(3, [1, 2, 3, 4], size=(200, 4)).astype(np.float32)
    scale = make_column_transformer((StandardScaler(), [3, 0]), (MinMaxScaler(), [2]), remainder="drop")
    regressor = BitwiseRegressor(2, max_epochs=1, hidden_sizes=(), random_state=0)
    pipeline = make_pipeline(scale, regressor).fit(X, X[:, 3])
    book, expected = to_codebook(pipeline), pipeline.predict(X)
    codes = book.encode(X)
    for data in (dumps(book, codes), RowCodec(book).pack(codes)):
        assert (regressor.predict_packed(data, codebook=book) == expected).all()
    receiver = Receiver([pipeline])
    assert (receiver.predict(dumps(book, codes)) == expected).all()
    with pytest.raises(ValueError, match="codebook was not folded from that of this BitwiseRegressor"):
        regressor.predict_packed(dumps(book, codes), codebook=Codebook.from_thresholds(book.thresholds))


def test_reordered_columns_with_the_fingerprint_of_the_quantizer_are_refused():
    """Its rows could be taken for those of the quantizer, with the features swapped."""
    swap = make_column_transformer(("passthrough", [1, 0]))
    pipeline = make_pipeline(swap, ThresholdQuantizer([0.5])).fit(np.float32([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match=r"in the order \[1, 0\], .* its rows could be mistaken: list the columns"):
        to_codebook(pipeline)


def test_pipeline_must_end_in_a_quantizer(rng):
    X = rng.normal(size=(50, 2))
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(2), HistGradientBoostingRegressor()).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"Step 'histgradientboostingregressor' is none of these: cut the pipeline"):
        to_codebook(pipeline)
    assert to_codebook(pipeline[:-1]).row_bits == 4


def test_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match=r"dtype must be one of \['float32', 'float64'\], got 'float16'"):
        to_codebook(Codebook.from_thresholds([[0]]), dtype="float16")


@pytest.mark.parametrize("wrong", [3, None, "passthrough", [[0.5]]])
def test_other_objects_are_refused(wrong):
    with pytest.raises(
        ValueError, match=r"Give a Codebook, a fitted quantizer or predictor of .*, or a Pipeline .*, got"
    ):
        to_codebook(wrong)


def test_unfitted_is_refused(rng):
    with pytest.raises(NotFittedError, match="QuantileQuantizer instance is not fitted"):
        to_codebook(make_pipeline(StandardScaler(), QuantileQuantizer()))
    fitted = QuantileQuantizer(2).fit(rng.normal(size=(50, 2)))
    with pytest.raises(NotFittedError, match="StandardScaler instance is not fitted"):
        to_codebook(make_pipeline(StandardScaler(), fitted))


def test_full_precision_has_no_codebook(rng):
    X = rng.normal(size=(50, 2))
    predictor = BitwiseRegressor(quantizer="passthrough", max_epochs=1, hidden_sizes=()).fit(X, X[:, 0])
    with pytest.raises(ValueError, match='no codebook with quantizer="passthrough"'):
        to_codebook(predictor)


def test_origin(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(2)).fit(X)
    folded = to_codebook(pipeline)
    assert folded.folded_from == pipeline[-1].codebook_.fingerprint != folded.fingerprint
    assert Codebook.from_json(folded.to_json()) == folded
    assert to_codebook(folded) is folded
    # Nothing was folded, so the codebook has the fingerprint of its model.
    for step in (FunctionTransformer(), "passthrough"):
        assert to_codebook(make_pipeline(step, QuantileQuantizer(2)).fit(X)).folded_from is None
