"""Payloads of a fleet to predictions: many codebooks, each with what reads its codes."""

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.transcoding import Transcoder
from skbsq.codec import RowCodec, dumps, loads, peek, read_messages_of
from skbsq.receiver._counts import Counts
from skbsq.receiver._readers import METHODS, Way, ways_of

_ERRORS = ("raise", "report")
_FRAMES = ("message", "short", "bare")


@dataclass(frozen=True, eq=False)
class Received:
    """Rows of one frame. `Receiver.read` yields them.

    Parameters
    ----------
    reader : object
        The reader that the rows belong to, as it was added.
    codebook : Codebook
        Codebook of `codes`, one that the reader knows.
    codes : ndarray of shape (n, d)
        The codes, transcoded if the device has an old codebook.
    sent : Codebook
        Codebook of the device. It differs from `codebook` for an old device.
    way : object
        How the reader is called.
    id : int or None, default=None
        Id of a short or bare frame.
    seq : int or None, default=None
        Sequence number of a short frame.

    See Also
    --------
    Receiver.read : Yields them.

    Examples
    --------
    >>> from skbsq import Codebook, Receiver
    >>> from skbsq.codec import dumps
    >>> book = Codebook.from_thresholds([[0, 1, 2]])
    >>> receiver = Receiver().add(lambda codes: codes.sum(axis=1), codebook=book)
    >>> for received in receiver.read(dumps(book, [[2], [3]])):
    ...     print(received.codes.ravel(), received.predict())
    [2 3] [2 3]
    """

    reader: Any
    codebook: Codebook
    codes: np.ndarray
    sent: Codebook
    way: Any = field(repr=False)
    id: int | None = None
    seq: int | None = None

    def predict(self, *, method="predict"):
        """Predict from the codes.

        Parameters
        ----------
        method : {"predict", "predict_proba"}, default="predict"

        Returns
        -------
        ndarray of shape (n, ...)

        Raises
        ------
        ValueError
            If the reader has no such method.
        """
        return self.way.predict(self.codes, method)


@dataclass(frozen=True, eq=False)
class _Source:
    """A codebook that devices have, and where its codes go."""

    codebook: Codebook
    reader: Any
    way: Way
    transcoder: Transcoder | None = None

    def received(self, codes, **about):
        if self.transcoder is not None:
            codes = self.transcoder.transcode(codes)
        return Received(self.reader, self.way.codebook, codes, self.codebook, self.way, **about)


@dataclass(frozen=True, eq=False)
class _Layout:
    """What both ends have agreed on for an id. A frame whose rows depend on earlier frames would be another class of
    layout, with a `read` that is also given the device.
    """

    id: int
    source: _Source
    seq: bool
    crc: int | None

    @property
    def agreed(self):
        """What must be equal if an id is given twice."""
        return self.source.codebook.fingerprint, self.seq, self.crc

    def read(self, payload, frame):
        """Return the `Received` of a frame."""
        book = self.source.codebook
        if frame == "bare":
            return self.source.received(loads(payload, book, frame="bare"), id=self.id)
        codes = loads(payload, book, frame="short", id=self.id, seq=self.seq, crc=self.crc)
        seq = peek(payload, frame="short", seq=True).seq if self.seq else None
        return self.source.received(codes, id=self.id, seq=seq)


