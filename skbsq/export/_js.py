"""Write a codebook as a decoder in JavaScript. NumPy alone."""

import json

import numpy as np

from skbsq.codebook.labels import numbered_names
from skbsq.codec import dumps, loads
from skbsq.codec.crc import crc8, crc16
from skbsq.export import _js_text as js
from skbsq.export._fold import fold_rates

# What The Things Stack accepts.
_MOST_BYTES = 40_960
_READS = {"bare": js.BARE, "short": js.SHORT, "message": js.MESSAGE}
_WHAT = {
    "bare": "Reads packed rows, one or more in a payload.",
    "short": "Reads short frames: {layout}.",
    "message": "Reads messages, also without padding, but not entropy-coded or deflated.",
}
_POLYNOMIALS = {None: 0, 8: 0x07, 16: 0x1021}


def to_js(fitted, *, frame="bare", id=None, seq=False, crc=16, dtype="float32"):
    """Write a decoder for LoRaWAN network servers in JavaScript.

    The text is one self-contained script of ECMAScript 5 with the function ``decodeUplink``, a payload formatter of The
    Things Stack and a codec of ChirpStack v4. It turns the bytes of an uplink into codes, as `skbsq.codec.loads` does,
    and into levels.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline that ends in one
        Steps before the quantizer are folded into the thresholds, see `to_codebook`. The levels are in the units of the
        raw features then. For a model with `rates`, messages of every rate are read, but short and bare frames of the
        finest rate alone: for these pass ``model.at(rate)``.
    frame : {"bare", "short", "message"}, default="bare"
        What a payload is, see `skbsq.codec.dumps`. On LoRaWAN the rows alone are enough, because the network counts and
        checks the packets.
    id, seq, crc
        Layout of a short frame, as in `skbsq.codec.loads`.
    dtype : {"float32", "float64"}, default="float32"
        Type in which the steps of a pipeline read the raw features, as in `to_codebook`.

    Returns
    -------
    str
        ASCII.

    Raises
    ------
    ValueError
        If the script would have more than 40,960 bytes, which is the most that The Things Stack accepts. If rows have 0
        bits, a parameter does not belong to the frame, or the pipeline cannot be folded.
    TypeError
        If `fitted` has no codebook.

    See Also
    --------
    to_c : Write the encoder of the device.
    skbsq.codec.loads : Read the same frames in Python.

    Notes
    -----
    ``decodeUplink(input)`` reads ``input.bytes``, an array of numbers, and nothing else. The result is
    ``{data: {codes: [...], values: {name: level, ...}}, errors: []}``:

    - ``codes``: a code per feature. Features of 0 bits are not sent and have the code 0.
    - ``values``: the level of each code by the name of its feature, or by x0, x1, ... if features have no names. It is
      null for a missing value. Numbers equal those of `skbsq.Codebook.decode` exactly; a category is a string, a
      number or a boolean.
    - ``rows``: only if the payload holds several rows: an object with ``codes`` and ``values`` for each of them, in
      order. Outside of it ``codes`` and ``values`` are those of the last row.
    - ``id`` and ``seq``, if there is a sequence number, of a short frame; ``fingerprint`` of a message.

    For a payload that cannot be read the result is ``{errors: [reason]}``, which both servers count as a failure.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.export import to_js
    >>> book = Codebook.from_thresholds([[18.5, 25.0], [0.5]], feature_names=["temperature", "wind"])
    >>> print(to_js(book))  # doctest: +ELLIPSIS
    /* Codebook ... as a decoder for LoRaWAN network servers.
    ...
        ["temperature", 2, [15.25, 21.75, 28.25]],
        ["wind", 1, [0.25, 0.75]]
    ...
    function decodeUplink(input) {
    ...
    }
    """
    rates = fold_rates(fitted, dtype)
    codebooks = [*rates.values()] if frame == "message" else [*rates.values()][:1]
    for codebook in codebooks:
        _check(codebook, frame, id, seq, crc)
    parts = [_title(codebooks, frame, id, seq, crc), _books(codebooks)]
    if frame == "short":
        parts.append(_layout(codebooks[0], id, seq, crc))
    text = "\n".join([*parts, js.ROWS, _READS[frame], js.DECODE])
    if len(text) > _MOST_BYTES:
        n_levels = sum(int(book.n_levels.sum()) for book in codebooks)
        raise ValueError(
            f"The decoder of this codebook has {len(text)} bytes, but servers accept at most {_MOST_BYTES}: "
            f"its {n_levels} levels take the most. Fewer bits per feature make it shorter."
        )
    return text


def _check(codebook, frame, id, seq, crc):
    """Reject frames that cannot be written, and parameters that do not belong to the frame."""
    if codebook.row_bits == 0:
        raise ValueError("to_js needs a codebook with at least 1 bit per row: without bits there is nothing to decode.")
    row = np.zeros((1, codebook.n_features), dtype=codebook.dtype)
    if frame == "short":
        written = dumps(codebook, row, frame=frame, id=0 if id is None else id, seq=0 if seq else None, crc=crc)
    else:
        written = dumps(codebook, row, frame=frame)
    loads(written, codebook, frame=frame, id=id, seq=seq, crc=crc)


def _title(codebooks, frame, id, seq, crc):
    from skbsq import __version__

    sequence = "a sequence number" if seq else "no sequence number"
    layout = f"{'any id' if id is None else f'id {id}'}, {sequence}, {'no CRC' if crc is None else f'CRC-{crc}'}"
    fingerprints = ", ".join(book.fingerprint.hex() for book in codebooks)
    return (
        f"/* Codebook {fingerprints} as a decoder for LoRaWAN network servers.\n"
        f"   {_WHAT[frame].format(layout=layout)}\n"
        f"   Written by skbsq {__version__}, ECMAScript 5. Do not edit: change the codebook instead. */\n"
    )


def _books(codebooks):
    text = "/* Each feature: name, bits, and the level of each code, null for a missing value. */\nvar skbsqBooks = ["
    return text + ", ".join(map(_book, codebooks)) + "];\n"


def _book(codebook):
    names = codebook.feature_names or numbered_names(codebook.n_features)
    features = [
        f"    [{json.dumps(name)}, {bits}, [{', '.join(map(_value, levels.tolist()))}]]"
        for name, bits, levels in zip(names, codebook.n_bits.tolist(), codebook.levels, strict=True)
    ]
    head = f'fingerprint: "{codebook.fingerprint.hex()}", rowBits: {codebook.row_bits}'
    lines = ",\n".join(features)
    return f"{{\n  {head}, rowBytes: {-(-codebook.row_bits // 8)}, features: [\n{lines}\n  ]\n}}"


def _layout(codebook, id, seq, crc):
    start = {None: 0, 8: crc8(codebook.fingerprint), 16: crc16(codebook.fingerprint)}[crc]
    fields = {"id": id, "seq": bool(seq), "crcBits": crc or 0, "polynomial": _POLYNOMIALS[crc], "crcStart": start}
    return f"var skbsqFrame = {{{', '.join(f'{name}: {json.dumps(value)}' for name, value in fields.items())}}};\n"


def _value(level):
    """Write a float32 as JavaScript reads it back, which has doubles, or a category."""
    if not isinstance(level, float):
        return json.dumps(level)
    return "null" if np.isnan(level) else repr(level).removesuffix(".0")
