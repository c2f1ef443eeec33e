"""Categories in C: their constants, and their codes from a table, equal to those of the codebook."""

import re
import subprocess
from functools import cache
from itertools import product

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import dumps
from skbsq.export import to_c
from tests.export import driver, tools
from tests.export.test_c import pack, packets, short_frames, values_for

# Both compilers, and both languages.
FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in [("gcc", "sanitized"), ("clang", "c++11"), ("gcc", "fast-math")]
]
FLOAT, CATEGORY = 0, 1
UNKNOWN = 2**32 - 1

VALVE = {"open": 0, "ajar": 1, "shut": 1, "stuck": 2}
MANY = {f"station {k}": k * 3 // 4 for k in range(400)}
BOOKS = {
    "plain": Codebook.from_thresholds([[-1.0, 0, 1], VALVE, {True: 0, False: 1}, [5.0]]),
    "one_code": Codebook.from_thresholds([VALVE | {None: 3}, {"a": 0}, {7: 0, None: 1}]),
    "unknown": Codebook.from_thresholds(
        [VALVE | {None: 3}, [0.5, 1.5], {3: 0, -3: 1}, {1: 0, None: 1}, {"a": 0}],
        missing="seen",
        has_missing=[False, True, False, False, False],
        handle_unknown="missing",
    ),
    "all_missing": Codebook.from_thresholds([[0.5], VALVE | {None: 3}], missing="code", handle_unknown="missing"),
    "seen_refuses": Codebook.from_thresholds(
        [[0.5], VALVE | {None: 3}, [], {"b": 0}], missing="seen", has_missing=[True, False, False, False]
    ),
    "wide": Codebook.from_thresholds([MANY, [0.0], VALVE], feature_names=["station", "t", "valve"]),
    "unsent": Codebook.from_thresholds([{"a": 0}, [1.0], {True: 0, False: 0}]),
}
# Codebooks of a header with several rates. The order of the categories is that of the finest.
RATES = {
    "steps": [
        Codebook.from_thresholds([[0.0, 1, 2], VALVE | {None: 3}, MANY]),
        Codebook.from_thresholds([[1.0], dict(open=0, ajar=0, shut=0, stuck=1) | {None: 2}, dict.fromkeys(MANY, 0)]),
    ],
}
COUNTS = {
    "int16": (BOOKS["plain"], dict(scale=[0.25, 1, 1, 2], count_type="int16", missing_count=-1)),
    "uint8": (BOOKS["unknown"], dict(scale=0.25, count_type="uint8", missing_count=[255, 9, 200, None, None])),
    "none": (BOOKS["plain"], dict(scale=0.25, count_type="uint16")),
}
TYPES = dict.fromkeys([*BOOKS, *RATES], "float") | {name: f"{o['count_type']}_t" for name, (_, o) in COUNTS.items()}
# The same with optimize="speed".
TYPES |= {f"fast_{name}": kind for name, kind in TYPES.items() if name not in RATES}

# Encodes a row, then puts each feature into a row that was cleared, as a value or as a category.
PUTS = """
#ifdef NAME_MASK_BYTES
#define NAME_CLEAR name_clear(row, mask)
#define NAME_FILL(j, x) name_fill(row, mask, j, x)
#define NAME_FILL_CATEGORY(j, x) name_fill_category(row, mask, j, x)
#else
#define NAME_CLEAR name_clear(row)
#define NAME_FILL(j, x) name_put(row, j, x)
#define NAME_FILL_CATEGORY(j, x) name_put_category(row, j, x)
#endif
static void puts_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint32_t *categories = (uint32_t *)malloc(NAME_FEATURES * sizeof *categories);
    uint8_t *kinds = (uint8_t *)malloc(NAME_FEATURES), *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1);
    for (; n > 0; --n) {
        uint32_t j;
        int32_t result, ready = 0;
#ifdef NAME_MASK_BYTES
        uint8_t *mask = (uint8_t *)malloc(NAME_MASK_BYTES);
#endif
        get(x, NAME_FEATURES * sizeof *x);
        get(categories, NAME_FEATURES * sizeof *categories);
        get(kinds, NAME_FEATURES);
        fill(row, 0xA5, NAME_ROW_BYTES);
        result = name_encode(x, row);
        put(&result, 4);
        put(row, NAME_ROW_BYTES);
        NAME_CLEAR;
        for (j = 0; j < NAME_FEATURES; ++j) {
            result = kinds[j] ? NAME_FILL_CATEGORY(j, categories[j]) : NAME_FILL(j, x[j]);
            put(&result, 4);
        }
        if (NAME_FILL_CATEGORY(NAME_FEATURES, 0) != -1 || name_put_category(row, 0xFFFFFFFFu, 0) != -1)
            exit(7);
#ifdef NAME_MASK_BYTES
        ready = name_ready(mask);
        free(mask);
#endif
        put(&ready, 4);
        put(row, NAME_ROW_BYTES);
    }
    free(x);
    free(categories);
    free(kinds);
    free(row);
}
"""
MORE = {"puts": PUTS}


@cache
def headers():
    texts = {name: to_c(book, name) for name, book in BOOKS.items()}
    texts |= {name: to_c(fine, name, coarser=coarser) for name, (fine, *coarser) in RATES.items()}
    texts |= {name: to_c(book, name, **options) for name, (book, options) in COUNTS.items()}
    fast = {f"fast_{name}": to_c(book, f"fast_{name}", optimize="speed") for name, book in BOOKS.items()}
    fast |= {
        f"fast_{name}": to_c(book, f"fast_{name}", optimize="speed", **options)
        for name, (book, options) in COUNTS.items()
    }
    return texts | fast


@pytest.fixture(scope="module", params=FLAVOURS)
def program(request, tmp_path_factory):
    tools.need(*request.param)
    return driver.build(tmp_path_factory.mktemp("c"), headers(), TYPES, request.param, MORE)


def code_of_category(book, j, number):
    """Return the code of a category by its number, None if it is refused. The slow reference."""
    entries = dict(book.categories[j])
    missing = entries.pop(None, None)
    if number != number:
        return 0 if book.n_levels[j] == 1 else missing
    if number in range(len(entries)):
        return list(entries.values())[int(number)]
    if book.n_levels[j] == 1:
        return 0
    return missing if book.handle_unknown == "missing" else None


def code_of_value(book, j, value):
    if book.categories[j] is not None:
        return code_of_category(book, j, value)
    if value == value:
        return int((value > book.thresholds[j]).sum())
    return None if book.refuses_nan[j] else int(book.n_levels[j] - 1) * bool(book.has_missing[j])


def code_of_put(book, j, value, category, kind):
    """Return the code that `put` or `put_category` writes, None if it is refused."""
    if book.n_bits[j] == 0:
        return 0
    if (book.categories[j] is not None) != (kind == CATEGORY):
        return None
    return code_of_category(book, j, category) if kind == CATEGORY else code_of_value(book, j, value)


def numbers_of(codes):
    """Return for rows of codes the number of the first that is None, or 0."""
    return np.array([next((j for j, code in enumerate(row, 1) if code is None), 0) for row in codes], dtype=np.int32)


def packed(book, codes):
    return pack(book, np.array([[0 if code is None else code for code in row] for row in codes]))


def rows_of(book, rng):
    """Return numbers of all categories, others, and values of numeric features beside their thresholds."""
    columns = np.resize(values_for(book, rng), (500, book.n_features)).T
    strange = [np.nan, -1, -0.0, 0.5, 1.5, 2**-140, 255, 256, 65536, 2**24 - 1, 2**24, 2**31, 2**32, 1e30, -1e30]
    for j, codes in enumerate(book.categories):
        if codes is not None:
            known = np.arange(len(codes) + 2)
            column = np.append(np.resize(known, max(known.size, 200)), [*strange, np.inf, -np.inf])
            columns[j] = np.resize(rng.permutation(column), 500)
    return np.ascontiguousarray(columns.T)


def case(name, book, values, X):
    """Return the input of `puts` for rows, what it must write, and whether the rows are refused."""
    rng = np.random.default_rng(3)
    d = book.n_features
    categories = np.where(rng.random(X.shape) < 0.1, UNKNOWN, rng.integers(0, 6, X.shape)).astype(np.uint32)
    kinds = np.where(rng.random(X.shape) < 0.1, 1 - book.is_categorical, book.is_categorical).astype(np.uint8)
    inputs = np.rec.fromarrays(
        [values, categories, kinds], dtype=[("x", values.dtype, d), ("categories", "<u4", d), ("kinds", "u1", d)]
    )
    codes = [[code_of_value(book, j, x) for j, x in enumerate(row)] for row in X.tolist()]
    refused = numbers_of(codes)
    rows = packed(book, codes)
    rows[refused > 0] = 0
    puts = [
        [code_of_put(book, j, *entry) for j, entry in enumerate(zip(*row, strict=True))]
        for row in zip(X.tolist(), categories.tolist(), kinds.tolist(), strict=True)
    ]
    results = np.array([[(code is None) * j for j, code in enumerate(row, 1)] for row in puts])
    ready = numbers_of(puts) * book.refuses_nan.any()
    cleared = np.where(book.has_missing, book.n_levels - 1, 0).tolist()
    put = packed(book, [[b if a is None else a for a, b in zip(row, cleared, strict=True)] for row in puts])
    fields = [("refused", "<i4"), ("row", "u1", rows.shape[1]), ("results", "<i4", d), ("ready", "<i4")]
    fields.append(("put", "u1", put.shape[1]))
    return inputs, np.rec.fromarrays([refused, rows, results, ready, put], dtype=fields)


def counts_of(book, options, rng):
    """Return rows of counts, and their values."""
    info = np.iinfo(options["count_type"])
    counts = rng.integers(0, np.where(book.is_categorical, 4, 20), (500, book.n_features))
    counts = np.where(rng.random(counts.shape) < 0.1, rng.integers(max(info.min, -8), 20, counts.shape), counts)
    missing = options.get("missing_count")
    missing = missing if isinstance(missing, list) else [missing] * book.n_features
    X = (counts * np.where(book.is_categorical, 1, options["scale"])).astype(np.float32)
    for j, count in enumerate(missing):
        if count is not None:
            counts[j::9, j] = count
            X[counts[:, j] == count, j] = np.nan
    return counts.astype(info.dtype), X


@cache
def cases():
    rng = np.random.default_rng(0)
    found = {}
    for name, book in BOOKS.items():
        X = rows_of(book, rng)
        found[name] = case(name, book, X, X)
    for name, (book, options) in COUNTS.items():
        found[name] = case(name, book, *counts_of(book, options, rng))
    return found


def check_puts(program, emulator=()):
    for (name, (inputs, expected)), speed in product(cases().items(), ("", "fast_")):
        found = np.frombuffer(driver.run(program, speed + name, "puts", inputs, emulator), dtype=expected.dtype)
        for field in expected.dtype.names:
            assert (found[field] == expected[field]).all(), (speed + name, field)


def test_rows_equal_the_codebook(program):
    check_puts(program)


def test_cases_hold_rows_of_every_kind():
    """Otherwise the test above would compare little."""
    for name, (_, expected) in cases().items():
        book = BOOKS.get(name) or COUNTS[name][0]
        accepted = (expected["refused"] == 0).mean()
        assert accepted > 0.02, name
        assert (accepted < 1) == (name != "all_missing"), name
        if book.refuses_nan.any():
            assert 0 < (expected["ready"] == 0).mean() < 1, name


def test_reference_equals_the_codebook():
    """On all categories, missing ones and unknown ones."""
    for book in BOOKS.values():
        for j, codes in enumerate(book.categories):
            if codes is None:
                continue
            known = [category for category in codes if category is not None]
            one = Codebook.from_thresholds([codes], handle_unknown=book.handle_unknown)
            numbers = [code_of_category(book, j, number) for number in range(len(known))]
            assert one.encode([[category] for category in known]).ravel().tolist() == numbers
            for number, category in [(np.nan, None), (len(known), "no category")]:
                expected = code_of_category(book, j, number)
                if expected is None:
                    with pytest.raises(ValueError, match=r"is no category of|which has no missing code"):
                        one.encode(np.array([[category]], dtype=object))
                else:
                    assert one.encode(np.array([[category]], dtype=object)).tolist() == [[expected]]


def accepted(name, n):
    book = BOOKS[name]
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, book.n_features), dtype=np.float32)
    for j in np.flatnonzero(book.is_categorical):
        X[:, j] = rng.integers(0, len(book.categories[j]) - bool(book.has_missing[j]), n)
    return book, X


