"""The decoders in JavaScript read what Python writes, in node and in the words of ECMAScript 5."""

import json
import re
import subprocess
from functools import cache

import numpy as np
import pytest
from sklearn.datasets import make_friedman1
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseRegressor, Codebook, QuantileQuantizer
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_codebook, to_js
from tests import vectors
from tests.export import tools

BOOKS = vectors.books()
BOOK = BOOKS["hut"]
CODES = [[2, 1, 0, 1, 2], [8, 4, 0, 0, 0]]
FRAMES = {"bare": {}, "short": {"id": 7, "seq": True, "crc": 8}, "message": {}}

# Runs each script in an empty world: no require, no console, and strict, so that no variable becomes global by mistake.
HARNESS = """\
var vm = require("vm"), jobs = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(jobs.map(function (job) {
  var world = vm.createContext(Object.create(null));
  vm.runInContext('"use strict";' + job.script, world, {timeout: 5000});
  return job.inputs.map(function (input) {
    world.input = input;
    return vm.runInContext("decodeUplink(input)", world, {timeout: 5000});
  });
})));
"""
PARSER = """\
var scripts = JSON.parse(require("fs").readFileSync(0, "utf8")), acorn;
try {
  acorn = require("internal/deps/acorn/acorn/dist/acorn");
} catch (error) {
  process.exit(3);
}
scripts.forEach(function (script) { acorn.parse(script, {ecmaVersion: 5}); });
try { acorn.parse("let a = 1;", {ecmaVersion: 5}); } catch (error) { process.exit(0); }
process.exit(4);
"""
# Strings and comments, and what came after ECMAScript 5, or exists only outside of it.
NO_CODE = re.compile(r'"(?:[^"\\\n]|\\.)*"|/\*.*?\*/', re.DOTALL)
LATER = re.compile(
    r"=>|`|\.\.\.|\*\*|\?\.|\?\?|'|//|\b(let|const|class|of|import|export|yield|async|await|super|extends|require|module|"
    r"Map|Set|Symbol|Promise|Proxy|BigInt|Buffer|process|console|\w+Array|fround|trunc|sign|clz32|imul|isInteger|"
    r"isNaN|from|assign|entries|values(?=\()|includes|find|fill|repeat|padStart|startsWith|endsWith|codePointAt)\b"
)


def node(program, text, *flags):
    tools.need_program("node")
    command = ["node", *flags, "-e", program]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


def decode_all(jobs):
    """Return what decodeUplink returns for the inputs of each script."""
    listed = [{"script": script, "inputs": inputs} for script, inputs in jobs]
    done = node(HARNESS, json.dumps(listed))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def decode(script, *payloads):
    (found,) = decode_all([(script, [input_of(data) for data in payloads])])
    return found


def input_of(data):
    return {"bytes": [*data], "fPort": 1, "recvTime": "2026-01-01T00:00:00Z", "variables": {}}


def values_of(book, codes):
    """Return the values of a row, as a list of pairs of name and value."""
    levels = book.decode(np.array([codes], dtype=book.dtype))[0].tolist()
    names = book.feature_names or [f"x{j}" for j in range(book.n_features)]
    return {name: None if np.isnan(level) else level for name, level in zip(names, levels, strict=True)}


def expected(book, codes, **more):
    rows = [{"codes": row, "values": values_of(book, row)} for row in codes]
    return {"data": rows[-1] | ({"rows": rows} if len(rows) > 1 else {}) | more, "errors": []}


def scripts():
    """Return a script of every kind."""
    layouts = [{"seq": seq, "crc": crc, "id": id} for seq in (False, True) for crc in (None, 8, 16) for id in (None, 7)]
    some = [to_js(BOOKS[name], frame=frame) for name in ("hut", "names", "crossing") for frame in FRAMES]
    return some + [to_js(BOOK, frame="short", **layout) for layout in layouts] + [to_js(rates(), frame="message")]


@cache
def rates():
    """Return a model with rates."""
    X, y = make_friedman1(60, n_features=5, random_state=0)
    return BitwiseRegressor(3, rates=(1, 2), max_epochs=1, hidden_sizes=(4,), random_state=0).fit(X, y)


# -- what it reads -----------------------------------------------------------------------------------


def test_a_row_by_hand():
    """The row of docs/reference/bytes.md: codes 2 and 5."""
    book = Codebook.from_thresholds([[0, 1, 2], [0, 1, 2, 3, 4, 5]], levels=[[-1, 0.1, 1.5, 3], range(7)])
    (found,) = decode(to_js(book), [22])
    assert found == {"data": {"codes": [2, 5], "values": {"x0": 1.5, "x1": 5}}, "errors": []}
    (found,) = decode(to_js(book), [21])
    assert found["data"]["values"]["x0"] == float(np.float32(0.1))


def test_categories():
    valve = {"zu": 0, "offen": 1, '"halb" \u00f6': 1, None: 2}
    book = Codebook.from_thresholds({"valve": valve, "t": [5.0], "on": {False: 0, True: 1}, "n": {7: 0, 9: 1}})
    codes = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [2, 0, 0, 0]], dtype=np.uint8)
    (found,) = decode(to_js(book), RowCodec(book).pack(codes).tobytes())
    assert [list(row["values"].values()) for row in found["data"]["rows"]] == book.decode(codes).tolist()
    assert found["data"]["rows"][2]["values"] == {"valve": None, "t": 2.5, "on": False, "n": 7}


