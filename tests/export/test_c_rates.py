"""One header for several rates: at each of them the C gives the codes, rows and messages of its codebook."""

import re
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseQuantizer, Codebook
from skbsq.codec import RowCodec, loads, read_messages_of
from skbsq.codec.crc import check_sum
from skbsq.export import to_c, to_codebook
from skbsq.nn import Thermometer
from tests.export import driver, tools
from tests.export.test_c import COUNT_CASES, count_types, count_values, expected, values_for
from tests.export.test_onnx import assert_equal_codes

# Both compilers, and both languages.
FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in zip(tools.C_COMPILERS, ("sanitized", "c++11"), strict=True)
]


def halved(book, *bits):
    """Return a codebook and what is left of it at fewer bits."""
    return [book, *map(book.coarsened, bits)]


def chosen(book, sizes, rng):
    """Return a codebook and others with some of its thresholds, chosen at random: none in a few features."""
    rates = [book]
    for size in sizes:
        kept = [rng.choice(t, min(t.size, size * (rng.random() < 0.8))) for t in book.thresholds]
        has_bits = np.array([t.size > 0 for t in kept])
        rates.append(Codebook.from_thresholds(kept, missing="seen", has_missing=book.has_missing & has_bits))
    return rates


def cases():
    """Return the codebooks of a header by its name, the finest first."""
    rng = np.random.default_rng(0)
    few = [*np.quantile(rng.standard_normal((500, 3)), np.arange(1, 16) / 16, axis=0).T, [], [0.5], range(9)]
    largest = np.finfo(np.float32).max
    mixed = Codebook.from_thresholds(few, missing="seen", has_missing=[True, False, True, True, False, False])
    wide = Codebook.from_thresholds([rng.standard_normal(1000), [0.5, 1]], missing="code")
    return {
        "halved": halved(Codebook.from_thresholds(few), 3, 2, 1),
        "none": halved(Codebook.from_thresholds([[1.0], [2.0, 3.0]]), 0),
        "ends": halved(Codebook.from_thresholds([[-largest, -1e-45, 0, 1e-45, largest], [1e-40]]), [2, 0], [1, 0]),
        "all_missing": halved(Codebook.from_thresholds(few, missing="code"), 3, 2, 1),
        "some_missing": halved(mixed, [3, 3, 3, 3, 3, 0], 1),
        "chosen": chosen(Codebook.from_thresholds(few), [9, 5, 1], rng),
        "chosen_few": chosen(Codebook.from_thresholds([*rng.standard_normal((2, 255)), [1, 2, 3], []]), [3, 1], rng),
        "chosen_missing": chosen(mixed, [9, 3], rng),
        "chosen_few_missing": chosen(mixed, [1], rng),
        "wide": chosen(wide, [300, 20], rng),
        "wide_few": chosen(wide, [3], rng),
    }


RATES = cases()
# Those with a million values.
MANY = ("halved", "chosen_missing", "chosen_few")
COUNT_RATES = {
    name: halved(COUNT_CASES[name][0], 3, [0, 1, 2, 2, 1], 1)
    for name in ("uint8_code", "uint8_seen", "int8_error", "int16_code")
}
TYPES = dict.fromkeys(RATES, "float") | {name: count_types()[name] for name in COUNT_RATES}


@cache
def headers():
    """Return the header of each case."""
    texts = {name: to_c(fine, name, coarser=coarser) for name, (fine, *coarser) in RATES.items()}
    for name, (fine, *coarser) in COUNT_RATES.items():
        texts[name] = to_c(fine, name, coarser=coarser, **COUNT_CASES[name][1])
    return texts


def rows_of(name, n=0):
    """Return rows with all thresholds and their neighbours, NaN and infinities, and n random rows."""
    rng = np.random.default_rng(1)
    book = RATES[name][0]
    return np.concatenate([values_for(book, rng), rng.standard_normal((n, book.n_features), dtype=np.float32)])


@pytest.fixture(scope="module", params=FLAVOURS)
def program(request, tmp_path_factory):
    tools.need(*request.param)
    return driver.build(tmp_path_factory.mktemp("rates"), headers(), TYPES, request.param)


def check_rates(program, emulator=()):
    for name, rates in RATES.items():
        X = rows_of(name)
        driver.check_rates(program, name, X, [expected(book, X) for book in rates], emulator)
    for name, rates in COUNT_RATES.items():
        counts, X = (rows[::5] for rows in count_values(name))
        driver.check_rates(program, name, counts, [expected(book, X) for book in rates], emulator)


