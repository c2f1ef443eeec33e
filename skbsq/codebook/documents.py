"""Plain values as JSON and arrays, exactly, and back. Needs NumPy alone.

JSON has no tuples, arrays, infinities or keys that are numbers. Such a value becomes an object with a single key that
names its kind, for example ``{"tuple": [1, 2]}``. Reading creates values of these kinds and of no others.
"""

import math

import numpy as np

from skbsq.codebook.codebook import Codebook

# Types that both safetensors and NumPy have.
DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_SCALARS = (type(None), bool, int, float, str)


class NotPlain(ValueError):
    """A value is neither a plain value nor an array of plain values."""


def to_document(value, path, arrays, nested=None):
    """Turn a value into a document that JSON can hold.

    Parameters
    ----------
    value : object
    path : str
        Where the value stands; arrays are named after it.
    arrays : dict
        Name to array. The arrays in `value` are added to it.
    nested : callable, default=None
        ``nested(value, path, arrays)`` makes a document of any other value.

    Returns
    -------
    object

    Raises
    ------
    NotPlain
        If a value is not plain, and `nested` is None.

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

    value = _unwrapped(value)
    if type(value) in _SCALARS:
        return {"float": str(value)} if type(value) is float and not math.isfinite(value) else value
    if type(value) is list:
        return each(value)
    if type(value) is tuple:
        return {"tuple": each(value)}
    if type(value) is dict:
        items = {_unwrapped(key): v for key, v in value.items()}
        if not all(type(key) in _SCALARS for key in items):
            raise NotPlain(f"{path} has keys that are not plain values.")
        return {"dict": [[*each([k]), to_document(v, f"{path}.{k}", arrays, nested)] for k, v in items.items()]}
    if isinstance(value, Codebook):
        return {"codebook": value.to_json()}
    if isinstance(value, np.ndarray):
        return _of_array(value, path, arrays)
    if nested is None:
        raise NotPlain(f"{path} is of type {type(value).__name__}, which is not a plain value.")
    return nested(value, path, arrays)


def _unwrapped(value):
    """Return a NumPy scalar as a Python value, and anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def _of_array(array, path, arrays):
    native = array.dtype.newbyteorder("=")
    if native in map(np.dtype, DTYPES):
        if path in arrays:
            raise NotPlain(f"Two arrays have the name {path}.")
        arrays[path] = np.array(array, dtype=native, order="C")
        return {"array": path}
    if array.ndim == 1 and array.dtype.kind == "U":
        return {"strings": array.tolist()}
    if array.ndim == 1 and array.dtype.kind == "O":
        elements = [_unwrapped(element) for element in array]
        if all(type(e) in _SCALARS and e == e for e in elements):
            return {"objects": [to_document(element, path, arrays) for element in elements]}
    raise NotPlain(f"{path} is an array of {array.dtype} that JSON cannot hold exactly.")


def from_document(document, arrays, nested=None):
    """Read the value that `to_document` wrote.

    Parameters
    ----------
    document : object
        As JSON gives it; it may come from an untrusted file.
    arrays : dict
        Name to array. Arrays that are used are removed from it.
    nested : callable, default=None
        ``nested(document, arrays)`` makes a value of any other object.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the document has another form, or an array is absent or used twice.

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
        raise ValueError(f"An object of the document has {len(document)} keys in place of a single key for its kind.")
    [(kind, content)] = document.items()
    if kind in ("tuple", "dict", "strings", "objects"):
        if type(content) is not list:
            raise ValueError(f"The content of {kind!r} must be a list, got {content!r}.")
        return _of_elements(kind, each(content))
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "codebook" and type(content) is str:
        return Codebook.from_json(content)
    if kind == "array" and type(content) is str:
        if content not in arrays:
            raise ValueError(f"There is no array {content!r}, or it is used twice.")
        return arrays.pop(content)
    if nested is None:
        raise ValueError(f"The document holds {kind!r}, which is not a known kind of value.")
    return nested(document, arrays)


def _of_elements(kind, elements):
    if kind == "tuple":
        return tuple(elements)
    if kind == "dict":
        if not all(type(item) is list and len(item) == 2 and type(item[0]) in _SCALARS for item in elements):
            raise ValueError("The items of a dict must be lists of a plain key and a value.")
        made = dict(elements)
        if len(made) != len(elements):
            raise ValueError("A dict holds a key twice.")
        return made
    if not all(type(e) in ((str,) if kind == "strings" else _SCALARS) for e in elements):
        raise ValueError(f"An array of {kind} holds something else.")
    return np.array(elements, dtype=str if kind == "strings" else object)
