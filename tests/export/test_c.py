"""The compiled C gives the codes, rows and messages of the codebook, to the last bit."""

import platform
import re
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import Codebook, QuantileQuantizer
from skbsq.codec import ChangeSender, RowCodec, dumps, loads, read_messages_of
from skbsq.export import to_c, to_codebook
from tests import reference
from tests.export import driver, tools
from tests.strategies import neighbours

NANS = np.uint32([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF]).view(np.float32)
FLAVOURS = [
    pytest.param((compiler, *flags), id=f"{compiler}-{name}")
    for compiler in tools.C_COMPILERS
    for name, flags in driver.FLAVOURS.items()
    if name != "c99"  # that is for test_many_values
]


def random_floats(rng, n):
    """Return finite floats of any size, half of them of everyday size."""
    bits = rng.integers(0, 2**32, n, dtype=np.uint32).view(np.float32)
    everyday = (100 * rng.standard_normal(n)).astype(np.float32)
    return np.where(np.isfinite(bits) & (rng.random(n) < 0.5), bits, everyday)


def random_codebook(rng):
    thresholds = [random_floats(rng, rng.choice([0, 1, 2, 3, 6, 15, 300])) for _ in range(rng.integers(1, 7))]
    missing = rng.choice(["error", "code"])
    has_missing = rng.random(len(thresholds)) < 0.5 if missing == "code" and rng.random() < 0.5 else None
    return Codebook.from_thresholds(thresholds, missing=missing, has_missing=has_missing)


def codebooks():
    """Return codebooks by name: special cases and random ones."""
    rng = np.random.default_rng(0)
    subnormals = np.float32([-1e-40, -1e-45, 0, 1e-45, 1e-40, 1.17549435e-38])
    largest = np.finfo(np.float32).max
    books = {
        "nothing": Codebook.from_thresholds([[], []]),
        "one_bit": Codebook.from_thresholds([[0.0]]),
        "indicator": Codebook.from_thresholds([[], [1.0]], missing="code", has_missing=[True, False]),
        "subnormals": Codebook.from_thresholds([subnormals, subnormals[:1]], missing="code"),
        "ends": Codebook.from_thresholds([[-largest, largest], [np.nextafter(largest, np.float32(0))]]),
        "mixed": Codebook.from_thresholds(
            [[0.0], [1.0, 2.0], [], [3.0], []], missing="seen", has_missing=[True, False, False, True, True]
        ),
        "unsent": Codebook.from_thresholds([[], [1.0, 2.0], [], [3.0]]),
        "wide": Codebook.from_thresholds([rng.standard_normal(2**16 - 1), [0.5], rng.standard_normal(500)]),
        "many": Codebook.from_thresholds(list(rng.standard_normal((81, 15))), missing="code"),
        "widths": Codebook.from_thresholds([rng.standard_normal(2**b - 1) for b in range(13)]),
        "names": Codebook.from_thresholds(
            [[0.0]] * 8, feature_names=["*/", "/*/", "??/\n#error", "\\", "a", "A", "grad \N{DEGREE SIGN}C", "\ud800"]
        ),
    }
    return books | {f"random{i}": random_codebook(rng) for i in range(4)}


BOOKS = codebooks()


def values_for(book, rng):
    """Return rows with thresholds, the floats next to them, other floats, and some NaN."""
    columns = [np.concatenate([neighbours(t), random_floats(rng, 50)]) for t in book.thresholds]
    n = max(column.size for column in columns)
    X = np.stack([rng.permutation(np.resize(column, n)) for column in columns], axis=1)
    holes = rng.random(X.shape) < 0.2 / book.n_features
    X[holes] = rng.choice(NANS, holes.sum())
    return X


def pack(book, codes):
    """Pack many rows of codes at once."""
    bits = [codes[:, [j]] >> np.arange(width) & 1 for j, width in enumerate(book.n_bits.tolist())]
    return np.packbits(np.concatenate(bits, axis=1).astype(np.uint8), axis=1, bitorder="little")


def expected(book, X):
    """Return the refusals and rows that the C must give: it refuses NaN where the codebook does."""
    nan = np.isnan(X) & book.refuses_nan
    refused = np.where(nan.any(axis=1), nan.argmax(axis=1) + 1, 0).astype(np.int32)
    X = np.where(np.isnan(X), np.where(book.refuses_nan, np.float32(0.0), np.float32(np.nan)), X)  # no signalling NaN
    rows = pack(book, book.encode(X))
    rows[refused > 0] = 0
    return refused, rows


