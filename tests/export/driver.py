"""Compiles headers into a program that reads values and writes what the C makes of them."""

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

# Buffers are exactly as long as they must be, so that the sanitizers see every step beyond.
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
        /* One feature at a time, from the last to the first, each after another value. */
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
            exit(5); /* a refused row is no row of a message */
    }
    if (name_message_end(message, n) != at + 4)
        exit(6);
    put(message, at + 4);
    free(x);
    free(message);
}

/* The same with room for one row alone. */
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
"""

MAIN = """\
int main(int argc, char **argv)
{
    volatile float tiny = 1e-40f;
    uint32_t n = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
#if defined(__SSE__) && defined(__FAST_MATH__)
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* denormals are zeros, of results and of operands */
#endif
    if (argc == 2)
        return tiny * 1.0f != 0.0f; /* 0: denormals are flushed */
    (void)n;
"""


def build(folder, headers, types, command):
    """Compile a program around headers.

    Parameters
    ----------
    folder : Path
    headers : dict
        Name to text.
    types : dict
        Name to the C type of a value.
    command : sequence of str
        Compiler and flags.

    Returns
    -------
    Path
    """
    source, calls = HEAD, ""
    for name, text in headers.items():
        (folder / f"{name}.h").write_text(text, encoding="ascii")
        source += f"typedef {types[name]} {name}_value;\n" + BOOK.replace("NAME_", f"{name.upper()}_").replace(
            "name_", f"{name}_"
        ).replace("of_name", f"of_{name}").replace("name.h", f"{name}.h")
        for what in ("rows", "message", "stream"):
            calls += f'    if (!strcmp(argv[1], "{name}") && !strcmp(argv[2], "{what}")) {what}_of_{name}(n);\n'
    # <stdint.h> and the like come from the headers: they must be self-contained.
    includes = "".join(f'#include "{name}.h"\n' for name in headers)
    main = folder / "main.c"
    main.write_text(includes + source + MAIN + calls + "    return 0;\n}\n", encoding="ascii")
    program = folder / "program"
    done = subprocess.run(
        [*command, "-o", program, main], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return program


def run(program, name, what, values, emulator=()):
    """What a program writes for rows of values.

    Parameters
    ----------
    program : Path
    name : str
        Of a header.
    what : {"rows", "message", "stream"}
    values : ndarray of shape (n, d)
        Of the type that the header takes.
    emulator : sequence of str, default=()

    Returns
    -------
    bytes
    """
    done = subprocess.run(
        [*emulator, program, name, what, str(len(values))],
        input=values.tobytes(),
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return done.stdout


def rows(program, name, values, row_bytes, emulator=()):
    """What `encode` and, feature by feature, `put` return and write.

    Returns
    -------
    encode, put : record arrays of shape (n,)
        Fields ``refused``, int32, and ``row``, uint8 of shape (row_bytes,).
    """
    one = [("refused", "<i4"), ("row", "u1", (row_bytes,))]
    both = np.frombuffer(run(program, name, "rows", values, emulator), dtype=[("encode", one), ("put", one)])
    return both["encode"], both["put"]
