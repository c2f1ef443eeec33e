"""Codes to bytes and back: packed rows and framed messages. NumPy alone, but for entropy coding."""

from skbsq.codec._message import dumps, loads, read_messages, write_messages
from skbsq.codec._rows import RowCodec

__all__ = ["RowCodec", "dumps", "loads", "read_messages", "write_messages"]
