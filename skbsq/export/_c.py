"""Write a codebook as one C header. NumPy alone."""

import hashlib
from itertools import accumulate

import numpy as np

from skbsq.codec import RowCodec
from skbsq.export import (
    _c_categories,
    _c_change,
    _c_decoder,
    _c_faults,
    _c_predictor,
    _c_rates,
    _c_search,
    _c_short,
    _c_speed,
)
from skbsq.export import _c_text as c
from skbsq.export._c_names import check_name, identifiers, label
from skbsq.export._c_source import find_source


def to_c(
    fitted,
    name,
    *,
    scale=None,
    offset=None,
    count_type=None,
    missing_count=None,
    dtype="float32",
    coarser=(),
    optimize="size",
    decoder=False,
    part="encoder",
    weights="int8",
    max_bytes=_c_predictor.MAX_BYTES,
):
    """Write an encoder, or a whole predictor, as a C header.

    The header is one self-contained file of C99 and C++11: constant tables, and functions that turn readings into the
    codes of `Codebook.encode`, packed rows and messages. Readings are floats or the counts of an analog-to-digital
    converter. The header includes only ``stddef.h``, ``stdint.h`` and ``string.h``. On AVR it also includes
    ``avr/pgmspace.h``, and its tables are in flash. It allocates no memory and uses no floating-point arithmetic.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline that ends in one
        Steps before the quantizer are folded into the thresholds, see `to_codebook`.
    name : str
        Prefix of every name in the header, in capitals for constants. Letters, digits and single underscores between
        them.
    scale : float, array-like of shape (d,), dict or pandas Series, default=None
        Makes the functions take integer counts instead of floats. A count has the value
        ``float32(float64(count) * scale + offset)``, in the units of the codebook. Scales are positive. Those of
        categorical features are not used. None: the functions take floats.
    offset : float, array-like of shape (d,), dict or pandas Series, default=None
        Value of count 0. None: 0. The labels of a dict or Series are names of features, or their numbers.
    count_type : {"uint8", "int8", "uint16", "int16", "int32"}, default=None
        C type of a count, without ``_t``. None: "uint16".
    missing_count : int, array-like of shape (d,), dict or pandas Series, default=None
        Count that is treated as missing, as NaN is among floats. Give one for every feature, or one per feature with
        None for a feature that has none. None: no feature has one.
    dtype : {"float32", "float64"}, default="float32"
        Type in which the scalers of a pipeline compute, see `to_codebook`.
    coarser : sequence of Codebook, default=()
        Further rates of a codebook, or of a model without rates: codebooks with some of its thresholds, such as
        ``codebook.coarsened(2)``. Their units are those of the header. A model with rates has all its codebooks in the
        header without this.
    optimize : {"size", "speed"}, default="size"
        "speed": ``sensor_encode`` has its own search for each number of thresholds, and its own statements for each
        feature. It takes fewer instructions and more flash. Rows and functions are the same.
    decoder : bool, default=False
        Add functions for a gateway that receives: they check messages and short frames, unpack rows into codes, and
        give their levels. A header with a decoder has one rate.
    part : {"encoder", "predictor"}, default="encoder"
        "predictor": the header predicts too, in integers, see `to_integers`. It needs a predictor with a small head,
        such as one with ``hidden_sizes=(16,)``.
    weights : {"int8"}, default="int8"
        Type of the weights of a predictor. Those of the outputs are int16.
    max_bytes : int, default=16384
        Most bytes of the tables of the head, see `IntegerPredictor.n_bytes`. Larger heads, as the default one of 128
        and more units, are a ValueError.

    Returns
    -------
    str
        The header, in ASCII.

    Raises
    ------
    ValueError
        If `name` is not a C identifier or is a keyword, if `scale`, `offset`, `count_type` or `missing_count` is
        invalid, if a count cannot stand for every category of a feature, if the codes of a codebook in `coarser` do not
        follow from those of the finest one, if two rates of them have equally many bits per row, if `decoder` is asked
        for with several rates, if `optimize` is neither "size" nor "speed", or if `to_codebook` raises it. With
        ``part="predictor"`` also if `to_integers` raises it, or if the head takes more than `max_bytes`.
    sklearn.exceptions.NotFittedError
        If `fitted`, or a step of it, is not fitted.

    See Also
    --------
    to_arduino : Write the header as an Arduino library.
    to_codebook : Fold a pipeline into one codebook.
    to_integers : The predictor of ``part="predictor"`` in Python.
    to_onnx : Write an encoder or a predictor as an ONNX model.

    Notes
    -----
    With the name ``sensor`` the header holds:

    - ``int sensor_encode(const float *x, uint8_t *row)``: encodes d values into a packed row. Returns 0. If a feature
      with bits and no missing code is NaN, it returns the number (from 1) of the first of them, and fills the row with
      zeros. Do not send that row: zeros are code 0 in every feature.
    - ``int sensor_put(uint8_t *row, uint32_t feature, float value)``: encodes one feature at a time, in any order, into
      a row that starts as zeros or that ``sensor_clear`` prepared. Returns 0, or feature + 1 if the value is refused,
      or -1 if there is no such feature. In a row that starts as zeros, a feature that was never put has code 0.
    - ``int sensor_put_missing(uint8_t *row, uint32_t feature)``: puts the missing code of a feature. Returns 0, or
      feature + 1 if the feature has bits and no missing code, or -1 if there is no such feature.
    - ``void sensor_clear(uint8_t *row)``: prepares a row for ``sensor_put``: every feature gets its missing code.
    - ``size_t sensor_message_begin(uint8_t *message, uint32_t n_rows)`` and ``sensor_message_end`` (the same
      parameters): write the header and the CRC around consecutive rows. Both return a size in bytes.
    - ``uint32_t sensor_crc(uint32_t crc, const uint8_t *data, size_t size)`` and ``sensor_write_u32``: for a message
      that is sent in pieces.
    - ``size_t sensor_short_begin(uint8_t *frame, uint8_t id)``, or ``sensor_short_begin_seq`` with a further
      ``uint8_t seq``: begin a short frame, see `skbsq.codec.dumps`. ``size_t sensor_short_end(uint8_t *frame, size_t
      size)`` writes the CRC-16 after the rows, and ``sensor_short_end_crc8`` a CRC-8; `size` is the size without the
      CRC. All return the size so far. ``SENSOR_SHORT_BYTES(n)`` is the size with an id and a CRC-16. A frame that is
      sent in pieces needs ``sensor_crc16`` and ``SENSOR_CRC16_START``, or ``sensor_crc8`` and ``SENSOR_CRC8_START``.
    - ``size_t sensor_change_step(sensor_change *state, const uint8_t *row, uint16_t keyframe, uint8_t id, uint8_t
      *frame)``: send on change, see `skbsq.codec.ChangeSender`. It writes a packet into ``SENSOR_CHANGE_BYTES`` bytes
      and returns its size, or 0 if nothing is to be sent. The state starts as zeros.
    - ``SENSOR_FEATURES``, ``SENSOR_ROW_BITS``, ``SENSOR_ROW_BYTES``, ``SENSOR_HEADER_BYTES``,
      ``SENSOR_MESSAGE_BYTES(n)``, ``sensor_fingerprint``; ``SENSOR_FEATURE_<feature>`` if features have names.

    With ``decoder=True`` it also holds, for the receiver:

    - ``int sensor_message_check(const uint8_t *message, size_t size, uint32_t *n_rows)``: returns 0 and the number of
      rows if a message is whole and of this codebook. Otherwise returns ``SENSOR_NO_MESSAGE``,
      ``SENSOR_UNSUPPORTED`` (only padded rows that are not compressed are read), ``SENSOR_FOREIGN``,
      ``SENSOR_WRONG_SIZE`` or ``SENSOR_CORRUPT``.
    - ``int sensor_short_check(const uint8_t *frame, size_t size, size_t begin, uint32_t *n_rows)`` and
      ``sensor_short_check_crc8``: the same for a short frame; its rows begin at byte 1, or 2 with a sequence number.
    - ``const uint8_t *sensor_row(const uint8_t *rows, uint32_t number)``: where a row lies.
    - ``int sensor_unpack(const uint8_t *row, sensor_code_type *codes)``: unpacks d codes. Returns 0; feature + 1 of the
      first that has no such code; or -1 if the row does not end with zero bits.
    - ``float sensor_level(uint32_t feature, uint32_t code)``: the level, NaN for a missing code, of which ``int
      sensor_is_missing(uint32_t feature, uint32_t code)`` tells without floats.

    A feature of 0 bits is not sent and need not be measured, because the C never reads its value.

    If there are categorical features, the C knows their categories by number, in the order of `Codebook.categories`:

    - ``SENSOR_<feature>_<CATEGORY>``: an enum with the number of each category. Letters of the category are in
      capitals, other characters become underscores, and names that are taken get a number behind them. A comment has
      the category itself.
    - ``int sensor_put_category(uint8_t *row, uint32_t feature, uint32_t category)``: does what ``sensor_put`` does, for
      a category. Any number that is no category, such as ``0xFFFFFFFFu``, is an unknown category: it gets the missing
      code if ``handle_unknown="missing"`` and the feature has one. Otherwise it is refused, as a numeric feature is.
      ``sensor_put`` refuses categorical features. ``sensor_fill_category`` has a mask too, see below.
    - ``sensor_encode`` reads the number of the category from ``x``, as a float or a count. A value that is no whole
      number, or the number of no category, is an unknown category; NaN or a missing count is missing.

    If a feature with bits has no missing code, a row must not be sent before this feature has a value. Then a mask, of
    ``SENSOR_MASK_BYTES`` bytes, notes which features are filled:

    - ``void sensor_clear(uint8_t *row, uint8_t *mask)``: prepares a row and its mask. Features with bits and no missing
      code are not filled, all others are.
    - ``int sensor_fill(uint8_t *row, uint8_t *mask, uint32_t feature, float value)`` and
      ``int sensor_fill_missing(uint8_t *row, uint8_t *mask, uint32_t feature)``: do what ``sensor_put`` and
      ``sensor_put_missing`` do, and note whether the feature is filled. It is not filled after a refused value.
    - ``int sensor_ready(const uint8_t *mask)``: returns 0 if all features are filled, or else feature + 1 of the first
      that is not. Do not send such a row.
    - ``int sensor_copy_ready(const uint8_t *row, const uint8_t *mask, uint8_t *to)``: copies a ready row to its place
      in a message. Returns what ``sensor_ready`` returns.

    With several rates the header also holds the following, and everything above is for the finest rate. The rates share
    the thresholds.

    - ``SENSOR_RATES`` and ``SENSOR_RATE_<rate>``: how many rates there are, and their numbers from 0, the finest. The
      rates of a model are bits, as in its parameter `rates`. Those of `coarser` are named by their bits per row.
    - ``int sensor_encode_at(uint32_t rate, const float *x, uint8_t *row)``: encodes d values into a packed row of a
      rate. Returns what ``sensor_encode`` returns, or -1 if there is no such rate. It does not read features of 0 bits
      at this rate.
    - ``sensor_message_begin_at`` and ``sensor_message_end_at``, with the parameters `rate`, `message` and `n_rows`: the
      same for a message whose rows are of this rate. They return 0 if there is no such rate.
    - ``sensor_short_end_at`` and ``sensor_short_end_crc8_at``, with the parameters `rate`, `frame` and `size`: the same
      for a short frame.
    - ``SENSOR_ROW_BITS_AT(rate)``, ``SENSOR_ROW_BYTES_AT(rate)``, ``SENSOR_MESSAGE_BYTES_AT(rate, n)``,
      ``SENSOR_SHORT_BYTES_AT(rate, n)``.

    With ``part="predictor"`` the header also holds the following. Rows are those of the finest rate.

    - ``int sensor_predict(const uint8_t *row, int32_t *outputs)``: predicts from a packed row. Writes
      ``SENSOR_OUTPUTS`` integers and returns 0, or feature + 1 if a code of the row does not exist.
    - ``SENSOR_OUTPUT_SCALE``: value of an output of 1, as a float: a power of two. With several targets
      ``SENSOR_OUTPUT_SCALE_0``, ``SENSOR_OUTPUT_SCALE_1`` and so on.
    - ``uint32_t sensor_class(const int32_t *outputs)`` and ``SENSOR_CLASSES``, of a classifier: the number of the class
      among the sorted labels, which a comment lists. Its outputs are logits: one per class, or for two classes one,
      that of the second class.
    - ``int sensor_predict_changed(sensor_prediction *state, const uint8_t *row, int32_t tolerance, uint16_t
      keyframe)``: tells whether to send a row, because its prediction differs from that of the row sent last. Returns
      1 or 0, or -1 if a code of the row does not exist. With several targets the parameter is ``const int32_t
      *tolerances``, and a classifier has none. See `IntegerPredictor.changes`.

    Thresholds are stored as integers: the bits of the float32, changed so that the integers sort as the floats do. A
    comment gives the exact value. C++11 has no hexadecimal floats. Comparing integers needs no FPU, and does not depend
    on compiler options such as ``-ffast-math`` or on the treatment of subnormals.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.export import to_c
    >>> book = Codebook.from_thresholds([[18.5, 25.0], [0.0]], feature_names=["temperature", "wind"])
    >>> print(to_c(book, "hut"))  # doctest: +ELLIPSIS
    /* Codebook ... as C: floats to codes, packed rows and messages.
    ...
    static const int32_t hut_thresholds[] HUT_FLASH = {
        /* 0 "temperature" */
        1100218368, /* 0x1.28p+4 = 18.5 */
        1103626240, /* 0x1.9p+4 = 25.0 */
        /* 1 "wind" */
        0, /* 0x0p+0 = 0.0 */
    };
    ...
    >>> "#define HUT_ROW_BYTES 1" in to_c(book, "hut", scale=0.1, offset=[-40, 0], count_type="int16")
    True
    >>> "#define HUT_RATE_2 1" in to_c(book, "hut", coarser=[book.coarsened(1)])
    True
    >>> "hut_find_2_refusing" in to_c(book, "hut", optimize="speed")
    True
    >>> "hut_message_check" in to_c(book, "hut", decoder=True)
    True
    """
    rates = _c_rates.find_rates(fitted, coarser, dtype)
    codebook, *further = rates.values()
    check_name(name)
    _check_options(optimize, decoder, further)
    predictor = _c_predictor.check(fitted, part, weights, max_bytes, dtype)
    source = find_source(codebook, scale, offset, count_type, missing_count)
    body = _body(rates, source, predictor, name, optimize, decoder)
    # The guard contains a hash, so that the compiler complains about two different headers of the same name.
    guard = f"SKBSQ_{name}_{hashlib.sha256(body.encode('ascii')).hexdigest()[:16]}_H"
    title = _title(codebook, source, _c_rates.title_lines(rates) if further else [])
    return f"{title}\n\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def _check_options(optimize, decoder, further):
    if decoder and further:
        raise ValueError(
            "decoder=True is for one codebook, but this header has several rates: write a header for each of them, "
            "such as to_c(codebook.coarsened(2), 'name2', decoder=True)."
        )
    if optimize not in ("size", "speed"):
        raise ValueError(f"optimize must be 'size' or 'speed', got {optimize!r}.")


