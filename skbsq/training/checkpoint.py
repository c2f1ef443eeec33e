"""What a long fit has reached, in a file: another fit of the same work goes on from there.

A file holds arrays and plain values, in the safetensors format, and a digest of them. It says of which work it is: the
rows, the parameters, and the versions of the packages that the result depends on.
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
from skbsq.training.work import ROWS, digest

FORMAT = "skbsq-checkpoint"
VERSION = 2

_ANEW = "Delete it to begin anew, or name another file"


@contextmanager
def checkpointed(path, work):
    """The checkpoint of a fit; its file is gone once the block has ended well.

    Parameters
    ----------
    path : None, str or path-like
        Of the file, or of a folder in which it gets a name of its own.
    work : callable
        Gives what the result depends on, as `skbsq.training.work.work_of` does; not called without a path.

    Yields
    ------
    Checkpoint or None
        None without a path.

    Raises
    ------
    ValueError
        If there is a file that is no checkpoint, a corrupt one, or one of other work.
    """
    if path is None:
        yield None
        return
    checkpoint = Checkpoint(Path(path), work())
    yield checkpoint
    checkpoint.remove()


class Checkpoint:
    """A file with what the trainings of a fit have come to: the k-th training of the fit has slot k.

    A fit that begins again trains the same nets in the same order, so a number is all that tells them apart.

    Parameters
    ----------
    path : Path
        Of the file, or of a folder.
    work : dict of str to str
    """

    def __init__(self, path, work):
        self._safetensors = safetensors_for("checkpoint needs")
        name = hashlib.sha256(json.dumps(work).encode()).hexdigest()[:16]
        self._in_folder = path.is_dir()
        self._path = path / f"{work['estimator']}-{name}.safetensors" if self._in_folder else path
        self._work = work
        self._n_slots = 0
        self._kept = {}  # by name, arrays of bytes
        self._digests = {}
        self._seen = _identity(self._path)
        if self._seen is None:
            self._write()  # a place that cannot be written to shows now, not after an epoch
            return
        try:
            self._read()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"checkpoint {self._path} is refused: {error} {_ANEW}.") from None

    def seed(self, drawn):
        """The seed of the fit: the one drawn now, or where the fit began before, the one drawn then.

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
        """The name under which the training that begins now keeps its state.

        Returns
        -------
        str
        """
        self._n_slots += 1
        return f"training {self._n_slots}"

    def recall(self, name):
        """What was kept under a name; None if nothing was."""
        if name not in self._kept:
            return None
        try:
            arrays = self._safetensors.numpy.load(self._kept[name].tobytes())
            document = read(arrays.pop("").tobytes().decode(), "a checkpoint")
            return from_document(document, arrays, _nested_from)
        except (KeyError, TypeError, ValueError, RecursionError, self._safetensors.SafetensorError) as error:
            raise ValueError(f"checkpoint {self._path} is refused: {error} {_ANEW}.") from None

    def keep(self, name, value, *, write=True):
        """Keep a value in place of what the name had.

        Parameters
        ----------
        name : str
        value : object
            Of plain values, arrays and tensors.
        write : bool, default=True
            At once; else whenever something is written next.
        """
        arrays: dict[str, np.ndarray] = {}
        document = to_document(value, name, arrays, _nested_document)
        # In one piece, so that a write does no more work for trainings that are finished than for one array each.
        text = np.frombuffer(json.dumps(document, allow_nan=False).encode(), dtype=np.uint8)
        self._kept[name] = np.frombuffer(self._safetensors.numpy.save({"": text, **arrays}), dtype=np.uint8)
        self._digests[name] = digest(self._kept[name])
        if write:
            self._write()

    def _write(self):
        if _identity(self._path) not in (None, self._seen):
            if self._in_folder:
                return  # another fit does the same work, as those of a search may: it keeps what both come to
            raise ValueError(
                f"checkpoint {self._path} was written by another fit while this one ran: give each a file of its own, "
                "or a folder, in which files are named after the work."
            )
        document = {"format": FORMAT, "version": VERSION, "work": self._work, "digests": self._digests}
        with atomic_write(self._path) as part:
            part.write_bytes(self._safetensors.numpy.save(self._kept, metadata={FORMAT: json.dumps(document)}))
        self._seen = _identity(self._path)

    def remove(self):
        """Delete the file, unless another fit has written it."""
        if _identity(self._path) == self._seen:
            with suppress(FileNotFoundError):
                self._path.unlink()

    def _read(self):
        text, kept = read_arrays(self._safetensors, self._path, FORMAT, "a checkpoint")
        document = read(text, "a checkpoint")
        check_keys(document, {"format", "version", "work", "digests"}, "the checkpoint")
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"it is of version {document['version']!r}; this skbsq reads {VERSION}.")
        then, now = document["work"], self._work
        if not isinstance(then, dict):
            raise ValueError("its fields are none that fit writes.")
        for name in {**now, **then}:
            if then.get(name) != now.get(name):
                values = "" if name in ROWS else f" (it was {_short(then.get(name))}, and is {_short(now.get(name))})"
                raise ValueError(f"it is of other work: with another {name}{values}.")
        if {name: digest(array) for name, array in kept.items()} != document["digests"]:
            raise ValueError("it is corrupt: its content is not what was written.")
        self._kept, self._digests = kept, document["digests"]


def _identity(path):
    """What tells a file from one written later; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _short(text):
    text = str(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_plain(value):
    """Whether `Checkpoint.keep` takes a value."""
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
            raise NotPlain(f"{path} is a tensor that NumPy does not know: {error}") from None
        return {"tensor": to_document(array, path, arrays)}
    raise NotPlain(f"{path} is of type {type(value).__name__}, which a checkpoint cannot hold.")


def _nested_from(document, arrays):
    [(kind, content)] = document.items()
    value = from_document(content, arrays, _nested_from)
    if kind == "set" and type(value) is list:
        return set(value)
    if kind == "tensor" and isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())  # training writes to it
    raise ValueError(f"it holds a {kind!r}, which is nothing that is known here.")
