"""CRCs of short frames. NumPy alone.

A short frame has a CRC over the 8 bytes of the codebook's fingerprint and the frame itself. So the sender of a fixed
codebook starts from a constant: the state of the CRC after the fingerprint.
"""

from binascii import crc_hqx

CRC_BITS = (8, 16)


def crc8(data, state=0):
    """Compute CRC-8/SMBUS: polynomial 0x07, initial value 0, not reflected, no final XOR.

    Parameters
    ----------
    data : bytes
    state : int, default=0
        Result for the bytes before.

    Returns
    -------
    int

    Examples
    --------
    >>> from skbsq.codec.crc import crc8
    >>> hex(crc8(b"123456789"))
    '0xf4'
    """
    for byte in data:
        state = _TABLE[state ^ byte]
    return state


def crc16(data, state=0xFFFF):
    """Compute CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected, no final XOR.

    Parameters
    ----------
    data : bytes
    state : int, default=0xFFFF
        Result for the bytes before.

    Returns
    -------
    int

    Examples
    --------
    >>> from skbsq.codec.crc import crc16
    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    return crc_hqx(data, state)


def check_sum(bits, fingerprint, frame):
    """Return the CRC of a short frame as bytes, little-endian.

    Parameters
    ----------
    bits : {None, 8, 16}
        None: no CRC, 0 bytes.
    fingerprint : bytes
        Of the codebook.
    frame : bytes
        The frame up to its CRC.

    Returns
    -------
    bytes

    Examples
    --------
    >>> from skbsq.codec.crc import check_sum
    >>> check_sum(16, b"1234", b"56789").hex()
    'b129'
    """
    if bits is None:
        return b""
    crc = crc8 if bits == 8 else crc16
    return crc(frame, crc(fingerprint)).to_bytes(bits // 8, "little")


def _after_byte(state):
    """Return the state of CRC-8 after 8 bits."""
    for _ in range(8):
        state = state << 1 ^ (0x107 if state & 0x80 else 0)
    return state


_TABLE = [_after_byte(state) for state in range(256)]
