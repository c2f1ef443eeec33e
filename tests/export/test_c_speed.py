"""C that is optimized for speed gives the rows of the other C."""

from functools import cache

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.export import to_c
from tests.export import driver, test_c_rates, tools
from tests.export.test_c import BOOKS, COUNT_CASES, check_books, check_counts, count_types, expected
from tests.strategies import neighbours

FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in [("gcc", "sanitized"), ("clang", "c++11"), ("gcc", "fast-math")]
]


@cache
def headers():
    return {name: to_c(book, name, optimize="speed") for name, book in BOOKS.items()}


@cache
def count_texts():
    return {name: to_c(book, name, optimize="speed", **options) for name, (book, options) in COUNT_CASES.items()}


@pytest.mark.parametrize("command", FLAVOURS)
def test_rows_equal_the_codebook(command, tmp_path):
    tools.need(*command)
    books = BOOKS if "-O3" not in command else {name: book for name, book in BOOKS.items() if name != "wide"}
    texts = {name: headers()[name] for name in books}
    check_books(driver.build(tmp_path, texts, dict.fromkeys(books, "float"), command), books=books)


@pytest.mark.parametrize("command", FLAVOURS[:2])
def test_all_counts_equal_the_codebook(command, tmp_path):
    tools.need(*command)
    check_counts(driver.build(tmp_path, count_texts(), count_types(), command))


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("missing", ["error", "code"])
def test_a_million_patterns(missing, optimize, tmp_path):
    """Any bits of a float, NaN among them, and the neighbours of all thresholds; in each feature."""
    command = tools.need_c(*driver.FLAVOURS["fast-math"])
    rng = np.random.default_rng(5)
    patterns = rng.integers(0, 2**32, (8, 15), dtype=np.uint32).view(np.float32)
    book = Codebook.from_thresholds(list(np.nan_to_num(patterns)), missing=missing)
    n = 125_000
    near = np.concatenate([neighbours(t) for t in book.thresholds])
    X = rng.integers(0, 2**32, (n, 8), dtype=np.uint32).view(np.float32)
    X[: near.size] = near[:, None]
    program = driver.build(tmp_path, {"x": to_c(book, "x", optimize=optimize)}, {"x": "float"}, command)
    driver.check_rows(program, "x", X, *expected(book, X))


def test_rates_are_those_of_the_small_c(tmp_path):
    command = tools.need_c(*driver.FLAVOURS["sanitized"])
    rates = test_c_rates.RATES["chosen_missing"]
    text = to_c(rates[0], "chosen_missing", coarser=rates[1:], optimize="speed")
    program = driver.build(tmp_path, {"chosen_missing": text}, {"chosen_missing": "float"}, command)
    X = np.random.default_rng(0).standard_normal((500, rates[0].n_features), dtype=np.float32)
    driver.check_rates(program, "chosen_missing", X, [expected(book, X) for book in rates])
    driver.check_rows(program, "chosen_missing", X, *expected(rates[0], X))


def test_text_by_hand():
    """A search for each number of thresholds, whole bytes into the row, and no look at a feature of 0 bits."""
    book = Codebook.from_thresholds([range(7), [], range(15), [0.5], range(15)])
    text = to_c(book, "x", optimize="speed")
    assert text.count("static inline uint32_t x_find_") == 3
    encode = text[text.index("static inline int x_encode(") :]
    assert [line.strip() for line in encode[: encode.index("\n}")].splitlines()[2:]] == [
        "uint32_t code, waiting;",
        "uint32_t refused = 0;",
        "code = x_find_7_refusing(x_thresholds + 0, x_float_bits(x[0]));",
        "refused |= code;",
        "waiting = code;",
        "code = x_find_15_refusing(x_thresholds + 7, x_float_bits(x[2]));",
        "refused |= code;",
        "waiting |= code << 3;",
        "code = x_find_1_refusing(x_thresholds + 22, x_float_bits(x[3]));",
        "refused |= code;",
        "waiting |= code << 7;",
        "row[0] = X_CAST(uint8_t, waiting & 0xFFu);",
        "code = x_find_15_refusing(x_thresholds + 23, x_float_bits(x[4]));",
        "refused |= code;",
        "waiting = code;",
        "row[1] = X_CAST(uint8_t, waiting);",
        "if (refused >> 31)",
        "return x_refuse(x, row);",
        "return 0;",
    ]


def test_no_value_is_tested_if_none_is_missing():
    book = Codebook.from_thresholds([[1.0], [2.0]])
    text = to_c(book, "x", scale=1, missing_count=[None, 7], optimize="speed")
    assert "x_find_1(x_thresholds + 0, x[0])" in text
    assert "x_find_1_refusing_at(x_thresholds + 1, x[1], 7)" in text
    assert "x_refuse(" in text
    assert "x_refuse(" not in to_c(book, "x", scale=1, optimize="speed")


def test_bad_optimize():
    with pytest.raises(ValueError, match="optimize must be 'size' or 'speed', got 'O2'"):
        to_c(BOOKS["one_bit"], "x", optimize="O2")