def test_pack_equals_reference():
    rng = np.random.default_rng(1)
    for book in BOOKS.values():
        codes = rng.integers(0, book.n_levels, (20, book.n_features))
        packed = [row.tobytes() for row in pack(book, codes)]
        assert packed == [reference.pack_row(row, book.n_bits) for row in codes.tolist()]


@cache
def headers():
    return {name: to_c(book, name) for name, book in BOOKS.items()}


@pytest.fixture(scope="module", params=FLAVOURS)
def program(request, tmp_path_factory):
    tools.need(*request.param)
    return driver.build(tmp_path_factory.mktemp("c"), headers(), dict.fromkeys(BOOKS, "float"), request.param)


def check_books(program, emulator=(), books=BOOKS):
    rng = np.random.default_rng(2)
    for name, book in books.items():
        X = values_for(book, rng)
        driver.check_rows(program, name, X, *expected(book, X), emulator)


def test_rows_equal_the_codebook(program):
    check_books(program)


def test_fast_math_flushes_subnormals(program, request):
    """The rows are compared although this treatment of subnormals breaks comparisons of floats."""
    flushes = subprocess.run([program, "flushes"], check=False).returncode == 0
    fast_math = "fast-math" in request.node.name
    if fast_math and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("flushing is switched on for x86 only")
    assert flushes == fast_math


def test_messages_equal_the_reference(program):
    rng = np.random.default_rng(3)
    for name in ("nothing", "unsent", "many", "random0"):
        book = BOOKS[name]
        for n in (0, 1, 5):
            X = rng.standard_normal((n, book.n_features), dtype=np.float32)
            message = reference.message(book, book.encode(X).tolist())
            assert driver.run(program, name, "message", X) == message
            assert driver.run(program, name, "stream", X) == message


def short_frames(book, codes):
    """Return what the C writes: frames of each layout, then two CRCs of the last one in 4 bytes each."""
    layouts = [(9, 200, 16), (9, 200, 8), (255, None, 16), (255, None, 8)]
    frames = [dumps(book, codes, frame="short", id=id, seq=seq, crc=crc) for id, seq, crc in layouts]
    ends = [frames[2][-2:] + bytes(2), frames[3][-1:] + bytes(3)]
    return b"".join(frames + ends)


def test_short_frames_equal_those_of_python(program):
    rng = np.random.default_rng(3)
    for name in ("one_bit", "unsent", "many", "random0", "widths"):
        book = BOOKS[name]
        for n in (1, 5):
            X = rng.standard_normal((n, book.n_features), dtype=np.float32)
            assert driver.run(program, name, "short", X) == short_frames(book, book.encode(X))


def packets(book, codes):
    """Return what the C writes: for each row and sender whether it sends, and the packet."""
    senders = [ChangeSender(book, keyframe=keyframe, id=9) for keyframe in driver.CHANGE_KEYFRAMES]
    sent = (sender.send(row) for row in codes for sender in senders)
    return b"".join(b"\0" if packet is None else b"\1" + packet for packet in sent)


def test_packets_on_change_equal_those_of_python(program):
    """The sequence numbers begin again after 256 packets."""
    rng = np.random.default_rng(3)
    for name in ("one_bit", "unsent", "many", "random0", "widths"):
        book = BOOKS[name]
        X = rng.standard_normal((40, book.n_features), dtype=np.float32).repeat(rng.integers(1, 16, 40), axis=0)
        assert len(X) > 256
        assert driver.run(program, name, "change", X) == packets(book, book.encode(X))


def test_rows_of_no_bits_have_no_short_frame():
    assert not re.search("short|change_", headers()["nothing"].lower())
    assert "NOTHING_MESSAGE_BYTES" in headers()["nothing"]


def test_many_values(tmp_path):
    command = tools.need_c(*driver.FLAVOURS["c99"])
    rng = np.random.default_rng(4)
    book = Codebook.from_thresholds([rng.standard_normal(n) for n in (1, 3, 7, 15, 63, 255, 1000, 10_000)])
    program = driver.build(tmp_path, {"big": to_c(book, "big")}, {"big": "float"}, command)
    X = rng.standard_normal((25_000, 8), dtype=np.float32)
    driver.check_rows(program, "big", X, *expected(book, X))


