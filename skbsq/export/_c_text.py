"""Templates of the C code, with `name_` and `NAME_` in place of the prefix.

They are valid in both C99 and C++11: no hexadecimal floats (C++ has them since C++17), and a NAME_CAST wherever a type
gets narrower. An int may have only 16 bits.
"""

import re

_PREFIX = re.compile(r"\b(?:name|NAME)_")


def array(name, values):
    """Write a table of unsigned integers in the smallest type that holds them.

    Examples
    --------
    >>> print(array("name_bits", [0, 3, 300]), end="")
    static const uint16_t name_bits[] NAME_FLASH = {0, 3, 300};
    """
    bits = bits_of(values)
    lines = [", ".join(map(str, values[start : start + 16])) for start in range(0, len(values), 16)]
    break_if_long = "\n    " if len(lines) > 1 else ""
    return f"static const uint{bits}_t {name}[] NAME_FLASH = {{{break_if_long}" + ",\n    ".join(lines) + "};\n"


def signed_array(name, values):
    """Write a table of signed integers.

    Parameters
    ----------
    name : str
    values : ndarray of int8, int16 or int32
        Its rows are joined.

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np
    >>> print(signed_array("name_weights", np.int8([[3, -4]])), end="")
    static const int8_t name_weights[] NAME_FLASH = {3, -4};
    """
    numbers = [str(value) for value in values.ravel().tolist()]
    width = 16 if values.dtype == "int8" else 8
    lines = [", ".join(numbers[start : start + width]) for start in range(0, len(numbers), width)]
    break_if_long = "\n    " if len(lines) > 1 else ""
    return f"static const {values.dtype}_t {name}[] NAME_FLASH = {{{break_if_long}" + ",\n    ".join(lines) + "};\n"


def bits_of(values):
    """Return the bits of the smallest unsigned type that holds all values."""
    return next(bits for bits in (8, 16, 32) if max(values) < 2**bits)


def with_prefix(text, name):
    """Replace `name_` by a prefix, and `NAME_` by the prefix in capitals.

    Examples
    --------
    >>> with_prefix("name_put(row, NAME_ROW_BYTES)", "Hut")
    'Hut_put(row, HUT_ROW_BYTES)'
    """
    return _PREFIX.sub(lambda match: f"{name}_" if match[0] == "name_" else f"{name.upper()}_", text)


def integer(value):
    """Write an integer of up to 32 bits. In C, -2147483648 is the negation of 2147483648, which is not an int.

    Examples
    --------
    >>> integer(-(2**31))
    '-2147483647 - 1'
    """
    return str(value) if value > -(2**31) else f"{value + 1} - 1"


def hexadecimal(data):
    r"""Write bytes as entries of a table.

    Examples
    --------
    >>> hexadecimal(b"\x07A")
    '0x07, 0x41'
    """
    return ", ".join(f"0x{byte:02x}" for byte in data)


def message(fingerprint):
    """Write the functions for a message of a codebook."""
    return MESSAGE.replace("FINGERPRINT", hexadecimal(fingerprint))


INCLUDES = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>
"""

MACROS = """
/* A cast that no warning of a C or C++ compiler objects to. */
#ifdef __cplusplus
#define NAME_CAST(type, value) static_cast<type>(value)
#else
#define NAME_CAST(type, value) ((type)(value))
#endif

/* Tables. AVR reads from flash by instructions for that, and keeps other constants in RAM. */
#ifdef __AVR__
#include <avr/pgmspace.h>
#define NAME_FLASH PROGMEM
#ifdef __cplusplus /* a reference, because C++ compilers warn of a cast to a constant */
#define NAME_TYPE_OF(at) __typeof__(*(at)) &
#else
#define NAME_TYPE_OF(at) __typeof__(*(at))
#endif
#define NAME_READ(at) \\
    NAME_CAST(NAME_TYPE_OF(at), sizeof *(at) == 1   ? pgm_read_byte(at) \\
                                : sizeof *(at) == 2 ? pgm_read_word(at) \\
                                                    : pgm_read_dword(at))