def test_messages_frames_and_packets(program):
    for name in ("plain", "unknown", "wide"):
        book, X = accepted(name, 20)
        codes = book.encode_numbers(X)
        assert driver.run(program, name, "message", X) == dumps(book, codes)
        assert driver.run(program, name, "stream", X) == dumps(book, codes)
        assert driver.run(program, name, "short", X) == short_frames(book, codes)
        assert driver.run(program, name, "change", X) == packets(book, codes)


def test_rates(program):
    rng = np.random.default_rng(2)
    for name, books in RATES.items():
        X = rows_of(books[0], rng)
        expected = []
        for book in books:
            codes = [[code_of_value(book, j, x) for j, x in enumerate(row)] for row in X.tolist()]
            rows, refused = packed(book, codes), numbers_of(codes)
            rows[refused > 0] = 0
            expected.append((refused, rows))
        driver.check_rates(program, name, X, expected)


@pytest.mark.parametrize(
    "codes", [{"shut": 0, "ajar": 1, "open": 1}, {"open": 0, "ajar": 1}, {"open": 0, "shut": 1, "x": 1}]
)
def test_other_categories_are_no_rate(codes):
    fine = Codebook.from_thresholds({"valve": {"open": 0, "ajar": 1, "shut": 2}})
    with pytest.raises(ValueError, match=r"coarser\[0\] cannot be a rate of this codebook: "):
        to_c(fine, "x", coarser=[Codebook.from_thresholds({"valve": codes})])
    assert "X_RATE_0 1" in to_c(fine, "x", coarser=[Codebook.from_thresholds({"valve": dict.fromkeys(codes, 0)})])


