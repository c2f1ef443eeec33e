"""The compiled C predicts exactly what the integers of NumPy predict."""

import re
import subprocess
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from skbsq import Codebook
from skbsq.codec import ChangeReceiver, RowCodec
from skbsq.export import to_c, to_integers
from tests.export import driver, tools
from tests.export.test_integers import BOOK, HEADS, fitted, mlp, random_codes

FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in product(tools.C_COMPILERS, ("sanitized", "c++11"))
]
KEYFRAME = 9
# Reads packed rows. Writes the result and outputs, the class, and whether the row must be sent for each tolerance.
PREDICT = f"""
#define NAME_TRIED 3
static int changed_of_name(name_prediction *state, const uint8_t *row, int32_t tolerance)
{{
#ifdef NAME_CLASSES
    (void)tolerance;
    return name_predict_changed(state, row, {KEYFRAME});
#elif NAME_OUTPUTS == 1
    return name_predict_changed(state, row, tolerance, {KEYFRAME});
#else
    int32_t tolerances[NAME_OUTPUTS] = {{0}};
    tolerances[0] = tolerances[NAME_OUTPUTS - 1] = tolerance;
    return name_predict_changed(state, row, tolerances, {KEYFRAME});
#endif
}}

static void predict_of_name(uint32_t n)
{{
    static const int32_t tolerances[NAME_TRIED] = {{0, 1 << 22, 0x7FFFFFFF}};
    static name_prediction states[NAME_TRIED];
    uint8_t *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1);
    int32_t *outputs = (int32_t *)malloc(NAME_OUTPUTS * sizeof *outputs);
    for (; n > 0; --n) {{
        uint32_t number = 0, i;
        int32_t result;
        get(row, NAME_ROW_BYTES);
        for (i = 0; i < NAME_OUTPUTS; ++i)
            outputs[i] = 0;
        result = name_predict(row, outputs);
        put(&result, 4);
        put(outputs, NAME_OUTPUTS * sizeof *outputs);
#ifdef NAME_CLASSES
        number = name_class(outputs);
        if (number >= NAME_CLASSES)
            exit(5);
#endif
        put(&number, 4);
        for (i = 0; i < NAME_TRIED; ++i) {{
            result = changed_of_name(&states[i], row, tolerances[i]);
            put(&result, 4);
        }}
    }}
    free(row);
    free(outputs);
}}
"""
MORE = {"predict": PREDICT}
TOLERANCES = (0, 2**22, 2**31 - 1)


def models():
    """Return models by name."""
    rng = np.random.default_rng(0)
    wide = Codebook.from_thresholds([np.sort(rng.standard_normal(300)), [0.5], []], missing="code")
    nothing = Codebook.from_thresholds([[], []])
    many = Codebook.from_thresholds(list(np.sort(rng.standard_normal((81, 15)))))
    logits = {"criterion": nn.CrossEntropyLoss}
    cases = {name: fitted(BOOK, head, scale=3.0, mean=20.0) for name, head in HEADS.items()}
    cases |= {
        "wide": fitted(wide, mlp(12), scale=1e-3),
        "nothing": fitted(nothing, mlp(4)),
        "many": fitted(many, mlp(16, 16), scale=[1.0, 100.0, 1e5], mean=[0.0, 3.0, 0.0]),
        "range": fitted(BOOK, mlp(8), target_range_=np.float32([[-0.2], [0.3]])),
        "huge": fitted(many, mlp(8), scale=1e30),
        "two_classes": fitted(BOOK, mlp(16), classes=[False, True], **logits),
        "classes": fitted(BOOK, mlp(16, 8), classes=["*/", "name_predict NAME_X", "\N{DEGREE SIGN}??/", "b"], **logits),
    }
    return cases


MODELS = models()
TYPES = dict.fromkeys(MODELS, "float")


@cache
def headers():
    return {name: to_c(model, name, part="predictor", max_bytes=2**15) for name, model in MODELS.items()}


