"""Properties of an installation: light imports, public names, types, the lowest supported versions."""

import ast
import importlib
import os
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from importlib.metadata import distribution
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import skbsq

ROOT = Path(__file__).parent.parent

GATEWAY_USES = {
    "imports": "import skbsq, skbsq.codebook.codebook, skbsq.budget, skbsq.codec, skbsq.exceptions, skbsq.monitoring, "
    "skbsq.receiver",
    "codebook": "from skbsq import Codebook; book = Codebook.from_thresholds([[0.5]], missing='code'); "
    "assert Codebook.from_json(book.to_json()) == book; book.thermometer(book.encode([[float('nan')]]))",
    "codec": "from skbsq import Codebook, codec; book = Codebook.from_thresholds([[0.5]]); "
    "codes = book.encode([[1.0]]); assert codec.loads(codec.dumps(book, codes), book) == 1; "
    "assert codec.RowCodec(book).pack(codes) == 1",
    "monitoring": "from skbsq import Codebook; from skbsq.monitoring import CodeMonitor; "
    "monitor = CodeMonitor(Codebook.from_thresholds([[0.5]], counts=[[50, 50]])).update([[1]] * 50); "
    "monitor = CodeMonitor.from_json(monitor.to_json()); assert monitor.report(as_dict=True)['p_value'][0] < 1e-6",
    "receiver": "from skbsq import Codebook, Receiver, codec; book = Codebook.from_thresholds([[0.5]]); "
    "old = Codebook.from_thresholds([[0.4]]); "
    "receiver = Receiver().add(lambda codes: codes[:, 0], codebook=book, id=1, accepts=[old], same_units=True); "
    "assert receiver.predict(codec.dumps(book, [[1]])) == receiver.predict(codec.dumps(old, [[1]])) == 1; "
    "assert receiver.predict(codec.dumps(book, [[1]], frame='short', id=1), frame='short') == 1",
    "export": "from skbsq import Codebook, export; book = Codebook.from_thresholds([[0.5]]); "
    "assert export.to_codebook(book) is book; export.to_c(book, 'x')",
    "outofcore": "import numpy as np; from skbsq import Codebook; from skbsq.outofcore import transform; "
    "np.save('rows.npy', np.ones((2, 1))); book = Codebook.from_thresholds([[0.5]]); "
    "assert transform(book, 'rows.npy', 'codes.npy', batch_size=1).tolist() == [[1], [1]]",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """Python of an environment that holds only NumPy and `pip install --no-deps skbsq`, made without a network."""
    base = tmp_path_factory.mktemp("gateway")
    venv.EnvBuilder(symlinks=os.name != "nt").create(base)
    paths = sysconfig.get_paths("venv", vars={"base": str(base), "platbase": str(base), "installed_base": str(base)})
    site = Path(paths["purelib"])
    for part in Path(str(distribution("numpy").locate_file(""))).iterdir():
        if part.name in ("numpy", "numpy.libs"):
            (site / part.name).symlink_to(part, target_is_directory=True)
    shutil.copytree(ROOT / "skbsq", site / "skbsq", ignore=shutil.ignore_patterns("__pycache__"))
    return Path(paths["scripts"]) / "python"


@pytest.mark.parametrize("use", GATEWAY_USES)
def test_a_gateway_needs_numpy_alone(gateway, use, tmp_path):
    subprocess.run([gateway, "-I", "-W", "error", "-c", GATEWAY_USES[use]], check=True, cwd=tmp_path, timeout=60)


def test_the_gateway_has_nothing_else(gateway, tmp_path):
    code = "from importlib.util import find_spec; print([name for name in %r if find_spec(name)])"
    names = ["numpy", "skbsq", "pip", *{requirement.name for requirement in requirements("plot")}, "sklearn"]
    found = subprocess.run(
        [gateway, "-I", "-c", code % names], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    assert set(ast.literal_eval(found.stdout)) == {"numpy", "skbsq"}


@pytest.mark.parametrize("module", ["skbsq", *(f"skbsq.{name}" for name in skbsq._SUBMODULES)])
def test_all_names_import(module):
    module = importlib.import_module(module)
    assert module.__all__
    for name in module.__all__:
        assert hasattr(module, name), name


def test_public_names_are_listed():
    assert set(skbsq.__all__) <= set(dir(skbsq))


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'skbsq' has no attribute 'Quantiser'"):
        _ = skbsq.Quantiser


def test_types_are_shipped():
    assert (files("skbsq") / "py.typed").is_file()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(*extras):
    """Return the requirements of the project and of some extras, without the project itself."""
    lines = [project()["dependencies"]] + [project()["optional-dependencies"][extra] for extra in extras]
    return [r for r in map(Requirement, chain.from_iterable(lines)) if r.name != "skbsq"]


def pins(name):
    """Return the version of each package in a constraints file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = {}
    for requirement in (Requirement(line) for line in lines if line and not line.startswith("#")):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def test_lower_bounds_are_the_tested_versions():
    bounds = {}
    for requirement in requirements("plot", "bench", "entropy", "save", "onnx", "arrow", "dask", "sketch", "test"):
        (specifier,) = requirement.specifier
        assert specifier.operator == ">=", requirement
        bounds[requirement.name] = Version(specifier.version)
    tested = pins("constraints-min.txt")
    del bounds["torch"]  # constraints-min.txt says why
    assert bounds == {name: tested.get(name) for name in bounds}


def test_every_requirement_is_pinned():
    assert {r.name for r in requirements(*project()["optional-dependencies"])} <= pins("constraints.txt").keys()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-min.txt"])
def test_no_pin_names_a_local_build(name):
    assert {package for package, version in pins(name).items() if version.local} == set()
