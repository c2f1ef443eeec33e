"""C for a gateway that receives: checks of messages and short frames, codes of a row, and their levels. NumPy alone."""

from itertools import accumulate

import numpy as np

from skbsq.codec import RowCodec
from skbsq.export import _c_text as c

# As many codes a message of rows without bytes holds at most: its length does not limit them. See `loads`.
_MAX_CODES = 2**24

_TYPE = """
/* A code of a row that was received. */
typedef uint{bits}_t name_code_type;

/* Why a message or short frame is refused. */
#define NAME_NO_MESSAGE 1   /* it begins as no message does, or has another version */
#define NAME_UNSUPPORTED 2  /* rows without padding, or compressed */
#define NAME_FOREIGN 3      /* of another codebook */
#define NAME_WRONG_SIZE 4   /* cut off, or too long */
#define NAME_CORRUPT 5      /* the CRC is wrong */
"""

_LEVELS_ABOUT = """
/* The levels as bits of float32; NaN is that of a missing code. Feature j has those from entry j up to entry j + 1. */
"""

_ROWS = """
/* Returns where a row lies, of the rows that begin at `rows`: name_row(message + NAME_HEADER_BYTES, 0). */
static inline const uint8_t *name_row(const uint8_t *rows, uint32_t number)
{{
    return rows + NAME_CAST(size_t, number) * NAME_ROW_BYTES;
}}

/* Unpacks the codes of all features from a row. Returns 0; feature + 1 of the first that has no such code; or -1 if the
   row does not end with zero bits. Such a row was not packed with this codebook. */
static inline int name_unpack(const uint8_t *row, name_code_type *codes)
{{
    uint32_t feature, waiting = 0, n_waiting = 0;
    int wrong = 0;
    for (feature = 0; feature < NAME_FEATURES; ++feature) {{
        const uint32_t at = NAME_READ(name_bits + feature), n_bits = NAME_READ(name_bits + feature + 1) - at;
        const uint32_t begin = NAME_READ(name_level_offsets + feature);
        const uint32_t n_levels = NAME_READ(name_level_offsets + feature + 1) - begin;
        uint32_t code;
        for (; n_waiting < n_bits; n_waiting += 8)
            waiting |= NAME_CAST(uint32_t, *row++) << n_waiting;
        code = waiting & ((NAME_CAST(uint32_t, 1) << n_bits) - 1);
        waiting >>= n_bits;
        n_waiting -= n_bits;
        if (code >= n_levels && wrong == 0)
            wrong = NAME_CAST(int, feature + 1);
        codes[feature] = NAME_CAST(name_code_type, code & {mask}u);
    }}
    return wrong == 0 && waiting != 0 ? -1 : wrong;
}}

/* Returns the bits of the level of a code; those of a NaN for a missing code, or if there is no such code. */
static inline uint32_t name_level_bits(uint32_t feature, uint32_t code)
{{
    uint32_t begin, end;
    if (feature >= NAME_FEATURES)
        return 0x7FC00000u;
    begin = NAME_READ(name_level_offsets + feature);
    end = NAME_READ(name_level_offsets + feature + 1);
    return code < end - begin ? NAME_READ(name_levels + begin + code) : 0x7FC00000u;
}}

/* Returns the level of a code, in the units of the codebook. A missing code has NaN, which -ffast-math may not tell
   from other floats: ask name_is_missing. */
static inline float name_level(uint32_t feature, uint32_t code)
{{
    const uint32_t bits = name_level_bits(feature, code);
    float level;
    memcpy(&level, &bits, sizeof level);
    return level;
}}

/* Returns 1 if a code is the missing code of its feature, or no code of it, and else 0. */
static inline int name_is_missing(uint32_t feature, uint32_t code)
{{
    return name_level_bits(feature, code) == 0x7FC00000u;
}}

/* Reads 4 bytes, lowest first. */
static inline uint32_t name_read_u32(const uint8_t *bytes)
{{
    uint32_t value = 0;
    int i;
    for (i = 4; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}}

/* Checks a message of `size` bytes. If it is whole and of this codebook, writes the number of its rows, which begin at
   NAME_HEADER_BYTES, and returns 0. Otherwise returns one of the numbers above, and writes 0. It reads no byte beyond
   `size`. */
static inline int name_message_check(const uint8_t *message, size_t size, uint32_t *n_rows)
{{
    uint32_t i, n;
    *n_rows = 0;
    for (i = 0; i < 14; ++i) {{
        if (i >= size)
            return NAME_WRONG_SIZE;
        if (message[i] != NAME_READ(name_message_start + i))
            return i < 5 ? NAME_NO_MESSAGE : i == 5 ? NAME_UNSUPPORTED : NAME_FOREIGN;
    }}
    if (size < NAME_HEADER_BYTES + 4)
        return NAME_WRONG_SIZE;
    n = name_read_u32(message + 14);
    size -= 4;
    if ({wrong_size})
        return NAME_WRONG_SIZE;
    if (name_crc(0, message, size) != name_read_u32(message + size))
        return NAME_CORRUPT;
    *n_rows = n;
    return 0;
}}
"""
# Without a product that might overflow.
_WRONG_SIZE = "(size - NAME_HEADER_BYTES) / NAME_ROW_BYTES != n || (size - NAME_HEADER_BYTES) % NAME_ROW_BYTES != 0"
_WRONG_SIZE_OF_NO_BYTES = "size != NAME_HEADER_BYTES || n > {most}u"