# -- constants -------------------------------------------------------------------------------------------------------

STRANGE = Codebook.from_thresholds(
    {
        "valve (main)": {
            "open": 0,
            "OPEN": 1,
            "*/ #error": 0,
            "??/": 0,
            "": 0,
            "\N{SNOWMAN}": 0,
            "a b": 0,
            "name_x": 0,
        },
        "n": {-1: 0, 1: 1, 0: 0},
        "on": {True: 0, False: 1},
        "ROW": {"bytes": 0, "bits": 1},
        "FEATURE": {"n": 0},
        "N": {"u": 0},
        "a_B": {"c": 0, "d": 1},
        "a": {"b_c": 0, "b_e": 1},
        "t": [0.5],
    }
)


def constants(text):
    return {name: int(number) for name, number in re.findall(r"^    (HUT_\w+) = (\d+), /\*", text, re.MULTILINE)}


def test_constants_by_hand():
    text = to_c(STRANGE, "hut")
    assert text.isascii()
    assert '    HUT_valve_main_OPEN_0 = 0, /* "open" */\n' in text
    assert "    HUT_n_MINUS_1 = 0, /* -1 */\n    HUT_n_0 = 1, /* 0 */\n    HUT_n_1 = 2, /* 1 */\n" in text
    assert "    HUT_on_TRUE = 0, /* true */\n    HUT_on_FALSE = 1, /* false */\n" in text
    assert '/* "* / #error" */' in text
    found = constants(text)
    assert len(found) == sum(len(codes) for codes in STRANGE.categories if codes)
    assert {"HUT_valve_main_NAME_X", "HUT_ROW_BYTES_0", "HUT_a_B_C", "HUT_a_B_C_0"} <= set(found)
    assert "HUT_x1_STUCK = 3, " in to_c(BOOKS["plain"], "hut")


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_constants_compile(language, tmp_path):
    """Each is the number of its category, whose code is written."""
    command = tools.need_c(*driver.FLAVOURS[language])
    (tmp_path / "hut.h").write_text(to_c(STRANGE, "hut"), encoding="ascii")
    (tmp_path / "main.c").write_text(
        """#include "hut.h"
        int main(void) {
            uint8_t row[HUT_ROW_BYTES], mask[HUT_MASK_BYTES];
            hut_clear(row, mask);
            return hut_put_category(row, HUT_FEATURE_on, HUT_on_FALSE) || hut_put_category(row, HUT_FEATURE_n, HUT_n_1)
                || hut_fill_category(row, mask, HUT_FEATURE_a, HUT_a_B_C_0) ? -1 : row[0];
        }""",
        encoding="ascii",
    )
    driver.compile_c([*command, "-o", "main", "main.c"], tmp_path)
    code = subprocess.run([tmp_path / "main"], check=False).returncode
    assert code == 0b110


