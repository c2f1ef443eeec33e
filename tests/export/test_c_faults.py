"""Rows of failing sensors: the C sends missing codes or nothing, and never a value that was not measured."""

import re
import subprocess
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from skbsq import Codebook
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c
from tests.export import driver, tools
from tests.export.test_c import BOOKS, COUNT_CASES, count_types, count_values, pack, values_for
from tests.strategies import codebooks

# Both compilers, and both languages.
FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in product(tools.C_COMPILERS, ("sanitized", "c++11"))
]
# What happens to a feature after name_clear: bits, in the order of the calls.
NOTHING, FILL, FAIL = 0, 1, 2
OLD = 0xA5

# Reads values and what happens to each feature; writes the results, whether the row is ready, the row, and the place in
# a message where it belongs.
FAULTS = f"""
#ifdef NAME_MASK_BYTES
#define NAME_CLEAR name_clear(row, mask)
#define NAME_FILL(j, x) name_fill(row, mask, j, x)
#define NAME_FAIL(j) name_fill_missing(row, mask, j)
#else
#define NAME_CLEAR name_clear(row)
#define NAME_FILL(j, x) name_put(row, j, x)
#define NAME_FAIL(j) name_put_missing(row, j)
#endif
static void faults_of_name(uint32_t n)
{{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *fates = (uint8_t *)malloc(NAME_FEATURES), *row = (uint8_t *)malloc(NAME_ROW_BYTES);
    uint8_t *message = (uint8_t *)malloc(NAME_ROW_BYTES);
#ifdef NAME_MASK_BYTES
    uint8_t *mask = (uint8_t *)calloc(NAME_MASK_BYTES, 1);
    if (name_ready(mask) != 1)
        exit(4); /* a mask that was never cleared */
#endif
    for (; n > 0; --n) {{
        uint32_t j;
        int32_t result, ready = 0;
        get(x, NAME_FEATURES * sizeof *x);
        get(fates, NAME_FEATURES);
        fill(row, {OLD}, NAME_ROW_BYTES);
        fill(message, {OLD}, NAME_ROW_BYTES);
#ifdef NAME_MASK_BYTES
        fill(mask, {OLD}, NAME_MASK_BYTES);
#endif
        NAME_CLEAR;
        for (j = 0; j < NAME_FEATURES; ++j) {{
            result = 0;
            if (fates[j] & {FILL})
                result = NAME_FILL(j, x[j]);
            if (fates[j] & {FAIL})
                result = NAME_FAIL(j);
            put(&result, 4);
        }}
        if (NAME_FILL(NAME_FEATURES, x[0]) != -1 || NAME_FAIL(NAME_FEATURES) != -1 || NAME_FAIL(0xFFFFFFFFu) != -1)
            exit(7);
#ifdef NAME_MASK_BYTES
        ready = name_ready(mask);
        if (name_copy_ready(row, mask, message) != ready)
            exit(3);
        free(mask); /* the next mask may contain anything */
        mask = (uint8_t *)malloc(NAME_MASK_BYTES);
#endif
        put(&ready, 4);
        put(row, NAME_ROW_BYTES);
        put(message, NAME_ROW_BYTES);
    }}
#ifdef NAME_MASK_BYTES
    free(mask);
#endif
    free(x);
    free(fates);
    free(row);
    free(message);
}}
"""
MORE = {"faults": FAULTS}
RATES = Codebook.from_thresholds([[0, 1, 2], [5], [6, 7]], missing="seen", has_missing=[True, False, False])
CASES = {name: book for name, book in BOOKS.items() if name != "wide"} | {"rates": RATES}
TYPES = dict.fromkeys(CASES, "float") | count_types()


@cache
def headers():
    """Return the header of each case."""
    texts = {name: to_c(book, name) for name, book in CASES.items()}
    texts["rates"] = to_c(RATES, "rates", coarser=[RATES.coarsened(1)])
    return texts | {name: to_c(book, name, **options) for name, (book, options) in COUNT_CASES.items()}


