"""Send on change: a row is sent only when its codes differ from those sent last, or as a keyframe. NumPy alone.

A packet is a short frame of one row with a sequence number. The receiver counts sampling slots: a gap in the sequence
means that packets were lost, and silence that nothing changed.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np

from skbsq.codec._frames import dumps, loads, peek
from skbsq.codec._rows import RowCodec

# The device counts the rows since the last packet in 16 bits.
MOST_KEYFRAME = 2**16 - 1
# Sequence numbers count modulo 256: the next 127 are ahead of the last one, the others behind.
_SEQUENCES, _BEHIND = 256, 128


class ChangeSender:
    """Sends a row only when a code changes, and otherwise every `keyframe` rows.

    The C of `skbsq.export.to_c` does the same on a device, with the same bytes.

    Parameters
    ----------
    codebook : Codebook
    keyframe : int
        Most rows from one packet to the next, 1 to 65535. A receiver that lost packets has the right codes again after
        so many rows at the latest. 1 sends every row.
    id : int
        Number from 0 to 255 that stands for the codebook and the layout of the frame, as in `dumps`.
    crc : {None, 8, 16}, default=16
        Bits of the CRC, as in `dumps`.

    Raises
    ------
    ValueError
        If `keyframe` is out of range.
    TypeError
        If `codebook` is not a Codebook.

    See Also
    --------
    ChangeReceiver : The other end.
    dumps : Writes the frame of a packet.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import ChangeSender
    >>> sender = ChangeSender(Codebook.from_thresholds([[0, 1, 2]]), keyframe=3, id=7)
    >>> [sender.send(codes) is not None for codes in ([1], [1], [2], [2], [2], [2])]
    [True, False, True, False, False, True]
    """

    def __init__(self, codebook, *, keyframe, id, crc=16):
        self._codec = RowCodec(codebook)
        self.codebook = codebook
        self.keyframe = _checked_keyframe(keyframe)
        self.id = id
        self.crc = crc
        self._row, self._since, self._seq = None, 0, 0

    def send(self, codes):
        """Take the codes of the next row, and write a packet if it is to be sent.

        Parameters
        ----------
        codes : array-like of int of shape (d,)

        Returns
        -------
        bytes or None
            A short frame with a sequence number. None: send nothing.

        Raises
        ------
        ValueError
            If a code is out of range, or `dumps` refuses the `id`, the `crc` or the codebook.

        See Also
        --------
        ChangeReceiver.receive : Read the packet.
        """
        row = self._codec.pack([codes]).tobytes()
        if row == self._row and self._since < self.keyframe:
            self._since += 1
            return None
        frame = dumps(self.codebook, [codes], frame="short", id=self.id, seq=self._seq, crc=self.crc)
        self._row, self._since, self._seq = row, 1, (self._seq + 1) % _SEQUENCES
        return frame


@dataclass(frozen=True, eq=False)
class ChangeRows:
    """Rows of consecutive sampling slots, as the receiver knows them. `ChangeReceiver.receive` returns them.

    Parameters
    ----------
    slots : range
        Numbers of the slots. Slots before the first packet are left out, because their rows are unknown.
    codes : ndarray of shape (n, d)
        A row per slot, for the `predict_codes` of a model.
    states : tuple of str
        A state per slot. "fresh": a packet arrived. "held": no packet, so the row before still holds. "stale": the row
        before is repeated, but packets were lost: the sequence has a gap, or a keyframe did not arrive.
    lost : int
        Packets lost between this packet and the one before, modulo 256. If it is not 0, the rows between the two were
        stale, including those that an earlier call returned as held.

    See Also
    --------
    ChangeReceiver : Makes them.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec import ChangeReceiver, ChangeSender
    >>> book = Codebook.from_thresholds([[0, 1, 2]])
    >>> sender, receiver = ChangeSender(book, keyframe=9, id=7), ChangeReceiver(book, keyframe=9, id=7)
    >>> rows = receiver.receive(sender.send([3]))
    >>> rows.slots, rows.codes.tolist(), rows.states, rows.lost
    (range(0, 1), [[3]], ('fresh',), 0)
    """

    slots: range
    codes: np.ndarray
    states: tuple
    lost: int


class ChangeReceiver:
    """Follows the packets of one `ChangeSender`, and tells for each sampling slot what is known about its row.

    Use one receiver per device. A slot is one sampling period of the device.

    Parameters
    ----------
    codebook : Codebook
    keyframe : int
        That of the sender.
    id : int, default=None
        Id that packets must have. None accepts any.
    crc : {None, 8, 16}, default=16
        Bits of the CRC.
    late : int, default=2
        Slots by which the link may delay a packet, 0 to 127. For so many slots after a packet, duplicates and packets
        that it has overtaken are ignored. Later, a lower sequence number means that the device has restarted. A
        keyframe is awaited for so many slots longer.

    Raises
    ------
    ValueError
        If `keyframe` or `late` is out of range.
    TypeError
        If `codebook` is not a Codebook.

    See Also
    --------
    ChangeSender : The other end.
    loads : Reads the frame of a packet.

    Examples
    --------
    A server with a clock calls the receiver once per slot:

    >>> from skbsq import Codebook
    >>> from skbsq.codec import ChangeReceiver, ChangeSender
    >>> book = Codebook.from_thresholds([[0, 1, 2]])
    >>> sender, receiver = ChangeSender(book, keyframe=3, id=7), ChangeReceiver(book, keyframe=3, id=7)
    >>> packets = [sender.send(codes) for codes in ([1], [1], [2], [2], [0], [0])]
    >>> for packet in packets[:2]:
    ...     rows = receiver.receive(packet)
    ...     print(rows.codes.tolist(), *rows.states)
    [[1]] fresh
    [[1]] held

    A server that waits for packets passes the slot in which a packet arrived, and receives all rows up to it. Here the
    packet of slot 2 was lost:

    >>> rows = receiver.receive(packets[4], slot=4)
    >>> rows.slots, rows.codes.tolist(), rows.states, rows.lost
    (range(2, 5), [[1], [1], [0]], ('stale', 'stale', 'fresh'), 1)
    """

    def __init__(self, codebook, *, keyframe, id=None, crc=16, late=2):
        self.codebook = RowCodec(codebook).codebook
        self.keyframe = _checked_keyframe(keyframe)
        self.id = id
        self.crc = crc
        self.late = _checked_integer("late", late, 0, _BEHIND - 1)
        self._slot = -1
        # Slot, sequence number and codes of the last packet.
        self._at = self._seq = None
        self._codes = np.empty((1, codebook.n_features), dtype=codebook.dtype)

    def receive(self, frame=None, *, slot=None):
        """Take a packet, or silence, and return the rows of all slots since the last call.

        A packet that is corrupt raises ValueError and counts as lost, so the receiver stays as it was. Call
        ``receive()`` without a frame for its slot, or go on with the next packet and its slot.

        Parameters
        ----------
        frame : bytes-like, default=None
            A packet. None: nothing arrived up to this slot.
        slot : int, default=None
            Number of the slot, such as the time divided by the sampling period. It is at least that of the last call;
            the same slot again returns its row again. None: the next slot.

        Returns
        -------
        ChangeRows

        Raises
        ------
        ValueError
            If `loads` refuses the frame, it has more than one row, or the slot is before that of the last call.

        See Also
        --------
        ChangeSender.send : Write the packet.
        """
        slot = self._slot + 1 if slot is None else _checked_integer("slot", slot, max(self._slot, 0), None)
        packet = None if frame is None else self._read(frame, slot)
        lost = packet.lost if packet else 0
        first = min(self._slot + 1, slot)
        if self._at is None:
            first = slot if packet else slot + 1
        slots = range(first, slot + 1)
        held = slots[:-1] if packet else slots
        rows = np.repeat(self._codes, len(held), axis=0)
        states = ["stale" if lost else self._state(n) for n in held]
        if packet:
            rows = np.concatenate([rows, packet.codes])
            states.append("fresh")
            self._at, self._seq, self._codes = slot, packet.seq, packet.codes
        self._slot = slot
        return ChangeRows(slots, rows, tuple(states), lost)

    def _read(self, frame, slot):
        """Return the packet in a frame; None if it is a duplicate or has been overtaken."""
        codes = loads(frame, self.codebook, frame="short", id=self.id, seq=True, crc=self.crc)
        if len(codes) != 1:
            raise ValueError(f"A packet that was sent on change has 1 row, got {len(codes)}: it has another layout.")
        seq = peek(frame, frame="short", seq=True).seq
        if self._at is None:
            return _Packet(codes, seq, lost=0)
        ahead = (seq - self._seq) % _SEQUENCES
        # The number of the last packet with other codes is no duplicate: the device has restarted.
        is_old = ahead >= _BEHIND or (ahead == 0 and np.array_equal(codes, self._codes))
        if is_old and slot - self._at <= self.late:
            return None
        return _Packet(codes, seq, lost=(ahead - 1) % _SEQUENCES)

    def _state(self, slot):
        if slot == self._at:
            return "fresh"
        return "held" if slot - self._at < self.keyframe + self.late else "stale"


class _Packet(NamedTuple):
    codes: np.ndarray
    seq: int
    lost: int


def _checked_keyframe(keyframe):
    return _checked_integer("keyframe", keyframe, 1, MOST_KEYFRAME)


def _checked_integer(name, value, least, most):
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {bounds}, got {value!r}.")
    return int(value)
