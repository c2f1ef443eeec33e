"""What earlier versions wrote is read to the same bits, because saved files and devices stay in use.

The fits at the end guard moves of code only, see `tests.golden.fits`.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from skbsq import Codebook
from skbsq.codec import RowCodec, loads
from skbsq.export import to_c, to_onnx
from skbsq.persistence import load
from tests.export import driver
from tests.export.tools import need_c
from tests.golden import fits, make

FOLDER = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.name[0].isdigit())
CODEBOOKS = [path for version in VERSIONS for path in sorted((FOLDER / version / "codebooks").glob("*.json"))]
MIXED = [path for version in VERSIONS for path in sorted((FOLDER / version / "mixed").glob("*.json"))]
ESTIMATORS = [path for version in VERSIONS for path in sorted((FOLDER / version / "estimators").glob("*.safetensors"))]
# Outputs of a graph, and the method that gives the same.
OUTPUTS = {"codes": "codes", "label": "predict", "probabilities": "predict_proba", "prediction": "predict"}
GRAPHS = [path for version in VERSIONS for path in sorted((FOLDER / version / "onnx").glob("*.onnx"))]


def named(path):
    return f"{path.parent.parent.name}-{path.stem}"


def accepted(codebook, x):
    """Rows that every version encodes: the first gave code 0 to NaN that is refused today."""
    return ~(np.isnan(x) & codebook.refuses_nan).any(axis=1)


each_codebook = pytest.mark.parametrize("path", CODEBOOKS, ids=named)


@each_codebook
def test_a_codebook_gives_the_same_bits(path):
    codebook, then = Codebook.from_json(path.read_text(encoding="utf-8")), np.load(path.with_suffix(".npz"))
    codes = then["codes"].copy()
    codes[accepted(codebook, then["x"])] = codebook.encode(then["x"][accepted(codebook, then["x"])])
    found = make.encoded(codebook, codes)
    for name, value in found.items():
        assert value.dtype == then[name].dtype
        np.testing.assert_array_equal(value, then[name], err_msg=name)
    assert codebook.to_json() == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MIXED, ids=named)
def test_a_codebook_with_categories_gives_the_same_bits(path):
    codebook, then = Codebook.from_json(path.read_text(encoding="utf-8")), np.load(path.with_suffix(".npz"))
    found = make.encoded(codebook, codebook.encode(make.from_text(then["x"])))
    assert set(found) == set(then.files) - {"x"}
    for name, value in found.items():
        assert value.dtype == then[name].dtype
        np.testing.assert_array_equal(value, then[name], err_msg=name)
    assert codebook.to_json() == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*CODEBOOKS, *MIXED], ids=named)
def test_rows_and_messages_are_read(path):
    codebook, then = Codebook.from_json(path.read_text(encoding="utf-8")), np.load(path.with_suffix(".npz"))
    np.testing.assert_array_equal(RowCodec(codebook).unpack(then["rows"]), then["codes"])
    np.testing.assert_array_equal(loads(then["message"].tobytes(), codebook), then["codes"])


@each_codebook
def test_the_c_of_then_and_of_today_write_the_same_rows(path, tmp_path):
    command = need_c(*driver.FLAVOURS["c99"])
    codebook, then = Codebook.from_json(path.read_text(encoding="utf-8")), np.load(path.with_suffix(".npz"))
    texts = {"then": path.with_suffix(".h").read_text(encoding="ascii"), "today": to_c(codebook, "golden")}
    for name, text in texts.items():
        folder = tmp_path / name
        folder.mkdir()
        program = driver.build(folder, {"golden": text}, {"golden": "float"}, command)
        encoded, put = driver.rows(program, "golden", then["x"], RowCodec(codebook).row_bytes)
        for out in (encoded, put):
            rows = accepted(codebook, then["x"])
            np.testing.assert_array_equal(out["row"][rows], then["rows"][rows])
            if name == "today":
                np.testing.assert_array_equal(out["refused"] == 0, rows)


@pytest.mark.parametrize("path", ESTIMATORS, ids=named)
def test_a_saved_estimator_gives_the_same(path):
    estimator, then = load(path), np.load(path.with_suffix(".npz"))
    found = make.results(estimator, then["X"])
    assert set(found) == set(then.files) - {"X"}
    for name, value in found.items():
        if name == "codes" or value.dtype.kind in "iuU":
            np.testing.assert_array_equal(value, then[name], err_msg=name)
        else:  # sums of products may round otherwise on another machine
            np.testing.assert_allclose(value, then[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("path", GRAPHS, ids=named)
def test_a_graph_of_then_and_of_today_give_the_same(path):
    saved = path.parent.parent / "estimators" / f"{path.stem}.safetensors"
    then = np.load(saved.with_suffix(".npz"))
    graphs = path.read_bytes(), to_onnx(load(saved)).SerializeToString()
    for graph in graphs:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(None, {session.get_inputs()[0].name: then["X"]}), strict=True))
        compared = 0
        for name, method in OUTPUTS.items():
            if name in found and method in then.files:
                out = found[name].reshape(then[method].shape)
                if out.dtype.kind == "f":
                    np.testing.assert_allclose(out, then[method], rtol=1e-4, atol=1e-5, err_msg=name)
                else:
                    np.testing.assert_array_equal(out, then[method], err_msg=name)
                compared += 1
        assert compared


@pytest.mark.filterwarnings("ignore::skbsq.exceptions.MissingCodeWarning")
@pytest.mark.parametrize("name", [*fits.FITS, "chunks"])
def test_a_small_fit_is_that_of_before(name):
    found, then = fits.chunks() if name == "chunks" else fits.fit(name), np.load(fits.PATH)
    for what, value in found.items():
        # The sums of another machine round otherwise, and training carries that on.
        np.testing.assert_allclose(value, then[f"{name}.{what}"], rtol=1e-3, atol=1e-3, err_msg=what)