def codes_of_nan(book):
    """Return the codes of NaN; 0 in features without a missing code."""
    return book.encode(np.where(book.has_missing, np.float32(np.nan), np.float32(-np.inf))[None])[0]


def outcome(book, X, fates):
    """Return the result of the last call for each feature, what ready returns, and the rows."""
    fills, fails, refuses = (fates & FILL) > 0, (fates & FAIL) > 0, book.refuses_nan
    refused = np.where(fails, refuses, fills & np.isnan(X) & refuses)
    filled = ~refuses | (fills & ~refused)
    numbers = np.arange(1, book.n_features + 1)
    # Codebook.encode refuses NaN where the C does, and the NaN may be signalling ones.
    measured = book.encode(np.where(np.isnan(X), np.where(refuses, np.float32(0.0), np.float32(np.nan)), X))
    has_value = fills & ~(np.isnan(X) & refuses) & ~(fails & book.has_missing)
    rows = pack(book, np.where(has_value, measured, codes_of_nan(book)))
    return np.where(refused, numbers, 0), np.where(filled.all(axis=1), 0, filled.argmin(axis=1) + 1), rows


def check_faults(program, emulator=()):
    rng = np.random.default_rng(0)
    for name in TYPES:
        if name in CASES:
            book = CASES[name]
            values = X = values_for(book, rng)
        else:
            book = COUNT_CASES[name][0]
            values, X = (rows[::50] for rows in count_values(name))
        # In some rows everything is measured, so that they are ready.
        fates = rng.choice([NOTHING, FILL, FAIL, FILL | FAIL], X.shape, p=[0.1, 0.8, 0.05, 0.05]).astype(np.uint8)
        fates[::3] = FILL
        results, ready, rows = outcome(book, X, fates)
        types = [("x", values.dtype, X.shape[1:]), ("fates", "u1", X.shape[1:])]
        inputs = np.rec.fromarrays([values, fates], dtype=types)
        fields = [("results", "<i4", results.shape[1:]), ("ready", "<i4"), ("row", "u1", rows.shape[1:])]
        fields.append(("sent", "u1", rows.shape[1:]))
        found = np.frombuffer(driver.run(program, name, "faults", inputs, emulator), dtype=fields)
        assert (found["results"] == results).all(), name
        assert (found["ready"] == ready).all(), name
        assert (found["row"] == rows).all(), name
        copied = (ready == 0) & book.refuses_nan.any()
        assert (found["sent"] == np.where(copied[:, None], rows, OLD)).all(), name


@pytest.mark.parametrize("command", FLAVOURS)
def test_rows_equal_the_codebooks(command, tmp_path):
    tools.need(*command)
    check_faults(driver.build(tmp_path, headers(), TYPES, command, MORE))


def test_cases_hold_rows_of_every_kind():
    """Otherwise the tests above would compare nothing."""
    kinds = {(book.has_missing.any(), book.refuses_nan.any()) for book in CASES.values()}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}


# -- text ------------------------------------------------------------------------------------------------------------


def table(text, name):
    """Return the numbers of a table; none if there is no such table."""
    found = re.search(rf"x_{name}\[\] X_FLASH = {{(.*?)}}", text, re.DOTALL)
    return [int(number) for number in found[1].split(",")] if found else []


def test_new_row_by_hand():
    """Missing codes 2, 2 and 1 in bits 0, 4 and 6; feature 1 must be filled, and feature 2 has 0 bits."""
    text = to_c(BOOKS["mixed"], "x")
    assert table(text, "new_row") == [0b110_0010]
    assert table(text, "new_mask") == [0b11101]
    assert "#define X_MASK_BYTES 1\n" in text


@given(book=codebooks())
def test_a_new_row_has_the_code_of_nan_wherever_there_is_one(book):
    text, codec = to_c(book, "x"), RowCodec(book)
    row = np.array(table(text, "new_row"), dtype=np.uint8)
    assert codec.unpack(row[None])[0].tolist() == codes_of_nan(book).tolist()
    filled = np.unpackbits(np.uint8(table(text, "new_mask")), bitorder="little")
    if book.refuses_nan.any():
        assert filled[: book.n_features].tolist() == (~book.refuses_nan).tolist()
    else:
        assert not filled.size


