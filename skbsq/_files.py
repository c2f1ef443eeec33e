"""Files that appear whole or not at all; arrays and JSON text in the safetensors format, nothing of it executed."""

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path


def safetensors_for(what):
    """The package safetensors, or ImportError that says what needs it."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f"{what} safetensors: pip install 'skbsq[save]'.") from error
    return safetensors


def read_arrays(safetensors, path, key, what):
    """JSON text and arrays of a file.

    Parameters
    ----------
    safetensors : module
    path : path-like
    key : str
        Under which the text stands among the metadata, alone.
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
        If it is another file.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    except OSError:
        raise
    except Exception as error:  # its own, and those of NumPy for types that it does not know
        raise ValueError(f"not a safetensors file: {error}") from None
    if metadata.keys() != {key}:
        raise ValueError(f"not {what}: it has no {key!r}.")
    return metadata[key], arrays


@contextmanager
def replacing(path):
    """Give the path of a new file beside `path`, which takes its place if the block ends well, and else goes.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    Path
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
