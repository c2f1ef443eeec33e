"""Train, write C, compile it, let it send packed rows over UDP, and predict from the bytes that arrive.

    python docs/examples/round_trip.py

needs a C compiler and nothing else. The server predicts all rows that arrived in one call, and the model predicts all
readings in one call. The two must be equal to the last bit.
"""

import argparse
import socket
import subprocess
import tempfile
import threading
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import make_friedman1

from skbsq import BitwiseRegressor
from skbsq.codec import loads
from skbsq.export import to_c

HERE = Path(__file__).parent


def train():
    """A regressor of ten readings, with 2 bits for each."""
    X, y = make_friedman1(2000, random_state=0)
    return BitwiseRegressor(n_bits=2, random_state=0).fit(X, y)


def build(codebook, folder, compiler="cc"):
    """Write the codebook as C and compile the device."""
    (folder / "sensor.h").write_text(to_c(codebook, "sensor"))
    command = [compiler, "-std=c99", "-O2", "-D_POSIX_C_SOURCE=200809L", f"-I{folder}", str(HERE / "device.c")]
    subprocess.run([*command, "-o", str(folder / "device")], check=True)
    return folder / "device"


class Server(threading.Thread):
    """Answers every frame: 'A' where it arrived whole, 'N' where it is to be sent again."""

    def __init__(self, codebook):
        super().__init__(daemon=True)
        self.codebook, self.messages, self.n_refused = codebook, {}, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        """Receive until a datagram without content comes."""
        while True:
            frame, sender = self.socket.recvfrom(2**16)
            if not frame:
                return
            try:
                # A frame that is sent twice, because the answer got lost, counts once.
                self.messages[frame[:4]] = self.read(frame)
                answer = b"A"
            except ValueError:
                self.n_refused += 1
                answer = b"N"
            self.socket.sendto(frame[:4] + answer, sender)

    def read(self, frame):
        """The codes of a frame; ValueError for a damaged one."""
        if zlib.crc32(frame[:-4]).to_bytes(4, "little") != frame[-4:]:
            raise ValueError("The frame is damaged.")
        return loads(frame[4:-4], self.codebook)

    def stop(self):
        """End the thread, and return the codes of all frames in the order in which they were sent."""
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self.socket.close()
        in_order = sorted(self.messages, key=lambda number: int.from_bytes(number, "little"))
        nothing = np.empty((0, self.codebook.n_features), dtype=self.codebook.dtype)
        return np.concatenate([nothing, *(self.messages[number] for number in in_order)])


def round_trip(model, rows, *, damage=0, compiler="cc"):
    """Send rows through the device and predict from what arrives.

    Returns the predictions, and how many frames were refused.
    """
    server = Server(model.codebook_)
    server.start()
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
    with tempfile.TemporaryDirectory() as folder:
        device = build(model.codebook_, Path(folder), compiler)
        subprocess.run([str(device), str(server.port), str(damage)], input=text, text=True, check=True, timeout=120)
    codes = server.stop()
    return model.predict_codes(codes), server.n_refused


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--damage", type=int, default=10, help="one frame in so many is damaged (default: 10)")
    arguments = parser.parse_args(argv)
    model = train()
    rows = make_friedman1(arguments.rows, random_state=1)[0].astype(np.float32)
    predicted, n_refused = round_trip(model, rows, damage=arguments.damage)
    expected = model.predict(rows)
    print(f"{len(predicted)} of {len(rows)} rows arrived, {n_refused} damaged frames were refused and sent again.")
    print(f"Predictions equal to the last bit: {np.array_equal(predicted, expected)}.")


if __name__ == "__main__":
    main()
