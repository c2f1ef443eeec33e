"""An AVR build gives the same rows, in the simulator simavr: its tables are in flash, and an int has 16 bits."""

import re
import subprocess

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c
from tests.export import driver, tools
from tests.export.test_c import COUNT_CASES, NANS, count_values, expected
from tests.strategies import neighbours

CHIP = "atmega328p"
COMPILERS = {
    "c99": ("avr-gcc", *driver.STRICT, f"-mmcu={CHIP}", "-Os"),
    "c++11": ("avr-gcc", *driver.CXX, "-Wold-style-cast", "-Wuseless-cast", f"-mmcu={CHIP}", "-Os"),
}
SIMULATOR = ("simavr", "-m", CHIP)

# Ends by sleeping without interrupts, at which the simulator stops.
PROBE = """\
#include <avr/interrupt.h>
#include <avr/sleep.h>
int main(void) { cli(); sleep_enable(); sleep_cpu(); return 0; }
"""
# Writes lines of hexadecimal numbers to the serial port: for each row the results and rows of encode, of put feature by
# feature, and of every rate. Then a message, one of the coarsest rate, a short frame, and a new row.
MAIN = """\
#include "hut.h"
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

typedef VALUE value_t;
static const uint8_t rows[][sizeof(value_t) * HUT_FEATURES] PROGMEM = {ROWS};

static void put_char(char text)
{
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    UDR0 = HUT_CAST(uint8_t, text);
}

static void write(int result, const uint8_t *bytes, size_t size)
{
    put_char(HUT_CAST(char, result < 0 ? '-' : 'a' + result));
    for (; size > 0; --size, ++bytes) {
        put_char("0123456789ABCDEF"[*bytes >> 4]);
        put_char("0123456789ABCDEF"[*bytes & 15]);
    }
    put_char('\\n');
}

int main(void)
{
    static value_t x[HUT_FEATURES];
    static uint8_t row[HUT_ROW_BYTES + 1], frame[HUT_MESSAGE_BYTES(2)];
    size_t i, at;
    uint8_t feature;
    UCSR0B = _BV(TXEN0);
    for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        int result, last = 0;
        memcpy_P(x, rows[i], sizeof x);
        result = hut_encode(x, row);
        write(result, row, HUT_ROW_BYTES);
        memset(row, 0, sizeof row);
        for (feature = HUT_FEATURES; feature-- > 0;) {
            result = hut_put(row, feature, x[feature]);
            last = result != 0 ? result : last;
        }
        write(last, row, HUT_ROW_BYTES);
#ifdef HUT_RATES
        for (feature = 0; feature < HUT_RATES; ++feature) {
            result = hut_encode_at(feature, x, row);
            write(result, row, HUT_ROW_BYTES_AT(feature));
        }
#endif
    }
    at = hut_message_begin(frame, 0);
    memcpy_P(x, rows[0], sizeof x);
    (void)hut_encode(x, frame + at);
    (void)hut_encode(x, frame + at + HUT_ROW_BYTES);
    write(0, frame, hut_message_end(frame, 2));
#ifdef HUT_RATES
    at = hut_message_begin_at(HUT_RATES - 1, frame, 0);
    (void)hut_encode_at(HUT_RATES - 1, x, frame + at);
    write(0, frame, hut_message_end_at(HUT_RATES - 1, frame, 1));
#endif
    at = hut_short_begin_seq(frame, 7, 9);
    (void)hut_encode(x, frame + at);
    write(0, frame, hut_short_end(frame, at + HUT_ROW_BYTES));
#ifdef HUT_MASK_BYTES
    hut_clear(row, frame);
#else
    hut_clear(row);
#endif
    write(0, row, HUT_ROW_BYTES);
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
"""

NAN = Codebook.from_thresholds([[-1.0, 0.0, 2.5], [], [1e-40, 7.0]], missing="seen", has_missing=[False, False, True])
BOOKS = {
    "floats": Codebook.from_thresholds([[-1e-40, 0.0, 18.5], [], [30.0, 60.0, 90.0], [1.0], range(9)]),
    "missing": NAN,
    "shifted": Codebook.from_thresholds([range(15), range(3), [0.5]]),
    "marked": Codebook.from_thresholds([range(15), [-1.5, 0.25]]),
    "listed": Codebook.from_thresholds([range(200), [-1.5, 0.25]]),
}
COARSER = {
    "shifted": [BOOKS["shifted"].coarsened(2), BOOKS["shifted"].coarsened(1)],
    "marked": [Codebook.from_thresholds([[1, 2, 3, 7, 8, 9, 14], [0.25]])],
    "listed": [Codebook.from_thresholds([[77], [0.25]])],
}