def test_rows_equal_the_codebooks(program):
    check_rates(program)


def test_the_finest_rate_is_that_of_the_other_functions(program):
    for name, (fine, *_) in RATES.items():
        X = rows_of(name)
        driver.check_rows(program, name, X, *expected(fine, X))


def test_a_stream_of_all_rates_is_read(program):
    for name, rates in RATES.items():
        X = np.random.default_rng(2).standard_normal((10 * len(rates), rates[0].n_features), dtype=np.float32)
        messages = list(read_messages_of(driver.run(program, name, "mixed", X), rates))
        assert len(messages) == 5 * len(rates)
        for i, (book, codes) in enumerate(messages):
            assert book == rates[i % len(rates)]
            np.testing.assert_array_equal(codes, book.encode(X[2 * i : 2 * i + 2]))


def test_short_frames_of_all_rates_equal_those_of_python(program):
    for name, rates in RATES.items():
        X = np.random.default_rng(3).standard_normal((3, rates[0].n_features), dtype=np.float32)
        expected = b""
        for x, (number, book) in product(X, enumerate(rates)):
            frame = bytes([number]) + RowCodec(book).pack(book.encode([x])).tobytes()
            expected += b"".join(frame + check_sum(bits, book.fingerprint, frame) for bits in (16, 8))
            if book.row_bits:
                assert loads(expected[-len(frame) - 1 :], book, frame="short", id=number, crc=8).tolist() == (
                    book.encode([x]).tolist()
                )
        assert driver.run(program, name, "short_rates", X) == expected


@pytest.fixture(scope="module")
def large_program(tmp_path_factory):
    command = tools.need_c(*driver.FLAVOURS["c99"])
    texts = {name: headers()[name] for name in MANY}
    return driver.build(tmp_path_factory.mktemp("many"), texts, TYPES, command)