# -- counts ----------------------------------------------------------------------------------------------------------


def count_cases():
    rng = np.random.default_rng(5)
    thresholds = [[], [-1e30, 0, 18.5, 1e30], rng.normal(0, 30, 3), rng.normal(0, 30, 200), [100.0]]
    cases = {}
    for count_type, scale, missing, missing_count in [
        ("uint8", 0.5, "code", 77),
        ("int8", 0.7, "error", -128),
        ("uint16", 1e-3, "error", None),
        ("uint16", 1e-3, "code", 65535),
        ("int16", 2e-3, "error", 0),
        ("int32", 3e-8, "code", None),
        ("uint8", 0.5, "error", [0, None, 77, 255, None]),
        ("uint8", 0.5, "seen", [0, 1, 77, 255, None]),
        ("int16", 2e-3, "code", [None, -(2**15), 0, 7, None]),
        ("int32", 3e-8, "error", {0: -(2**31), 1: 2**31 - 1, 2: None, 3: 77, 4: -1}),
    ]:
        options = {
            "scale": scale * np.arange(1, 6),
            "offset": [0, -20.5, 3, -30, 0],
            "count_type": count_type,
            "missing_count": missing_count,
        }
        has_missing = [True, False, True, False, False] if missing == "seen" else None
        book = Codebook.from_thresholds(thresholds, missing=missing, has_missing=has_missing)
        cases[f"{count_type}_{missing}"] = book, options
    return cases


COUNT_CASES = count_cases()


def count_texts():
    return {name: to_c(book, name, **options) for name, (book, options) in COUNT_CASES.items()}


def count_types():
    return {name: f"{options['count_type']}_t" for name, (_, options) in COUNT_CASES.items()}


def count_values(name):
    """Return rows with every count in every feature, in different orders, and their values."""
    book, options = COUNT_CASES[name]
    info = np.iinfo(options["count_type"])
    if info.bits <= 16:
        counts = np.arange(info.min, info.max + 1)
    else:
        ends = [info.min, info.min + 1, -1, 0, 1, 77, info.max - 1, info.max]
        counts = np.concatenate([ends, np.random.default_rng(6).integers(info.min, info.max, 10_000)])
    counts = np.stack([np.roll(counts, 1000 * j) for j in range(book.n_features)], axis=1).astype(info.dtype)
    X = (counts.astype(np.float64) * options["scale"] + np.float64(options["offset"])).astype(np.float32)
    missing_counts = options["missing_count"]
    if isinstance(missing_counts, dict):
        missing_counts = list(missing_counts.values())
    if not isinstance(missing_counts, list):
        missing_counts = [missing_counts] * book.n_features
    for j, count in enumerate(missing_counts):
        if count is not None:
            X[counts[:, j] == count, j] = np.nan
    return counts, X


def check_counts(program, emulator=()):
    for name, (book, _) in COUNT_CASES.items():
        counts, X = count_values(name)
        driver.check_rows(program, name, counts, *expected(book, X), emulator)


@pytest.mark.parametrize("command", FLAVOURS[:2])
def test_all_counts_equal_the_codebook(command, tmp_path):
    tools.need(*command)
    check_counts(driver.build(tmp_path, count_texts(), count_types(), command))


# -- the page --------------------------------------------------------------------------------------------------------