#define NAME_COPY(to, table, size) memcpy_P(to, table, size)
#else
#define NAME_FLASH
#define NAME_READ(at) (*(at))
#define NAME_COPY(to, table, size) memcpy(to, table, size)
#endif
"""

# Sizes have no casts, so that `#if` can compare them.
SIZES = """\
#define NAME_FEATURES {features}
#define NAME_ROW_BITS {row_bits}
#define NAME_ROW_BYTES {row_bytes}
/* Bytes of a message: before its rows, and in all for n rows. */
#define NAME_HEADER_BYTES 18
#define NAME_MESSAGE_BYTES(n) (22ul + (n) * {row_bytes}ul)
"""

FLOAT_CHECK = """
/* Does not compile if float is not an IEEE 754 binary32. */
typedef char name_float_has_32_bits[sizeof(float) == 4 ? 1 : -1];
"""

CODE = """
/* Returns the code of a value{refusal}. */
static inline uint32_t name_code(uint32_t feature, {type} value)
{{
{begin}\
{key}\
{missing}\
{search}\
}}
"""

# With the local copy `value` a compiler can drop the memcpy: a float is aligned, while `x` may point anywhere.
FLOAT = """
static inline uint32_t name_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Turns the bits of floats into integers that sort like the floats: no FPU is needed, and none can flush subnormals to
   zero. -0.0 becomes -1, which no threshold tells from 0. */
static inline int32_t name_key(uint32_t bits)
{
    int32_t key;
    bits ^= (0u - (bits >> 31)) >> 1;
    memcpy(&key, &bits, sizeof key);
    return key;
}
"""
FLOAT_KEY = """\
    const uint32_t bits = name_float_bits(value);
    const int32_t key = name_key(bits);
"""
FLOAT_IS_MISSING = "bits << 1 > 0xFF000000u"

COUNT_IS_MISSING = "value == NAME_MISSING_COUNT"
FEATURE_COUNT_IS_MISSING = "value == NAME_READ(name_missing_counts + feature)"
# For counts of 32 bits.
FEATURE_COUNT_IS_MISSING_IF_ANY = (
    "NAME_READ(name_missing_counts + 2 * feature) != 0 && value == NAME_READ(name_missing_counts + 2 * feature + 1)"
)

MISSING = """\
    if ({is_missing})
        return {code};
"""
REFUSED = "0xFFFFFFFFu"

PUT = """
/* Writes a code into the bits of a feature. */
static inline void name_put_code(uint8_t *row, uint32_t feature, uint32_t code)
{{
    const uint32_t at = NAME_READ(name_bits + feature), n_bits = NAME_READ(name_bits + feature + 1) - at;
    uint32_t mask = ((NAME_CAST(uint32_t, 1) << n_bits) - 1) << (at & 7u);
    code <<= at & 7u;
    for (row += at >> 3; mask != 0; ++row) {{
        *row = NAME_CAST(uint8_t, (*row & ~mask) | code);
        code >>= 8;
        mask >>= 8;
    }}
}}

/* Encodes one feature, numbered from 0, into a row that name_clear prepared or that starts as zero bytes. Put features
   in any order, and as often as there are new values. In a row that starts as zero bytes, a feature that was never put
   has code 0, so send it only after every feature was put.
   Returns 0. Otherwise it leaves the row unchanged and returns
   -1 if there is no such feature{refusal}. */
static inline int name_put(uint8_t *row, uint32_t feature, {type} value)
{{
    uint32_t code;
    if (feature >= NAME_FEATURES)
        return -1;
{unsent}\
{categorical}\
    code = name_code(feature, value);
{refuse}\
    name_put_code(row, feature, code);
    return 0;
}}
"""
PUT_UNSENT = """\
    if (NAME_READ(name_bits + feature) == NAME_READ(name_bits + feature + 1))
        return 0; /* a feature of 0 bits */