def _body(rates, source, predictor, name, optimize, decoder):
    """Write what stands between the guards of a header."""
    codebook, *further = rates.values()
    parts = [
        c.INCLUDES,
        c.with_prefix(c.MACROS, name),
        c.with_prefix(_constants(codebook, source, decoder), name),
        c.with_prefix(_c_rates.sizes(rates) if further else "", name),
        # These two contain names of features, so `with_prefix` must not replace anything in them.
        _feature_numbers(codebook, name),
        _tables(codebook, source, name),
        c.with_prefix(_functions(codebook, source, optimize), name),
        c.with_prefix(c.message(codebook.fingerprint) + _c_short.functions(codebook), name),
        c.with_prefix(_c_change.functions(codebook), name),
        c.with_prefix(_c_decoder.functions(codebook) if decoder else "", name),
    ]
    if further:
        at_rates = _rate_functions(rates, source) + c.MESSAGE_AT + _c_short.rate_functions([*rates.values()])
        parts.append(c.with_prefix(at_rates, name))
    if predictor is not None:
        parts.append(_c_predictor.text(predictor, name))
    if codebook.is_categorical.any():
        parts.insert(4, _c_categories.constants(codebook, name, "".join(parts)))
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _title(codebook, source, more):
    from skbsq import __version__

    fingerprint = codebook.fingerprint.hex()
    lines = [
        f"Codebook {fingerprint} as C: {source.kind}s to codes, packed rows and messages.",
        f"Written by skbsq {__version__} (message format 1). Do not edit: change the codebook instead.",
        "",
        "Feature, name, bits, levels:" if codebook.feature_names else "Feature, bits, levels:",
    ]
    for j, (bits, levels) in enumerate(zip(codebook.n_bits.tolist(), codebook.n_levels.tolist(), strict=True)):
        lines.append(f"{label(codebook, j)}, {bits}, {levels}" + ", not sent" * (bits == 0))
        if categories := _c_categories.n_categories(codebook, j):
            lines[-1] += f", {categories} categories"
    comment = "\n   ".join(lines + more).replace("   \n", "\n")
    return f"/* {comment} */"