def test_rows_of_the_vectors():
    jobs, wanted = [], []
    for case in vectors.load("rows")["good"]:
        book = BOOKS[case["codebook"]]
        step, data = RowCodec(book).row_bytes, bytes.fromhex(case["padded"])
        rows = [data[at : at + step] for at in range(0, len(data), step)]
        jobs.append((to_js(book), [input_of(payload) for payload in (data, *rows)]))
        wanted.append([expected(book, case["codes"]), *(expected(book, [row]) for row in case["codes"])])
    assert decode_all(jobs) == wanted


def test_levels_of_the_vectors():
    """All levels of a feature, missing ones as null, equal the float32 bits."""
    jobs, wanted = [], []
    for case in vectors.load("levels")["good"]:
        book, levels = BOOKS[case["codebook"]], case["levels"]
        n = max(map(len, levels))
        codes = [[min(k, len(of_feature) - 1) for of_feature in levels] for k in range(n)]
        jobs.append((to_js(book), [input_of(dumps(book, [row], frame="bare")) for row in codes]))
        wanted.append([[of_feature[k] for of_feature, k in zip(levels, row, strict=True)] for row in codes])
    for case, found, of_book in zip(vectors.load("levels")["good"], decode_all(jobs), wanted, strict=True):
        names = BOOKS[case["codebook"]].feature_names or [f"x{j}" for j in range(len(case["levels"]))]
        for row, bits in zip(found, of_book, strict=True):
            values = [row["data"]["values"][name] for name in names]
            assert [None if v is None else int(np.float32(v).view(np.uint32)) for v in values] == bits
            assert [v for v in values if v is not None] == [float(np.float32(v)) for v in values if v is not None]


def test_messages_of_the_vectors():
    jobs, wanted = [], []
    for case in vectors.load("messages")["good"]:
        book = BOOKS[case["codebook"]]
        jobs.append((to_js(book, frame="message"), [input_of(bytes.fromhex(case["hex"]))]))
        wanted.append((case["flags"], case["codes"], book))
    for (found,), (flags, codes, book) in zip(decode_all(jobs), wanted, strict=True):
        if flags == 4 or not codes:
            assert list(found) == ["errors"]
            assert ("no entropy-coded or deflated" if flags == 4 else "has no rows") in found["errors"][0]
        else:
            assert found == expected(book, codes, fingerprint=book.fingerprint.hex())


def test_short_frames_of_the_vectors():
    jobs, wanted = [], []
    for case in vectors.load("short")["good"]:
        book, seq, layout = BOOKS[case["codebook"]], case["seq"], {"id": case["id"], "crc": case["crc"]}
        jobs.append((to_js(book, frame="short", seq=seq is not None, **layout), [input_of(bytes.fromhex(case["hex"]))]))
        more = {"id": case["id"]} | ({} if seq is None else {"seq": seq})
        wanted.append([expected(book, case["codes"], **more)])
    assert decode_all(jobs) == wanted


def test_packets_on_change_of_the_vectors():
    for case in vectors.load("change")["good"]:
        book = BOOKS[case["codebook"]]
        script = to_js(book, frame="short", id=case["id"], seq=True, crc=case["crc"])
        sent = [(row, packet) for row, packet in zip(case["codes"], case["packets"], strict=True) if packet]
        found = decode(script, *(bytes.fromhex(packet) for _, packet in sent))
        assert [(row["data"]["codes"], row["data"]["seq"]) for row in found] == [
            (row, i) for i, (row, _) in enumerate(sent)
        ]


def test_several_rows():
    """Codes and values are those of the last one."""
    (found,) = decode(to_js(BOOK), dumps(BOOK, CODES, frame="bare"))
    assert found["data"]["codes"] == CODES[1]
    assert found["data"]["values"]["temperature"] is None
    assert [row["codes"] for row in found["data"]["rows"]] == CODES


def test_messages_of_every_rate():
    """The fingerprint tells the rate. Bare rows are those of the finest."""
    model = rates()
    codes = {rate: [[1] * 5] for rate in model.codebooks_}
    found = decode(
        to_js(model, frame="message"), *(dumps(book, codes[rate]) for rate, book in model.codebooks_.items())
    )
    for result, book in zip(found, model.codebooks_.values(), strict=True):
        assert result == expected(book, [[1] * 5], fingerprint=book.fingerprint.hex())
    assert to_js(model) == to_js(model.codebook_)
    assert to_js(model.at(1)) == to_js(model.codebooks_[1])


def test_of_a_pipeline(rng):
    X = rng.normal(5, 3, (200, 3))
    pipeline = make_pipeline(StandardScaler(), QuantileQuantizer(2)).fit(X)
    assert to_js(pipeline) == to_js(to_codebook(pipeline))