def rows_for(book):
    """Return codes with every code of every feature, and many repeated rows."""
    every = np.arange(max(4 * book.n_levels.max(), 200))[:, None] * (1 + 2 * np.arange(book.n_features)) % book.n_levels
    return np.concatenate([np.repeat(every, 2, axis=0).astype(book.dtype), random_codes(book)])


def check_predictions(program, emulator=()):
    for name, model in MODELS.items():
        predictor, codes = to_integers(model), rows_for(model.codebook_)
        outputs = predictor.outputs(codes)
        dtype = [("result", "<i4"), ("outputs", "<i4", outputs.shape[1:]), ("number", "<u4"), ("sent", "<i4", 3)]
        rows = RowCodec(model.codebook_).pack(codes)
        found = np.frombuffer(driver.run(program, name, "predict", rows, emulator), dtype=dtype)
        assert (found["result"] == 0).all(), name
        assert (found["outputs"] == outputs).all(), name
        if predictor.classes_ is not None:
            assert (predictor.classes_[found["number"]] == predictor.predict_codes(codes)).all(), name
        for k, tolerance in enumerate(TOLERANCES):
            given = [tolerance, *[0] * (outputs.shape[1] - 2), tolerance][: outputs.shape[1]]
            sent = predictor.changes(codes, tolerance=np.array(given), keyframe=KEYFRAME)
            assert (found["sent"][:, k] == sent).all(), (name, tolerance)


@pytest.mark.parametrize("command", FLAVOURS)
def test_predictions_are_those_of_the_integers(command, tmp_path):
    tools.need(*command)
    check_predictions(driver.build(tmp_path, headers(), TYPES, command, MORE))


def test_the_cases_change_and_hold():
    """Otherwise a function that always sends would pass."""
    for name, model in MODELS.items():
        codes = rows_for(model.codebook_)
        shares = [to_integers(model).changes(codes, tolerance=t, keyframe=KEYFRAME).mean() for t in TOLERANCES]
        assert 1 / KEYFRAME <= shares[-1] <= shares[0] <= 1
        assert shares[0] > 0.12 or name == "nothing"
        assert shares[-1] < 0.12 or model.net_.criterion is nn.CrossEntropyLoss or name == "many"


def test_codes_that_do_not_exist_are_reported(tmp_path):
    """A damaged row must not read beyond the table."""
    command = tools.need_c(*driver.STRICT, *driver.SANITIZE)
    book = Codebook.from_thresholds([[0], [1, 2], [], [3, 4, 5, 6]])
    program = driver.build(
        tmp_path, {"hut": to_c(fitted(book, mlp(4)), "hut", part="predictor")}, {"hut": "float"}, command, MORE
    )
    dtype = [("result", "<i4"), ("outputs", "<i4"), ("number", "<u4"), ("sent", "<i4", 3)]
    every = np.arange(2**6, dtype=np.uint8)[:, None]
    found = np.frombuffer(driver.run(program, "hut", "predict", every), dtype=dtype)
    wrong = np.where(every >> 1 & 3 > 2, 2, np.where(every >> 3 > 4, 4, 0)).ravel()
    assert found["result"].tolist() == wrong.tolist()
    assert ((found["sent"] == -1).all(axis=1) == (wrong > 0)).all()
    assert set(wrong.tolist()) == {0, 2, 4}


def test_counts_and_rates_have_the_same_predictor():
    model = MODELS["one"]
    (text,) = re.findall(r"static const int8_t one_table.*^}$", headers()["one"], re.DOTALL | re.MULTILINE)
    assert text in to_c(model, "one", part="predictor", scale=0.1)
    assert text in to_c(model, "one", part="predictor", coarser=[BOOK.coarsened(1)])


def test_the_encoder_is_the_default():
    model = MODELS["one"]
    assert to_c(model, "one") == to_c(model.codebook_, "one")
    assert to_c(model, "one", part="encoder") == to_c(model, "one")
    shared = to_c(model, "one").partition("#define ONE_FEATURES")[2].rpartition("#endif")[0]
    assert len(shared) > 5000
    assert shared.strip() in headers()["one"]