# Readings in the units of the codebook of the page; the third feature takes 0 bits and is not measured.
READINGS = np.float32(
    [[np.nan, 70], [20, 70], [np.nan, 1], [-10, 100], [10, np.nan], [np.nan, np.nan], [30, 50], [-20, 20]]
)
PAGE_MAIN = """
#include <stdlib.h>

#define N_READINGS (sizeof readings / sizeof readings[0])

static const float readings[][2] = {READINGS};
static size_t n_read;

int read_sensors(float *x)
{
    if (n_read == N_READINGS)
        return 0;
    x[HUT_FEATURE_temperature] = readings[n_read][0];
    x[HUT_FEATURE_humidity] = readings[n_read][1];
    ++n_read;
    return 1;
}

void radio_send(const uint8_t *data, size_t size) { fwrite(data, 1, size, stdout); }

void store(uint32_t row, uint32_t feature, float level) { printf("%u %u %.9g\\n", row, feature, (double)level); }

int valve_angle(void) { return n_read == 0 ? -1 : (int)n_read * 20 - 20; }

uint32_t rate_of_link(void) { return (uint32_t)n_read / 2 % 4; }

int main(int argc, char **argv)
{
    static uint8_t message[HUT_MESSAGE_BYTES(24)];
    float x[HUT_FEATURES];
    size_t i;
    if (argc == 3)
        return -send_rows((uint32_t)strtoul(argv[2], NULL, 10));
    switch (*argv[1]) {
    case 'm': /* one message */
        radio_send(message, fill(message));
        return 0;
    case 'r': /* one message per reading, at one rate after the other */
        while (read_sensors(x))
            (void)send_reading(x);
        return 0;
    case 'g': /* what a gateway reads in one message */
        return -receive(message, fill(message));
    case 's': /* a short frame per reading */
        while (read_sensors(x))
            send_short(x);
        return 0;
    case 'u': /* no sensor has measured yet */
        on_temperature(NAN);
        on_humidity(NAN);
        send_last_row();
        return 0;
    case 't': /* a tank */
        for (; n_read < N_READINGS; ++n_read)
            send_tank(readings[n_read][0]);
        return 0;
    default: /* the sensors one at a time */
        for (i = 0; i < N_READINGS; ++i) {
            on_temperature(readings[i][0]);
            send_last_row();
            on_humidity(readings[i][1]);
            send_last_row();
        }
        return 0;
    }
}
"""


