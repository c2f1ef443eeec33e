"""JSON text of a codebook: hexadecimal floats, a format version, no unknown fields. Needs NumPy alone."""

import json
import re

import numpy as np

from skbsq.codebook.kernels import as_float32

JSON_FORMAT = "skbsq-codebook"
JSON_VERSION = 1
_RULES = ("error", "code")


def dump(book):
    """Write a codebook as JSON text."""
    names = book.feature_names or [None] * book.n_features
    all_counts = book.counts or [None] * book.n_features
    parts = zip(names, book.thresholds, book.levels, book.has_missing.tolist(), all_counts, strict=True)
    features = [
        {
            "name": name,
            "thresholds": _to_hex(thresholds),
            "levels": _to_hex(levels[:-1] if has_missing else levels),
            "has_missing": has_missing,
            "counts": None if counts is None else counts.tolist(),
        }
        for name, thresholds, levels, has_missing, counts in parts
    ]
    head = {"format": JSON_FORMAT, "version": JSON_VERSION, "missing": book.missing}
    if book.folded_from is not None:
        head["folded_from"] = book.folded_from.hex()
    body = ",\n".join(json.dumps(feature) for feature in features)
    return f'{json.dumps(head)[:-1]}, "features": [\n{body}\n]}}'


def read(text, what):
    """Read strict JSON text. Raise ValueError for other text, and for an object with a repeated key."""
    try:
        return json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"Not the JSON text of {what}: {error}") from None


def read_document(text, what, json_format, json_version):
    """Read the JSON text of an object with a format and a version, or raise ValueError.

    Parameters
    ----------
    text : str or bytes
    what : str
        What the messages call the object, such as "codebook".
    json_format : str
    json_version : int

    Returns
    -------
    dict
    """
    document = read(text, f"a {what}")
    if not isinstance(document, dict) or document.get("format") != json_format:
        raise ValueError(f'Not the JSON text of a {what}: "format" is not "{json_format}".')
    version = document.get("version")
    if type(version) is not int or version != json_version:
        raise ValueError(f"This {what} has format version {version!r}; this skbsq reads version {json_version}.")
    return document


def parse(text):
    """Turn the JSON text of a codebook into arguments of `Codebook.from_thresholds`, or raise ValueError."""
    document = read_document(text, "codebook", JSON_FORMAT, JSON_VERSION)
    keys = {"format", "version", "missing", "folded_from", "features"}
    check_keys(document, keys, "the codebook", optional={"folded_from"})
    if document["missing"] not in _RULES:
        raise ValueError(f"missing must be one of {list(_RULES)}, got {document['missing']!r}.")
    features = document["features"]
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise ValueError('"features" must be a list of objects.')
    for j, feature in enumerate(features):
        check_keys(feature, {"name", "thresholds", "levels", "has_missing", "counts"}, f"feature {j}")
        if type(feature["has_missing"]) is not bool:
            raise ValueError(f'"has_missing" of feature {j} must be true or false, got {feature["has_missing"]!r}.')
    return {
        "thresholds": [_from_hex(f["thresholds"], f"thresholds of feature {j}") for j, f in enumerate(features)],
        "levels": [_from_hex(f["levels"], f"levels of feature {j}") for j, f in enumerate(features)],
        "counts": _all_or_none(features, "counts"),
        "missing": document["missing"],
        "has_missing": [f["has_missing"] for f in features],
        "feature_names": _all_or_none(features, "name"),
        "folded_from": _fingerprint(document["folded_from"]) if "folded_from" in document else None,
    }


def _fingerprint(text):
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{16}", text):
        raise ValueError(f'"folded_from" must be the fingerprint of a codebook, 16 hexadecimal digits, got {text!r}.')
    return bytes.fromhex(text)


def _to_hex(values):
    return [value.hex() for value in values.tolist()]


def _from_hex(texts, what):
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"The {what} must be a list of hexadecimal floats.")
    try:
        if not all("0x" in text for text in texts):
            raise ValueError  # fromhex would read "10.5" as hexadecimal too
        values = np.array([float.fromhex(text) for text in texts], dtype=np.float64)
    except (ValueError, OverflowError):
        raise ValueError(f"The {what} are not all hexadecimal floats.") from None
    cast = as_float32(values)
    if not np.array_equal(cast, values):
        raise ValueError(f"The {what} are not all finite float32 values.")
    return cast


def _unique_pairs(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key is repeated.")
    return dict(pairs)


def _refuse_constant(text):
    raise ValueError(f"{text} is not JSON.")


def check_keys(mapping, keys, where, *, optional=frozenset()):
    """Raise ValueError unless the argument is a mapping with these keys, of which the optional ones may be absent."""
    if not isinstance(mapping, dict):
        raise ValueError(f"There should be fields in {where}, got {mapping!r}.")
    if unknown := sorted(set(mapping) - keys, key=str):
        raise ValueError(f"Unknown field {unknown[0]!r} in {where}; a newer skbsq may have written it.")
    if absent := sorted(keys - set(mapping) - optional):
        raise ValueError(f"Field {absent[0]!r} is missing in {where}.")


def _all_or_none(features, key):
    """Return the values of a key in all features, or None if all of them are null."""
    values = [feature[key] for feature in features]
    if all(value is None for value in values):
        return None
    if None in values:
        raise ValueError(f'Either every feature has a "{key}" or none.')
    return values
