"""The head of a predictor in the C header, in integers, as `IntegerPredictor` computes it. NumPy alone."""

import numpy as np

from skbsq.export import _c_text as c
from skbsq.export._c_names import quoted
from skbsq.export._integers import to_integers

PARTS = ("encoder", "predictor")
WEIGHTS = ("int8",)
MAX_BYTES = 2**14
# Units of the heads that an error proposes.
_SMALL = (16, 8)

_SIZES = """
/* The predictor, in integers. Tables of {n_bytes} bytes.
{about} */
#define NAME_OUTPUTS {outputs}
{scales}\
"""
_TARGET = """\
   An output is a target in steps of NAME_OUTPUT_SCALE. The tolerance 0.5 is (int32_t)(0.5f / NAME_OUTPUT_SCALE)."""
_TARGETS = """\
   Output k is a target in steps of NAME_OUTPUT_SCALE_<k>."""
_LOGITS = """\
   {outputs} in steps of NAME_OUTPUT_SCALE. Classes:"""

_BEGIN = """
/* Predicts from a packed row. Writes NAME_OUTPUTS outputs and returns 0. If a code of the row does not exist, which no
   row of name_encode has, it returns feature + 1 of the first one, and the outputs mean nothing. */
static inline int name_predict(const uint8_t *row, int32_t *outputs)
{{
{buffers}\
    const int8_t *weights = name_table, *entry;
    {word} waiting = 0, n_waiting = 0;
    size_t feature, i{indices};
    for (i = 0; i < {units}; ++i)
        {sums}[i] = NAME_READ(name_bias_0 + i);
    for (feature = 0; feature < NAME_FEATURES; ++feature) {{
        const {word} at = NAME_READ(name_bits + feature), n_bits = NAME_READ(name_bits + feature + 1) - at;
        {word} code, n_levels;
{unsent}\
        for (; n_waiting < n_bits; n_waiting += 8)
            waiting |= NAME_CAST({word}, *row++) << n_waiting;
        code = waiting & ((NAME_CAST({word}, 1) << n_bits) - 1);
        waiting >>= n_bits;
        n_waiting -= n_bits;
        n_levels = NAME_READ(name_levels + feature);
        if (code >= n_levels)
            return NAME_CAST(int, feature + 1);
        entry = weights + code * {units}u;
        for (i = 0; i < {units}; ++i)
            {add};
        weights += n_levels * {units}u;
    }}
"""
# An int of 16 bits needs no cast to int16_t, and some compilers warn of casts that are not needed.
_ADD_TO_UNITS = "units[i] = NAME_CAST(int16_t, NAME_CAST(int32_t, units[i]) + NAME_READ(entry + i))"
_ADD_TO_OUTPUTS = "outputs[i] += NAME_READ(entry + i)"
_UNSENT = """\
        if (n_bits == 0)
            continue;
"""
_RELU = """\
    for (i = 0; i < {units}; ++i)
        if (units[i] < 0)
            units[i] = 0;
"""
_HIDDEN = """\
    weights = name_weights_{layer};
    for (k = 0; k < {units}; ++k) {{
        int32_t sum = NAME_READ(name_bias_{layer} + k);
        for (i = 0; i < {inputs}; ++i)
            sum += NAME_CAST(int32_t, {source}[i]) * NAME_READ(weights++);
        {target}[k] = NAME_CAST(int16_t, sum > 0 ? (sum + {half}) >> {shift} : 0);
    }}
"""
_HIDDEN_OF_MEMBERS = """\
    weights = name_weights_{layer};
    for (k = 0, first = 0; k < {units}; first += {inputs}) {{
        const size_t end = k + {per_member};
        for (; k < end; ++k) {{
            int32_t sum = NAME_READ(name_bias_{layer} + k);
            for (i = 0; i < {inputs}; ++i)
                sum += NAME_CAST(int32_t, {source}[first + i]) * NAME_READ(weights++);
            {target}[k] = NAME_CAST(int16_t, sum > 0 ? (sum + {half}) >> {shift} : 0);
        }}
    }}
"""
_LAST = """\
    for (k = 0; k < NAME_OUTPUTS; ++k) {{
        int32_t sum = NAME_READ(name_bias_{layer} + k);
        for (i = 0; i < {inputs}; ++i)
            sum += NAME_CAST(int32_t, {source}[i]) * NAME_READ(name_weights_{layer} + {row}i);
        outputs[k] = sum;
    }}
"""
_CLIP = """\
    for (i = 0; i < NAME_OUTPUTS; ++i) {
        const int32_t lowest = NAME_READ(name_lowest + i), highest = NAME_READ(name_highest + i);
        outputs[i] = outputs[i] < lowest ? lowest : outputs[i] > highest ? highest : outputs[i];
    }
"""
_END = """\
    return 0;
}
"""

