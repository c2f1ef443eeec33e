"""Plain values as JSON and arrays, exactly, and back. NumPy alone.

JSON has no tuples, arrays, infinities or keys that are numbers: what it lacks is an object with one key that says what
it is, such as ``{"tuple": [1, 2]}``. Whoever reads it makes values of these kinds, and of no others.
"""

import math

import numpy as np

from skbsq.codebook.codebook import Codebook

# What safetensors and NumPy both know.
DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_SCALARS = (type(None), bool, int, float, str)


class NotPlain(ValueError):
    """A value that is more than plain ones and arrays."""


def to_document(value, path, arrays, nested=None):
    """What JSON can hold of a value.

    Parameters
    ----------
    value : object
    path : str
        Where it stands: the name of its array.
    arrays : dict
        Name to array; gets the arrays.
    nested : callable, default=None
        ``nested(value, path, arrays)`` makes a document of anything else.

    Returns
    -------
    object

    Raises
    ------
    NotPlain

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.documents import to_document
    >>> arrays = {}
    >>> to_document({"a": (1, np.float32([0.5]))}, "x", arrays)
    {'dict': [['a', {'tuple': [1, {'array': 'x.a.1'}]}]]}
    >>> arrays
    {'x.a.1': array([0.5], dtype=float32)}
    """

    def each(values):
        return [to_document(v, f"{path}.{i}", arrays, nested) for i, v in enumerate(values)]

    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _SCALARS:
        return {"float": str(value)} if type(value) is float and not math.isfinite(value) else value
    if type(value) is list:
        return each(value)
    if type(value) is tuple:
        return {"tuple": each(value)}
    if type(value) is dict:
        items = {key.item() if isinstance(key, np.generic) else key: v for key, v in value.items()}
        if not all(type(key) in _SCALARS for key in items):
            raise NotPlain(f"{path} has keys that are no plain values.")
        return {"dict": [[*each([k]), to_document(v, f"{path}.{k}", arrays, nested)] for k, v in items.items()]}
    if isinstance(value, Codebook):
        return {"codebook": value.to_json()}
    if isinstance(value, np.ndarray):
        return _of_array(value, path, arrays)
    if nested is None:
        raise NotPlain(f"{path} is of type {type(value).__name__}, no plain value.")
    return nested(value, path, arrays)


def _of_array(array, path, arrays):
    native = array.dtype.newbyteorder("=")
    if native in map(np.dtype, DTYPES):
        if path in arrays:
            raise NotPlain(f"Two arrays stand at {path}.")
        arrays[path] = np.array(array, dtype=native, order="C")
        return {"array": path}
    if array.ndim == 1 and array.dtype.kind == "U":
        return {"strings": array.tolist()}
    if array.ndim == 1 and array.dtype.kind == "O":
        elements = [element.item() if isinstance(element, np.generic) else element for element in array]
        if all(type(e) in _SCALARS and e == e for e in elements):
            return {"objects": [to_document(element, path, arrays) for element in elements]}
    raise NotPlain(f"{path} is an array of {array.dtype} that JSON cannot hold exactly.")


def from_document(document, arrays, nested=None):
    """The value that `to_document` wrote.

    Parameters
    ----------
    document : object
        Of JSON.
    arrays : dict
        Name to array; those that are used are taken out.
    nested : callable, default=None
        ``nested(document, arrays)`` makes values of other objects than those of this module.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        For a document of another form, an array that is not there or that is used twice.

    Examples
    --------
    >>> from skbsq.codebook.documents import from_document
    >>> from_document({"dict": [["a", {"tuple": [1, {"float": "inf"}]}]]}, {})
    {'a': (1, inf)}
    """

    def each(values):
        return [from_document(value, arrays, nested) for value in values]

    if type(document) is list:
        return each(document)
    if type(document) is not dict:
        if type(document) is float and not math.isfinite(document):
            raise ValueError("A number of the document is beyond float64.")
        return document
    if len(document) != 1:
        raise ValueError(f"The document holds an object of {len(document)} keys where one says what it is.")
    [(kind, content)] = document.items()
    if kind in ("tuple", "dict", "strings", "objects") and type(content) is not list:
        raise ValueError(f"The content of {kind!r} must be a list, got {content!r}.")
    if kind == "tuple":
        return tuple(each(content))
    if kind == "dict":
        return _dict(each(content))
    if kind in ("strings", "objects"):
        elements = each(content)
        if not all(type(e) in ((str,) if kind == "strings" else _SCALARS) for e in elements):
            raise ValueError(f"An array of {kind} holds something else.")
        return np.array(elements, dtype=str if kind == "strings" else object)
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "codebook" and type(content) is str:
        return Codebook.from_json(content)
    if kind == "array" and type(content) is str:
        if content not in arrays:
            raise ValueError(f"There is no array {content!r}, or it is used twice.")
        return arrays.pop(content)
    if nested is None:
        raise ValueError(f"The document holds a {kind!r}, which is nothing that is known here.")
    return nested(document, arrays)


def _dict(items):
    if not all(type(item) is list and len(item) == 2 and type(item[0]) in _SCALARS for item in items):
        raise ValueError("The items of a dict must be pairs, with plain values for keys.")
    made = dict(items)
    if len(made) != len(items):
        raise ValueError("A dict holds a key twice.")
    return made
