"""The example programs do what the pages say: rows pass through C and a socket unchanged, days of life add up."""

import importlib.util
import re
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer
from skbsq.codec import dumps
from tests.export import tools

# The compiler flags of docs/examples/round_trip.py.
FLAGS = ("-std=c99", "-O2", "-D_POSIX_C_SOURCE=200809L")
EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
PAGE = EXAMPLES.parent / "deploy" / "radio.md"
PAGE_OF_RATES = EXAMPLES.parent / "guide" / "rates.md"
PAGE_OF_CATEGORIES = EXAMPLES.parent / "guide" / "categories.md"
PAGE_OF_CHANGE = EXAMPLES.parent / "deploy" / "change.md"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trip():
    return example("round_trip")


@pytest.fixture(scope="module")
def model(trip):
    """The model of the example, after a short training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trip, "BitwiseRegressor", partial(BitwiseRegressor, max_epochs=1, init="quantile"))
        return trip.train()


@pytest.mark.parametrize("compiler", tools.C_COMPILERS)
@pytest.mark.parametrize("damage", [0, 7])
def test_round_trip(trip, model, compiler, damage):
    """No row is lost, damaged frames are refused, and predictions are equal to the last bit."""
    tools.need(compiler, *FLAGS)
    rows = make_friedman1(2000, random_state=1)[0].astype(np.float32)
    predicted, n_refused = trip.round_trip(model, rows, damage=damage, compiler=compiler)
    np.testing.assert_array_equal(predicted, model.predict(rows))
    n_frames = -(-len(rows) // 32)
    assert n_refused == (-(-n_frames // damage) if damage else 0)


def test_lines_that_are_no_rows_are_skipped(trip, model, tmp_path):
    """Words, a value too few or too many, commas, an empty line, NaN: the other rows arrive unchanged."""
    compiler, *_ = tools.need_c(*FLAGS)
    rows = make_friedman1(60, random_state=1)[0].astype(np.float32)
    lines = [" ".join(map(str, row)) for row in rows.tolist()]
    good = lines[0]
    bad = [
        "abc " * 10,
        good.rpartition(" ")[0],
        f"{good} 1",
        good.replace(" ", ","),
        "",
        good.replace(good[:6], "nan", 1),
        good + " " * (640 - len(good) - 1) + "12",  # longer than the buffer, so it is read as a row and a 2
    ]
    for k, line in enumerate(bad):
        lines.insert(7 * (k + 1), line)
    server = trip.Server(model.codebook_)
    server.start()
    device = trip.build(model.codebook_, tmp_path, compiler)
    text = "\n".join([*lines, good[:-1]])  # cut off inside the last number: the right number of values, but wrong
    command = [str(device), str(server.port)]
    done = subprocess.run(command, input=text, text=True, check=True, timeout=60, capture_output=True)
    np.testing.assert_array_equal(server.stop(), model.codebook_.encode(rows))
    assert [int(line.split()[1]) for line in done.stderr.splitlines()] == [*(7 * (k + 1) + 1 for k in range(7)), 68]


def test_server_refuses_any_damage(trip, model):
    server = trip.Server(model.codebook_)
    server.socket.close()
    message = trip.zlib.crc32(b"").to_bytes(4, "little") + b"SBSQ"
    for frame in (b"x", message, bytes(40)):
        with pytest.raises(ValueError, match=r"."):
            server.read(frame)


def test_air_time_equals_published_values():
    """13 bytes at SF9 take 164.864 ms by the calculators based on Semtech's AN1200.13, 23 bytes at SF7 61.696 ms."""
    air_time = example("air_time").air_time
    assert air_time(13, 9) == pytest.approx(0.164864, abs=1e-9)
    assert air_time(23, 7) == pytest.approx(0.061696, abs=1e-9)
    # A symbol longer than 16 ms carries two bits less: 13 bytes at SF12 are 23 symbols, not 18.
    assert air_time(13, 12) == pytest.approx((8 + 4.25 + 23) * 2**12 / 125e3, abs=1e-9)


