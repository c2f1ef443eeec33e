"""The example with an MQTT broker: nothing is lost and nothing is wrong, and it would notice if it were."""

import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import dumps
from skbsq.export import to_c
from tests.export import driver, tools

DOCS = Path(__file__).parent.parent / "docs"
SENDER = DOCS / "examples" / "mqtt_sender.c"
# Those of the example, for which its C has no warning.
FLAGS = ("-std=c99", "-O2", "-D_POSIX_C_SOURCE=200809L")
TOPIC = "fleet/attic/rows"


@pytest.fixture(scope="module")
def example():
    """The example, whose models are trained once and briefly."""
    spec = importlib.util.spec_from_file_location("broker", DOCS / "examples" / "broker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    models = module.train(max_epochs=1)
    module.train = lambda max_epochs: models
    return module


@pytest.fixture
def server(example):
    return example.Server(example.train(1))


@pytest.fixture
def message(server):
    """A message of three rows of the old codebook."""
    return dumps(server.models[0].codebook_, np.zeros((3, 10), dtype=int))


@pytest.mark.parametrize(("compiler", "n_rows"), [("gcc", 10_000), ("clang", 2_000)])
def test_nothing_is_lost_and_nothing_is_wrong(example, compiler, n_rows, capsys):
    """And the page shows what is printed for 10,000 rows."""
    tools.need_program("mosquitto")
    tools.need(compiler, *FLAGS)
    assert example.main(["--rows", str(n_rows), "--compiler", compiler]) == 0
    printed = capsys.readouterr().out
    assert re.search(f"^rows +{n_rows:,} +{n_rows:,}$", printed, re.MULTILINE)
    if n_rows == 10_000:
        assert printed in (DOCS / "deploy" / "radio.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "replacement", "counted"),
    [
        ("sensor_copy_ready(row, mask, to)", "!memcpy(to, row, SENSOR_ROW_BYTES)", "wrong predictions"),
        ("if (!more && argc > 6)", "if (0)", "wrong predictions"),
        ("if (publish(", "if (number != 3 && publish(", "missing rows"),
        ("!(lose && tries == 0)", "(!lose || tries || (*link = -1))", "messages"),
    ],
    ids=["not measured", "from before the reboot", "not published", "not sent again"],
)
def test_a_wrong_sender_is_noticed(example, line, replacement, counted, tmp_path, monkeypatch, capsys):
    tools.need_program("mosquitto")
    compiler, *_ = tools.need_c(*FLAGS)
    source = SENDER.read_text(encoding="utf-8")
    assert source.count(line) == 1
    (tmp_path / SENDER.name).write_text(source.replace(line, replacement), encoding="utf-8")
    monkeypatch.setattr(example, "HERE", tmp_path)
    assert example.main(["--rows", "2000", "--disturbances", "4", "--compiler", compiler]) == 1
    arrived, expected = re.search(rf"^{counted} +([\d,]+) +([\d,]+)$", capsys.readouterr().out, re.MULTILINE).groups()
    assert arrived != expected


@pytest.mark.parametrize("compiler", tools.C_COMPILERS)
def test_the_sender_has_no_warning(compiler, example, tmp_path):
    command = [compiler, *driver.STRICT, *FLAGS]
    tools.need(*command)
    (tmp_path / "sensor.h").write_text(to_c(example.train(1)[0].codebook_, "sensor"), encoding="ascii")
    driver.compile_c([*command, "-I.", "-o", "sender", SENDER], tmp_path)
    done = subprocess.run([tmp_path / "sender"], check=False, timeout=60)
    assert done.returncode == 2  # without arguments


def test_a_message_counts_once(example, server, message):
    server.take(TOPIC, example.framed(5, message))
    server.take(TOPIC, example.framed(5, message))
    server.take(TOPIC, example.framed(6, message))
    server.take("fleet/cellar/rows", example.framed(5, message))
    assert server.predictions.keys() == {("attic", 5), ("attic", 6), ("cellar", 5)}
    assert server.counts == {"duplicates": 1, example.OLD: 9}
    assert not server.has_new.is_set()


def test_damaged_payloads_are_counted(example, server, message):
    """Whatever byte changes, and wherever the payload ends: outside, and before its check sum was made."""
    payload = example.framed(5, message)
    for at in range(len(payload)):
        server.take(TOPIC, payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :])
        server.take(TOPIC, payload[:at])
    for at in range(len(message)):
        server.take(TOPIC, example.framed(5, message[:at]))
    assert server.count("damaged") == 2 * len(payload) + len(message) - 1  # a message without bytes is empty
    assert server.count("foreign") == 0
    assert not server.predictions


def test_foreign_payloads_are_counted(example, server):
    foreign = Codebook.from_thresholds([[0.5]] * 10)
    server.take(TOPIC, example.framed(5, dumps(foreign, np.zeros((3, 10), dtype=int))))
    assert server.count("foreign") == 1
    assert server.count("damaged") == 0
    assert not server.predictions


def test_disturbances_are_as_many_as_counted(example, server):
    for payload in example.disturbances(server.models[0].codebook_, 8):
        server.take(TOPIC, payload)
    assert (server.count("damaged"), server.count("foreign")) == (8, 8)


def test_rows_wait_for_the_slowest_sensor(example):
    """The first three readings of a run lack three features; the rows in memory are lost with the power."""
    readings = example.readings_of(9, np.random.default_rng(0))
    rows = example.Run(example.OLD, readings).rows
    np.testing.assert_array_equal(rows[:, :7], readings[3:, :7])
    np.testing.assert_array_equal(rows[:, 7:], np.repeat(readings[3::4, 7:], 4, axis=0)[: len(rows)])
    np.testing.assert_array_equal(example.Run(example.OLD, readings, cut=True).rows, rows[:5])


@pytest.mark.parametrize(
    ("arrived", "missing", "wrong"),
    [
        ({"a": [1.0, 2.0], "b": [3.0]}, 0, 0),
        ({"a": [1.0, 2.0]}, 1, 0),
        ({"a": [2.0, 1.0], "b": [3.0]}, 0, 2),
        ({"a": [1.0], "b": [3.0, 4.0]}, 1, 1),
        ({"a": [1.0, 2.0], "b": [3.0], "c": [1.0]}, 0, 1),
    ],
)
def test_compare(example, arrived, missing, wrong):
    expected = {"a": np.array([1.0, 2.0]), "b": np.array([3.0])}
    assert example.compare({key: np.array(of_key) for key, of_key in arrived.items()}, expected) == (missing, wrong)


def test_without_mosquitto_it_says_what_to_install(example, monkeypatch):
    monkeypatch.setattr(example.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match=r"There is no mosquitto\. On Debian and Ubuntu: apt install mosquitto;"):
        example.main([])


def test_a_broker_that_does_not_start(example, tmp_path):
    (tmp_path / "mosquitto").write_text("#!/bin/sh\necho no memory\nexit 3\n")
    (tmp_path / "mosquitto").chmod(0o755)
    with (
        pytest.raises(RuntimeError, match="mosquitto does not start: no memory"),
        example.broker(str(tmp_path / "mosquitto"), tmp_path),
    ):
        pass
