"""The C that does not depend on a codebook's numbers: plain C with `name_` and `NAME_` where the prefix goes.

It is C99 and C++11 alike: no hexadecimal floats (C++ has them from C++17 on), a cast where a type gets narrower. Ints
may have 16 bits.
"""

import re

_PREFIX = re.compile(r"\b(?:name|NAME)_")


def with_prefix(text, name):
    """Put a prefix for `name_`, in capitals for `NAME_`.

    Examples
    --------
    >>> with_prefix("name_put(row, NAME_ROW_BYTES)", "Hut")
    'Hut_put(row, HUT_ROW_BYTES)'
    """
    return _PREFIX.sub(lambda match: f"{name}_" if match[0] == "name_" else f"{name.upper()}_", text)


INCLUDES = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>
"""

SIZES = """\
#define NAME_FEATURES {features}
#define NAME_ROW_BITS {row_bits}
#define NAME_ROW_BYTES {row_bytes}
/* Of a message: the bytes before its rows, and those of n rows in all. */
#define NAME_HEADER_BYTES 18
#define NAME_MESSAGE_BYTES(n) ((size_t)22 + (size_t)(n) * {row_bytes})
"""

FLOAT_CHECK = """
/* Refuses to compile where float is not an IEEE 754 binary32. */
typedef char name_float_has_32_bits[sizeof(float) == 4 ? 1 : -1];
"""

# -- codes -----------------------------------------------------------------------------------------------------------

# The thresholds that lie below `key`: few of them are passed one by one, many are halved.
PASS = """\
    while (k < end && name_thresholds[k] {below} key)
        ++k;
"""

HALVE = """\
    while (k < end) {{
        const uint32_t middle = k + (end - k) / 2;
        if (name_thresholds[middle] {below} key)
            k = middle + 1;
        else
            end = middle;
    }}
"""

FLOAT_PARAMETER = "uint32_t bits"

FLOAT_KEY = """\
    /* Integers in the order of the floats, -0.0 and 0.0 being one: no FPU is asked, and none can round or flush. */
    const int32_t magnitude = (int32_t)(bits & 0x7FFFFFFFu);
    const int32_t key = bits >> 31 ? -magnitude : magnitude;
"""

FLOAT_IS_MISSING = "magnitude > 0x7F800000"

COUNT_PARAMETER = "{type} key"

COUNT_IS_MISSING = "key == NAME_MISSING_COUNT"

REFUSE_MISSING = """\
    if ({is_missing})
        return (int)(feature + 1);
"""

CODE_MISSING = """\
    if ({is_missing})
        k = end = {code}; /* nothing left to search */
"""

STORE = """
/* Sets the bits of one feature in a row; the others stay as they are. */
static inline void name_store(uint8_t *row, uint32_t feature, uint32_t code)
{
    const uint32_t at = name_bits[feature];
    const uint32_t shift = at & 7u;
    uint32_t mask = (((uint32_t)1 << (name_bits[feature + 1] - at)) - 1) << shift;
    code <<= shift;
    for (row += at >> 3; mask != 0; ++row) {
        *row = (uint8_t)((*row & ~mask) | code);
        code >>= 8;
        mask >>= 8;
    }
}
"""

QUANTIZE = """
static inline int name_quantize(uint8_t *row, uint32_t feature, {parameter})
{{
{key}\
    const uint32_t begin = name_offsets[feature];
    uint32_t k = begin, end = name_offsets[feature + 1];
{missing}\
{search}\
    name_store(row, feature, k - begin);
    return 0;
}}
"""

PUT = """
/* Quantizes one feature, numbered from 0, into a row that was all zero bytes at first: in any order, and as often as
   there is a new value. Returns 0, or -1 where there is no such feature{refusal}; the row then is as it was. */
static inline int name_put(uint8_t *row, uint32_t feature, {type} value)
{{
    if (feature >= NAME_FEATURES)
        return -1;
{body}\
}}
"""

FLOAT_PUT = """\
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return name_quantize(row, feature, bits);
"""

COUNT_PUT = """\
    return name_quantize(row, feature, value);
"""

# Only where there is such a feature.
PUT_UNSENT = """\
    if (name_bits[feature] == name_bits[feature + 1])
        return 0; /* a feature of 0 bits */
"""

ENCODE_UNSENT = """\
        if (name_bits[feature] == name_bits[feature + 1])
            continue; /* a feature of 0 bits */
"""

ENCODE = """
/* Quantizes all features into a packed row of NAME_ROW_BYTES. Returns 0{refusal}. */
static inline int name_encode(const {type} *x, uint8_t *row)
{{
    uint32_t feature;
    memset(row, 0, NAME_ROW_BYTES);
    for (feature = 0; feature < NAME_FEATURES; ++feature) {{
{body}\
    }}
    return 0;
}}
"""

FLOAT_VALUE = """\
        uint32_t bits;
        memcpy(&bits, x + feature, sizeof bits);
"""

ENCODE_ALL = """\
        name_quantize(row, feature, {value});
"""

ENCODE_OR_REFUSE = """\
        if (name_quantize(row, feature, {value}) != 0) {{
            memset(row, 0, NAME_ROW_BYTES);
            return (int)(feature + 1);
        }}
"""

# -- messages --------------------------------------------------------------------------------------------------------

MESSAGE = """
/* CRC-32 of zlib, in pieces: 0 before the first, then what the last call returned. */
static inline uint32_t name_crc(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    crc = ~crc;
    for (; size > 0; --size) {
        crc ^= *data++;
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

/* Writes 4 bytes, the lowest first: so a CRC ends a message that is sent in pieces. */
static inline void name_write_u32(uint8_t *bytes, uint32_t value)
{
    int i;
    for (i = 0; i < 4; ++i) {
        bytes[i] = (uint8_t)(value & 0xFFu);
        value >>= 8;
    }
}

/* Writes the header of a message of n_rows rows. Returns its size, NAME_HEADER_BYTES: the rows stand behind it. */
static inline size_t name_message_begin(uint8_t *message, uint32_t n_rows)
{
    static const uint8_t start[6] = {'S', 'B', 'S', 'Q', 1, 0};
    memcpy(message, start, 6);
    memcpy(message + 6, name_fingerprint, 8);
    name_write_u32(message + 14, n_rows);
    return NAME_HEADER_BYTES;
}

/* Ends a message after the n_rows rows that stand in it, which may differ from what the header said so far: sets their
   number there and writes the CRC behind them. Returns the size of the message, NAME_MESSAGE_BYTES(n_rows). */
static inline size_t name_message_end(uint8_t *message, uint32_t n_rows)
{
    const size_t size = NAME_MESSAGE_BYTES(n_rows) - 4;
    name_write_u32(message + 14, n_rows);
    name_write_u32(message + size, name_crc(0, message, size));
    return size + 4;
}
"""