def _constants(codebook, source, decoder):
    text = c.SIZES.format(
        features=codebook.n_features, row_bits=codebook.row_bits, row_bytes=RowCodec(codebook).row_bytes
    )
    if isinstance(source.missing_count, int):
        text += f"#define NAME_MISSING_COUNT ({c.integer(source.missing_count)})\n"
    if source.kind == "float" or decoder:
        text += c.FLOAT_CHECK
    return text


def _feature_numbers(codebook, name):
    if codebook.feature_names is None:
        return ""
    prefix = f"{name.upper()}_FEATURE_"
    return "".join(
        f"#define {prefix}{constant} {j}\n" for j, constant in enumerate(identifiers(codebook.feature_names))
    )


def _tables(codebook, source, name):
    text = f"static const uint8_t {name}_fingerprint[8] = {{{c.hexadecimal(codebook.fingerprint)}}};\n"

    about = {
        "float": "The thresholds: bits of float32 as integers that sort like floats.\n"
        "   A code is the number of thresholds below the value.",
        "count": "For each threshold the first count whose value exceeds it.\n"
        "   A code is the number of entries that the count reaches.",
    }
    text += f"\n/* {about[source.kind]} */\n"
    text += f"static const {source.key_type} {name}_thresholds[] {name.upper()}_FLASH = {{\n"
    for j, (keys, notes) in enumerate(zip(source.keys, source.notes, strict=True)):
        text += f"    /* {label(codebook, j)} */\n"
        text += "".join(
            f"    {c.integer(key)}, /* {note} */\n" for key, note in zip(keys, notes[: len(keys)], strict=True)
        )
    if not any(source.keys):
        text += "    0 /* no thresholds; C allows no empty array */\n"
    text += "};\n\n/* Feature j has the thresholds, and the bits of a row, from entry j up to entry j + 1. */\n"
    offsets = c.array("name_offsets", [*accumulate(map(len, source.keys), initial=0)])
    text += c.with_prefix(offsets + c.array("name_bits", [*accumulate(codebook.n_bits.tolist(), initial=0)]), name)
    if isinstance(source.missing_count, list):
        text += _missing_counts(source, name)
    return text