def functions(text):
    """Return the parameters of the functions for one feature, by their names."""
    return dict(re.findall(r"static inline \w+ x_(clear|ready|fill\w*|put|put_missing|copy_ready)\((.*)\)", text))


WITHOUT_MASK = {
    "clear": "uint8_t *row",
    "put": "uint8_t *row, uint32_t feature, float value",
    "put_missing": "uint8_t *row, uint32_t feature",
}
WITH_MASK = WITHOUT_MASK | {
    "clear": "uint8_t *row, uint8_t *mask",
    "fill": "uint8_t *row, uint8_t *mask, uint32_t feature, float value",
    "fill_missing": "uint8_t *row, uint8_t *mask, uint32_t feature",
    "ready": "const uint8_t *mask",
    "copy_ready": "const uint8_t *row, const uint8_t *mask, uint8_t *to",
}


@pytest.mark.parametrize("name", CASES)
def test_a_mask_only_if_a_feature_that_is_sent_has_no_missing_code(name):
    text = to_c(CASES[name], "x")
    needs_mask = bool(CASES[name].refuses_nan.any())
    assert functions(text) == (WITH_MASK if needs_mask else WITHOUT_MASK)
    assert ("X_MASK_BYTES" in text) == needs_mask


# -- the page --------------------------------------------------------------------------------------------------------

# Temperature and humidity after each reset of the device; None: the sensor does not answer.
READINGS = [(20, 70), (None, 70), (20, None), (np.nan, 70), (-10, np.nan), (None, None), (30, 95)]
STUB = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>

int read_temperature(float *celsius);
int read_humidity(float *percent);
void radio_send(const uint8_t *data, size_t size);
int wait_for_next(void);

static const struct { int answers[2]; float values[2]; } readings[] = {READINGS};
static int n_waited;

static int answer(int sensor, float *value)
{
    *value = readings[n_waited - 1].values[sensor];
    return readings[n_waited - 1].answers[sensor];
}

int read_temperature(float *celsius) { return answer(0, celsius); }
int read_humidity(float *percent) { return answer(1, percent); }
void radio_send(const uint8_t *data, size_t size) { fwrite(data, 1, size, stdout); }
int wait_for_next(void) { return n_waited++ < (int)(sizeof readings / sizeof readings[0]); }
"""


@pytest.mark.parametrize("compiler", tools.C_COMPILERS)
def test_page_sends_no_value_of_a_sensor_that_failed(compiler, tmp_path, monkeypatch):
    """Nothing without a temperature, which has no missing code; the missing code without a humidity."""
    monkeypatch.chdir(tmp_path)  # the blocks of the page write files
    command = (compiler, *driver.STRICT, *driver.SANITIZE)
    tools.need(*command)
    text = (Path(__file__).parents[2] / "docs" / "deploy" / "device.md").read_text(encoding="utf-8")
    namespace = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        exec(block, namespace)
    [program] = [b for b in re.findall(r"^```c\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "int main(" in b]
    (tmp_path / "page.c").write_text(program, encoding="ascii")
    entries = [
        f"{{{{{', '.join(str(int(v is not None)) for v in pair)}}}, {{{', '.join(str(v or 0) for v in pair)}}}}}"
        for pair in READINGS
    ]
    stub = STUB.replace("READINGS}", ", ".join(entries).replace("nan", "NAN") + "}")
    (tmp_path / "stub.c").write_text(stub, encoding="ascii")
    driver.compile_c([*command, "page.c", "stub.c", "-o", "page"], tmp_path)
    sent = subprocess.run([tmp_path / "page"], capture_output=True, check=True, timeout=60).stdout
    barn = namespace["barn"]
    rows = np.array([[20, 70, 0], [20, np.nan, 0], [-10, np.nan, 0], [30, 95, 0]], dtype=np.float32)
    assert sent == b"".join(dumps(barn, barn.encode(row[None])) for row in rows)
