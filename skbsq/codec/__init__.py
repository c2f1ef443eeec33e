"""Codes to bytes and back: packed rows, frames and streams. Needs NumPy alone, except for entropy coding."""

from skbsq.codec._change import ChangeReceiver, ChangeRows, ChangeSender
from skbsq.codec._frames import FrameInfo, dumps, loads, peek
from skbsq.codec._rows import RowCodec
from skbsq.codec._stream import Skipped, read_messages, read_messages_of, write_messages

__all__ = [
    "ChangeReceiver",
    "ChangeRows",
    "ChangeSender",
    "FrameInfo",
    "RowCodec",
    "Skipped",
    "dumps",
    "loads",
    "peek",
    "read_messages",
    "read_messages_of",
    "write_messages",
]