"""
PUT_REFUSE = """\
    if (code == 0xFFFFFFFFu)
        return NAME_CAST(int, feature + 1);
"""

ENCODE = """
/* Encodes all features into a packed row of {row_bytes}. {categories}Returns 0{refusal}. */
static inline int {function}const {type} *x, uint8_t *row)
{{
    uint8_t *to = row;
    uint32_t feature, waiting = 0, n_waiting = 0;
{begin}\
    for (feature = 0; feature < NAME_FEATURES; ++feature) {{
{n_bits}\
        uint32_t code;
{before}\
{unsent}\
        code = {lookup}(feature, x[feature]);
{refuse}\
{lower}\
        waiting |= code << n_waiting;
        for (n_waiting += n_bits; n_waiting >= 8; n_waiting -= 8) {{
            *to++ = NAME_CAST(uint8_t, waiting & 0xFFu);
            waiting >>= 8;
        }}
    }}
    if (n_waiting > 0)
        *to = NAME_CAST(uint8_t, waiting);
    return 0;
}}
"""
ENCODE_BITS = """\
        const uint32_t at = NAME_READ(name_bits + feature), n_bits = NAME_READ(name_bits + feature + 1) - at;
"""
ENCODE_UNSENT = """\
        if (n_bits == 0)
            continue;
"""
ENCODE_REFUSE = """\
        if (code == 0xFFFFFFFFu) {{
{clear}\
            return NAME_CAST(int, feature + 1);
        }}
"""

CLEAR = """\
            memset(row, 0, NAME_ROW_BYTES);
"""

MESSAGE = """
/* Computes the CRC-32 of zlib piece by piece: pass 0 for the first piece, then the result of the last call. */
static inline uint32_t name_crc(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] NAME_FLASH = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    crc = ~crc;
    for (; size > 0; --size) {
        crc ^= *data++;
        crc = (crc >> 4) ^ NAME_READ(table + (crc & 15u));
        crc = (crc >> 4) ^ NAME_READ(table + (crc & 15u));
    }
    return ~crc;
}

/* Writes 4 bytes, lowest first. Use it for the CRC at the end of a message that is sent in pieces. */
static inline void name_write_u32(uint8_t *bytes, uint32_t value)
{
    int i;
    for (i = 0; i < 4; ++i) {
        bytes[i] = NAME_CAST(uint8_t, value & 0xFFu);
        value >>= 8;
    }
}

/* "SBSQ", the version, flags, and the fingerprint. */
static const uint8_t name_message_start[14] NAME_FLASH = {
    'S', 'B', 'S', 'Q', 1, 0, FINGERPRINT};

/* Writes the header of a message of n_rows rows. Returns its size, NAME_HEADER_BYTES; the rows follow it. */
static inline size_t name_message_begin(uint8_t *message, uint32_t n_rows)
{
    NAME_COPY(message, name_message_start, 14);
    name_write_u32(message + 14, n_rows);
    return NAME_HEADER_BYTES;
}

/* Ends a message of n_rows rows, which may differ from the number given to name_message_begin: writes n_rows into the
   header, and the CRC after the rows. Returns the size of the message, NAME_MESSAGE_BYTES(n_rows). */
static inline size_t name_message_end(uint8_t *message, uint32_t n_rows)
{
    const size_t size = NAME_HEADER_BYTES + NAME_CAST(size_t, n_rows) * NAME_ROW_BYTES;
    name_write_u32(message + 14, n_rows);
    name_write_u32(message + size, name_crc(0, message, size));
    return size + 4;
}
"""

# -- short frames ------------------------------------------------------------------------------------------------

SHORT_SIZES = """
/* Bytes of a short frame of n rows with a CRC-16: one more with a sequence number, one less with a CRC-8. */
#define NAME_SHORT_BYTES(n) (3ul + (n) * {row_bytes}ul)
/* CRCs of the fingerprint. The CRC of a short frame starts from them. */
#define NAME_CRC16_START {crc16:#06x}u
#define NAME_CRC8_START {crc8:#04x}u
"""

# Without a table, because short frames are short.
SHORT = """
/* Computes CRC-16/CCITT-FALSE piece by piece: pass NAME_CRC16_START for the first piece of a short frame, then the
   result of the last call. */