def _missing_counts(source, name):
    """Write the missing counts of features that have different ones."""
    none = np.iinfo(source.type.removesuffix("_t")).max + 1
    if none < 2**31:
        about = "The missing count of each feature; a number beyond all counts if the feature has none."
        entries = [none if count is None else count for count in source.missing_count]
    else:
        about = "For each feature whether it has a missing count, and the count."
        entries = [x for count in source.missing_count for x in ((0, 0) if count is None else (1, count))]
    counts = ", ".join(map(c.integer, entries))
    text = f"\n/* {about} */\nstatic const int32_t name_missing_counts[] NAME_FLASH = {{{counts}}};\n"
    return c.with_prefix(text, name)


def _functions(codebook, source, optimize):
    refuses, unsent, is_float = _refuses(codebook, source), not codebook.n_bits.all(), source.kind == "float"
    some, missing, has_categories = bool(codebook.has_missing.any()), "", bool(codebook.is_categorical.any())
    begin, search, n_keys = _c_search.of_features(source)
    table, code = _missing_codes(codebook, source, n_keys)
    if source.is_missing is not None:
        missing = c.MISSING.format(is_missing=source.is_missing, code=code)
    if_missing = f" if it is {source.missing_value}" + " and the feature has no missing code" * some
    code = c.CODE.format(
        type=source.type,
        refusal=f"; {c.REFUSED}{if_missing}" * refuses,
        key=c.FLOAT_KEY if is_float else "",
        missing=missing,
        begin=begin,
        search=search,
    )
    is_refused = [if_missing.strip()] * refuses + ["if the feature is categorical"] * has_categories
    put = c.PUT.format(
        type=source.type,
        refusal=",\n   feature + 1 " + ", or ".join(is_refused) if is_refused else "",
        categorical=_c_categories.PUT_REFUSE * has_categories,
        unsent=c.PUT_UNSENT * (unsent and refuses),
        refuse=c.PUT_REFUSE * refuses,
    )
    if optimize == "speed":
        encode = _c_speed.encode(codebook, source, _refusal(codebook, source))
    else:
        encode = _small_encode(codebook, source)
    faults = _c_faults.functions(codebook, source.type, table=bool(table))
    if has_categories:
        code += _c_categories.lookup(codebook, source.type, source.is_missing, table=bool(table))
        put += _c_categories.put(codebook)
        faults += _c_categories.FILL_CATEGORY * bool(codebook.refuses_nan.any())
    return c.FLOAT * is_float + table + code + put + encode + faults