def values_of(book):
    """Return rows of thresholds, their neighbours, the ends, zeros and NaN; the first row is finite."""
    ends = np.concatenate([np.float32([-np.inf, np.inf, -0.0, 0.0]), NANS[:2]])
    columns = [np.concatenate([neighbours(t)[:40], ends]) for t in book.thresholds]
    n = max(column.size for column in columns)
    rng = np.random.default_rng(0)
    X = np.stack([rng.permutation(np.resize(column, n)) for column in columns], axis=1)
    return np.concatenate([np.zeros((1, book.n_features), np.float32), X])


def lines_of(header, value_type, values, command, folder):
    """Run the program around a header, and return its lines: results and bytes."""
    (folder / "hut.h").write_text(header, encoding="ascii")
    rows = ", ".join("{" + ", ".join(map(str, row.tobytes())) + "}" for row in values)
    main = MAIN.replace("{ROWS}", f"{{{rows}}}").replace("VALUE", value_type)
    (folder / "main.c").write_text(main, encoding="ascii")
    driver.compile_c([*command, "main.c", "-o", "program.elf"], folder)
    done = subprocess.run([*SIMULATOR, "program.elf"], cwd=folder, capture_output=True, check=True, timeout=60)
    found = re.findall(r"([-a-z])([0-9A-F]*)\.", (done.stdout + done.stderr).decode())
    return [(-1 if result == "-" else ord(result) - ord("a"), bytes.fromhex(text)) for result, text in found]


@pytest.fixture(params=COMPILERS)
def command(request):
    command = COMPILERS[request.param]
    tools.need(*command, emulator=SIMULATOR, source=PROBE)
    return command


def check(book, X, lines, coarser=()):
    """Compare the lines of a program with Python."""
    rates = [book, *coarser]
    results = [expected(b, X) for b in [book, book, *(rates if coarser else ())]]
    n_lines = len(results) * len(X)
    for number, (refused, rows) in enumerate(results):
        found = lines[number : n_lines : len(results)]
        assert [result for result, _ in found] == refused.tolist()
        kept = [i for i in range(len(X)) if number != 1 or refused[i] == 0]  # a refused value of put changes nothing
        assert [found[i][1] for i in kept] == [rows[i].tobytes() for i in kept]
    frames = [dumps(book, book.encode(X[[0, 0]]))]
    frames += [dumps(rates[-1], rates[-1].encode(X[:1]))] if coarser else []
    frames += [dumps(book, book.encode(X[:1]), frame="short", id=7, seq=9)]
    missing = np.where(book.has_missing, book.n_levels - 1, 0)
    assert [data for _, data in lines[n_lines:]] == [*frames, RowCodec(book).pack(missing[None])[0].tobytes()]


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("name", BOOKS)
def test_floats(name, optimize, command, tmp_path):
    book, coarser = BOOKS[name], COARSER.get(name, [])
    X, header = values_of(book), to_c(book, "hut", coarser=coarser, optimize=optimize)
    check(book, X, lines_of(header, "float", X, command, tmp_path), coarser)


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("name", ["int8_error", "uint8_seen", "int16_code", "int32_error"])
def test_counts(name, optimize, command, tmp_path):
    book, options = COUNT_CASES[name]
    counts, X = count_values(name)
    finite = np.flatnonzero(~np.isnan(X).any(axis=1))[:1]
    rows = np.concatenate([finite, np.flatnonzero(np.isnan(X).any(axis=1))[:20], np.arange(0, len(X), len(X) // 60)])
    header = to_c(book, "hut", optimize=optimize, **options)
    check(book, X[rows], lines_of(header, f"{options['count_type']}_t", counts[rows], command, tmp_path))


def test_tables_take_no_ram(command, tmp_path):
    """40 features of 4 bits have 2,400 bytes of thresholds, more than the RAM of the chip."""
    book = Codebook.from_thresholds(list(np.random.default_rng(0).standard_normal((40, 15))), missing="code")
    X = values_of(book)[:20]
    check(book, X, lines_of(to_c(book, "hut"), "float", X, command, tmp_path))


@pytest.mark.parametrize("chip", ["attiny85", "attiny40", "atmega2560", "atxmega128a4u"])
def test_links_on_other_chips(chip, command, tmp_path):
    """Those before have a small memory, more flash than 16 bits can address, or flash among the addresses of RAM."""
    (tmp_path / "hut.h").write_text(to_c(BOOKS["floats"], "hut"), encoding="ascii")
    main = '#include "hut.h"\nint main(void) { static float x[HUT_FEATURES]; static uint8_t row[HUT_ROW_BYTES];\n'
    (tmp_path / "main.c").write_text(main + "return hut_encode(x, row); }\n", encoding="ascii")
    flags = [flag for flag in command if not flag.startswith("-mmcu")]
    driver.compile_c([*flags, f"-mmcu={chip}", "main.c", "-o", "program.elf"], tmp_path)