_CLASS_OF_TWO = """
/* Returns the number of the class that outputs of name_predict stand for. */
static inline uint32_t name_class(const int32_t *outputs)
{
    return outputs[0] > 0 ? 1u : 0u;
}
"""
_CLASS_OF_MANY = """
/* Returns the number of the class that outputs of name_predict stand for. */
static inline uint32_t name_class(const int32_t *outputs)
{
    uint32_t k, best = 0;
    for (k = 1; k < NAME_OUTPUTS; ++k)
        if (outputs[k] > outputs[best])
            best = k;
    return best;
}
"""

_CHANGED = """
/* State of sending when the prediction changes. Starts as zero bytes, as static variables do. The outputs are those of
   the row sent last; since counts the rows from there on, that row included. */
typedef struct {{
    int32_t outputs[NAME_OUTPUTS];
    uint16_t since;
}} name_prediction;

/* Takes the next row. Returns 1 if it must be sent, because it is the first or the keyframe-th after the row sent last,
   or because {change}; state->outputs is then its prediction.
   Returns 0 if nothing must be sent, and -1 if a code of the row does not exist. */
static inline int name_predict_changed(
    name_prediction *state, const uint8_t *row, {tolerance}uint16_t keyframe)
{{
    int32_t outputs[NAME_OUTPUTS];
    size_t i;
    int changed = state->since == 0 || state->since >= keyframe;
    if (name_predict(row, outputs) != 0)
        return -1;
{compare}\
    if (!changed) {{
        ++state->since;
        return 0;
    }}
    for (i = 0; i < NAME_OUTPUTS; ++i)
        state->outputs[i] = outputs[i];
    state->since = 1;
    return 1;
}}
"""
# Outputs are less than 2^30, so differences do not overflow.
_COMPARE_OUTPUTS = """\
    for (i = 0; i < NAME_OUTPUTS; ++i) {{
        const int32_t difference = outputs[i] - state->outputs[i];
        if (difference > {tolerance} || -difference > {tolerance})
            changed = 1;
    }}
"""
_COMPARE_CLASSES = """\
    if (name_class(outputs) != name_class(state->outputs))
        changed = 1;
"""


