"""Publish packed rows with MQTT, through a broker that really runs, while the devices get a new codebook.

    python docs/examples/broker.py

needs mosquitto, a C compiler and paho-mqtt. Four devices publish 10,000 rows. They are reflashed with the codebook of a
new model one after the other, the link loses answers, one device reboots, and other senders publish damaged and foreign
payloads to the same topics. The program ends with status 1 if a row is missing, or a prediction is not equal to that of
the model for the readings.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sklearn.datasets import make_friedman1

from skbsq import BitwiseRegressor, Codebook, Receiver
from skbsq.codec import dumps
from skbsq.export import to_c

HERE = Path(__file__).parent
OLD, NEW = 0, 1
DEVICES = ("attic", "cellar", "garage", "garden")
ROWS = 10  # per message, as in mqtt_sender.c
LOSE = 25  # one answer in so many gets lost
SLOW = 4  # three sensors have a new value in every fourth reading only
IN_MEMORY = 4  # rows that wait for a full message when the power fails
TIMEOUT = 30


def train(max_epochs=5):
    """The model in use, with 2 bits per feature, and its successor from other data, with 3."""
    return [
        BitwiseRegressor(n_bits, max_epochs=max_epochs, random_state=0).fit(*make_friedman1(1000, random_state=seed))
        for seed, n_bits in enumerate((2, 3))
    ]


def find(name, package):
    """Return the path of a program. If it is missing, exit with a message that names the package to install."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"]
    if path := shutil.which(name, path=os.pathsep.join(folders)):
        return path
    sys.exit(f"There is no {name}. On Debian and Ubuntu: apt install {package}; on macOS: brew install {package}.")


@contextmanager
def broker(program, folder):
    """Run mosquitto on a free port of this machine; yields the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # By default the broker keeps 1,000 messages for a subscriber that is busy, and drops the others.
    options = [f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true"]
    (folder / "mosquitto.conf").write_text("\n".join([*options, ""]))
    with (folder / "mosquitto.log").open("w") as log:
        process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stdout=log, stderr=log)
        try:
            wait_for(port, process, folder / "mosquitto.log")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(port, process, log):
    """Return as soon as the broker accepts connections."""
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"mosquitto does not start: {log.read_text()}")


def build(codebook, folder, compiler):
    """Write a codebook as C and compile the sender."""
    folder.mkdir()
    (folder / "sensor.h").write_text(to_c(codebook, "sensor"))
    command = [compiler, "-std=c99", "-O2", "-D_POSIX_C_SOURCE=200809L", f"-I{folder}", str(HERE / "mqtt_sender.c")]
    subprocess.run([*command, "-o", str(folder / "sender")], check=True, timeout=TIMEOUT)
    return folder / "sender"


@dataclass
class Run:
    """What a device does from one start to the next."""

    firmware: int
    readings: np.ndarray
    cut: bool = False

    @property
    def rows(self):
        """The rows that must arrive: the last values of all sensors, as soon as there are any since the start."""
        rows = pd.DataFrame(self.readings).ffill().dropna().to_numpy()
        return rows[:-IN_MEMORY] if self.cut else rows


def plan(n_rows):
    """The runs of every device. The first one is reflashed after a fifth of its rows, the last after four fifths.

    The last device also reboots, halfway to its new firmware.
    """
    random = np.random.default_rng(2)
    part = n_rows // len(DEVICES) // 5
    plans = {}
    for k, device in enumerate(DEVICES[:-1], 1):
        plans[device] = [
            Run(OLD, readings_of(k * part, random)),
            Run(NEW, readings_of((5 - k) * part, random)),
        ]
    plans[DEVICES[-1]] = [
        Run(OLD, readings_of(2 * part + IN_MEMORY, random), cut=True),
        Run(OLD, readings_of(2 * part, random)),
        Run(NEW, readings_of(part, random)),
    ]
    return plans


def readings_of(n_rows, random):
    """Readings for so many rows, NaN where a sensor has no new value."""
    readings = random.random((n_rows + SLOW - 1, 10), dtype=np.float32)
    readings[np.arange(len(readings)) % SLOW != SLOW - 1, 7:] = np.nan
    return readings


def work(device, runs, senders, port, folder, may_reboot):
    """Start a device as often as its plan says."""
    for start, run in enumerate(runs):
        readings = folder / f"{device}{start}"
        run.readings.tofile(readings)
        # After the reboot the last device sends with the old codebook, while others already have the new one.
        if start and runs[start - 1].cut and not may_reboot.wait(TIMEOUT):
            raise RuntimeError("No row of the new codebook arrived.")
        command = [senders[run.firmware], port, device, start, readings, LOSE, *["cut"] * run.cut]
        subprocess.run(list(map(str, command)), check=True, timeout=TIMEOUT)


def framed(number, message):
    """A payload: what mqtt_sender.c puts around a message."""
    content = number.to_bytes(4, "little") + message
    return content + zlib.crc32(content).to_bytes(4, "little")


def disturbances(codebook, n):
    """Payloads that are no rows: n damaged and n foreign ones, in turns."""
    random = np.random.default_rng(3)
    foreign = Codebook.from_thresholds([[0.5]] * 10)
    for k in range(n):
        rows = random.random((ROWS, 10), dtype=np.float32)
        message = dumps(codebook, codebook.encode(rows))
        payload = framed(k, message)
        at = int(random.integers(1, len(message)))  # a payload without bytes is empty, not damaged
        yield (
            payload[:at] + bytes([payload[at] ^ 1 << k % 8]) + payload[at + 1 :],
            payload[:at],
            framed(k, message[:at]),  # cut off before the payload was made
            b'{"temperature": 21.5}',
        )[k % 4]
        yield framed(k, dumps(foreign, foreign.encode(rows)))


def disturb(payloads, port):
    """Publish payloads to the topics of the devices."""
    with connected("stranger", port) as client:
        for k, payload in enumerate(payloads):
            client.publish(f"fleet/{DEVICES[k // 2 % len(DEVICES)]}/rows", payload, qos=1).wait_for_publish(TIMEOUT)
            time.sleep(0.005)


@contextmanager
def connected(name, port, clean_session=True, **callbacks):
    """A client of paho-mqtt with a thread that receives."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean_session)
    for event, callback in callbacks.items():
        setattr(client, event, callback)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