def _small_encode(codebook, source):
    return _encode(
        [codebook],
        source,
        row_bytes="NAME_ROW_BYTES",
        function="name_encode(",
        clear=c.CLEAR,
        no_rate="",
        n_bits=c.ENCODE_BITS,
        **dict.fromkeys(("begin", "before", "lower"), ""),
    )


def _rate_functions(rates, source):
    tables, fields = _c_rates.lowering(rates)
    return tables + _encode(
        rates.values(),
        source,
        row_bytes="NAME_ROW_BYTES_AT(rate)",
        function="name_encode_at(uint32_t rate, ",
        clear=c.CLEAR_AT,
        no_rate=", or -1 if\n   there is no such rate",
        n_bits=c.ENCODE_AT_BITS,
        **fields,
    )


def _encode(codebooks, source, *, clear, no_rate, **fields):
    """Write a function that encodes rows of one of the codebooks; `fields` are those of `c.ENCODE`."""
    finest, *_ = codebooks
    return c.ENCODE.format(
        type=source.type,
        refusal=no_rate + _refusal(finest, source),
        unsent=c.ENCODE_UNSENT * any(not book.n_bits.all() for book in codebooks),
        refuse=c.ENCODE_REFUSE.format(clear=clear) * (_refuses(finest, source) or _refuses_unknown(finest)),
        lookup="name_value_code" if finest.is_categorical.any() else "name_code",
        categories=_c_categories.ENCODES * bool(finest.is_categorical.any()),
        **fields,
    )


