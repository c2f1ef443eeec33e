"""Codes to bytes and back: packed rows and messages. Needs NumPy alone, except for entropy coding."""

from skbsq.codec._message import dumps, loads, read_messages, read_messages_of, write_messages
from skbsq.codec._rows import RowCodec

__all__ = ["RowCodec", "dumps", "loads", "read_messages", "read_messages_of", "write_messages"]