class Receiver:
    """Predict from the payloads of a fleet of devices that have different codebooks.

    A receiver stores codebooks, each with a reader: a model that predicts from its codes. Messages contain the
    fingerprint of their codebook, so that each one finds its reader. Short frames and bare rows find it by their id.

    Parameters
    ----------
    models : sequence, default=()
        Readers that need no further argument of `add`: predictors, and pipelines with a quantizer.
    errors : {"raise", "report"}, default="raise"
        What happens to damaged, foreign and empty payloads. "raise": ValueError. "report": they are counted in
        ``counts_`` and skipped, and the rows behind them are read.

    Attributes
    ----------
    errors : str

    Raises
    ------
    ValueError
        If `errors` is something else, or `add` raises it.

    See Also
    --------
    skbsq.codec.read_messages_of : Codes of messages of several codebooks, without models.
    skbsq.monitoring.CodeMonitor : Counts codes, to find drift.

    Notes
    -----
    Several threads may call `predict` and `read` of one receiver, if its readers can predict in several threads. Counts
    and monitors are updated under a lock. Call `add` before the threads start. A receiver can be pickled if its readers
    can; an ONNX session cannot.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from skbsq import QuantileQuantizer, Receiver
    >>> from skbsq.codec import dumps
    >>> X, y = make_friedman1(300, random_state=0)
    >>> quantizer = QuantileQuantizer(2).fit(X)
    >>> boosting = HistGradientBoostingRegressor(random_state=0).fit(quantizer.transform(X), y)
    >>> receiver = Receiver(errors="report").add(boosting, codebook=quantizer.codebook_, id=7)

    A message and a short frame from devices, and noise:

    >>> message = dumps(quantizer.codebook_, quantizer.transform(X[:2]))
    >>> frame = dumps(quantizer.codebook_, quantizer.transform(X[:1]), frame="short", id=7)
    >>> y_pred = receiver.predict(b"noise" + message, device="hut")
    >>> bool((y_pred == boosting.predict(quantizer.transform(X[:2]))).all())
    True
    >>> bool(receiver.predict(frame, device="hut", frame="short") == y_pred[0])
    True
    >>> receiver.counts_["hut"]
    Counts(frames=2, rows=3, damaged=1, foreign=0, empty=0, duplicates=0, lost=0)
    """

    def __init__(self, models=(), *, errors="raise"):
        if errors not in _ERRORS:
            raise ValueError(f"errors must be one of {list(_ERRORS)}, got {errors!r}.")
        self.errors = errors
        self._sources: dict[bytes, _Source] = {}
        self._layouts: dict[int, _Layout] = {}
        self._monitors: dict[bytes, Any] = {}
        self._counts: dict[Any, Counts] = {}
        self._last_seq: dict[tuple, int] = {}
        self._lock = threading.Lock()
        for model in models:
            self.add(model)

    def __repr__(self):
        return f"Receiver({len(self._sources)} codebooks, ids={sorted(self._layouts)}, errors={self.errors!r})"

    def __getstate__(self):
        with self._lock:
            return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state):
        vars(self).update(state, _lock=threading.Lock())

    @property
    def codebooks_(self):
        """Codebooks whose messages are read: a list."""
        return [source.codebook for source in self._sources.values()]

    @property
    def transcoders_(self):
        """Transcoder of each codebook in `accepts`: dict Codebook -> Transcoder. Its ``cost()`` counts wrong codes."""
        sources = self._sources.values()
        return {source.codebook: source.transcoder for source in sources if source.transcoder is not None}

    @property
    def counts_(self):
        """Copy of the counts of each device: dict device -> Counts. Payloads without a device are under None."""
        with self._lock:
            return {device: replace(counts) for device, counts in self._counts.items()}

    def add(self, reader, *, codebook=None, id=None, seq=False, crc=16, accepts=(), same_units=False, monitor=None):
        """Add a reader with its codebooks.

        Parameters
        ----------
        reader : object
            - A fitted `BitwiseRegressor` or `BitwiseClassifier`: all of its rates are read.
            - A Pipeline that ends in one, or that has a quantizer before another model. Scalers before the quantizer
              are folded, as by `skbsq.export.to_codebook`.
            - With `codebook`: a model that was fitted on codes, an onnxruntime ``InferenceSession`` of
              ``to_onnx(model, part="head")``, or a function that returns one prediction per row of codes.
            - A fitted search over one of these.
        codebook : Codebook, default=None
            Codebook of the codes that the reader reads. For a reader with a codebook: only this one of its rates is
            added, or this codebook that was folded from it.
        id : int, default=None
            Number from 0 to 255 that short frames begin with, or that stands for bare rows (on LoRaWAN, the port). With
            rates it stands for the finest. Call `add` again with the same reader for another id, or for the id of
            another rate with its `codebook`. None: only messages are read.
        seq : bool, default=False
            Whether short frames with this id have a sequence number.
        crc : {None, 8, 16}, default=16
            Bits of the CRC of short frames with this id.
        accepts : sequence of Codebook, or dict of int to Codebook, default=()
            Codebooks of old devices. Their codes are transcoded to the codebook of the reader, the finest if it has
            several. The keys of a dict are ids of the old devices.
        same_units : bool, default=False
            As in `skbsq.Codebook.transcoder`, for `accepts`.
        monitor : CodeMonitor, default=None
            Updated with each frame whose codes have the codebook of the monitor, transcoded ones included.

        Returns
        -------
        Receiver
            The receiver itself.

        Raises
        ------
        ValueError
            If another reader has one of the codebooks, another codebook or layout has an id, codes of an old codebook
            cannot be transcoded, or an argument does not fit the reader. The receiver then stays as it was.
        TypeError
            If `reader` predicts nothing, or `codebook` is not a Codebook.
        sklearn.exceptions.NotFittedError
            If a step of a pipeline is not fitted.

        See Also
        --------
        predict : Predict from payloads.

        Examples
        --------
        >>> from skbsq import Codebook, Receiver
        >>> old, new = Codebook.from_thresholds({"t": [10, 20]}), Codebook.from_thresholds({"t": [10, 15, 20]})
        >>> receiver = Receiver().add(lambda codes: codes[:, 0], codebook=new, id=8, accepts={7: old})
        >>> receiver.predict(bytes([2]), frame="bare", id=7)
        array([3], dtype=uint8)
        >>> receiver.transcoders_[old].cost()["n_uncertain"].tolist()
        [1]
        """
        ways = ways_of(reader, codebook)
        own = [_Source(way.codebook, reader, way) for way in ways]
        old = list(accepts.items()) if isinstance(accepts, Mapping) else [(None, book) for book in accepts]
        for _, book in old:
            RowCodec(book)  # refuses anything else
        sources = [
            *((id if k == 0 else None, source) for k, source in enumerate(own)),
            *((number, _transcoded(book, own[0], same_units)) for number, book in old),
        ]
        layouts = [_layout(source, number, seq, crc) for number, source in sources if number is not None]
        if not layouts and (seq or crc != 16):
            raise ValueError(f"seq={seq!r} and crc={crc!r} belong to short frames: give the id of the frames too.")
        self._check_new([source for _, source in sources], layouts)
        fingerprints = [source.codebook.fingerprint for source in own]
        if monitor is not None and monitor.codebook.fingerprint not in fingerprints:
            raise ValueError(
                "monitor counts codes of a codebook that is none of this reader: make it as CodeMonitor(codebook)."
            )
        for _, source in sources:
            self._sources.setdefault(source.codebook.fingerprint, source)
        self._layouts |= {layout.id: layout for layout in layouts}
        if monitor is not None:
            self._monitors[monitor.codebook.fingerprint] = monitor
        return self

    def predict(self, payload, *, device=None, frame="message", id=None, method="predict"):
        """Predict from a payload.

        Parameters
        ----------
        payload : bytes-like or binary file object
            With ``frame="message"``, one or more messages, also in a file. Otherwise the bytes of one frame.
        device : hashable, default=None
            Name of the device, for ``counts_``. Duplicate and lost frames are counted only with a name, because each
            device has its own sequence numbers.
        frame : {"message", "short", "bare"}, default="message"
            As in `skbsq.codec.dumps`.
        id : int, default=None
            Id of a bare frame. Short frames contain theirs.
        method : {"predict", "predict_proba"}, default="predict"
            Method of the readers.

        Returns
        -------
        ndarray of shape (n, ...)
            Predictions in the order of the rows. Shape (0,) with ``errors="report"`` if there are no rows to read.

        Raises
        ------
        ValueError
            For damaged, foreign and empty payloads, with ``errors="raise"``. If the payload has rows of readers with
            different kinds of predictions: use `read`. If there are no readers, or an argument makes no sense.

        See Also
        --------
        read : The rows of each frame, for payloads of several readers.

        Notes
        -----
        Rows with the same codebook are predicted together, also if other messages stand between them. Errors that a
        reader raises are not caught.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
        groups: dict[bytes, list] = {}
        n = 0
        for received in self.read(payload, device=device, frame=frame, id=id):
            rows = np.arange(n, n + len(received.codes))
            groups.setdefault(received.codebook.fingerprint, []).append((received, rows))
            n += rows.size
        if not groups:
            if self.errors == "raise":
                raise ValueError("The payload has no rows.")
            return np.empty(0)
        firsts = [group[0][0] for group in groups.values()]
        if method != "predict" and any(first.reader is not firsts[0].reader for first in firsts):
            raise ValueError(f"The payload has rows of several readers, for which method={method!r} differs: use read.")
        predictions = [
            first.way.predict(np.concatenate([received.codes for received, _ in group]), method)
            for first, group in zip(firsts, groups.values(), strict=True)
        ]
        _check_alike(predictions)
        rows = np.concatenate([rows for group in groups.values() for _, rows in group])
        return np.concatenate(predictions)[np.argsort(rows)]

    def read(self, payload, *, device=None, frame="message", id=None, max_bytes=None):
        """Read the rows of each frame, with the reader that they belong to.

        Parameters
        ----------
        payload : bytes-like or binary file object
            With ``frame="message"``, one or more messages, also in a file. Otherwise the bytes of one frame.
        device, frame, id
            As in `predict`.
        max_bytes : int, default=None
            Longest message of a file, in bytes, see `skbsq.codec.read_messages_of`. None: 2^24.

        Returns
        -------
        iterator of Received
            One per message or frame with rows. They are counted when the iterator reaches them.

        Raises
        ------
        ValueError
            As for `predict`. Damaged, foreign and empty messages raise when the iteration reaches them. In a file, a
            damaged or foreign message ends where the next one begins, so the error waits for that.

        See Also
        --------
        predict : Predictions for the rows of one or more frames.
        """
        if frame not in _FRAMES:
            raise ValueError(f"frame must be one of {list(_FRAMES)}, got {frame!r}.")
        if (frame == "bare") != (id is not None):
            raise ValueError(f'id={id!r} with frame="{frame}": bare frames need an id, others do not take one.')
        if not self._sources:
            raise ValueError("This receiver has no readers: add one first.")
        return self._counted(self._frames(payload, device, frame, id, max_bytes), device)

    def _frames(self, payload, device, frame, id, max_bytes):
        """Yield the `Received` of each frame."""
        if frame != "message" or not hasattr(payload, "read"):
            payload = memoryview(payload).tobytes()
            if not payload:
                self._reject(device, "empty", "The payload has no bytes.")
                return
            max_bytes = sys.maxsize  # all bytes are in memory already
        if frame == "message":

            def on_error(skipped):
                self._reject(device, "damaged" if skipped.fingerprint is None else "foreign", skipped.reason)

            for book, codes in read_messages_of(payload, self.codebooks_, on_error=on_error, max_bytes=max_bytes):
                yield self._sources[book.fingerprint].received(codes)
            return
        number = payload[0] if frame == "short" else id
        if number not in self._layouts:
            self._reject(device, "foreign", f"No reader has the id {number}: the ids are {sorted(self._layouts)}.")
            return
        try:
            received = self._layouts[number].read(payload, frame)
        except ValueError as error:
            self._reject(device, "damaged", str(error))
        else:
            yield received

    def _counted(self, frames, device):
        for received in frames:
            if not len(received.codes):
                self._reject(device, "empty", "This message has no rows.")
                continue
            with self._lock:
                self._count(received, device)
            yield received

    def _count(self, received, device):
        counts = self._counts.setdefault(device, Counts())
        counts.frames += 1
        counts.rows += len(received.codes)
        if received.seq is not None and device is not None:
            key = device, received.id
            step = (received.seq - self._last_seq.get(key, received.seq - 1)) % 256
            counts.duplicates += step == 0
            counts.lost += max(step - 1, 0)
            self._last_seq[key] = received.seq
        if (monitor := self._monitors.get(received.codebook.fingerprint)) is not None:
            monitor.update(received.codes)

    def _reject(self, device, what, reason):
        """Count something that cannot be read, and raise ValueError unless errors are reported."""
        with self._lock:
            counts = self._counts.setdefault(device, Counts())
            setattr(counts, what, getattr(counts, what) + 1)
        if self.errors == "raise":
            raise ValueError(reason)

    def _check_new(self, sources, layouts):
        """Reject codebooks of other readers, codebooks that are given twice, and ids that mean something else."""
        new = set()
        for source in sources:
            fingerprint = source.codebook.fingerprint
            known = self._sources.get(fingerprint)
            again = known is not None and (known.reader is not source.reader or known.transcoder or source.transcoder)
            if again or fingerprint in new:
                raise ValueError(
                    f"The codebook with the fingerprint {fingerprint.hex()} is already there, as that of a reader or "
                    "in accepts: each codebook has one reader."
                )
            new.add(fingerprint)
        ids = dict(self._layouts)
        for layout in layouts:
            if ids.setdefault(layout.id, layout).agreed != layout.agreed:
                raise ValueError(
                    f"The id {layout.id} is already there, for another codebook, seq or crc: give another id."
                )


def _transcoded(book, source, same_units):
    """Return the source of an old codebook."""
    transcoder = book.transcoder(source.codebook, same_units=same_units)
    return _Source(book, source.reader, source.way, transcoder)


def _layout(source, id, seq, crc):
    """Return the layout of an id, and reject one that no short frame can have."""
    book = source.codebook
    row = np.zeros((1, book.n_features), dtype=book.dtype)
    frame = dumps(book, row, frame="short", id=id, seq=0 if seq else None, crc=crc)
    loads(frame, book, frame="short", id=id, seq=seq, crc=crc)
    return _Layout(int(id), source, seq, crc)


def _check_alike(predictions):
    """Reject predictions that do not go into one array, such as labels and numbers."""
    kinds = {(made.shape[1:], {"u": "i", "S": "U"}.get(made.dtype.kind, made.dtype.kind)) for made in predictions}
    if len(kinds) > 1:
        raise ValueError(
            "The payload has rows of readers with different kinds of predictions, "
            f"{' and '.join(str(made.dtype) for made in predictions)}: use read, which keeps them apart."
        )