class Server:
    """Subscribes to the devices and predicts from what they publish."""

    def __init__(self, models):
        self.models = models
        self.receiver = Receiver(models, errors="report")
        self.predictions = {}  # by device and number
        self.order = []  # the codebook of each message
        self.counts = Counter()
        self.subscribed, self.has_new, self.ended = (threading.Event() for _ in range(3))

    def connected(self, port):
        """A client that subscribes. From then on the broker keeps what the server misses while it is not connected."""
        return connected(
            "server",
            port,
            clean_session=False,
            on_connect=lambda client, *_: client.subscribe([("fleet/+/rows", 1), ("fleet/end", 1)]),
            on_subscribe=lambda *_: self.subscribed.set(),
            on_message=lambda client, data, message: self.take(message.topic, message.payload),
        )

    def take(self, topic, payload):
        """Predict from a payload, once: QoS 1 delivers at least once."""
        if topic == "fleet/end":
            self.ended.set()
            return
        device = topic.split("/")[1]
        number, message, crc = payload[:4], payload[4:-4], payload[-4:]
        if zlib.crc32(number + message).to_bytes(4, "little") != crc:
            self.counts["damaged"] += 1
            return
        key = device, int.from_bytes(number, "little")
        # The receiver counts damaged and foreign messages. So it reads them before their number is looked up.
        for received in self.receiver.read(message, device=device):
            if key in self.predictions:
                self.counts["duplicates"] += 1
                continue
            self.predictions[key] = received.predict()
            self.order.append(self.models.index(received.reader))
            self.counts[self.order[-1]] += len(received.codes)
            if self.order[-1] == NEW:
                self.has_new.set()

    def count(self, what):
        """How many payloads were damaged or foreign."""
        return self.counts[what] + sum(getattr(counts, what) for counts in self.receiver.counts_.values())