def check(fitted, part, weights, max_bytes, dtype):
    """Return the predictor in integers that a header has, or None.

    Parameters
    ----------
    fitted : object
    part, weights : str
    max_bytes : int
    dtype : {"float32", "float64"}

    Returns
    -------
    IntegerPredictor or None

    Raises
    ------
    ValueError
        If `part` or `weights` is unknown, if `to_integers` raises it, or if the tables take more than `max_bytes`.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {list(PARTS)}, got {part!r}.")
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {list(WEIGHTS)}, got {weights!r}.")
    if part == "encoder":
        return None
    predictor = to_integers(fitted, dtype=dtype)
    if predictor.n_bytes > max_bytes:
        layers = [predictor.table.bias, *(layer.bias for layer in predictor.layers[:-1])]
        raise ValueError(
            f"The head takes {predictor.n_bytes} bytes on the chip, more than max_bytes={max_bytes}: it has "
            f"{' and '.join(str(bias.size) for bias in layers)} units, and {len(predictor.table.rows)} codes to look "
            f'up. {_way_out(predictor, max_bytes)}, allow more bytes, or export part="encoder" and predict on the '
            "server."
        )
    return predictor


def _way_out(predictor, max_bytes):
    """Propose the largest of some small heads that fits."""
    n_rows, n_outputs = len(predictor.table.rows), predictor.output_scale.size
    limits = 0 if predictor.output_range is None else predictor.output_range.nbytes
    rest = 4 * n_outputs + limits + predictor.table.n_levels.size * (1 if predictor.table.n_levels.max() < 256 else 2)
    for units in _SMALL:
        # Bytes of a unit: its weights for codes, its bias, and its weights for outputs.
        if (size := rest + units * (n_rows + 2 + 2 * n_outputs)) <= max_bytes:
            return f"Fit a small head, such as hidden_sizes=({units},), which takes {size} bytes with these codes"
    return f"Fit with fewer bits or with bit_budget, and with a small head, such as hidden_sizes=({_SMALL[0]},)"


def text(predictor, name):
    """Write the tables and functions of a predictor."""
    classes = predictor.classes_
    functions = _predict(predictor)
    if classes is not None:
        functions += _CLASS_OF_TWO if classes.size == 2 else _CLASS_OF_MANY
    return _sizes(predictor, name) + c.with_prefix(_tables(predictor) + functions + _changed(predictor), name)


def _sizes(predictor, name):
    scales, classes = predictor.output_scale.tolist(), predictor.classes_
    about = _TARGET if len(scales) == 1 else _TARGETS
    if classes is None and len(scales) > 1:
        lines = "".join(f"#define NAME_OUTPUT_SCALE_{k} {scale!r}f\n" for k, scale in enumerate(scales))
    else:
        lines = f"#define NAME_OUTPUT_SCALE {scales[0]!r}f\n"
    if classes is not None:
        about = _LOGITS.format(outputs="The output is the logit of class 1" if classes.size == 2 else "Logits")
        lines += f"#define NAME_CLASSES {classes.size}\n"
    sizes = _SIZES.format(n_bytes=predictor.n_bytes, about="{about}", outputs=len(scales), scales=lines)
    about = c.with_prefix(about, name)
    if classes is not None:
        # Labels may look like a name with a prefix, which must stay.
        about += "".join(f"\n   {k} {quoted(label)}" for k, label in enumerate(classes.tolist()))
    return c.with_prefix(sizes, name).replace("{about}", about)


def _tables(predictor):
    table, layers = predictor.table, predictor.layers
    text = "\n/* Per feature a row for each of its codes, of one weight per unit; the levels; and the bias. */\n"
    text += c.signed_array("name_table", table.rows if table.rows.size else np.zeros((1, 1), dtype=np.int8))
    text += c.array("name_levels", table.n_levels.tolist())
    text += c.signed_array("name_bias_0", table.bias.astype(np.int16) if layers else table.bias)
    for k, layer in enumerate(layers, start=1):
        text += c.signed_array(f"name_weights_{k}", layer.weight) + c.signed_array(f"name_bias_{k}", layer.bias)
    if predictor.output_range is not None:
        text += "/* The range of the training targets. */\n"
        text += c.signed_array("name_lowest", predictor.output_range[0])
        text += c.signed_array("name_highest", predictor.output_range[1])
    return text


def _predict(predictor):
    table, layers = predictor.table, predictor.layers
    sizes = [table.bias.size, *(layer.bias.size for layer in layers[:-1])]
    widest = [max(sizes[::2]), max(sizes[1::2], default=0)]
    buffers = ["units", "others"]
    text = _BEGIN.format(
        # Bits that wait for a code are fewer than 8 beside it.
        word="unsigned int" if predictor.codebook_.n_bits.max() <= 8 else "uint32_t",
        buffers="".join(f"    int16_t {b}[{n}];\n" for b, n in zip(buffers, widest, strict=True) if n) * bool(layers),
        indices=", k" * bool(layers) + ", first" * any(layer.n_members > 1 for layer in layers),
        units=table.bias.size,
        sums="units" if layers else "outputs",
        add=_ADD_TO_UNITS if layers else _ADD_TO_OUTPUTS,
        unsent=_UNSENT * (not predictor.codebook_.n_bits.all()),
    )
    if layers:
        text += _RELU.format(units=table.bias.size)
    for k, layer in enumerate(layers[:-1], start=1):
        text += _hidden(layer, k, buffers)
        buffers.reverse()
    if layers:
        n_inputs = layers[-1].weight.shape[1]
        row = f"k * {n_inputs}u + " * (predictor.output_scale.size > 1)
        text += _LAST.format(layer=len(layers), inputs=n_inputs, source=buffers[0], row=row)
    return text + _CLIP * (predictor.output_range is not None) + _END


def _hidden(layer, k, buffers):
    n_units, n_inputs = layer.weight.shape
    template = _HIDDEN if layer.n_members == 1 else _HIDDEN_OF_MEMBERS
    return template.format(
        layer=k,
        units=n_units,
        inputs=n_inputs,
        per_member=n_units // layer.n_members,
        source=buffers[0],
        target=buffers[1],
        half=1 << layer.shift >> 1,
        shift=layer.shift,
    )


def _changed(predictor):
    if predictor.classes_ is not None:
        return _CHANGED.format(
            change="its class is another than that of that row", tolerance="", compare=_COMPARE_CLASSES
        )
    if predictor.output_scale.size > 1:
        given, tolerance = "const int32_t *tolerances, ", "tolerances[i]"
        change = "an output differs from that of that row by more than its tolerance"
    else:
        given, tolerance = "int32_t tolerance, ", "tolerance"
        change = "the output differs from that of that row by more than tolerance"
    return _CHANGED.format(change=change, tolerance=given, compare=_COMPARE_OUTPUTS.format(tolerance=tolerance))