def test_large_heads_are_refused_with_their_size():
    model = fitted(BOOK, mlp(128, 128))
    assert to_integers(model).n_bytes > 2**14
    message = (
        r"The head takes 18824 bytes on the chip, more than max_bytes=16384: it has 128 and 128 units, and 11 codes to "
        r"look up\. Fit a small head, such as hidden_sizes=\(16,\), which takes 248 bytes"
    )
    with pytest.raises(ValueError, match=message):
        to_c(model, "hut", part="predictor")
    assert to_integers(fitted(BOOK, mlp(16))).n_bytes == 248
    assert "hut_predict" in to_c(model, "hut", part="predictor", max_bytes=20_000)
    with pytest.raises(ValueError, match=r"such as hidden_sizes=\(8,\), which takes 128 bytes"):
        to_c(model, "hut", part="predictor", max_bytes=247)
    assert to_integers(fitted(BOOK, mlp(8))).n_bytes == 128
    with pytest.raises(ValueError, match=r"Fit with fewer bits or with bit_budget, and with .*\(16,\)"):
        to_c(model, "hut", part="predictor", max_bytes=127)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match=r"part must be one of \['encoder', 'predictor'\], got 'head'"):
        to_c(MODELS["one"], "hut", part="head")
    with pytest.raises(ValueError, match=r"weights must be one of \['int8'\], got 'int4'"):
        to_c(MODELS["one"], "hut", part="predictor", weights="int4")
    with pytest.raises(ValueError, match="Only a predictor has a head, got Codebook"):
        to_c(BOOK, "hut", part="predictor")


# -- the page --------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "deploy" / "predictor.md"
PAGE_MAIN = """
#include <stdio.h>

static int is_more = 1;

int read_sensors(float *x)
{
    is_more = fread(x, sizeof *x, POND_FEATURES, stdin) == POND_FEATURES;
    return is_more;
}

void open_valve(float litres) { fwrite(&litres, sizeof litres, 1, stdout); }

void radio_send(const uint8_t *data, size_t size) { fwrite(data, 1, size, stdout); }

int main(int argc, char **argv)
{
    (void)argv;
    while (is_more) {
        if (argc > 1)
            water();
        else
            sample();
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return what the Python of the page defines, and a function that runs its C on readings."""
    command = tools.need_c(*driver.STRICT, *driver.SANITIZE)
    folder, text, names = tmp_path_factory.mktemp("page"), PAGE.read_text(encoding="utf-8"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the page writes a header
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            exec(block, names)
    blocks = re.findall(r"^```c\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (folder / "page.c").write_text("".join(blocks) + PAGE_MAIN, encoding="ascii")
    driver.compile_c([*command, "page.c", "-o", "page"], folder)

    def run(X, *arguments):
        program = [folder / "page", *arguments]
        return subprocess.run(program, input=X.tobytes(), capture_output=True, check=True, timeout=60).stdout

    return names, run


def test_page_predicts_what_python_predicts(page):
    names, run = page
    X, integers = names["X"], names["integers"]
    with_nan = np.insert(X, [1, 7], np.float32(np.nan), axis=0)
    found = np.frombuffer(run(with_nan, "water"), dtype="<f4")
    assert (found == integers.predict(X).astype(np.float32)).all()
    assert np.std(found) > 1


def test_page_sends_when_the_prediction_changes(page):
    names, run = page
    integers, codes = names["integers"], names["codes"]
    packets = run(names["X"][5000:])
    sizes = len(packets) // names["is_sent"].sum()
    assert len(packets) == sizes * names["is_sent"].sum()
    assert 0.02 < names["is_sent"].mean() < 0.98
    receiver, sent = ChangeReceiver(integers.codebook_, keyframe=60, id=7), 0
    found = integers.predict_codes(codes)
    for i, is_sent in enumerate(names["is_sent"]):
        rows = receiver.receive(packets[sizes * sent : sizes * (sent + 1)] if is_sent else None)
        sent += is_sent
        assert rows.lost == 0
        assert abs(integers.predict_codes(rows.codes)[-1] - found[i]) <= 0.5