def publish(models, plans, *, n_disturbances, mosquitto, compiler):
    """Let the devices publish all their rows, with disturbances; returns the server."""
    server = Server(models)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        senders = [build(model.codebook_, folder / f"v{k + 1}", compiler) for k, model in enumerate(models)]
        with broker(mosquitto, folder) as port, server.connected(port) as client, ThreadPoolExecutor() as pool:
            if not server.subscribed.wait(TIMEOUT):
                raise RuntimeError("The broker does not confirm the subscription.")
            jobs = [
                pool.submit(work, device, runs, senders, port, folder, server.has_new) for device, runs in plans.items()
            ]
            jobs.append(pool.submit(disturb, disturbances(models[OLD].codebook_, n_disturbances), port))
            for job in jobs:
                job.result()
            # The broker has all messages by now. It passes on the last one after all others.
            client.publish("fleet/end", qos=1)
            if not server.ended.wait(TIMEOUT):
                raise RuntimeError("The last message does not arrive.")
    return server


def expected_of(models, plans):
    """What the models predict for the readings, by device and number of the message."""
    return {
        (device, start << 16 | k): models[run.firmware].predict(run.rows[at : at + ROWS])
        for device, runs in plans.items()
        for start, run in enumerate(runs)
        for k, at in enumerate(range(0, len(run.rows), ROWS))
    }


def compare(predictions, expected):
    """Count the rows that are missing, and those whose prediction is wrong or that nobody sent."""
    missing = sum(len(expected[key]) for key in expected.keys() - predictions.keys())
    wrong = sum(len(predictions[key]) for key in predictions.keys() - expected.keys())
    for key in expected.keys() & predictions.keys():
        due, arrived = expected[key], predictions[key]
        n = min(len(due), len(arrived))
        wrong += int((due[:n] != arrived[:n]).sum()) + len(arrived) - n
        missing += len(due) - n
    return missing, wrong


def report(server, plans, expected, n_disturbances):
    """Print the counts; returns whether all is as it should be."""
    runs = [run for runs_of_device in plans.values() for run in runs_of_device]
    n_rows = [sum(len(run.rows) for run in runs if run.firmware == which) for which in (OLD, NEW)]
    n_lost = sum(len(run.rows) // ROWS // LOSE for run in runs)
    missing, wrong = compare(server.predictions, expected)
    counts = server.counts
    n_messages = len(server.predictions) + counts["duplicates"]
    table = [
        ("messages", n_messages, len(expected) + n_lost),
        ("of these sent again, because the answer got lost", counts["duplicates"], n_lost),
        ("damaged payloads", server.count("damaged"), n_disturbances),
        ("foreign payloads", server.count("foreign"), n_disturbances),
        ("rows", counts[OLD] + counts[NEW], sum(n_rows)),
        ("rows of the old codebook", counts[OLD], n_rows[OLD]),
        ("rows of the new codebook", counts[NEW], n_rows[NEW]),
        ("missing rows", missing, 0),
        ("wrong predictions", wrong, 0),
    ]
    print(f"{'':48} {'arrived':>8} {'expected':>8}")
    for name, arrived, due in table:
        print(f"{name:48} {arrived:8,} {due:8,}")
    first_new = server.order.index(NEW) if NEW in server.order else len(server.order)
    mixed = OLD in server.order[first_new:]
    print(f"Old messages arrived after the first new one: {mixed}.")
    return mixed and all(arrived == due for _, arrived, due in table)


def main(argv=None):
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="a multiple of 200 (default: 10000)")
    parser.add_argument("--disturbances", type=int, default=40, help="damaged payloads, and foreign ones (default: 40)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--compiler", default="cc", help="such as gcc or clang (default: cc)")
    arguments = parser.parse_args(argv)
    if arguments.rows < 200 or arguments.rows % 200:
        parser.error(f"--rows must be a multiple of 200, got {arguments.rows}")
    programs = {"mosquitto": find("mosquitto", "mosquitto"), "compiler": find(arguments.compiler, "gcc")}
    models, plans = train(arguments.epochs), plan(arguments.rows)
    server = publish(models, plans, n_disturbances=arguments.disturbances, **programs)
    return 0 if report(server, plans, expected_of(models, plans), arguments.disturbances) else 1


if __name__ == "__main__":
    sys.exit(main())
