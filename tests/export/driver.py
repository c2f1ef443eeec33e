"""Compile headers into a program that reads values and writes the results of the C."""

import subprocess

import numpy as np

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion", "-Werror")
CXX = ("-xc++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAVOURS = {
    "c99": (*STRICT, "-Os"),
    "sanitized": (*STRICT, *SANITIZE),
    "c++11": (*CXX, "-O1"),
    "fast-math": (*STRICT, "-O3", "-ffast-math"),
}

HEAD = """\
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

static void get(void *to, size_t size) { if (size && fread(to, size, 1, stdin) != 1) exit(9); }
static void put(const void *from, size_t size) { if (size && fwrite(from, size, 1, stdout) != 1) exit(8); }
static void fill(uint8_t *row, uint8_t value, size_t size) { for (; size > 0; --size) *row++ = value; }
"""

# Keyframe intervals of the senders on change.
CHANGE_KEYFRAMES = (1, 4, 65535)

# Buffers have the minimal length, so that the sanitizers detect every access beyond it.
BOOK = """\
#include "name.h"
#include "name.h"

static void rows_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1);
    for (; n > 0; --n) {
        uint32_t j;
        int32_t refused, at_last = 0;
        get(x, NAME_FEATURES * sizeof *x);
        fill(row, 0xA5, NAME_ROW_BYTES);
        refused = name_encode(x, row);
        put(&refused, 4);
        put(row, NAME_ROW_BYTES);
        /* One feature at a time, from the last to the first; the first put of a feature must not matter. */
        fill(row, 0, NAME_ROW_BYTES);
        for (j = NAME_FEATURES; j-- > 0;) {
            name_put(row, j, 0);
            refused = name_put(row, j, x[j]);
            if (refused != 0)
                at_last = refused;
        }
        if (name_put(row, NAME_FEATURES, x[0]) != -1 || name_put(row, 0xFFFFFFFFu, x[0]) != -1)
            exit(7);
        put(&at_last, 4);
        put(row, NAME_ROW_BYTES);
    }
    free(x);
    free(row);
}

static void message_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *message = (uint8_t *)malloc(NAME_MESSAGE_BYTES(n));
    size_t at = name_message_begin(message, 0);
    uint32_t i;
    for (i = 0; i < n; ++i, at += NAME_ROW_BYTES) {
        get(x, NAME_FEATURES * sizeof *x);
        if (name_encode(x, message + at) != 0)
            exit(5); /* a refused row must not be in a message */
    }
    if (name_message_end(message, n) != at + 4)
        exit(6);
    put(message, at + 4);
    free(x);
    free(message);
}

/* The same with memory for one row only. */
static void stream_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1);
    uint8_t header[NAME_HEADER_BYTES], end[4];
    uint32_t crc;
    put(header, name_message_begin(header, n));
    crc = name_crc(0, header, sizeof header);
    for (; n > 0; --n) {
        get(x, NAME_FEATURES * sizeof *x);
        if (name_encode(x, row) != 0)
            exit(5);
        crc = name_crc(crc, row, NAME_ROW_BYTES);
        put(row, NAME_ROW_BYTES);
    }
    name_write_u32(end, crc);
    put(end, 4);
    free(x);
    free(row);
}

#ifdef NAME_CRC16_START
/* All rows in a frame of each layout. */
static void short_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *frame = (uint8_t *)malloc(NAME_SHORT_BYTES(n) + 1);
    size_t at = name_short_begin_seq(frame, 9, 200), size;
    uint32_t i, crc;
    if (at != 2)
        exit(7);
    for (i = 0; i < n; ++i, at += NAME_ROW_BYTES) {
        get(x, NAME_FEATURES * sizeof *x);
        if (name_encode(x, frame + at) != 0)
            exit(5);
    }
    size = name_short_end(frame, at);
    put(frame, size);
    if (size != NAME_SHORT_BYTES(n) + 1)
        exit(6);
    put(frame, name_short_end_crc8(frame, at));
    /* Without a sequence number: the rows one byte earlier. */
    for (--at, i = 1; i < at; ++i)
        frame[i] = frame[i + 1];
    if (name_short_begin(frame, 255) != 1)
        exit(7);
    put(frame, name_short_end(frame, at));
    put(frame, name_short_end_crc8(frame, at));
    crc = name_crc16(name_crc16(NAME_CRC16_START, frame, 1), frame + 1, at - 1);
    put(&crc, 4);
    crc = name_crc8(name_crc8(NAME_CRC8_START, frame, 1), frame + 1, at - 1);
    put(&crc, 4);
    free(x);
    free(frame);
}

/* Each row goes to a sender of each keyframe interval: its step in one byte, then the packet if there is one. */
static void change_of_name(uint32_t n)
{
    static const uint16_t keyframes[] = {KEYFRAMES};
    static name_change states[sizeof keyframes / sizeof *keyframes];
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1), *frame = (uint8_t *)malloc(NAME_CHANGE_BYTES);
    for (; n > 0; --n) {
        size_t i;
        get(x, NAME_FEATURES * sizeof *x);
        if (name_encode(x, row) != 0)
            exit(5);
        for (i = 0; i < sizeof keyframes / sizeof *keyframes; ++i) {
            const size_t size = name_change_step(&states[i], row, keyframes[i], 9, frame);
            const uint8_t is_sent = size != 0;
            if (is_sent && size != NAME_CHANGE_BYTES)
                exit(6);
            put(&is_sent, 1);
            put(frame, size);
        }
    }
    free(x);
    free(row);
    free(frame);
}
#endif

#ifdef NAME_RATES
static void rates_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *rows[NAME_RATES];
    uint32_t rate;
    for (rate = 0; rate < NAME_RATES; ++rate)
        rows[rate] = (uint8_t *)calloc(NAME_ROW_BYTES_AT(rate), 1);
    for (; n > 0; --n) {
        get(x, NAME_FEATURES * sizeof *x);
        for (rate = 0; rate < NAME_RATES; ++rate) {
            int32_t refused;
            fill(rows[rate], 0xA5, NAME_ROW_BYTES_AT(rate));
            refused = name_encode_at(rate, x, rows[rate]);
            put(&refused, 4);
            put(rows[rate], NAME_ROW_BYTES_AT(rate));
        }
        if (name_encode_at(NAME_RATES, x, NULL) != -1 || name_encode_at(0xFFFFFFFFu, x, NULL) != -1)
            exit(7);
    }
    for (rate = 0; rate < NAME_RATES; ++rate)
        free(rows[rate]);
    free(x);
}

/* Messages of two rows, each of the next rate. */
static void mixed_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint32_t i, rate = 0;
    for (; n > 1; n -= 2, rate = (rate + 1) % NAME_RATES) {
        uint8_t *message = (uint8_t *)malloc(NAME_MESSAGE_BYTES_AT(rate, 2));
        size_t at = name_message_begin_at(rate, message, 0);
        for (i = 0; i < 2; ++i, at += NAME_ROW_BYTES_AT(rate)) {
            get(x, NAME_FEATURES * sizeof *x);
            if (name_encode_at(rate, x, message + at) != 0)
                exit(5);
        }
        if (name_message_end_at(rate, message, 2) != at + 4)
            exit(6);
        put(message, at + 4);
        free(message);
    }
    if (name_message_begin_at(NAME_RATES, NULL, 0) != 0 || name_message_end_at(NAME_RATES, NULL, 0) != 0)
        exit(7);
    free(x);
}

/* Each row in a short frame of each rate, whose number is the id, with both CRCs. */
static void short_rates_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint32_t rate;
    for (; n > 0; --n) {
        get(x, NAME_FEATURES * sizeof *x);
        for (rate = 0; rate < NAME_RATES; ++rate) {
            uint8_t *frame = (uint8_t *)malloc(NAME_SHORT_BYTES_AT(rate, 1));
            const size_t at = name_short_begin(frame, (uint8_t)rate);
            if (name_encode_at(rate, x, frame + at) != 0)
                exit(5);
            put(frame, name_short_end_at(rate, frame, at + NAME_ROW_BYTES_AT(rate)));
            put(frame, name_short_end_crc8_at(rate, frame, at + NAME_ROW_BYTES_AT(rate)));
            free(frame);
        }
    }
    if (name_short_end_at(NAME_RATES, NULL, 0) != 0 || name_short_end_crc8_at(NAME_RATES, NULL, 0) != 0)
        exit(7);
    free(x);
}
#endif
"""