def test_tables_are_bytes():
    text = to_c(BOOKS["plain"], "x")
    assert "static const uint8_t x_category_codes[] X_FLASH = {0, 1, 1, 2, 0, 1};" in text
    assert "static const uint8_t x_category_offsets[] X_FLASH = {0, 0, 4, 6, 6};" in text
    assert "static const uint16_t x_category_codes[] X_FLASH = {" in to_c(BOOKS["wide"], "x")
    assert "    /* 0 */\n    -" in text  # thresholds of numeric features alone
    assert "    /* 1 */\n    /* 2 */\n    /* 3 */\n" in text


def test_numeric_codebooks_have_none_of_it():
    assert "categor" not in to_c(Codebook.from_thresholds([[0.5], [1, 2]]), "x")


def test_features_without_bits_take_no_table():
    text = to_c(BOOKS["unsent"], "x")
    assert "x_category_codes[] X_FLASH = {0};" in text
    assert "X_x0_A = 0, " in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(count_type="uint8"), "uint8 has no count for each of the 400 categories of feature 'station': give"),
        (dict(missing_count=399), "missing_count is 399 for feature 'station', which is the number of one of its"),
        (dict(missing_count=[None, 0, 3]), "missing_count is 3 for feature 'valve', which is the number of one of its"),
    ],
)
def test_counts_of_categories(options, message):
    with pytest.raises(ValueError, match=message):
        to_c(BOOKS["wide"], "x", scale=1, **options)