@pytest.mark.parametrize("name", MANY)
def test_numpy_torch_c_and_onnx_agree_on_a_million_values(name, large_program):
    fine, *coarser = RATES[name]
    X = rows_of(name, 10**6 // fine.n_features)
    driver.check_rates(large_program, name, X, [expected(book, X) for book in (fine, *coarser)])
    accepted = X[~(np.isnan(X) & fine.refuses_nan).any(axis=1)]
    fine_codes = fine.encode(accepted)
    for book in (fine, *coarser):
        assert_equal_codes(book, X)
        codes = book.encode(accepted)
        np.testing.assert_array_equal(Thermometer(book).encode(torch.from_numpy(accepted)).numpy(), codes)
        np.testing.assert_array_equal(fine.recode(fine_codes, book), codes)


# -- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    rng = np.random.default_rng(3)
    X = rng.normal(5, 2, (300, 3)).astype(np.float32)
    quantizer = BitwiseQuantizer(3, rates=(1, 2), max_epochs=2, hidden_sizes=(8,), random_state=0)
    return make_pipeline(StandardScaler(), quantizer).fit(X, X.sum(axis=1))


def without_rates_names(text):
    """Return the C without the names of the rates, and without title and guard, which depend on them."""
    return re.sub(r"(?s)\A.*?(?=#include)|_RATE_\d+", "", text)


def test_a_pipeline_has_the_rates_of_its_quantizer(pipeline):
    scaler, quantizer = pipeline
    fine, *coarser = (to_codebook(make_pipeline(scaler, quantizer.at(rate))) for rate in (3, 2, 1))
    text = to_c(pipeline, "x")
    assert without_rates_names(text) == without_rates_names(to_c(fine, "x", coarser=coarser))
    assert re.findall("#define X_RATE_.*", text) == ["#define X_RATE_3 0", "#define X_RATE_2 1", "#define X_RATE_1 2"]
    for rate, book in zip((3, 2, 1), (fine, *coarser), strict=True):
        assert f"   {rate}, {3 - rate}, {3 * rate}, {book.fingerprint.hex()}" in text


def test_one_rate_of_a_model_has_the_header_of_its_codebook(pipeline):
    quantizer = pipeline[-1]
    assert to_c(quantizer.at(2), "x") == to_c(quantizer.codebooks_[2], "x")
    assert "RATE" not in to_c(quantizer.codebook_, "x")


# -- text and errors -------------------------------------------------------------------------------------------------

FINE = Codebook.from_thresholds([[1, 2, 3, 4, 5, 6, 7], [10]], feature_names=["a", "b"])


def test_functions_of_the_finest_rate_are_unchanged():
    for name, (fine, *_) in RATES.items():
        (*parts, last) = to_c(fine, name).split("\n\n")[3:]  # without title and guard
        assert last == "#endif\n"
        assert set(parts) <= set(headers()[name].split("\n\n"))


def test_constants():
    text = to_c(FINE, "hut", coarser=[FINE.coarsened(2), FINE.coarsened([2, 0])])
    for line in [
        "#define HUT_RATES 3",
        "#define HUT_RATE_4 0\n#define HUT_RATE_3 1\n#define HUT_RATE_2 2",
        "#define HUT_ROW_BITS_AT(rate) ((rate) == 1 ? 3u : (rate) == 2 ? 2u : 4u)",
        "#define HUT_ROW_BITS 4",
    ]:
        assert line in text


def test_coarse_codes_come_from_the_smallest_tables():
    """They are shifted where that is right; else their steps are listed or marked."""
    ways = {name: (f"{name}_steps[] " in headers()[name], f"{name}_rate_marks[" in headers()[name]) for name in RATES}
    shifted, listed, marked = ({name for name in ways if ways[name] == way} for way in [(0, 0), (1, 0), (0, 1)])
    # With 2^b - 1 thresholds the missing code is 2^b, which is shifted like the others.
    assert shifted == {"halved", "none", "ends", "some_missing"}
    assert listed == {"chosen_few", "chosen_few_missing", "wide_few"}
    assert marked == set(RATES) - shifted - listed
    assert "static const uint16_t wide_few_steps[] " in headers()["wide_few"]
    assert all(len(re.findall(r"_thresholds\[\] \w+_FLASH = ", text)) == 1 for text in headers().values())


def test_shifted_codes_need_a_byte_per_feature():
    text = to_c(FINE, "hut", coarser=[FINE.coarsened(2), FINE.coarsened(1)])
    assert "hut_rate_bits[2][2] HUT_FLASH = {\n    {2, 1},\n    {1, 1}};" in text
    assert "hut_rate_row_bytes[] HUT_FLASH = {1, 1, 1};" in text


def test_listed_steps_need_a_byte_per_threshold():
    fine = Codebook.from_thresholds([range(1, 32), [10]])
    text = to_c(fine, "hut", coarser=[Codebook.from_thresholds(t) for t in ([[5, 31], []], [[], [10]])])
    assert "hut_steps[] HUT_FLASH = {4, 30, 255, 0};" in text
    assert "hut_step_starts[] HUT_FLASH = {0, 0, 3};" in text


def test_marks_need_a_bit_per_fine_threshold():
    text = to_c(FINE, "hut", coarser=[Codebook.from_thresholds([[1, 5, 6], [10]])])
    assert f"hut_rate_marks[1][1] HUT_FLASH = {{\n    {{{0b10110001}}}}};" in text


@pytest.mark.parametrize(
    ("coarser", "message"),
    [
        ([Codebook.from_thresholds([[1.5], [10]])], r"coarser\[0\] .*: its threshold 1.5 of feature 'a' is not in"),
        ([Codebook.from_thresholds([[1]])], "it has 1 features, and this codebook has 2"),
        ([Codebook.from_thresholds({"a": [1], "c": [10]})], "its features have other names"),
        ([Codebook.from_thresholds([[1], [10]], missing="code")], "only one of the two has a missing code"),
        ([FINE.coarsened(2), FINE.coarsened(2)], r"coarser\[1\] has 3 bits per row, as another codebook has"),
        ([FINE], r"coarser\[0\] has 4 bits per row"),
        (FINE.coarsened(1), "coarser must be a list of Codebooks"),
        ([2], r"coarser must be a list of Codebooks, got \[2\]"),
        ({1: FINE.coarsened(1)}, "coarser must be a list of Codebooks"),
    ],
)
def test_bad_coarser(coarser, message):
    with pytest.raises(ValueError, match=message):
        to_c(FINE, "x", coarser=coarser)


def test_coarser_beside_the_rates_of_a_model(pipeline):
    quantizer = pipeline[-1]
    with pytest.raises(ValueError, match=r"this model has the rates \[3, 2, 1\]: leave coarser out"):
        to_c(quantizer, "x", coarser=[quantizer.codebook_.coarsened(1)])
