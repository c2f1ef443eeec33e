"""What became of the payloads of one device."""

from dataclasses import dataclass


@dataclass
class Counts:
    """Count what a `Receiver` received from one device.

    Parameters
    ----------
    frames : int, default=0
        Messages, short frames and bare payloads that were read.
    rows : int, default=0
        Rows in these.
    damaged : int, default=0
        Pieces that could not be read: a wrong check sum, cut off, or no frame at all.
    foreign : int, default=0
        Messages of an unknown codebook, and frames with an unknown id.
    empty : int, default=0
        Payloads without bytes, and messages without rows.
    duplicates : int, default=0
        Short frames with the sequence number of the frame before. They count as `frames` too.
    lost : int, default=0
        Short frames that are missing between two sequence numbers, modulo 256.

    See Also
    --------
    Receiver : Counts for each device.

    Examples
    --------
    >>> from skbsq.receiver import Counts
    >>> Counts(frames=3, rows=5)
    Counts(frames=3, rows=5, damaged=0, foreign=0, empty=0, duplicates=0, lost=0)
    """

    frames: int = 0
    rows: int = 0
    damaged: int = 0
    foreign: int = 0
    empty: int = 0
    duplicates: int = 0
    lost: int = 0