MAIN = """\
int main(int argc, char **argv)
{
    volatile float tiny = 1e-40f;
    uint32_t n = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
#if defined(__SSE__) && defined(__FAST_MATH__)
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* flush subnormal results and operands to zero */
#endif
    if (argc == 2)
        return tiny * 1.0f != 0.0f; /* 0: subnormals are flushed to zero */
    (void)n;
"""


def build(folder, headers, types, command, more=()):
    """Compile a program around headers.

    Parameters
    ----------
    folder : Path
    headers : dict
        Text of each header, by name.
    types : dict
        C type of a value, by name of the header.
    command : sequence of str
        Compiler and flags.
    more : dict, default=()
        Further functions as in `BOOK`, by what they do.

    Returns
    -------
    Path
    """
    more = dict(more)
    # <stdint.h> and the like are included by the headers, which must be self-contained.
    source = "".join(f'#include "{name}.h"\n' for name in headers) + HEAD
    calls = ""
    for name, text in headers.items():
        (folder / f"{name}.h").write_text(text, encoding="ascii")
        book = "".join([BOOK, *more.values()]).replace("NAME_", f"{name.upper()}_").replace("name_", f"{name}_")
        book = book.replace("of_name", f"of_{name}").replace("name.h", f"{name}.h")
        book = book.replace("{KEYFRAMES}", f"{{{', '.join(map(str, CHANGE_KEYFRAMES))}}}")
        source += f"typedef {types[name]} {name}_value;\n{book}"
        short = ("short", "change") * (f"{name}_short_begin" in text)
        rates = ("rates", "mixed", "short_rates") * (f"{name.upper()}_RATES" in text)
        for what in ("rows", "message", "stream", *short, *rates, *more):
            calls += f'    if (!strcmp(argv[1], "{name}") && !strcmp(argv[2], "{what}")) {what}_of_{name}(n);\n'
    main = folder / "main.c"
    main.write_text(source + MAIN + calls + "    return 0;\n}\n", encoding="ascii")
    program = folder / "program"
    compile_c([*command, "-o", program, main], folder)
    return program


