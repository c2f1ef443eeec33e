"""Rows of a device whose sensors fail: what the C writes before the first value, and whether a row may be sent.

A new row has the missing code of every feature that has one. Features with bits and no missing code must be filled
first: a mask notes for which of them the last value was accepted. A codebook without such features needs no mask.
"""

import numpy as np

from skbsq.codec import RowCodec
from skbsq.export import _c_text as c

PUT_MISSING = """
/* Puts the missing code of a feature into a row. Returns 0, also for a feature of 0 bits. Otherwise it leaves the row
   unchanged and returns
   -1 if there is no such feature{refusal}. */
static inline int name_put_missing(uint8_t *row, uint32_t feature)
{{
    if (feature >= NAME_FEATURES)
        return -1;
{unsent}\
{put}\
}}
"""
REFUSAL = """,
   feature + 1 if the feature has no missing code"""
PUT = """\
    name_put_code(row, feature, {code});
    return 0;
"""
# The missing code comes after those of the thresholds.
PUT_LAST = """\
    {
        const uint32_t begin = NAME_READ(name_offsets + feature), end = NAME_READ(name_offsets + feature + 1);
        name_put_code(row, feature, end - begin + 1);
    }
    return 0;
"""
PUT_IF_ANY = """\
    if (NAME_READ(name_missing_codes + feature) == 0)
        return NAME_CAST(int, feature + 1);
"""
PUT_NONE = """\
    NAME_CAST(void, row);
    return NAME_CAST(int, feature + 1);
"""

CLEAR = """
/* Prepares a row for name_put: every feature that is sent gets its missing code. */
static inline void name_clear(uint8_t *row)
{{
{row}\
}}
"""
CLEAR_WITH_MASK = """
/* Bytes of a mask. Bit feature % 8 of byte feature / 8 is 1 if the feature is filled. A mask of zeros is not ready. */
#define NAME_MASK_BYTES {mask_bytes}

/* Prepares a row and its mask for name_fill: features with a missing code get it, and count as filled, as features of
   0 bits do. The others are not filled. */
static inline void name_clear(uint8_t *row, uint8_t *mask)
{{
{row}\
{mask}\
}}
"""
# From a table even if it is all zeros: a message needs memcpy of the C library anyway, and memset takes 200 bytes more.
COPY = """\
    NAME_COPY({what}, name_new_{what}, NAME_{size}_BYTES);
"""
NO_BYTES = """\
    NAME_CAST(void, row);
"""

FILL = """
/* Notes in a mask whether a feature is filled, by what name_put returned, and returns that. */
static inline int name_mark(uint8_t *mask, uint32_t feature, int refused)
{{
    const uint32_t bit = NAME_CAST(uint32_t, 1) << (feature & 7u);
    if (refused == 0)
        mask[feature >> 3] = NAME_CAST(uint8_t, mask[feature >> 3] | bit);
    else if (refused > 0)
        mask[feature >> 3] = NAME_CAST(uint8_t, mask[feature >> 3] & ~bit);
    return refused;
}}

/* Does what name_put does, and notes the result in the mask: the feature is filled if the value is accepted, and not
   filled if it is refused. */
static inline int name_fill(uint8_t *row, uint8_t *mask, uint32_t feature, {type} value)
{{
    return name_mark(mask, feature, name_put(row, feature, value));
}}

/* Does what name_put_missing does, and notes the result in the mask: a feature without a missing code is not filled. */
static inline int name_fill_missing(uint8_t *row, uint8_t *mask, uint32_t feature)
{{
    return name_mark(mask, feature, name_put_missing(row, feature));
}}

/* Returns 0 if all features are filled. Otherwise returns feature + 1 of the first that is not: do not send the row. */
static inline int name_ready(const uint8_t *mask)
{{
    uint32_t feature;
    for (feature = 0; feature < NAME_FEATURES; ++feature)
        if ((NAME_CAST(uint32_t, mask[feature >> 3]) >> (feature & 7u) & 1u) == 0)
            return NAME_CAST(int, feature + 1);
    return 0;
}}

/* Copies a row that is ready to its place in a message or short frame. Returns 0. Otherwise it copies nothing and
   returns what name_ready returns. */
static inline int name_copy_ready(const uint8_t *row, const uint8_t *mask, uint8_t *to)
{{
    const int unfilled = name_ready(mask);
    if (unfilled == 0)
        memcpy(to, row, NAME_ROW_BYTES);
    return unfilled;
}}
"""


def functions(codebook, value_type, *, table):
    """Write the functions for a row that is filled feature by feature.

    Parameters
    ----------
    codebook : Codebook
        The finest of the header.
    value_type : str
        C type of a value.
    table : bool
        Whether the header has the table `name_missing_codes`. If not, all features that are sent have a missing code,
        or none has, and it follows from the number of thresholds in the header.

    Returns
    -------
    str
    """
    # Features without a missing code have code 0 in a new row.
    codes = np.where(codebook.has_missing, codebook.n_levels - 1, 0)
    row_table, row = _clear("row", RowCodec(codebook).pack(codes[None])[0].tolist())
    put_missing = _put_missing(codebook, table)
    if not codebook.refuses_nan.any():
        return put_missing + row_table + CLEAR.format(row=row)
    filled = np.packbits(~codebook.refuses_nan, bitorder="little").tolist()
    mask_table, mask = _clear("mask", filled)
    clear = CLEAR_WITH_MASK.format(mask_bytes=len(filled), row=row, mask=mask)
    return put_missing + row_table + mask_table + clear + FILL.format(type=value_type)


def _put_missing(codebook, table):
    refuses, some = bool(codebook.refuses_nan.any()), bool(codebook.has_missing.any())
    if not some:
        put = PUT_NONE
    elif table:
        put = PUT_IF_ANY * refuses + PUT.format(code="NAME_READ(name_missing_codes + feature)")
    else:
        put = PUT_LAST
    unsent = c.PUT_UNSENT * (not codebook.n_bits.all() and (refuses or not some))
    return PUT_MISSING.format(refusal=REFUSAL * refuses, unsent=unsent, put=put)


def _clear(what, values):
    """Write how "row" or "mask" gets its first bytes: a table and a statement."""
    if not values:
        return "", NO_BYTES
    return "\n" + c.array(f"name_new_{what}", values), COPY.format(what=what, size=what.upper())