class Page:
    """A program with the C of the page that reads READINGS, for the codebook of the page with one rule for NaN."""

    def __init__(self, missing, folder):
        text = (Path(__file__).parents[2] / "docs" / "deploy" / "device.md").read_text(encoding="utf-8")
        namespace = {}
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            exec(block, namespace)
        book = namespace["codebook"]
        self.rates, self.tank = [book, *namespace["coarser"]], namespace["tank"]
        self.book = Codebook.from_thresholds(book.thresholds, missing=missing, feature_names=book.feature_names)
        (folder / "hut.h").write_text(to_c(self.book, "hut"), encoding="ascii")
        (folder / "gateway.h").write_text(to_c(self.book, "gateway", decoder=True), encoding="ascii")
        rows = ", ".join(f"{{{', '.join(map(repr, row))}}}" for row in READINGS.astype(float).tolist())
        main = PAGE_MAIN.replace("READINGS}", rows.replace("nan", "NAN") + "}")
        blocks = re.findall(r"^```c\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        # test_c_faults runs the block that is a whole program.
        blocks = [block for block in blocks if "int main(" not in block]
        source = "#include <math.h>\n#include <stdio.h>\n" + "".join(blocks) + main
        (folder / "page.c").write_text(source, encoding="ascii")
        self.program = folder / "page"
        command = tools.need_c(*driver.STRICT, *driver.SANITIZE)
        driver.compile_c([*command, "page.c", "-o", "page"], folder)

    def run(self, *arguments, status=0):
        done = subprocess.run([self.program, *arguments], capture_output=True, check=False, timeout=60)
        assert done.returncode == status, done.stderr
        return done.stdout

    def codes(self, readings):
        """Encode readings of the first two features."""
        return self.book.encode(np.insert(np.reshape(readings, (-1, 2)), 2, 0, axis=1)).tolist()


@pytest.fixture(scope="module", params=["error", "code"])
def page(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the blocks of the page write files
        return Page(request.param, folder)


@pytest.fixture
def sent(page):
    """Readings that the device must send: rows without a NaN that the codebook refuses."""
    return READINGS if page.book.missing == "code" else READINGS[~np.isnan(READINGS).any(axis=1)]


def test_page_sends_measured_rows_in_a_message(page, sent):
    assert loads(page.run("message"), page.book).tolist() == page.codes(sent)


def test_page_stores_levels_on_the_gateway(page, sent):
    found = [line.split() for line in page.run("gateway").decode().splitlines()]
    levels = page.book.decode(page.codes(sent)).tolist()
    rows = [(row, j, level) for row, of_row in enumerate(levels) for j, level in enumerate(of_row)]
    expected = [value for value in rows if not np.isnan(value[2])]
    assert [(int(row), int(j), float(level)) for row, j, level in found] == expected


def test_page_sends_measured_rows_in_short_frames(page, sent):
    frames = [dumps(page.book, [codes], frame="short", id=7) for codes in page.codes(sent)]
    assert page.run("short") == b"".join(frames)


def test_page_sends_measured_rows_in_pieces(page, sent):
    """The page once sent a row of zeros for a NaN, which decodes to -7.5 degrees and has a valid CRC."""
    for n in range(len(sent) + 1):
        message = page.run("pieces", str(n))
        assert loads(message, page.book).tolist() == page.codes(sent[:n])
        assert message == reference.message(page.book, page.codes(sent[:n]))


def test_page_sends_no_message_in_pieces_if_readings_end(page, sent):
    message = page.run("pieces", str(len(sent) + 1), status=1)
    with pytest.raises(ValueError, match="The message is cut off"):
        loads(message, page.book)


def test_page_sends_last_values_once_all_are_measured(page):
    """A feature that was never put has code 0, and after a NaN the row still holds the previous value."""
    measured, rows = {}, []
    for reading in READINGS:
        for feature, value in enumerate(reading):
            measured[feature] = value
            if len(measured) == 2 and (page.book.missing == "code" or not np.isnan(list(measured.values())).any()):
                rows.append([measured[0], measured[1]])
    packed = [reference.pack_row(row, page.book.n_bits) for row in page.codes(rows)]
    assert page.run("last") == b"".join(packed)


def test_page_sends_missing_codes_before_the_first_measurement(page):
    missing = reference.pack_row((5, 4, 0), page.book.n_bits)
    assert page.run("unmeasured") == (missing if page.book.missing == "code" else b"")


def test_page_sends_categories(page):
    """The valve is missing in the first row, and a row without a level is not sent."""
    valves = [None, "shut", "shut", "shut", "shut", "shut", "open", "open"]
    rows = [[level, valve] for (level, _), valve in zip(READINGS.tolist(), valves, strict=True) if level == level]
    packed = RowCodec(page.tank).pack(page.tank.encode(np.array(rows, dtype=object)))
    assert page.run("tank") == packed.tobytes()
    assert len(packed) == 5


def test_page_sends_each_reading_at_the_rate_of_the_link(page):
    """A reading with NaN is not sent, and one at a rate that does not exist neither."""
    expected = []
    for n_read, reading in enumerate(READINGS, 1):
        if n_read // 2 % 4 < 3 and not np.isnan(reading).any():
            book = page.rates[n_read // 2 % 4]
            expected.append((book, book.encode([[*reading, 0]]).tolist()))
    found = [(book, codes.tolist()) for book, codes in read_messages_of(page.run("rates"), page.rates)]
    assert found == expected
    assert len({book for book, _ in found}) == 3


# -- text and errors -------------------------------------------------------------------------------------------------

BOOK = Codebook.from_thresholds([[0.1, -0.0], [300.0]], feature_names=["a", "b"])


def test_thresholds_are_integers_with_the_exact_value_in_a_comment():
    text = to_c(BOOK, "x")
    assert "    0, /* 0x0p+0 = 0.0 */\n    1036831949, /* 0x1.99999ap-4 = 0.1 */\n" in text
    assert np.int32(1036831949).view(np.float32) == np.float32("0.1")


def test_constants():
    text = to_c(BOOK, "hut2_b")
    for line in [
        "#define HUT2_B_FEATURES 2",
        "#define HUT2_B_ROW_BITS 3",
        "#define HUT2_B_ROW_BYTES 1",
        "#define HUT2_B_FEATURE_b 1",
        f"Codebook {BOOK.fingerprint.hex()} as C",
    ]:
        assert line in text
    assert f"0x{BOOK.fingerprint[0]:02x}, 0x{BOOK.fingerprint[1]:02x}, " in text
    assert "FEATURE_" not in to_c(Codebook.from_thresholds([[1.0]]), "x")


def test_header_is_ascii_and_needs_nothing_heavy():
    for text in headers().values():
        assert text.isascii()
        for heavy in ("malloc", "double", "math.h", "0x1.0p", "??"):
            assert heavy not in text


def test_tables_are_small():
    """A threshold takes 4 bytes for floats, and as many bytes as a count for counts."""
    assert "static const int32_t x_thresholds" in to_c(BOOK, "x")
    assert "static const uint8_t x_thresholds" in to_c(BOOK, "x", scale=1.0, count_type="uint8")
    assert "static const uint8_t x_offsets" in to_c(BOOK, "x")
    assert "static const uint32_t wide_offsets" in headers()["wide"]


def test_threshold_beyond_all_counts_is_left_out():
    text = to_c(BOOK, "x", scale=1.0, count_type="uint8")
    assert "above 0x1.99999ap-4 = 0.1" in text
    assert "300.0" not in text


@pytest.mark.parametrize(
    "name", ["", "1x", "a b", "_x", "x_", "a__b", "x-y", "\N{LATIN SMALL LETTER E WITH ACUTE}", "x\n", 3, None]
)
def test_bad_name(name):
    with pytest.raises(ValueError, match="name must be a C identifier"):
        to_c(BOOK, name)


@pytest.mark.parametrize("name", ["int", "class", "restrict", "co_await"])
def test_keyword(name):
    with pytest.raises(ValueError, match=f"must not be a keyword of C or C\\+\\+, got '{name}'"):
        to_c(BOOK, name)


def test_scalers_of_a_pipeline_are_folded(rng):
    X = rng.normal(size=(50, 2)).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(n_bits=2)).fit(X)
    assert to_c(pipeline, "x") == to_c(to_codebook(pipeline), "x") != to_c(pipeline[-1], "x")


def test_names_of_features_are_not_changed():
    text = to_c(Codebook.from_thresholds([[0.0], [1.0]], feature_names=["name_first", "NAME_x"]), "hut")
    assert text.count('"name_first"') == text.count('"NAME_x"') == 2
    assert "hut_first" not in text


def test_guards_tell_headers_apart():
    """The compiler must not silently skip a different header of the same name."""
    book = Codebook.from_thresholds([[18.5]])
    texts = [
        to_c(book, "x"),
        to_c(book, "x", scale=0.1),
        to_c(book, "x", scale=0.2),
        to_c(Codebook.from_thresholds([[18.5]], missing="code"), "x"),
    ]
    guards = [re.search("#ifndef (.*)", text)[1] for text in texts]
    assert len(set(guards)) == len(guards)
    assert to_c(book, "x") == texts[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": 0}, "describe counts: give a scale too"),
        ({"count_type": "uint8"}, "describe counts: give a scale too"),
        ({"missing_count": 0}, "describe counts: give a scale too"),
        ({"scale": [1, -2]}, r"scale must be positive, got -2.0 for feature 'b'"),
        ({"scale": 0}, r"scale must be positive, got 0.0 for feature 'a'"),
        ({"scale": np.nan}, r"scale must be finite, got nan for feature 'a'"),
        ({"scale": [1, 2, 3]}, r"scale must be a number, or 2 of them, one per feature, got \[1, 2, 3\]"),
        ({"scale": "1"}, r"scale must be a number"),
        ({"scale": 1, "offset": [0, np.inf]}, r"offset must be finite, got inf for feature 'b'"),
        ({"scale": 1, "count_type": "uint64"}, r"count_type must be one of .*'int32'\], got 'uint64'"),
        ({"scale": 1, "missing_count": -1}, r"missing_count must be an integer from 0 to 65535 \(uint16\), got -1"),
        ({"scale": 1, "missing_count": 1.5}, r"missing_count must be an integer .* got 1.5"),
        ({"scale": 1, "missing_count": [1, 70_000]}, r"missing_count must be an integer .* got 70000 for feature 'b'"),
        ({"scale": 1, "missing_count": [1, 2, 3]}, r"missing_count must be an integer, or 2 of them"),
        ({"scale": 1, "missing_count": {0: 1}}, "missing_count leaves out 1"),
        ({"scale": np.ma.array([1, 2], mask=[False, True])}, "scale is masked at position 1"),
        ({"scale": 1, "missing_count": np.ma.array([1, 2], mask=[True, False])}, "missing_count is masked"),
    ],
)
def test_bad_counts(options, message):
    with pytest.raises(ValueError, match=message):
        to_c(BOOK, "x", **options)


def test_missing_counts_from_a_series_of_pandas():
    """pandas turns None into NaN, and the integers beside it into floats."""
    book = Codebook.from_thresholds({"a": [1.0], "b": [2.0], "c": [3.0]})
    expected = to_c(book, "x", scale=1, missing_count=[7, None, 3])
    for counts in (
        pd.Series([7, None, 3]),
        pd.Series({"c": 3, "a": 7, "b": None}),
        pd.Series([7, None, 3], dtype="Int64"),
    ):
        assert to_c(book, "x", scale=1, missing_count=counts) == expected