def test_any_id():
    frames = [dumps(BOOK, CODES[:1], frame="short", id=id) for id in (0, 255)]
    assert [row["data"]["id"] for row in decode(to_js(BOOK, frame="short"), *frames)] == [0, 255]


# -- what it refuses ---------------------------------------------------------------------------------

REASONS = {
    "cut off": "cut off",
    "trailing bytes": "follow the message",
    "magic": "Not a message",
    "version": "format version",
    "flags": "has the flags",
    "codebook": "written with another codebook",
    "check sum": "check sum of this message is wrong",
    "padding": "not end with zero bits",
    "code": r"Code \d+ of feature .* is out of range",
    "id": "has the id 8, expected 7",
    "length": "cut off",
    "crc": "CRC of this frame is wrong",
}


@pytest.mark.parametrize(("kind", "frame"), [("rows", "bare"), ("messages", "message"), ("short", "short")])
def test_bad_vectors(kind, frame):
    cases = vectors.load(kind)["bad"]
    layouts = [{name: case[name] for name in ("id", "seq", "crc") if name in case} for case in cases]
    jobs = [
        (to_js(BOOKS[case["codebook"]], frame=frame, **layout), [input_of(bytes.fromhex(case["hex"]))])
        for case, layout in zip(cases, layouts, strict=True)
    ]
    for case, (found,) in zip(cases, decode_all(jobs), strict=True):
        assert list(found) == ["errors"], case
        assert re.search(REASONS[case["reason"]], *found["errors"]), (case, found)


@pytest.mark.parametrize("frame", ["message", "short"])
def test_every_flipped_bit_is_refused(frame):
    layout = {} if frame == "message" else {"id": 7}
    data = dumps(BOOK, CODES, frame=frame, **layout)
    damaged = []
    for bit in range(8 * len(data)):
        damaged.append(bytearray(data))
        damaged[-1][bit // 8] ^= 1 << bit % 8
    found = decode(to_js(BOOK, frame=frame, **layout), *damaged)
    assert all(list(result) == ["errors"] for result in found)


@pytest.mark.parametrize("frame", FRAMES)
def test_no_bytes(frame):
    script = to_js(BOOK, frame=frame, **FRAMES[frame])
    ((*found, empty),) = decode_all([(script, [None, {}, {"bytes": None}, {"bytes": []}])])
    assert found == [{"errors": ["There is nothing to decode: input.bytes is missing."]}] * 3
    assert re.search("cut off", *empty["errors"])


def test_of_a_codebook_that_is_too_large():
    levels = Codebook.from_thresholds([np.arange(3000) / 7])
    with pytest.raises(ValueError, match=r"has \d{5} bytes, but servers accept at most 40960: its 3001 levels take"):
        to_js(levels)
    fits = to_js(Codebook.from_thresholds([np.arange(15) / 7] * 100))
    assert 20_000 < len(fits) <= 40_960


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"frame": "long"}, "frame must be one of"),
        ({"id": 7}, 'id=7 belongs to frame="short"'),
        ({"frame": "message", "crc": 8}, 'crc=8 belongs to frame="short"'),
        ({"frame": "short", "id": 256}, "id must be an integer from 0 to 255"),
        ({"frame": "short", "crc": 7}, "crc must be None, 8 or 16"),
        ({"frame": "short", "seq": 3}, "seq must be True or False"),
        ({"dtype": "float16"}, "dtype must be one of"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        to_js(BOOK, **options)


@pytest.mark.parametrize("frame", FRAMES)
def test_nothing_to_decode(frame):
    with pytest.raises(ValueError, match="at least 1 bit per row"):
        to_js(Codebook.from_thresholds([[], []]), frame=frame)


# -- the language ------------------------------------------------------------------------------------


def test_no_words_of_later_versions():
    for script in scripts():
        assert script.isascii()
        code = NO_CODE.sub('""', script)
        assert LATER.search(code) is None
        assert "function decodeUplink(input) {" in code


@pytest.mark.parametrize("later", ["let a", "x => x", "`a`", "new Uint8Array(3)", "require('a')", "[...a]", "a ** 2"])
def test_words_of_later_versions_are_found(later):
    assert LATER.search(NO_CODE.sub('""', later))


def test_a_parser_of_the_version_accepts_it():
    """Node has a parser that knows the versions."""
    done = node(PARSER, json.dumps(scripts()), "--expose-internals")
    if done.returncode == 3:
        pytest.skip("this node has no parser; the words are tested all the same")
    assert done.returncode == 0, done.stderr


# -- the page ----------------------------------------------------------------------------------------


def test_the_page_shows_what_the_script_returns():
    page = (vectors.FOLDER.parent / "deploy" / "languages.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (behind,) = re.findall(r"^```js\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    book = Codebook.from_thresholds({"temperature": [18.0, 20.0, 22.0], "humidity": [40.0, 60.0]}, missing="code")
    script = to_js(book)
    assert decode(script, [0x1A]) == [json.loads(shown)]
    inputs = [{"bytes": [0x1A], "fPort": port} for port in (8, 9)]
    assert decode_all([(script + behind, inputs)]) == [[json.loads(shown), {"errors": ["No rows on port 9."]}]]
