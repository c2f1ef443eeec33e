"""JSON text of a codebook: hexadecimal floats, a format version, no unknown fields. Needs NumPy alone."""

import json
import re

import numpy as np

from skbsq.codebook.kernels import as_float32

JSON_FORMAT = "skbsq-codebook"
JSON_VERSIONS = (1, 2)
_RULES = ("error", "code")


def dump(book):
    """Write a codebook as JSON text."""
    names = book.feature_names or [None] * book.n_features
    all_counts = book.counts or [None] * book.n_features
    features = []
    parts = zip(names, book.parts, book.levels, book.has_missing.tolist(), all_counts, strict=True)
    for name, part, levels, has_missing, counts in parts:
        levels = levels[:-1] if has_missing else levels
        if isinstance(part, dict):
            codes = {"categories": list(part), "codes": list(part.values()), "levels": levels.tolist()}
        else:
            codes = {"thresholds": _to_hex(part), "levels": _to_hex(levels)}
        counts = None if counts is None else counts.tolist()
        features.append({"name": name, **codes, "has_missing": has_missing, "counts": counts})
    has_categories = book.is_categorical.any()
    head = {"format": JSON_FORMAT, "version": 2 if has_categories else 1, "missing": book.missing}
    if has_categories:
        head["handle_unknown"] = book.handle_unknown
    if book.folded_from is not None:
        head["folded_from"] = book.folded_from.hex()
    if book.folded_order is not None:
        head["folded_order"] = book.folded_order.tolist()
    body = ",\n".join(json.dumps(feature) for feature in features)
    return f'{json.dumps(head)[:-1]}, "features": [\n{body}\n]}}'


def read(text, what):
    """Read strict JSON text. Raise ValueError for other text, and for an object with a repeated key."""
    try:
        return json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"Not the JSON text of {what}: {error}") from None


def read_document(text, what, json_format, json_versions):
    """Read the JSON text of an object with a format and a version, or raise ValueError.

    Parameters
    ----------
    text : str or bytes
    what : str
        What the messages call the object, such as "codebook".
    json_format : str
    json_versions : tuple of int
        Versions that can be read.

    Returns
    -------
    dict
    """
    document = read(text, f"a {what}")
    if not isinstance(document, dict) or document.get("format") != json_format:
        raise ValueError(f'Not the JSON text of a {what}: "format" is not "{json_format}".')
    version = document.get("version")
    if type(version) is not int or version not in json_versions:
        known = f"version{'s' * (len(json_versions) > 1)} {' and '.join(map(str, json_versions))}"
        raise ValueError(f"This {what} has format version {version!r}; this skbsq reads {known}.")
    return document


def parse(text):
    """Turn the JSON text of a codebook into arguments of `Codebook.from_thresholds`, or raise ValueError."""
    document = read_document(text, "codebook", JSON_FORMAT, JSON_VERSIONS)
    new = {"handle_unknown"} if document["version"] == 2 else set()
    optional = {"folded_from", "folded_order"}
    check_keys(
        document, {"format", "version", "missing", "features", *optional, *new}, "the codebook", optional=optional
    )
    if document["missing"] not in _RULES:
        raise ValueError(f"missing must be one of {list(_RULES)}, got {document['missing']!r}.")
    features = document["features"]
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise ValueError('"features" must be a list of objects.')
    for j, feature in enumerate(features):
        is_categorical = document["version"] == 2 and "categories" in feature
        codes = {"categories", "codes"} if is_categorical else {"thresholds"}
        check_keys(feature, {"name", "levels", "has_missing", "counts", *codes}, f"feature {j}")
        if type(feature["has_missing"]) is not bool:
            raise ValueError(f'"has_missing" of feature {j} must be true or false, got {feature["has_missing"]!r}.')
    parts = [_part(feature, j) for j, feature in enumerate(features)]
    return {
        "thresholds": [thresholds for thresholds, _ in parts],
        "levels": [levels for _, levels in parts],
        "counts": _all_or_none(features, "counts"),
        "missing": document["missing"],
        "has_missing": [f["has_missing"] for f in features],
        "feature_names": _all_or_none(features, "name"),
        "folded_from": _fingerprint(document["folded_from"]) if "folded_from" in document else None,
        "handle_unknown": document.get("handle_unknown", "error"),
        "folded_order": document.get("folded_order"),
    }


def _part(feature, j):
    """Return the thresholds of a feature, or the codes of its categories, and its levels."""
    if "categories" not in feature:
        thresholds = _from_hex(feature["thresholds"], f"thresholds of feature {j}")
        return thresholds, _from_hex(feature["levels"], f"levels of feature {j}")
    categories, codes = feature["categories"], feature["codes"]
    for values, kinds in [
        (categories, (str, int, bool, type(None))),
        (feature["levels"], (str, int, bool)),
        (codes, (int,)),
    ]:
        if not isinstance(values, list) or not all(type(value) in kinds for value in values):
            raise ValueError(f"Categories, codes and levels of feature {j} must be lists, got {values!r}.")
    if len(codes) != len(categories):
        raise ValueError(f"Feature {j} has {len(categories)} categories and {len(codes)} codes.")
    entries = dict(zip(categories, codes, strict=True))
    if len(entries) != len(categories) or (None in entries) != feature["has_missing"]:
        raise ValueError(f"The categories of feature {j} are repeated, or null among them differs from has_missing.")
    return entries, feature["levels"]


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