static inline uint32_t name_crc16(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size > 0; --size) {
        int i;
        crc ^= NAME_CAST(uint32_t, *data++) << 8;
        for (i = 0; i < 8; ++i)
            crc = (crc << 1) ^ ((crc & 0x8000u) != 0 ? 0x11021u : 0u);
    }
    return crc;
}

/* Computes CRC-8/SMBUS in the same way, from NAME_CRC8_START. */
static inline uint32_t name_crc8(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size > 0; --size) {
        int i;
        crc ^= *data++;
        for (i = 0; i < 8; ++i)
            crc = (crc << 1) ^ ((crc & 0x80u) != 0 ? 0x107u : 0u);
    }
    return crc;
}

/* Begins a short frame with its id. Returns its size so far, 1; the rows follow it, at least one. */
static inline size_t name_short_begin(uint8_t *frame, uint8_t id)
{
    frame[0] = id;
    return 1;
}

/* Begins a short frame with its id and a sequence number. Returns its size so far, 2. */
static inline size_t name_short_begin_seq(uint8_t *frame, uint8_t id, uint8_t seq)
{
    frame[0] = id;
    frame[1] = seq;
    return 2;
}

/* Ends a short frame, whose size without the CRC is given: writes the CRC-16, lowest byte first. Returns the size of
   the frame. */
static inline size_t name_short_end(uint8_t *frame, size_t size)
{
    const uint32_t crc = name_crc16(NAME_CRC16_START, frame, size);
    frame[size] = NAME_CAST(uint8_t, crc & 0xFFu);
    frame[size + 1] = NAME_CAST(uint8_t, crc >> 8);
    return size + 2;
}

/* The same with a CRC-8. */
static inline size_t name_short_end_crc8(uint8_t *frame, size_t size)
{
    frame[size] = NAME_CAST(uint8_t, name_crc8(NAME_CRC8_START, frame, size));
    return size + 1;
}
"""

# -- rates -------------------------------------------------------------------------------------------------------

# A number that is no rate counts as the finest: no buffer is too small.
RATE_SIZES = """
/* Numbers of the rates, for the functions whose names end in _at. Number 0 is the finest: that of name_encode. */
#define NAME_RATES {n_rates}
{numbers}\
/* Sizes at a rate. They use `rate` more than once. */
#define NAME_ROW_BITS_AT(rate) ({row_bits})
#define NAME_ROW_BYTES_AT(rate) ((NAME_ROW_BITS_AT(rate) + 7ul) / 8ul)
#define NAME_MESSAGE_BYTES_AT(rate, n) (22ul + (n) * NAME_ROW_BYTES_AT(rate))
#define NAME_SHORT_BYTES_AT(rate, n) (3ul + (n) * NAME_ROW_BYTES_AT(rate))
"""

RATE_TABLES = """
/* Bytes of a row at each rate. Fingerprint, and bits of each feature, for the rates from number 1 on. */
"""

ENCODE_AT_BEGIN = """\
    if (rate >= NAME_RATES)
        return -1;
"""
ENCODE_AT_BITS = """\
        const uint32_t at = NAME_READ(name_bits + feature), fine_bits = NAME_READ(name_bits + feature + 1) - at;
        const uint32_t n_bits =
            rate == 0 ? fine_bits : NAME_CAST(uint32_t, NAME_READ(name_rate_bits[rate - 1] + feature));
"""
# Compilers inline a memset of a constant size. Any other one takes flash, up to 200 bytes if it is the only one of the
# program. They also make it from a loop, except if the bytes are volatile.
CLEAR_AT = """\
            volatile uint8_t *const bytes = row;
            for (n_waiting = NAME_READ(name_rate_row_bytes + rate); n_waiting > 0; --n_waiting)
                bytes[n_waiting - 1] = 0;
