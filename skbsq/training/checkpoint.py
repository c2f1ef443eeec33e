"""Checkpoint files: the state of a long fit, from which an identical fit resumes.

A file holds arrays and plain values in the safetensors format, with a digest. It also holds the identity of the fit:
the rows, the parameters, and the versions of the packages that the result depends on.
"""

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from skbsq._files import atomic_write, read_arrays, safetensors_for
from skbsq.codebook.documents import NotPlain, from_document, to_document
from skbsq.codebook.json import check_keys, read
from skbsq.training.identity import ROWS, digest

FORMAT = "skbsq-checkpoint"
VERSION = 2

_WAY_OUT = "Delete it to start again, or name another file"


@contextmanager
def checkpointed(path, identity_of_fit):
    """Open the checkpoint of a fit, and delete its file when the block ends without an error.

    Parameters
    ----------
    path : None, str or path-like
        File, or a folder that holds one file per fit.
    identity_of_fit : callable
        Returns the identity of the fit, see `skbsq.training.identity.fit_identity`. Not called without a path.

    Yields
    ------
    Checkpoint or None
        None without a path.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, is corrupt, or belongs to a different fit.
    """
    if path is None:
        yield None
        return
    checkpoint = Checkpoint(Path(path), identity_of_fit())
    yield checkpoint
    checkpoint.remove()


class Checkpoint:
    """File with the states of all trainings of a fit; training number k has slot k.

    A fit that starts again trains the same nets in the same order, so the number identifies each of them.

    Parameters
    ----------
    path : Path
        File or folder.
    identity : dict of str to str
        See `skbsq.training.identity.fit_identity`.
    """

    def __init__(self, path, identity):
        self._safetensors = safetensors_for("checkpoint needs")
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        self._in_folder = path.is_dir()
        self._path = path / f"{identity['estimator']}-{name}.safetensors" if self._in_folder else path
        self._fit = identity
        self._n_slots = 0
        self._kept = {}  # name -> array of bytes
        self._digests = {}
        self._seen = _file_stamp(self._path)
        if self._seen is None:
            self._write()  # fails now, not after an epoch, if the place cannot be written to
            return
        try:
            self._read()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"checkpoint {self._path} is refused: {error} {_WAY_OUT}.") from None

    def seed(self, drawn):
        """Return the stored seed of the fit, or store `drawn` and return it.

        Parameters
        ----------
        drawn : int

        Returns
        -------
        int
        """
        known = self.recall("seed")
        if known is None:
            self.keep("seed", drawn, write=False)
            return drawn
        return known

    def next_slot(self):
        """Return the name of the slot of the next training.

        Returns
        -------
        str
        """
        self._n_slots += 1
        return f"training {self._n_slots}"

    def recall(self, name):
        """Return the value kept under a name; None if there is none."""
        if name not in self._kept:
            return None
        try:
            arrays = self._safetensors.numpy.load(self._kept[name].tobytes())
            document = read(arrays.pop("").tobytes().decode(), "a checkpoint")
            return from_document(document, arrays, _nested_from)
        except (KeyError, TypeError, ValueError, RecursionError, self._safetensors.SafetensorError) as error:
            raise ValueError(f"checkpoint {self._path} is refused: {error} {_WAY_OUT}.") from None

    def keep(self, name, value, *, write=True):
        """Keep a value under a name, in place of an earlier one.

        Parameters
        ----------
        name : str
        value : object
            Plain values, arrays and tensors.
        write : bool, default=True
            Write the file now; False: with the next write.
        """
        arrays: dict[str, np.ndarray] = {}
        document = to_document(value, name, arrays, _nested_document)
        # One array of bytes per training, so that writing the finished ones again costs little.
        text = np.frombuffer(json.dumps(document, allow_nan=False).encode(), dtype=np.uint8)
        self._kept[name] = np.frombuffer(self._safetensors.numpy.save({"": text, **arrays}), dtype=np.uint8)
        self._digests[name] = digest(self._kept[name])
        if write:
            self._write()

    def _write(self):
        if _file_stamp(self._path) not in (None, self._seen):
            if self._in_folder:
                return  # an identical fit, as in a search, keeps the state of both
            raise ValueError(
                f"checkpoint {self._path} was written by another fit while this one ran: give each fit its own file, "
                "or a folder, which holds one file per fit."
            )
        document = {"format": FORMAT, "version": VERSION, "work": self._fit, "digests": self._digests}
        with atomic_write(self._path) as part:
            part.write_bytes(self._safetensors.numpy.save(self._kept, metadata={FORMAT: json.dumps(document)}))
        self._seen = _file_stamp(self._path)

    def remove(self):
        """Delete the file, unless another fit wrote it."""
        if _file_stamp(self._path) == self._seen:
            with suppress(FileNotFoundError):
                self._path.unlink()

    def _read(self):
        text, kept = read_arrays(self._safetensors, self._path, FORMAT, "a checkpoint")
        document = read(text, "a checkpoint")
        check_keys(document, {"format", "version", "work", "digests"}, "the checkpoint")
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"it is of version {document['version']!r}; this skbsq reads {VERSION}.")
        then, now = document["work"], self._fit
        if not isinstance(then, dict):
            raise ValueError("fit writes other fields.")
        for name in {**now, **then}:
            if then.get(name) != now.get(name):
                values = "" if name in ROWS else f" (it was {_short(then.get(name))}, and is {_short(now.get(name))})"
                raise ValueError(f"it belongs to a different fit: {name} differs{values}.")
        if {name: digest(array) for name, array in kept.items()} != document["digests"]:
            raise ValueError("it is corrupt: the digest of its content differs.")
        self._kept, self._digests = kept, document["digests"]


def _file_stamp(path):
    """What changes when a file is written again; None if there is no file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _short(text):
    text = str(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_plain(value):
    """Whether `Checkpoint.keep` accepts a value."""
    try:
        to_document(value, "", {}, _nested_document)
    except NotPlain:
        return False
    return True


def _nested_document(value, path, arrays):
    if isinstance(value, dict):  # an OrderedDict or the like
        return to_document(dict(value), path, arrays, _nested_document)
    if isinstance(value, set):
        return {"set": to_document(list(value), path, arrays, _nested_document)}
    if isinstance(value, torch.Tensor):
        try:
            array = value.detach().cpu().numpy()
        except TypeError as error:
            raise NotPlain(f"{path} is a tensor of a type that NumPy lacks: {error}") from None
        return {"tensor": to_document(array, path, arrays)}
    raise NotPlain(f"{path} is of type {type(value).__name__}, which a checkpoint cannot hold.")


def _nested_from(document, arrays):
    [(kind, content)] = document.items()
    value = from_document(content, arrays, _nested_from)
    if kind == "set" and type(value) is list:
        return set(value)
    if kind == "tensor" and isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())  # training writes to it
    raise ValueError(f"it holds a {kind!r}, which is an unknown kind.")
