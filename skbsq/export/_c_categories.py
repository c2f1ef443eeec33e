"""Categories in the C header: a constant for each, and a table from their numbers to codes. NumPy alone.

Only features with bits are in the table. Features of 0 bits accept everything, whatever they are.
"""

import re
from itertools import accumulate

import numpy as np

from skbsq.codebook.labels import label
from skbsq.export import _c_names
from skbsq.export import _c_text as c
from skbsq.export._c_names import identifiers, quoted

TABLES = """
/* The codes of categories, by their numbers. Feature j has those from entry j up to entry j + 1 of the offsets, and
   none if it is numeric. */
"""
CODE = """
static inline int name_is_categorical(uint32_t feature)
{{
    return NAME_READ(name_category_offsets + feature) != NAME_READ(name_category_offsets + feature + 1);
}}

/* Returns the code of a category{refusal}. */
static inline uint32_t name_category_code(uint32_t feature, uint32_t category)
{{
    const uint32_t begin = NAME_READ(name_category_offsets + feature);
    const uint32_t end = NAME_READ(name_category_offsets + feature + 1);
    if (category < end - begin)
        return NAME_READ(name_category_codes + begin + category);
{numeric}\
    return {unknown};
}}

/* Returns the code of a value of name_encode, which is the number of a category if the feature is categorical. */
static inline uint32_t name_value_code(uint32_t feature, {type} value)
{{
{number}\
}}
"""
NUMERIC = """\
    if (begin == end)
        return 0xFFFFFFFFu; /* a numeric feature */
"""
# The number comes from the bits of the float, because a cast needs arithmetic of floats, and is undefined for others.
FLOAT = """\
    const uint32_t bits = name_float_bits(value), exponent = bits >> 23; /* and the sign */
    uint32_t number = 0xFFFFFFFFu;                                       /* no category */
    if (bits << 1 > 0xFF000000u || !name_is_categorical(feature))
        return name_code(feature, value); /* NaN, or a numeric feature */
    if ((bits & 0x7FFFFFFFu) == 0) {
        number = 0;
    } else if (exponent >= 127 && exponent <= 150) {
        const uint32_t digits = (bits & 0x7FFFFFu) | 0x800000u, whole = digits >> (150 - exponent);
        if (whole << (150 - exponent) == digits)
            number = whole;
    }
    return name_category_code(feature, number);
"""
COUNT = """\
    if (!name_is_categorical(feature){or_missing})
        return name_code(feature, value);
    return name_category_code(feature, NAME_CAST(uint32_t, value));
"""
IS_REFUSED = """\
NAME_READ(name_bits + feature) != NAME_READ(name_bits + feature + 1) &&
            name_value_code(feature, value) == 0xFFFFFFFFu"""
ENCODES = """A categorical feature has the number of its
   category. """
PUT_REFUSE = """\
    if (name_is_categorical(feature))
        return NAME_CAST(int, feature + 1); /* see name_put_category */
"""
PUT_CATEGORY = """
/* Puts a category, by its number, into a row, as name_put does with a value. A number that belongs to no category, such
   as 0xFFFFFFFFu, is an unknown category. Returns 0. Otherwise it leaves the row unchanged and returns
   -1 if there is no such feature,
   feature + 1 if {refusal}. */
static inline int name_put_category(uint8_t *row, uint32_t feature, uint32_t category)
{{
    uint32_t code;
    if (feature >= NAME_FEATURES)
        return -1;
{unsent}\
    code = name_category_code(feature, category);
{refuse}\
    name_put_code(row, feature, code);
    return 0;
}}
"""
FILL_CATEGORY = """
/* Does what name_put_category does, and notes the result in the mask. */
static inline int name_fill_category(uint8_t *row, uint8_t *mask, uint32_t feature, uint32_t category)
{
    return name_mark(mask, feature, name_put_category(row, feature, category));
}
"""


def in_table(codebook):
    """Return which features have their categories in the table: bool array of shape (d,)."""
    return codebook.is_categorical & (codebook.n_bits > 0)


def refuses_unknown(codebook):
    """Return which features refuse an unknown category: bool array of shape (d,)."""
    accepts = codebook.has_missing & (codebook.handle_unknown == "missing")
    return in_table(codebook) & ~accepts


def numeric_thresholds(codebook):
    """Return the thresholds of each feature that the C compares; none for a categorical feature."""
    return [t[:0] if known else t for t, known in zip(codebook.thresholds, codebook.is_categorical, strict=True)]


def check_counts(codebook, count_type, missing_count):
    """Raise ValueError if a count cannot stand for every category of a feature.

    Parameters
    ----------
    codebook : Codebook
    count_type : str
    missing_count : None, int, or list of d ints or None
    """
    largest = np.iinfo(count_type).max
    per_feature = missing_count if isinstance(missing_count, list) else [missing_count] * codebook.n_features
    for j in np.flatnonzero(in_table(codebook)).tolist():
        n, name = n_categories(codebook, j), label(codebook.feature_names, j)
        if n - 1 > largest:
            raise ValueError(
                f"{count_type} has no count for each of the {n} categories of {name}: give a wider count_type."
            )
        if per_feature[j] is not None and 0 <= per_feature[j] < n:
            raise ValueError(
                f"missing_count is {per_feature[j]} for {name}, which is the number of one of its {n} categories: give "
                "one missing_count per feature, with None for this feature, or another number."
            )


