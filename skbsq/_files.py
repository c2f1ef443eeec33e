"""Atomic writes, and safetensors files of arrays and JSON text, which are read without running code from them."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path


def safetensors_for(what):
    """Import safetensors, or raise an ImportError that begins with `what`, for example "save needs"."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f"{what} safetensors: pip install 'skbsq[save]'.") from error
    return safetensors


def read_arrays(safetensors, path, key, what):
    """Read the JSON text and the arrays of a file.

    Parameters
    ----------
    safetensors : module
    path : path-like
    key : str
        Name of the text, which must be the only metadata.
    what : str
        What the file should be, for the message.

    Returns
    -------
    text : str
    arrays : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is another kind of file.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except OSError:
        raise
    except Exception as error:  # safetensors has several, and NumPy rejects unknown types
        raise ValueError(f"not a safetensors file: {error}") from None
    if metadata.keys() != {key}:
        raise ValueError(f"not {what}: it has no {key!r}.")
    return metadata[key], arrays


@contextmanager
def atomic_write(path):
    """Yield the path of a temporary file, which replaces `path` when the block ends.

    If the block raises, the temporary file is removed and `path` stays as it is.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
