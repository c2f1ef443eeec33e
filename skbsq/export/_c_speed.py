"""Encoding a row in few instructions: a search without a loop for each number of thresholds, and constant shifts.

A feature with 2^b - 1 thresholds takes b comparisons. Codes collect in one variable, from which whole bytes go into the
row. What the compiler would compute in the loop over features, such as offsets and shifts, is a constant here.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from skbsq.export import _c_categories, _c_search
from skbsq.export import _c_text as c

_FIND = """
/* Counts how many of the {n} thresholds from `at` on lie below a value{missing}. */
static inline uint32_t name_find_{name}(const {key_type} *at, {parameters})
{{
{begin}\
{test}\
{key}\
{steps}\
    return {count};
}}
"""
_BEGIN = """\
    const {key_type} *const begin = at;
"""
_NO_STEPS = """\
    NAME_CAST(void, at);
    NAME_CAST(void, {value});
"""

_ENCODE = """
/* Encodes all features into a packed row of NAME_ROW_BYTES. Returns 0{refusal}. */
static inline int name_encode(const {type} *x, uint8_t *row)
{{
{variables}\
{lines}\
{refuse}\
    return 0;
}}
"""
_REFUSE_IF_ANY = """\
    if (refused >> 31)
        return name_refuse(x, row);
"""
_NO_BITS = """\
    NAME_CAST(void, x);
    NAME_CAST(void, row);
"""

# The bound of the loop matters only if the values change meanwhile.
_REFUSE = """
/* Fills a row with zeros. Returns the number, from 1, of the first feature whose value is refused. */
static inline int name_refuse(const {type} *x, uint8_t *row)
{{
    uint32_t feature;
    memset(row, 0, NAME_ROW_BYTES);
    for (feature = 0; feature + 1 < NAME_FEATURES; ++feature) {{
        const {type} value = x[feature];
{bits}\
        if ({refuses}{is_missing})
            break;
    }}
    return NAME_CAST(int, feature + 1);
}}
"""
_BITS = """\
        const uint32_t bits = name_float_bits(value);
"""


@dataclass(frozen=True)
class _Search:
    """What a search function depends on. Features that are alike share one."""

    n_keys: int
    missing_code: int | str | None  # None: no value is missing
    missing_differs: bool  # whether the missing count is a parameter

    @property
    def name(self):
        """End of the name of the function."""
        if self.missing_code is None:
            return str(self.n_keys)
        suffix = "refusing" if self.missing_code == c.REFUSED else f"missing_{self.missing_code}"
        return f"{self.n_keys}_{suffix}" + "_at" * self.missing_differs


def encode(codebook, source, refusal):
    """Write `name_encode`, and the functions that it calls.

    Parameters
    ----------
    codebook : Codebook
    source : Source
    refusal : str
        What the comment says about refused values.

    Returns
    -------
    str
    """
    sent = np.flatnonzero(codebook.n_bits).tolist()
    # Categories are looked up by the functions that `name_put_category` needs too.
    searches = {j: None if codebook.is_categorical[j] else _search(codebook, source, j) for j in sent}
    refuses = any(_may_refuse(codebook, source, *item) for item in searches.items())
    variables = "    uint32_t code, waiting;\n" * bool(sent) + "    uint32_t refused = 0;\n" * refuses
    text = "".join(_find(search, source) for search in dict.fromkeys(searches.values()) if search)
    if refuses:
        text += _refuse(codebook, source)
    return text + _ENCODE.format(
        type=source.type,
        refusal=refusal,
        variables=variables,
        lines="".join(_lines(codebook, source, searches)) or _NO_BITS,
        refuse=_REFUSE_IF_ANY * refuses,
    )


def _may_refuse(codebook, source, j, search):
    return search.missing_code == c.REFUSED if search else _c_categories.may_refuse(codebook, source, j)


def _search(codebook, source, j):
    counts = source.missing_count
    differs = isinstance(counts, list)
    code = None
    if source.is_missing is not None and not (differs and counts[j] is None):
        code = codebook.thresholds[j].size + 1 if codebook.has_missing[j] else c.REFUSED
    return _Search(len(source.keys[j]), code, differs and code is not None)


def _lines(codebook, source, searches):
    """Yield statements that compute the code of each feature, and put it into the row."""
    offsets = [*accumulate(map(len, source.keys), initial=0)]
    n_waiting = to = 0
    for j, search in searches.items():
        value = f"name_float_bits(x[{j}])" if source.kind == "float" else f"x[{j}]"
        if search is None:
            yield f"    code = name_value_code({j}, x[{j}]);\n"
        else:
            missing = f", {c.integer(source.missing_count[j])}" if search.missing_differs else ""
            yield f"    code = name_find_{search.name}(name_thresholds + {offsets[j]}, {value}{missing});\n"
        if _may_refuse(codebook, source, j, search):
            yield "    refused |= code;\n"
        yield f"    waiting |= code << {n_waiting};\n" if n_waiting else "    waiting = code;\n"
        n_waiting += int(codebook.n_bits[j])
        while n_waiting >= 8:
            yield f"    row[{to}] = NAME_CAST(uint8_t, waiting & 0xFFu);\n"
            n_waiting -= 8
            to += 1
            if n_waiting:
                yield "    waiting >>= 8;\n"
    if n_waiting:
        yield f"    row[{to}] = NAME_CAST(uint8_t, waiting);\n"


def _find(search, source):
    is_float = source.kind == "float"
    value = "bits" if is_float else "value"
    test = ""
    if search.missing_code is not None:
        is_missing = "value == missing" if search.missing_differs else source.is_missing
        test = c.MISSING.format(is_missing=is_missing, code=_literal(search.missing_code))
    steps = _c_search.steps(search.n_keys, source.below)
    if_missing = f" if it is {source.missing_value}"
    about = {None: "", c.REFUSED: f"; {c.REFUSED}{if_missing}"}
    return _FIND.format(
        n=search.n_keys,
        missing=about.get(search.missing_code, f"; {search.missing_code}{if_missing}"),
        name=search.name,
        key_type=source.key_type,
        parameters=("uint32_t bits" if is_float else f"{source.type} value")
        + f", {source.type} missing" * search.missing_differs,
        begin=_BEGIN.format(key_type=source.key_type) if steps else "",
        test=test,
        key="    const int32_t key = name_key(bits);\n" if is_float and steps else "",
        steps=steps or _NO_STEPS.format(value=value),
        count="NAME_CAST(uint32_t, at - begin)" if steps else "0",
    )


def _refuse(codebook, source):
    if codebook.is_categorical.any():
        return _REFUSE.format(type=source.type, bits="", refuses=_c_categories.IS_REFUSED, is_missing="")
    refuses = ""
    table = ""
    if not codebook.refuses_nan.all():
        table = "\n" + c.array("name_refusing", np.packbits(codebook.refuses_nan, bitorder="little").tolist())
        refuses = "NAME_CAST(uint32_t, NAME_READ(name_refusing + (feature >> 3))) >> (feature & 7u) & 1u && "
    return table + _REFUSE.format(
        type=source.type,
        bits=_BITS if source.kind == "float" else "",
        refuses=refuses,
        is_missing=source.is_missing,
    )


def _literal(code):
    return code if isinstance(code, str) else f"{code}u"
