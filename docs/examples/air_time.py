"""What bytes mean on the air: milliseconds and millijoules of a LoRa packet.

    python docs/examples/air_time.py
    python docs/examples/air_time.py --frames
    python docs/examples/air_time.py --payloads --features 5 --rows-per-packet 16.0

print the tables of the pages on radio, on bytes and on sending on change. The formula is that of Semtech,
*SX1276/77/78/79 datasheet*, section 4.1.1.7 (also in application note AN1200.13); the current is that of its table of
supply currents, 29 mA at +13 dBm.
"""

import argparse
import math

# MAC header, device address, control, counter, port, integrity code: what LoRaWAN puts around each payload.
LORAWAN_BYTES = 13
VOLTS, AMPERES = 3.3, 0.029
# Bluetooth: preamble, access address, header, device address and CRC around an advertisement; in it, flags (3 bytes),
# and length, type and company of the data. It holds 31 bytes and is sent on three channels with 1 Mbit/s.
ADVERTISEMENT_BYTES, ADVERTISED_BYTES, MOST_ADVERTISED = 16, 7, 31
# Bytes around the rows.
FRAMES = {"message": 22, "short, CRC-16": 3, "short, CRC-8": 2, "bare": 0}
# Bytes of a value. Cayenne LPP has a channel and a type before each value of 2 bytes.
VALUES = {"float32": 4, "float16": 2, "int16 as in Cayenne LPP": 4}


def air_time(payload_bytes, spreading_factor, *, bandwidth=125e3, coding_rate=1, preamble=8):
    """Seconds on the air of a packet with explicit header and CRC.

    Parameters
    ----------
    payload_bytes : int
        Of the physical layer: LoRaWAN's share included.
    spreading_factor : int
        7 to 12.
    bandwidth : float
        Hz.
    coding_rate : int
        1 to 4, for 4/5 to 4/8.
    preamble : int
        Programmed symbols.
    """
    if payload_bytes > 255:
        raise ValueError(f"A LoRa packet holds at most 255 bytes, got {payload_bytes}.")
    symbol = 2**spreading_factor / bandwidth
    slow = symbol > 16e-3  # the low data rate optimization is then mandatory
    bits = 8 * payload_bytes - 4 * spreading_factor + 28 + 16
    n_payload = 8 + max(0, math.ceil(bits / (4 * (spreading_factor - 2 * slow))) * (coding_rate + 4))
    return (preamble + 4.25 + n_payload) * symbol


def energy(seconds):
    """Joules that sending takes."""
    return VOLTS * AMPERES * seconds


def uart_time(size, *, baud=9600):
    """Seconds on a serial line with a start bit and a stop bit."""
    return 10 * size / baud


def advertisement_time(size):
    """Seconds on the air of a Bluetooth LE advertisement on its three channels; None if the bytes do not fit."""
    size += ADVERTISED_BYTES
    return None if size > MOST_ADVERTISED else 3 * 8 * (ADVERTISEMENT_BYTES + size) / 1e6


def print_frames(row_bytes):
    """Print what one row in each frame takes on each link."""
    print("| frame of one row | bytes | UART, 9600 baud | LoRaWAN, SF7 | SF10 | SF12 | Bluetooth LE advertisement |")
    print("|---|---|---|---|---|---|---|")
    for frame, around in FRAMES.items():
        size = around + row_bytes
        times = [uart_time(size), *(air_time(LORAWAN_BYTES + size, factor) for factor in (7, 10, 12))]
        advertised = advertisement_time(size)
        last = "does not fit" if advertised is None else f"{1e3 * advertised:.2f} ms"
        print(f"| {frame} | {size} | " + " | ".join(f"{1e3 * t:.0f} ms" for t in times) + f" | {last} |")


def _digits(value):
    """Write a number with three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_payloads(features, row_bytes, rows_per_packet):
    """Print what a reading takes on LoRaWAN in each form; sent on change it takes a share of a packet."""
    sizes = {name: (size * features, 1) for name, size in VALUES.items()}
    sizes |= {
        "codes, message": (FRAMES["message"] + row_bytes, 1),
        "codes, short frame": (FRAMES["short, CRC-16"] + row_bytes, 1),
        "codes, bare row": (row_bytes, 1),
        "codes, sent on change (mean)": (FRAMES["short, CRC-16"] + 1 + row_bytes, rows_per_packet),
    }
    print("| a reading as | bytes | SF7 | SF10 | SF12 |")
    print("|---|---|---|---|---|")
    for name, (size, rows) in sizes.items():
        times = [air_time(LORAWAN_BYTES + size, factor) / rows for factor in (7, 10, 12)]
        cells = " | ".join(f"{_digits(1e3 * t)} ms, {_digits(1e3 * energy(t))} mJ" for t in times)
        print(f"| {name} | {size / rows:.2g} | {cells} |")


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--bits", type=int, default=2)
    parser.add_argument("--frames", action="store_true", help="compare the frames of a packed row")
    parser.add_argument("--payloads", action="store_true", help="compare forms of a reading")
    parser.add_argument("--rows-per-packet", type=float, default=1.0, metavar="N", help="of sending on change")
    arguments = parser.parse_args(argv)
    floats, packed = 4 * arguments.features, -(-arguments.bits * arguments.features // 8)
    if arguments.frames:
        print_frames(packed)
        return
    if arguments.payloads:
        print_payloads(arguments.features, packed, arguments.rows_per_packet)
        return
    print(f"| | float32, {floats} bytes | packed, {packed} bytes | times less |")
    print("|---|---|---|---|")
    for spreading_factor in (7, 10, 12):
        times = [air_time(LORAWAN_BYTES + size, spreading_factor) for size in (floats, packed)]
        cells = " | ".join(f"{1e3 * t:.0f} ms, {1e3 * energy(t):.1f} mJ" for t in times)
        print(f"| SF{spreading_factor} | {cells} | {times[0] / times[1]:.1f} |")


if __name__ == "__main__":
    main()