def n_categories(codebook, j):
    """Return the number of categories of a feature; 0 if it is numeric."""
    codes = codebook.categories[j]
    return 0 if codes is None else len(codes) - (None in codes)


def disorder(fine, coarse):
    """Say why the coarse codes of categories do not rise with the fine ones; None if they do.

    Parameters
    ----------
    fine, coarse : Codebook

    Returns
    -------
    str or None
    """
    for j, (known, codes) in enumerate(zip(fine.categories, coarse.categories, strict=True)):
        if known is None or coarse.n_levels[j] == 1:
            continue
        of_known = [(codes or {}).get(category, -1) for category in known if category is not None]
        if min(of_known) < 0 or (np.diff(of_known) < 0).any():
            return f"it has other categories of {label(fine.feature_names, j)}, or their codes in another order"
    return None


def may_refuse(codebook, source, j):
    """Tell whether `name_value_code` may refuse a value of a categorical feature."""
    return bool(refuses_unknown(codebook)[j] or (source.is_missing is not None and codebook.refuses_nan[j]))


def constants(codebook, name, taken):
    """Write an enum for each categorical feature: the numbers of its categories.

    Parameters
    ----------
    codebook : Codebook
    name : str
        Prefix of every name in the header.
    taken : str
        The rest of the header, whose names no constant may have.

    Returns
    -------
    str
    """
    names = set(re.findall(rf"\b{name.upper()}_\w+", taken))
    text = ""
    for j, (feature, codes) in enumerate(zip(_features(codebook), codebook.categories, strict=True)):
        if codes is None:
            continue
        categories = [category for category in codes if category is not None]
        text += f"/* Categories of feature {_c_names.label(codebook, j)}. */\nenum {{\n"
        for number, (end, category) in enumerate(zip(identifiers(map(_word, categories)), categories, strict=True)):
            constant = f"{name.upper()}_{feature}_{end}"
            while constant in names:
                constant += f"_{number}"
            names.add(constant)
            text += f"    {constant} = {number}, /* {quoted(category)} */\n"
        text += "};\n"
    return text


def _features(codebook):
    """Name the features in constants, x0, x1, ... if they have no names."""
    names = codebook.feature_names
    return [f"x{j}" for j in range(codebook.n_features)] if names is None else identifiers(names)


def _word(category):
    """Return a category as text in capitals, with a minus in words."""
    text = str(category).upper()
    return text if isinstance(category, str) else text.replace("-", "MINUS_")


def tables(codebook):
    """Write the codes of all categories that are sent."""
    sent = in_table(codebook).tolist()
    codes = [
        [code for category, code in of_feature.items() if category is not None] if is_sent else []
        for of_feature, is_sent in zip(codebook.categories, sent, strict=True)
    ]
    flat = [code for of_feature in codes for code in of_feature] or [0]  # C allows no empty array
    offsets = [*accumulate(map(len, codes), initial=0)]
    return TABLES + c.array("name_category_codes", flat) + c.array("name_category_offsets", offsets)


def lookup(codebook, value_type, is_missing, *, table):
    """Write the functions from a category, and from a value of `name_encode`, to a code.

    Parameters
    ----------
    codebook : Codebook
        The finest of the header.
    value_type : str
        C type of a value.
    is_missing : str or None
        C expression for a count that counts as missing. Not used for floats.
    table : bool
        Whether the header has the table `name_missing_codes`.

    Returns
    -------
    str
    """
    accepts = bool((in_table(codebook) & ~refuses_unknown(codebook)).any())
    # Without the table the missing code follows the codes of thresholds, and a categorical feature has none there.
    unknown = "NAME_READ(name_missing_codes + feature)" if table else "1"
    refuses = bool(refuses_unknown(codebook).any())
    if not accepts:
        unknown = c.REFUSED
    elif refuses:
        unknown = f"{unknown} != 0 ? {unknown} : {c.REFUSED}"
    or_missing = "" if is_missing is None else f" || {is_missing}"
    return tables(codebook) + CODE.format(
        type=value_type,
        refusal=f"; {c.REFUSED} if it is unknown" * refuses
        + " and the feature has no missing code" * (refuses and accepts),
        numeric=NUMERIC * accepts,
        unknown=unknown,
        number=FLOAT if value_type == "float" else COUNT.format(or_missing=or_missing),
    )


def put(codebook):
    """Write the function that puts one category."""
    refusal = "the feature is numeric"
    if refuses_unknown(codebook).any():
        accepts = bool((in_table(codebook) & ~refuses_unknown(codebook)).any())
        refusal += ", or if the category is unknown" + " and the feature has no missing code" * accepts
    return PUT_CATEGORY.format(refusal=refusal, unsent=c.PUT_UNSENT * (not codebook.n_bits.all()), refuse=c.PUT_REFUSE)