_SHORT = """
/* Checks a short frame of `size` bytes with a CRC-16, whose rows begin at byte `begin`: 1, or 2 if it has a sequence
   number. Returns 0 and writes the number of its rows if it is whole and of this codebook. Otherwise returns
   NAME_WRONG_SIZE or NAME_CORRUPT, and writes 0. Its id is byte 0, and its sequence number byte 1. */
static inline int name_short_check(const uint8_t *frame, size_t size, size_t begin, uint32_t *n_rows)
{
    const size_t end = size - 2;
    *n_rows = 0;
    if (size < begin + NAME_ROW_BYTES + 2 || (end - begin) % NAME_ROW_BYTES != 0)
        return NAME_WRONG_SIZE;
    if (name_crc16(NAME_CRC16_START, frame, end) != (NAME_CAST(uint32_t, frame[end + 1]) << 8 | frame[end]))
        return NAME_CORRUPT;
    *n_rows = NAME_CAST(uint32_t, (end - begin) / NAME_ROW_BYTES);
    return 0;
}

/* The same with a CRC-8. */
static inline int name_short_check_crc8(const uint8_t *frame, size_t size, size_t begin, uint32_t *n_rows)
{
    const size_t end = size - 1;
    *n_rows = 0;
    if (size < begin + NAME_ROW_BYTES + 1 || (end - begin) % NAME_ROW_BYTES != 0)
        return NAME_WRONG_SIZE;
    if (name_crc8(NAME_CRC8_START, frame, end) != frame[end])
        return NAME_CORRUPT;
    *n_rows = NAME_CAST(uint32_t, (end - begin) / NAME_ROW_BYTES);
    return 0;
}
"""


def functions(codebook):
    """Write tables and functions that read messages, short frames and rows of a codebook."""
    levels = [_bits(level) for levels in codebook.level_numbers for level in levels]
    bits = 8 * codebook.dtype.itemsize
    row_bytes = RowCodec(codebook).row_bytes
    return "".join(
        [
            _TYPE.format(bits=bits),
            _LEVELS_ABOUT,
            c.array("name_levels", levels),
            c.array("name_level_offsets", [*accumulate(codebook.n_levels.tolist(), initial=0)]),
            _ROWS.format(
                mask=hex(2**bits - 1),
                wrong_size=_WRONG_SIZE
                if row_bytes
                else _WRONG_SIZE_OF_NO_BYTES.format(most=_MAX_CODES // codebook.n_features),
            ),
            _SHORT if row_bytes else "",
        ]
    )


def _bits(level):
    """Return the bits of a level. All NaN are alike."""
    return int(np.float32(level).view(np.uint32)) if level == level else 0x7FC00000