def _refusal(codebook, source):
    """Say in the comment of a function what it returns if it refuses a row."""
    missing = f"is {source.missing_value}" + " and has no missing code" * bool(codebook.has_missing.any())
    is_refused = [missing] * _refuses(codebook, source)
    is_refused += ["has no category of this number"] * _refuses_unknown(codebook)
    if not is_refused:
        return ""
    return (
        f", or the number, from 1,\n   of the first feature that {', or '.join(is_refused)}. "
        "Then do not send the row:\n"
        "   it is all zeros, which is a valid row of other values"
    )


def _refuses_unknown(codebook):
    return bool(_c_categories.refuses_unknown(codebook).any())


def _refuses(codebook, source):
    return source.is_missing is not None and bool(codebook.refuses_nan.any())


def _missing_codes(codebook, source, n_keys):
    """Return the C of a table, if one is needed, and the C expression for the code of a missing value.

    `n_keys` is an expression for the number of thresholds in the header.

    The table has 0 for a feature without a missing code. Of these, only features with bits are looked up.
    """
    if not codebook.has_missing.any() and codebook.refuses_nan.any():
        return "", c.REFUSED
    codes = [
        t.size + 1 if has_missing else 0
        for t, has_missing in zip(codebook.thresholds, codebook.has_missing.tolist(), strict=True)
    ]
    sent = codebook.n_bits.tolist()
    if all(code == len(keys) + 1 or not bits for code, keys, bits in zip(codes, source.keys, sent, strict=True)):
        return "", f"{n_keys} + 1"
    code = "NAME_READ(name_missing_codes + feature)"
    if codebook.refuses_nan.any():
        code = f"{code} != 0 ? {code} : {c.REFUSED}"
    return c.array("name_missing_codes", codes), code