def test_page_shows_what_the_example_prints(capsys):
    example("air_time").main([])
    printed = capsys.readouterr().out
    assert re.sub(r" +", " ", printed) in PAGE.read_text(encoding="utf-8")


def test_the_page_on_bytes_compares_the_frames(capsys):
    air = example("air_time")
    air.main(["--frames"])
    assert capsys.readouterr().out in (EXAMPLES.parent / "reference" / "bytes.md").read_text(encoding="utf-8")
    book = Codebook.from_thresholds([[0.5]] * 8)
    options = [{}, {"frame": "short", "id": 1}, {"frame": "short", "id": 1, "crc": 8}, {"frame": "bare"}]
    sizes = [len(dumps(book, [[0] * 8], **of_frame)) - 1 for of_frame in options]
    assert sizes == list(air.FRAMES.values())


def test_the_page_on_change_compares_forms_of_a_reading(capsys):
    """With the measured packets of occupancy, which has 5 features."""
    stored = pd.read_csv(EXAMPLES.parents[1] / "benchmarks" / "results" / "change.csv")
    (ratio,) = stored.query("dataset == 'occupancy' and bits == 2 and keyframe == 60")["rows_per_packet"].unique()
    arguments = ["--payloads", "--features", "5", "--rows-per-packet", f"{ratio:.1f}"]
    example("air_time").main(arguments)
    page = PAGE_OF_CHANGE.read_text(encoding="utf-8")
    assert capsys.readouterr().out in page
    assert f"docs/examples/air_time.py {' '.join(arguments)}\n" in page


def test_payloads_by_hand(capsys):
    """Readings of 2 features in 1 byte: a packet of 13 + 5 bytes at SF7 takes 51.456 ms, and 4 readings share it."""
    example("air_time").main(["--payloads", "--features", "2", "--rows-per-packet", "4"])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("| codes, sent on change (mean) | 1.2 | 12.9 ms, 1.23 mJ |")


def test_an_advertisement_holds_31_bytes():
    """A packet of 47 bytes, which takes 376 us with 1 Mbit/s, on three channels."""
    air = example("air_time")
    assert air.advertisement_time(24) == pytest.approx(3 * 376e-6)
    assert air.advertisement_time(25) is None
    assert air.uart_time(960) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def battery():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)  # it imports air_time
        return example("battery")


def test_a_battery_of_three_packets_lasts_three_packets(battery):
    assert battery.live([(0, 1)], 0.75, {1: 0.25}) == ([1, 1, 1], [0.5, 0.25, 0.0])


def test_the_rate_falls_with_the_charge(battery):
    """While at least half of 4 J is left, packets cost 1 J."""
    sent, charges = battery.live([(0.5, 2), (0, 1)], 4.0, {2: 1.0, 1: 0.5})
    assert sent == [2, 2, 2, 1, 1]
    assert charges == [3, 2, 1, 0.5, 0]


def test_what_the_battery_cannot_hold_is_lost(battery):
    assert battery.live([(0, 1)], 1.0, {1: 0.25}, [9, 0, 0.25, 0]) == ([1] * 4, [0.75, 0.5, 0.5, 0.25])


def test_gains_prolong_life(battery):
    """Two packets become three: the first gain is lost, the next two pay for one packet, the fourth is too small."""
    assert battery.live([(0, 1)], 1.0, {1: 0.5}, [0.25] * 9)[0] == [1, 1, 1]


def test_policies_choose_a_lower_rate_at_a_lower_charge(battery):
    policy = battery.NESTED["halves at 50 and 25 %"]
    assert [battery.rate_at(policy, charge) for charge in (1, 0.5, 0.49, 0.25, 0.24, 0)] == [4, 4, 2, 2, 1, 1]
    for policy in battery.NESTED.values():
        rates = [battery.rate_at(policy, charge) for charge in np.linspace(0, 1, 101)]
        assert rates == sorted(rates)
        assert set(rates) == {1, 2, 4}