def compile_c(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def run(program, name, what, values, emulator=()):
    """Return the output of a program for rows of values.

    Parameters
    ----------
    program : Path
    name : str
        Name of a header.
    what : str
        "rows", "message", "stream", "short", "change", "rates", "mixed", "short_rates", or one of `more` in `build`.
    values : ndarray of shape (n, d), or record array of shape (n,)
        They have the type that the header takes.
    emulator : sequence of str, default=()

    Returns
    -------
    bytes
    """
    command = [*emulator, program, name, what, str(len(values))]
    done = subprocess.run(command, input=values.tobytes(), capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return done.stdout


def rows(program, name, values, row_bytes, emulator=()):
    """Return the results and the rows of `encode`, and of `put` feature by feature.

    Returns
    -------
    encode, put : record arrays of shape (n,)
        Fields ``refused``, int32, and ``row``, uint8 of shape (row_bytes,).
    """
    one = [("refused", "<i4"), ("row", "u1", (row_bytes,))]
    both = np.frombuffer(run(program, name, "rows", values, emulator), dtype=[("encode", one), ("put", one)])
    return both["encode"], both["put"]


def check_rows(program, name, values, refused, packed, emulator=()):
    """Compare the rows of the C with the expected ones. After a refusal `put` leaves other bits than `encode`."""
    encode, put = rows(program, name, values, packed.shape[1], emulator)
    assert (encode["refused"] == refused).all(), name
    assert (encode["row"] == packed).all(), name
    assert (put["refused"] == refused).all(), name
    assert (put["row"] == packed)[refused == 0].all(), name


def check_rates(program, name, values, expected, emulator=()):
    """Compare the rows of every rate with the expected results, which are pairs of refusals and packed rows."""
    fields = [[("refused", "<i4"), ("row", "u1", packed.shape[1:])] for _, packed in expected]
    dtype = [(str(number), field) for number, field in enumerate(fields)]
    found = np.frombuffer(run(program, name, "rates", values, emulator), dtype=dtype)
    for number, (refused, packed) in enumerate(expected):
        assert (found[str(number)]["refused"] == refused).all(), (name, number)
        assert (found[str(number)]["row"] == packed).all(), (name, number)