"""

# From here on: three ways from the code of the finest rate to the code at a rate.
SHIFT = """\
        code >>= fine_bits - n_bits;
"""

STEPS_ABOUT = """\
/* The code at a rate is the number of its steps below the finest code. A feature of b bits has 2^b - 1 steps. */
"""
STEPS_BEGIN = """\
    const uint{bits}_t *step;
    if (rate >= NAME_RATES)
        return -1;
    step = name_steps + NAME_READ(name_step_starts + rate);
"""
STEPS = """\
        if (rate != 0) {
            const uint32_t fine = code;
            uint32_t left = (NAME_CAST(uint32_t, 1) << n_bits) - 1;
            for (code = 0; left > 0; --left)
                if (NAME_READ(step++) < fine)
                    ++code;
        }
"""

MARKS_ABOUT = """\
/* The code at a rate is the number of marks, bits that are 1, below the finest code. A feature whose finest code has b
   bits has 2^b - 1 bits here. */
"""
MARKS_BEGIN = """\
    uint32_t begin, end = 0;
    if (rate >= NAME_RATES)
        return -1;
"""
MARKS_RANGE = """\
        begin = end;
        end += (NAME_CAST(uint32_t, 1) << fine_bits) - 1;
"""
MARKS = """\
        if (rate != 0) {
            const uint8_t *marks = name_rate_marks[rate - 1];
            const uint32_t fine = begin + code;
            for (code = 0; begin < fine; ++begin)
                code += (NAME_CAST(uint32_t, NAME_READ(marks + (begin >> 3))) >> (begin & 7u)) & 1u;
        }
"""

MESSAGE_AT = """
/* Writes the header of a message of n_rows rows of a rate. Returns its size, NAME_HEADER_BYTES; the rows follow it.
   Writes nothing and returns 0 if there is no such rate. */
static inline size_t name_message_begin_at(uint32_t rate, uint8_t *message, uint32_t n_rows)
{
    if (rate >= NAME_RATES)
        return 0;
    name_message_begin(message, n_rows);
    if (rate > 0)
        NAME_COPY(message + 6, name_rate_fingerprints[rate - 1], 8);
    return NAME_HEADER_BYTES;
}

/* Ends a message as name_message_end does. Returns its size, NAME_MESSAGE_BYTES_AT(rate, n_rows); writes nothing and
   returns 0 if there is no such rate. */
static inline size_t name_message_end_at(uint32_t rate, uint8_t *message, uint32_t n_rows)
{
    size_t size = NAME_HEADER_BYTES;
    if (rate >= NAME_RATES)
        return 0;
    size += NAME_CAST(size_t, n_rows) * NAME_READ(name_rate_row_bytes + rate);
    name_write_u32(message + 14, n_rows);
    name_write_u32(message + size, name_crc(0, message, size));
    return size + 4;
}
"""

SHORT_RATE_TABLES = """
/* CRCs of the fingerprint of each rate. */
"""

SHORT_AT = """
/* Ends a short frame whose rows are of a rate, as name_short_end does. Writes nothing and returns 0 if there is no such
   rate. */
static inline size_t name_short_end_at(uint32_t rate, uint8_t *frame, size_t size)
{
    uint32_t crc;
    if (rate >= NAME_RATES)
        return 0;
    crc = name_crc16(NAME_READ(name_rate_crc16 + rate), frame, size);
    frame[size] = NAME_CAST(uint8_t, crc & 0xFFu);
    frame[size + 1] = NAME_CAST(uint8_t, crc >> 8);
    return size + 2;
}

/* The same with a CRC-8. */
static inline size_t name_short_end_crc8_at(uint32_t rate, uint8_t *frame, size_t size)
{
    if (rate >= NAME_RATES)
        return 0;
    frame[size] = NAME_CAST(uint8_t, name_crc8(NAME_READ(name_rate_crc8 + rate), frame, size));
    return size + 1;
}
"""