def test_energy_of_a_packet(battery):
    """13 bytes at SF9 take 164.864 ms; 65.536 ms of listening, 20 readings of 0.5 mJ, 600 s of 5 uA."""
    sent = 3.3 * 0.029 * 0.164864
    assert battery.sending(0) == pytest.approx(sent)
    assert battery.joules(0) == pytest.approx(sent + 3.3 * 0.0099 * 0.065536 + 0.01 + 3.3 * 5e-6 * 600)


def test_daylight_is_within_its_bounds(battery):
    days = battery.daylight(365)
    assert 2 <= days.min() < 6
    assert 20 < days.max() <= 30
    assert days[91:121].mean() < days[273:303].mean() / 3  # December, June


def test_mean_error_over_a_life(battery):
    """Packets 0, 1 and again 0 of the test rows."""
    errors = {1: np.array([1.0, 4.0]), 2: np.array([9.0, 16.0])}
    assert battery.mean_error([1, 2, 1], errors) == pytest.approx(6**0.5)


def test_the_server_predicts_from_the_bytes(battery):
    X, y = make_friedman1(80, random_state=0)
    model, models = battery.train(X, y, max_epochs=1)
    for rate, codebook in model.codebooks_.items():
        assert [len(payload) for payload in battery.packed(codebook, X)] == [25 * rate] * 4
        expected = ((model.predict(X, rate=rate) - y) ** 2).reshape(4, 20).mean(axis=1)
        np.testing.assert_allclose(battery.squared_errors(model, X, y, rate), expected, rtol=1e-5)
    np.testing.assert_array_equal(battery.squared_errors(models[4], X, y), battery.squared_errors(model, X, y, 4))


def test_page_of_rates_shows_what_the_example_prints(battery, capsys, tmp_path):
    """But for the errors, which a short training changes."""
    battery.main(["--rows", "100", "--epochs", "1", "--picture", str(tmp_path / "battery.svg")])
    printed, page = (
        re.sub(r"\d\.\d\d", "#", text) for text in (capsys.readouterr().out, PAGE_OF_RATES.read_text(encoding="utf-8"))
    )
    assert printed in page
    assert "<svg" in (tmp_path / "battery.svg").read_text(encoding="utf-8")


# -- a credit-like table -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def credit():
    return example("credit")


def test_credit_prints_a_report_and_sends_a_row(credit, capsys, monkeypatch):
    monkeypatch.setattr(credit, "generate", partial(credit.generate, 300))
    monkeypatch.setattr(credit, "train", partial(credit.train, max_epochs=2))
    credit.main([])
    printed = capsys.readouterr().out
    assert "equal to the prediction from the frame: True" in printed
    assert "event_rate" in printed


def test_page_of_categories_shows_the_report_of_credit(credit):
    X, _, y, _ = credit.split(*credit.generate())
    model = BitwiseClassifier(3, missing="seen", handle_unknown="missing", max_epochs=1).fit(X[["checking"]], y)
    assert credit.report(model, "checking", X[["checking"]], y) in PAGE_OF_CATEGORIES.read_text(encoding="utf-8")


def test_credit_reads_a_file(credit, tmp_path):
    X, y = credit.generate(50)
    X.assign(y=y).to_csv(tmp_path / "german.csv.gz", index=False)
    read, target = credit.read(tmp_path)
    assert list(read) == list(X)
    assert set(target) == {"good", "bad"}


def test_rows_of_credit_are_bytes(credit):
    X, y = credit.generate(300)
    model = credit.train(X, y, max_epochs=2)
    assert model.codebook_.row_bits <= credit.BIT_BUDGET
    for i in range(5):
        data, sent = credit.send(model, X[i : i + 1])
        assert len(data) == -(-model.codebook_.row_bits // 8)
        np.testing.assert_array_equal(sent, model.predict_proba(X[i : i + 1]))


def test_information_of_credit_is_where_it_was_put(credit):
    """The codes of 4 categories show the effect; sixty branches show chance alone, even with as many codes."""
    X, y = credit.generate()
    values = credit.information_values(QuantileQuantizer(6, missing="seen").fit(X), X, y)
    assert values["checking"] > 0.3
    assert values["telephone"] < 0.02
    assert values.is_monotonic_decreasing
