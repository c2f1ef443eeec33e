"""Sizes of the C can be compared by `#if`, and its casts please the strictest warnings of C and C++."""

import pytest

from skbsq import Codebook
from skbsq.export import to_c
from tests.export import (
    driver,
    test_c_categories,
    test_c_decoder,
    test_c_predictor,
    test_c_rates,
    test_c_speed,
    tools,
)
from tests.export.test_c import count_texts, headers

STRICTEST = {
    "gcc-c99": ("gcc", *driver.STRICT, "-Wsign-conversion", "-Wcast-qual"),
    "gcc-c++11": (
        "gcc",
        *driver.CXX,
        "-Wold-style-cast",
        "-Wuseless-cast",
        "-Wcast-qual",
        "-Wzero-as-null-pointer-constant",
    ),
    "gcc-c++20": ("gcc", *driver.CXX, "-std=c++20", "-Wold-style-cast", "-Wuseless-cast"),
    "clang-c++11": ("clang", *driver.CXX, "-Wold-style-cast", "-Wzero-as-null-pointer-constant", "-Wunused-macros"),
}

SIZES = """\
#include "hut.h"
#if HUT_FEATURES != 2 || HUT_ROW_BITS != 9 || HUT_ROW_BYTES != 2 || HUT_FEATURE_wind != 1
#error sizes
#endif
#if HUT_HEADER_BYTES != 18 || HUT_MESSAGE_BYTES(0) != 22 || HUT_MESSAGE_BYTES(1 + 2) != 28
#error message
#endif
#if HUT_SHORT_BYTES(1) != 5 || HUT_SHORT_BYTES(1 + 2) != 9 || HUT_CHANGE_BYTES != 6 || HUT_MASK_BYTES != 1
#error short frame
#endif
#if HUT_RATES != 2 || HUT_RATE_9 != 0 || HUT_RATE_2 != 1 || HUT_ROW_BITS_AT(HUT_RATE_2) != 2
#error rates
#endif
#if HUT_ROW_BYTES_AT(0) != 2 || HUT_ROW_BYTES_AT(1) != 1 || HUT_MESSAGE_BYTES_AT(1, 1 + 2) != 25
#error sizes at rates
#endif
#if HUT_SHORT_BYTES_AT(1, 1 + 2) != 6 || HUT_CRC16_START > 0xFFFF || HUT_CRC8_START > 0xFF
#error short frames at rates
#endif
#if defined(HUT_MISSING_COUNT) && HUT_MISSING_COUNT >= -2147483647
#error missing count
#endif
static uint8_t messages[HUT_MESSAGE_BYTES(3)][2];
int main(void) { return sizeof messages != 56; }
"""


HEADERS = [
    headers() | count_texts(),
    test_c_rates.headers(),
    test_c_speed.headers() | test_c_speed.count_texts(),
    test_c_decoder.headers(),
    test_c_categories.headers(),
    test_c_predictor.headers(),
]


# Stands in for the header of an AVR compiler, which is older than those here: it reads from flash with functions.
PGMSPACE = """\
#pragma once
#define PROGMEM
static inline uint8_t pgm_read_byte(const void *at) { uint8_t x; memcpy(&x, at, sizeof x); return x; }
static inline uint16_t pgm_read_word(const void *at) { uint16_t x; memcpy(&x, at, sizeof x); return x; }
static inline uint32_t pgm_read_dword(const void *at) { uint32_t x; memcpy(&x, at, sizeof x); return x; }
static inline void memcpy_P(void *to, const void *from, size_t size) { memcpy(to, from, size); }
"""


@pytest.mark.parametrize("avr", [(), ("-D__AVR__", "-Istub")], ids=["plain", "avr"])
@pytest.mark.parametrize("command", STRICTEST.values(), ids=STRICTEST)
def test_no_warning(command, avr, tmp_path):
    """The tests of rows compile more, but their own code has casts of C."""
    tools.need(*command[:1], *(flag for flag in command[1:] if flag[:2] != "-W"))
    command += avr
    (tmp_path / "stub" / "avr").mkdir(parents=True)
    (tmp_path / "stub" / "avr" / "pgmspace.h").write_text(PGMSPACE, encoding="ascii")
    for number, texts in enumerate(HEADERS):
        for name, text in texts.items():
            (tmp_path / f"{name}.h").write_text(text, encoding="ascii")
        (tmp_path / f"{number}.c").write_text("".join(f'#include "{name}.h"\n' for name in texts), encoding="ascii")
        driver.compile_c([*command, "-c", f"{number}.c"], tmp_path)


@pytest.mark.parametrize("language", ["c99", "c++11"])
@pytest.mark.parametrize(
    "options", [{}, {"scale": 1.0, "count_type": "int32", "missing_count": -(2**31)}], ids=["floats", "counts"]
)
def test_if_compares_sizes(options, language, tmp_path):
    command = tools.need_c(*driver.FLAVOURS[language])
    book = Codebook.from_thresholds([range(100), [1.0, 2.0]], feature_names=["temperature", "wind"])
    text = to_c(book, "hut", coarser=[book.coarsened(1)], **options)
    (tmp_path / "hut.h").write_text(text, encoding="ascii")
    (tmp_path / "main.c").write_text(SIZES.replace("HUT_MASK_BYTES", "1") if "MASK" not in text else SIZES)
    driver.compile_c([*command, "main.c", "-o", "program"], tmp_path)
