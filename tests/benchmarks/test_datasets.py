"""Data sets: what comes out, and errors in one sentence."""

from contextlib import contextmanager
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from benchmarks import datasets
from benchmarks.datasets import NAMES, DatasetError, load, load_several

SHAPES = {name: source.shape for name, source in datasets._SOURCES.items()} | {
    **{"air_quality": (9357 - 1683, 12), "occupancy": (20560, 5), "german": (1000, 7)},
    **{"caravan": (5822, 85), "oj": (1070, 16), "wage": (3000, 2), "flights": (30000, 2)},
}
WITHOUT_FOLDER = {
    **{"fried": (40768, 10), "digits": (1797, 64), "diabetes": (442, 10), "wine": (178, 13), "iris": (150, 4)},
    **{"breast_cancer": (569, 30), "noisy": (1000, 20), "imbalanced": (6000, 20), "heavy": (8000, 10)},
    **{"irrelevant": (2000, 505), "mixed": (4000, 4)},
}


@pytest.fixture
def no_folder(monkeypatch):
    monkeypatch.delenv("SKBSQ_DATA_DIR", raising=False)


@contextmanager
def one_sentence(match):
    """Expect an error of one sentence."""
    with pytest.raises(DatasetError, match=match) as caught:
        yield
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.real_data
@pytest.mark.parametrize("name", SHAPES)
def test_load_from_folder(name, data_dir):
    data = load(name, data_dir)
    assert data.name == name
    assert data.X.shape == SHAPES[name]
    assert data.y.notna().all()
    assert set(data.X.dtypes) == {np.dtype("float64")}
    classes = name in ("occupancy", "german", "caravan", "oj")
    assert data.task == ("classification" if classes else "regression")
    assert data.y.dtype == (int if classes else float)
    assert data.X.isna().to_numpy().any() == (name == "air_quality")


@pytest.mark.real_data
def test_text_is_kept_as_categories(data_dir):
    data = load("german", data_dir, categories=True)
    assert data.X.shape == (1000, 20)
    assert len(data.X.select_dtypes("category").columns) == 13


def test_categories_belong_to_the_identity():
    numeric, mixed = load("mixed"), load("mixed", categories=True)
    assert list(mixed.X) == ["a", "b", "c", "d", "kind", "site", "label"]
    renamed = mixed.X.assign(kind=mixed.X["kind"].cat.rename_categories({"kind 000": "first"}))
    assert len({numeric.sha256, mixed.sha256, replace(mixed, X=renamed).sha256}) == 3


def test_rows_without_a_target_are_dropped(tmp_path, monkeypatch):
    table = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [4, 5, 6], "target": [0.5, 1.5, np.nan]})
    table.to_csv(tmp_path / "sulfur.csv.gz", index=False)
    data = load("sulfur", tmp_path)
    pd.testing.assert_frame_equal(data.X, pd.DataFrame({"a": [1.0, np.nan], "b": [4.0, 5.0]}))
    assert data.y.tolist() == [0.5, 1.5]
    monkeypatch.setenv("SKBSQ_DATA_DIR", str(tmp_path))
    pd.testing.assert_frame_equal(load("sulfur").X, data.X)


def test_the_hash_is_of_what_a_model_reads():
    """Versions of pandas differ in the last digits of a number, beyond the precision of float32."""
    data = load("fried", n_samples=50)
    beyond = replace(data, X=data.X * (1 + 1e-13))
    assert not (beyond.X == data.X).all(axis=None)
    assert beyond.sha256 == data.sha256
    assert replace(data, X=data.X * (1 + 1e-6)).sha256 != data.sha256


@pytest.mark.parametrize(
    ("name", "match"), [("no_such_set", "no data set 'no_such_set'"), ("sulfur", "no file .*sulfur")]
)
def test_unknown_name_and_missing_file(name, match, tmp_path):
    with one_sentence(match):
        load(name, tmp_path)


def test_broken_file(tmp_path):
    (tmp_path / "sulfur.csv.gz").write_text("no gzip")
    with one_sentence("cannot be read"):
        load("sulfur", tmp_path)


def test_several_sets_with_some_rows_of_fried():
    fried, digits = load_several(["fried", "digits"], n_samples=50)
    assert fried.X.shape == (50, 10)
    pd.testing.assert_series_equal(fried.y, load("fried", n_samples=50).y)
    assert len(digits.X) == 1797
    with one_sentence("Only fried can have 50 rows"):
        load_several(["digits"], n_samples=50)


def test_no_download_is_known(no_folder):
    with one_sentence("No download"):
        load("air_quality")


def _fake_download(monkeypatch, name, fetch):
    monkeypatch.setitem(datasets._SOURCES, name, datasets._SOURCES[name]._replace(fetch=fetch))


def test_no_network(no_folder, monkeypatch):
    def fetch(**kwargs):
        raise URLError("no route to host")

    _fake_download(monkeypatch, "sulfur", fetch)
    with one_sentence(r"no route to host.*--data-dir"):
        load("sulfur")


def test_download(no_folder, monkeypatch):
    asked = {}

    def fetch(**kwargs):
        asked.update(kwargs)
        return Bunch(data=pd.DataFrame(np.ones((10081, 6), dtype=int)), target=pd.Series(np.arange(10081), name="y1"))

    _fake_download(monkeypatch, "sulfur", fetch)
    data = load("sulfur")
    assert asked == {"data_id": 23515, "target_column": "y1", "as_frame": True}
    assert data.X.shape == SHAPES["sulfur"]
    assert data.y.dtype == float


def test_download_of_another_set(no_folder, monkeypatch):
    _fake_download(monkeypatch, "sulfur", lambda **kwargs: Bunch(data=pd.DataFrame(np.ones((5, 2))), target=None))
    with one_sentence("another data set"):
        load("sulfur")


@pytest.mark.parametrize("name", WITHOUT_FOLDER)
def test_sets_that_need_no_folder(name, no_folder):
    data = load(name)
    assert data.X.shape == WITHOUT_FOLDER[name]
    assert len(data.y) == len(data.X)
    regression = name in ("fried", "diabetes", "heavy", "irrelevant", "mixed")
    assert data.task == ("regression" if regression else "classification")


def test_every_name_is_covered():
    assert set(NAMES) == {*SHAPES, *WITHOUT_FOLDER}
