"""A loaded estimator is the saved one, to the last bit; and no file makes anything else."""

import datetime
import io
import json
import os
import pickle
import struct
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

import skbsq
from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.persistence import files as files_module
from skbsq.persistence import fitted as fitted_module
from skbsq.persistence import load, save
from skbsq.persistence.files import FORMAT
from skbsq.training.starts import RULES

TRAINING = dict(n_bits=2, max_epochs=2, hidden_sizes=(5,), batch_size=32, random_state=0)
NAN = float("nan")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(80, 3))
    X[::7, 1] = NAN
    return X, np.nan_to_num(X[:, 1]) + X[:, 0] ** 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def there_and_back(estimator, path, **given):
    save(estimator, path)
    return load(path, **given)


def assert_same(loaded, fitted, X):
    assert type(loaded) is type(fitted)
    outputs = ["predict", "predict_proba"] if hasattr(fitted, "predict_proba") else ["predict"]
    for name in outputs:
        found, expected = getattr(loaded, name)(X), getattr(fitted, name)(X)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    if fitted.quantizer_ is not None:
        assert loaded.codebook_ == fitted.codebook_
        assert type(loaded.quantizer_) is type(fitted.quantizer_)
        codes = fitted.codebook_.encode(X)
        np.testing.assert_array_equal(loaded.predict_codes(codes), fitted.predict_codes(codes))
        np.testing.assert_array_equal(loaded.quantizer_.transform(X), codes)


# -- the same estimator ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BitwiseRegressor, BitwiseClassifier])
@pytest.mark.parametrize(
    "quantizer",
    [
        None,
        "passthrough",
        QuantileQuantizer({"a": 2, "b": 1, "c": 0}),
        TreeQuantizer(),
        ThresholdQuantizer({"a": np.float32([0, 1]), "b": [0.5], "c": []}),
        SoftQuantizer(2),
        SoftQuantizer(2, learn_values=True, init=UniformQuantizer()),
        LSQQuantizer(2),
        LLTQuantizer(2),
    ],
    ids=str,
)
def test_predictions_are_equal(kind, quantizer, data, path):
    X, y = pd.DataFrame(data[0], columns=["a", "b", "c"]), data[1]
    fitted = kind(quantizer=quantizer, missing="code", dropout=0.1, **TRAINING)
    fitted.fit(X, y if kind is BitwiseRegressor else y > 0.5, sample_weight=np.linspace(0, 1, 80))
    loaded = there_and_back(fitted, path)
    assert_same(loaded, fitted, X)
    assert_same(clone(loaded).fit(X, y > 0.5), clone(fitted).fit(X, y > 0.5), X)


def test_tables_are_complete():
    assert {*files_module._QUANTIZERS, *files_module._PREDICTORS} == {*skbsq.__all__} - {"Codebook", "Receiver"}
    assert {*fitted_module._INITS} == RULES.keys()


def test_what_a_net_leaves(data, path):
    X, y = data
    fitted = BitwiseRegressor(missing="code", early_stopping=True, patience=1, **{**TRAINING, "max_epochs": 9})
    fitted.fit(X, np.column_stack([y, -y]))
    loaded = there_and_back(fitted, path)
    assert_same(loaded, fitted, X)
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    assert (loaded.n_iter_, loaded.best_epoch_) == (fitted.n_iter_, fitted.best_epoch_)
    assert repr(loaded.net_.module_.head) == repr(fitted.head_)
    assert loaded.net_ is loaded.quantizer_.net_
    assert not loaded.net_.module_.training
    rows = torch.from_numpy(X.astype(np.float32))
    assert torch.equal(loaded.net_.module_(rows), fitted.net_.module_(rows))
    for name in ("lr", "max_epochs", "batch_size", "device", "optimizer__weight_decay", "criterion"):
        assert getattr(loaded.net_, name) == getattr(fitted.net_, name)


def test_parameters_of_the_net_are_those_of_the_fit(data, path):
    X, y = data
    fitted = BitwiseRegressor(missing="code", lr=0.5, **TRAINING).fit(X, y).set_params(lr=0.25, dropout=0.5)
    loaded = there_and_back(fitted, path)
    assert (loaded.lr, loaded.net_.lr) == (0.25, 0.5)
    assert_same(loaded, fitted, X)


def test_allocation(data, path):
    X, y = data
    fitted = BitwiseRegressor(missing="code", bit_budget=4, **TRAINING).fit(X, y)
    loaded = there_and_back(fitted, path)
    assert_same(loaded, fitted, X)
    pd.testing.assert_frame_equal(loaded.quantizer_.allocation_, fitted.quantizer_.allocation_)
    copied = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(copied.quantizer_.allocation_, fitted.quantizer_.allocation_)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1]),
        np.array([2.0, -1.0]),
        np.array([True, False]),
        np.array(["b", "ä"]),
        np.array(["long ago", "b"], dtype=object),
        np.array([200, 100], dtype=np.uint8),
    ],
    ids=repr,
)
def test_labels(labels, data, path):
    X, y = data
    fitted = BitwiseClassifier(missing="code", class_weight={labels[0]: 2.0, labels[1]: 1}, **TRAINING)
    fitted.fit(X, labels[(y > 0.5).astype(int)])
    loaded = there_and_back(fitted, path)
    assert_same(loaded, fitted, X)
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.class_weight == fitted.class_weight


def test_output_of_a_transformer(data, path):
    X, _ = data
    fitted = UniformQuantizer(n_bits=np.array([1, 2, 3]), missing="seen").set_output(transform="pandas").fit(X)
    loaded = there_and_back(fitted, path)
    pd.testing.assert_frame_equal(loaded.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(loaded.n_bits, [1, 2, 3])


def test_trained_elsewhere(data, path):
    """The device of the training is a parameter, and need not be where the file is read."""
    X, y = data
    fitted = BitwiseRegressor(missing="code", device=torch.device("cpu"), **TRAINING).fit(X, y)
    loaded = there_and_back(fitted.set_params(device="cuda:7"), path)
    assert loaded.device == "cuda:7"
    assert_same(loaded, fitted, X)


def test_global_generators_are_left_alone(data, path):
    X, y = data
    fitted = BitwiseRegressor(missing="code", head=nn.Linear, **TRAINING).fit(X, y)
    before = torch.random.get_rng_state()
    there_and_back(fitted, path, head=nn.Linear)
    assert torch.equal(torch.random.get_rng_state(), before)


# -- heads of one's own ------------------------------------------------------------------------------------------------


class Normed(nn.Sequential):
    """With buffers, some of which are no floats."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, n_outputs))


class Squashed(Normed):
    """The weights of the same shapes, and another function."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self[2] = nn.Tanh()


class Masked(nn.Linear):
    """Not determined by its weights: drawn outside of them."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.mask = torch.rand(n_inputs) > 0.5

    def forward(self, x):
        return super().forward(x * self.mask)


def make_normed(n_in, n_out):
    return Normed(n_in, n_out)


def net(module, kind=NeuralNet, **kwargs):
    return kind(module, criterion=kwargs.pop("criterion", nn.L1Loss), max_epochs=2, batch_size=32, **kwargs)


HEADS = [Normed, make_normed, Normed(9, 1), net(Normed), net(Normed, criterion=nn.MSELoss, device="cpu")]


@pytest.mark.parametrize("quantizer", [None, UniformQuantizer(2), SoftQuantizer(2), "passthrough"], ids=str)
@pytest.mark.parametrize("head", HEADS, ids=["class", "function", "instance", "skorch", "skorch, MSE"])
def test_head_is_given_again(head, quantizer, data, path):
    X, y = np.nan_to_num(data[0]), data[1]
    if isinstance(head, nn.Module) and (quantizer == "passthrough" or isinstance(quantizer, SoftQuantizer)):
        head = Normed(3, 1)
    fitted = BitwiseRegressor(quantizer=quantizer, head=head, **TRAINING).fit(X, y)
    loaded = there_and_back(fitted, path, head=head)
    assert_same(loaded, fitted, X)
    assert type(loaded.net_) is type(fitted.net_)
    assert loaded.head is head
    assert_same(clone(loaded).fit(X, y), fitted, X)
    for copied in (pickle.loads(pickle.dumps(fitted)), pickle.loads(pickle.dumps(loaded))):
        assert_same(copied, fitted, X)
    with pytest.raises(ValueError, match=r"Regressor has a custom head.*load\(path, head"):
        load(path)


def test_probabilities_are_those_of_the_net(data, path):
    class Probable(nn.Sequential):
        def __init__(self, n_inputs, n_outputs):
            super().__init__(nn.Linear(n_inputs, n_outputs), nn.Softmax(dim=1))

    X, y = np.nan_to_num(data[0]), data[1]
    head = net(Probable, NeuralNetClassifier, criterion=nn.NLLLoss)
    fitted = BitwiseClassifier(head=head, **TRAINING).fit(X, y > 0.5)
    assert_same(there_and_back(fitted, path, head=head), fitted, X)
    with pytest.raises(ValueError, match="head was a skorch net"):
        load(path, head=Probable)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Squashed, "it gives other outputs"),
        (nn.Linear, r"only (the saved )?head has '\S+' among its weights"),
        (lambda n, k: nn.Sequential(nn.Linear(n, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, k)), "must be float32"),
        (lambda n, k: Normed(n, k).double(), "cannot read"),
        (lambda n, k: Normed(n, k + 1), "wrong output shape"),
        ("linear", "head"),
    ],
)
def test_another_head_is_refused(wrong, message, data, path):
    X, y = data
    save(BitwiseRegressor(missing="code", head=Normed, **TRAINING).fit(X, y), path)
    with pytest.raises(ValueError, match=message):
        load(path, head=wrong)


def test_head_that_its_weights_do_not_determine(data, path):
    X, y = np.nan_to_num(data[0]), data[1]
    fitted = BitwiseRegressor(head=Masked, **{**TRAINING, "random_state": 1}).fit(X, y)
    assert_same(pickle.loads(pickle.dumps(fitted)), fitted, X)
    save(fitted, path)
    with pytest.raises(ValueError, match="it gives other outputs"):
        load(path, head=Masked)


def test_head_changed_after_fit(data, path):
    X, y = np.nan_to_num(data[0]), data[1]
    fitted = BitwiseRegressor(head=Normed, **TRAINING).fit(X, y)
    for head in (nn.Linear, None):
        fitted.set_params(head=head)
        assert_same(pickle.loads(pickle.dumps(fitted)), fitted, X)
        assert_same(there_and_back(fitted, path, head=Normed), fitted, X)
    default = BitwiseRegressor(**TRAINING).fit(X, y).set_params(head=Normed)
    loaded = there_and_back(default, path, head=Normed)
    assert_same(loaded, default, X)
    assert loaded.head is Normed


def test_head_that_is_not_asked_for(data, path):
    X, y = data
    save(BitwiseRegressor(missing="code", **TRAINING).fit(X, y), path)
    with pytest.raises(ValueError, match="already holds 'head'"):
        load(path, head=nn.Linear)
    with pytest.raises(ValueError, match="already holds 'lr'"):
        load(path, lr=0.1)


# -- what a file leaves out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_fraction", TimeSeriesSplit(2)),
        ("random_state", np.random.RandomState(0)),
        ("init", BitwiseQuantizer(head=nn.Linear, **TRAINING)),
    ],
)
def test_objects_are_left_out_and_may_be_given(name, value, data, path):
    X, y = data
    fitted = BitwiseRegressor(missing="code", **{**TRAINING, name: value}).fit(X, y)
    with pytest.warns(UserWarning, match=f"leaves out {name}. The loaded BitwiseRegressor predicts the same") as caught:
        save(fitted, path)
    assert caught[0].filename == __file__
    loaded = load(path)
    assert_same(loaded, fitted, X)
    assert getattr(loaded.quantizer_, "init_", None) == (None if name == "init" else fitted.quantizer_.init_)
    assert repr(getattr(loaded, name)) == repr(getattr(BitwiseRegressor(), name))
    given = load(path, **{name: value})
    assert getattr(given, name) is value
    assert_same(given, fitted, X)


def test_a_series_is_saved_as_an_array_or_a_dict(data, path):
    """Its labels are kept where they mean something."""
    X, y = data
    given = {"missing": "seen", **TRAINING}
    save(BitwiseRegressor(**given | {"n_bits": pd.Series([2, 1, 1])}).fit(X, y), path)
    assert load(path).n_bits.tolist() == [2, 1, 1]
    save(BitwiseRegressor(**given | {"n_bits": pd.Series([2, 1, 1], index=[2, 0, 1])}).fit(X, y), path)
    assert load(path).n_bits == {2: 2, 0: 1, 1: 1}


@pytest.mark.parametrize("quantizer", [None, UniformQuantizer(2), "passthrough"], ids=str)
@pytest.mark.parametrize(
    "missing",
    [
        "seen",
        {"a": "error", "b": "seen", "c": "code"},
        {2: "code", 1: "seen", 0: "error"},
        np.array(["error", "seen", "code"]),
        pd.Series(["error", "seen", "code"]),
    ],
    ids=["one", "names", "numbers", "array", "series"],
)
def test_rules_for_nan(missing, quantizer, data, path):
    X, y = pd.DataFrame(data[0], columns=["a", "b", "c"]), data[1]
    fitted = BitwiseRegressor(missing=missing, quantizer=quantizer, **TRAINING).fit(X, y)
    loaded = there_and_back(fitted, path)
    assert_same(loaded, fitted, X)
    assert_same(clone(loaded).fit(X, y), fitted, X)
    for estimator in (fitted, loaded, pickle.loads(pickle.dumps(fitted))):
        with pytest.raises(ValueError, match=r"NaN in feature 'a' \(row 0\)"):
            estimator.predict(X.assign(a=np.nan))


def test_rules_for_nan_in_a_file_are_checked(data, path):
    fitted = UniformQuantizer(2, missing=["error", "seen", "code"]).fit(data[0])
    fitted.missing = ["error", "seen"]
    save(fitted, path)
    with pytest.raises(ValueError, match="missing must be one rule or 3"):
        load(path)


def test_parameter_that_makes_no_sense(data, path):
    X, y = data
    with pytest.warns(UserWarning, match="validation_fraction"):
        save(BitwiseRegressor(missing="code", validation_fraction=KFold(2), **TRAINING).fit(X, y), path)
    with pytest.raises(ValueError, match="'validation_fraction' parameter of BitwiseRegressor must be"):
        load(path, validation_fraction=7.0)


# -- what save refuses -------------------------------------------------------------------------------------------------


class Half(nn.Linear):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs, dtype=torch.bfloat16)

    def forward(self, x):
        return super().forward(x.bfloat16()).float()


class Mine(UniformQuantizer):
    pass


def test_save_refuses(data, path):
    X, y = np.nan_to_num(data[0]), data[1]
    with pytest.raises(NotFittedError):
        save(BitwiseRegressor(), path)
    with pytest.raises(ValueError, match="estimators of skbsq, got Pipeline"):
        save(make_pipeline(UniformQuantizer()).fit(X), path)
    with pytest.raises(ValueError, match="estimators of skbsq, got Mine"):
        save(Mine().fit(X), path)
    with pytest.raises(ValueError, match="quantizer_ is of type Mine, neither a plain value nor a quantizer of skbsq"):
        save(BitwiseRegressor(quantizer=Mine(), **TRAINING).fit(X, y), path)
    dates = np.array([datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)], dtype=object)
    fitted = BitwiseClassifier(**TRAINING).fit(X, y > 0.5)
    fitted.classes_ = dates
    with pytest.raises(ValueError, match="classes_ is an array of object that JSON cannot hold exactly"):
        save(fitted, path)
    with pytest.raises(ValueError, match="head Half has weights that NumPy cannot hold"):
        save(BitwiseRegressor(head=Half, **TRAINING).fit(X, y), path)
    soft = SoftQuantizer(2, init="uniform")
    bare = BitwiseRegressor(quantizer=soft, head=lambda n, k: nn.Identity(), lr_schedule="constant", **TRAINING)
    with pytest.raises(ValueError, match="head Identity has no weights"):
        save(bare.fit(X[:, :1], y), path)
    with pytest.raises(ValueError, match="'lr' parameter"):
        save(BitwiseRegressor(**TRAINING).fit(X, y).set_params(lr=-1), path)
    with pytest.raises(ValueError, match="thresholds is of type range, neither"):
        save(ThresholdQuantizer(range(2)).fit(X), path)
    assert not path.exists()


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_crash_leaves_no_half_file(function, data, path, monkeypatch):
    quantizer = UniformQuantizer(missing="code").fit(data[0])
    save(quantizer, path)
    before = path.read_bytes()

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, crash)
    with pytest.raises(KeyboardInterrupt):
        save(clone(quantizer).fit(data[0] + 1), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_folders(data, tmp_path):
    quantizer = UniformQuantizer(missing="code").fit(data[0])
    with pytest.raises(FileNotFoundError):
        save(quantizer, tmp_path / "absent" / "model")
    with pytest.raises(OSError, match="directory"):
        save(quantizer, tmp_path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")
    assert os.listdir(tmp_path) == []
    save(quantizer, str(tmp_path / "model"))
    assert load(str(tmp_path / "model")).codebook_ == quantizer.codebook_


def test_without_safetensors(data, path, monkeypatch):
    quantizer = UniformQuantizer(missing="code").fit(data[0])
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for use in (lambda: save(quantizer, path), lambda: load(path)):
        with pytest.raises(ImportError, match=r"pip install 'skbsq\[save\]'"):
            use()


# -- hostile files -----------------------------------------------------------------------------------------------------


class Payload:
    """Pickled, it runs a command when it is read."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch {self.sentinel}",)


def pickled(payload):
    return pickle.dumps(payload)


def saved_by_torch(payload):
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "payload": payload}, buffer)
    return buffer.getvalue()


def zipped(payload):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("schema.json", json.dumps({"__class__": "system", "__module__": "os", "content": "true"}))
        file.writestr("data.pkl", pickle.dumps(payload))
    return buffer.getvalue()


def in_the_metadata(payload):
    return safetensors.numpy.save({"x": np.zeros(1)}, {FORMAT: pickle.dumps(payload, protocol=0).decode()})


def in_a_tensor(payload):
    return safetensors.numpy.save({"x": np.frombuffer(pickle.dumps(payload), dtype=np.uint8)}, {FORMAT: "{}"})


@pytest.mark.parametrize("attack", [pickled, saved_by_torch, zipped, in_the_metadata, in_a_tensor])
def test_payloads_are_not_executed(attack, path, tmp_path):
    sentinel = tmp_path / "executed"
    path.write_bytes(attack(Payload(sentinel)))
    with pytest.raises(ValueError, match="is refused"):
        load(path)
    assert not sentinel.exists()
    pickle.loads(pickle.dumps(Payload(sentinel)))  # which would have
    assert sentinel.exists()


class Files(dict):
    def __repr__(self):  # hypothesis prints the arguments of what failed
        return "Files()"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of each kind of net, as JSON and arrays."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    y, folder = X[:, 0], tmp_path_factory.mktemp("saved")
    models = {
        "bits": BitwiseRegressor(missing="code", **TRAINING).fit(X, y),
        "budget": BitwiseRegressor(bit_budget=3, **TRAINING).fit(pd.DataFrame(X, columns=["a", "b"]), y),
        "fixed": BitwiseClassifier(quantizer=UniformQuantizer(2), **TRAINING).fit(X, y > 0),
        "rates": BitwiseRegressor(quantizer=UniformQuantizer(2), rates=(0, 1), **TRAINING).fit(X, y),
        "values": BitwiseRegressor(quantizer=SoftQuantizer(2), **TRAINING).fit(X, y),
        "floats": BitwiseRegressor(quantizer="passthrough", **TRAINING).fit(X, y),
        "own": BitwiseRegressor(head=Normed, **TRAINING).fit(X, y),
        "quantizer": QuantileQuantizer(np.array([1, 2])).fit(X),
    }
    files = Files()
    for name, model in models.items():
        save(model, folder / name)
        files[name] = (folder / name).read_bytes()
    return files


def taken_apart(data):
    (size,) = struct.unpack("<Q", data[:8])
    text = json.loads(data[8 : 8 + size])["__metadata__"][FORMAT]
    return json.loads(text), safetensors.numpy.load(data)


def put_together(document, arrays):
    return safetensors.numpy.save(arrays, {FORMAT: document if type(document) is str else json.dumps(document)})


def refuse(path, data, match, **given):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"(?s)is refused: .*{match}"):
        load(path, **given)


def test_files_of_others(saved, path):
    data = saved["bits"]
    refuse(path, b"", "not a safetensors file")
    refuse(path, b"{}", "not a safetensors file")
    refuse(path, b"\xff" * 100, "not a safetensors file")
    refuse(path, safetensors.numpy.save({"x": np.zeros(2)}), "not a file of save")
    refuse(path, safetensors.numpy.save({"x": np.zeros(2)}, {"format": "pt"}), "not a file of save")
    refuse(path, data + b"\0", "not a safetensors file")
    for end in (4, 8, 100, len(data) // 2, len(data) - 1):
        refuse(path, data[:end], "not a safetensors file")


def test_headers_that_lie(saved, path):
    (size,) = struct.unpack("<Q", saved["bits"][:8])
    header, rest = json.loads(saved["bits"][8 : 8 + size]), saved["bits"][8 + size :]
    first = next(name for name in header if name.endswith("weight"))

    def with_header(header, claimed=None):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text) if claimed is None else claimed) + text + rest

    for claimed in (0, 1, 2**31, 2**63, 2**64 - 1):
        refuse(path, with_header(header, claimed), "not a safetensors file")
    entry = header[first]
    a, b = entry["data_offsets"]
    for lie in (
        {"data_offsets": [a, 2**40]},
        {"data_offsets": [b, a]},
        {"data_offsets": [-8, 0]},
        {"data_offsets": [0, b - a]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1, 4]},
        {"shape": [10**30]},
        {"dtype": "O"},
        {"dtype": "F64"},
    ):
        refuse(path, with_header({**header, first: {**entry, **lie}}), "not a safetensors file")
    for dtype in ("BF16", "F8_E4M3", "C64"):
        of_bytes = {"BF16": 2, "F8_E4M3": 1, "C64": 8}[dtype]
        data = struct.pack("<Q", 0) + b""
        text = json.dumps(
            {
                "__metadata__": header["__metadata__"],
                "x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2 * of_bytes]},
            }
        ).encode()
        data = struct.pack("<Q", len(text)) + text + bytes(2 * of_bytes)
        refuse(path, data, "")


def test_json_that_is_none(saved, path):
    _, arrays = taken_apart(saved["bits"])
    for text, message in (
        ("", "JSON text"),
        ("null", "fields"),
        ("[" * 200_000, "JSON text"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "JSON text"),
        ('{"format": 1, "format": 1}', "a key is repeated"),
        ('{"format": NaN}', "NaN"),
        ("9" * 5000, "JSON text"),
        ('{"format": "skbsq-estimator", "version": 1}', "'estimator' is missing"),
        ('{"format": "skbsq-codebook", "version": 1, "estimator": null}', "skbsq-codebook"),
        ('{"format": "skbsq-estimator", "version": 2, "estimator": null}', "version 2"),
        ('{"format": "skbsq-estimator", "version": true, "estimator": null}', "version True"),
        ('{"format": "skbsq-estimator", "version": 1, "estimator": null}', "fields in an estimator"),
        ('{"format": "skbsq-estimator", "version": 1, "estimator": {}, "more": 1}', "Unknown field 'more'"),
    ):
        refuse(path, put_together(text, arrays), message)


def test_nesting_that_json_can_read(saved, path):
    document, arrays = taken_apart(saved["bits"])
    for depth in (500, 5000, 50_000):
        deep = json.dumps(document).replace('"lr": 0.002', '"lr": ' + "[" * depth + "]" * depth)
        refuse(path, put_together(deep, arrays), "nested too deeply|'lr' parameter|JSON text")


def at(document, *keys):
    """A place in a document: the part that holds it, and the last key."""
    part = document["estimator"]
    for key in keys[:-1]:
        part = part[key]
    return part, keys[-1]


INNER = ["fitted", "quantizer_", "fitted", "fitted"]
LINEAR = {"unfitted": {"class": "UniformQuantizer", "parameters": {}, "left_out": [], "fitted": None}}
WITHOUT_THRESHOLDS = {"unfitted": {**LINEAR["unfitted"], "class": "ThresholdQuantizer"}}


@pytest.mark.parametrize(
    ("name", "where", "value", "message"),
    [
        ("bits", ["class"], "os.system", "'os.system' is not one of"),
        ("bits", ["class"], "Codebook", "is not one of"),
        ("bits", ["class"], ["BitwiseRegressor"], "is not one of"),
        ("bits", ["class"], "BitwiseClassifier", "Unknown field 'loss'"),
        ("bits", ["parameters", "__class__"], 1, "Unknown field '__class__'"),
        ("bits", ["parameters", "task"], "regression", "Unknown field 'task'"),
        ("bits", ["parameters", "lr"], "fast", "'lr' parameter"),
        ("bits", ["parameters", "lr"], -1, "'lr' parameter"),
        ("bits", ["parameters", "head"], "os.system", "'head' parameter"),
        ("bits", ["parameters", "head"], {"tuple": ["os", "system"]}, "'head' parameter"),
        ("bits", ["parameters", "init"], WITHOUT_THRESHOLDS, "'thresholds' is missing"),
        ("bits", ["parameters", "init"], {"unfitted": {**LINEAR["unfitted"], "class": "system"}}, "'system' is not"),
        ("bits", ["parameters", "init"], {"fitted": LINEAR["unfitted"]}, "Unknown field 'fitted'"),
        ("bits", ["parameters", "init"], {"__reduce__": ["os.system", "true"]}, "Unknown field '__reduce__'"),
        ("bits", ["parameters"], [], "fields in the parameters"),
        ("bits", ["left_out"], ["lr"], "Unknown field 'lr'"),
        ("bits", ["left_out"], ["__init__"], "must list parameters"),
        ("bits", ["left_out"], None, "must list parameters"),
        ("bits", ["fitted"], None, "should be fitted"),
        ("bits", ["fitted", "predict"], 1, "has no 'predict'"),
        ("bits", ["fitted", "__class__"], "x", "has no '__class__'"),
        ("bits", ["fitted", "quantizer_"], None, "lacks 'net_'"),
        ("bits", ["fitted", "quantizer_"], {"unfitted": 1}, "Unknown field 'unfitted' in quantizer_"),
        ("bits", ["fitted", "n_features_in_"], 3, "codebook_ is invalid"),
        ("bits", ["fitted", "n_features_in_"], -2, "n_features_in_ is invalid: -2"),
        ("bits", ["fitted", "n_features_in_"], True, "n_features_in_ is invalid"),
        ("bits", ["fitted", "feature_names_in_"], {"objects": ["a", "b"]}, "the features None"),
        ("bits", ["fitted", "best_epoch_"], 0.5, "best_epoch_ is invalid"),
        ("bits", ["fitted", "target_ndim_"], 3, "target_ndim_ is invalid"),
        ("bits", ["fitted", "target_mean_"], [0.0], "target_mean_ must be an array"),
        ("fixed", ["fitted", "classes_"], {"objects": [1, "a"]}, "classes_ is invalid"),
        ("fixed", ["fitted", "classes_"], {"strings": ["a"]}, "classes_ is invalid"),
        ("fixed", ["fitted", "classes_"], {"strings": ["b", "a"]}, "classes_ is invalid"),
        ("fixed", ["fitted", "classes_"], [0, 1], "classes_ is invalid"),
        ("rates", ["fitted", "rates_"], {"dict": []}, "rates_ is invalid"),
        ("rates", ["fitted", "rates_"], [], "must be a list that begins with the finest"),
        ("rates", ["fitted", "rates_"], [2, 1], "fields in a rate"),
        ("rates", ["fitted", "rates_"], [{"dict": [["rate", -1]]}], "must be integers that fall, got -1"),
        ("bits", ["fitted", "rates_"], [{"dict": [["rate", 2]]}], "rates_ is invalid"),
        ("floats", ["fitted", "rates_"], [{"dict": [["rate", 2]]}], "rates_ is invalid"),
        ("values", [*INNER, "rates_"], [], "has no 'rates_'"),
        ("quantizer", ["fitted", "codebook_"], "text", "codebook_ is invalid"),
        ("quantizer", ["fitted", "codebook_"], {"codebook": "{}"}, "codebook"),
        ("quantizer", ["fitted", "net_"], None, "has no 'net_'"),
        ("quantizer", ["fitted", "_sklearn_output_config"], {"dict": [["transform", "os"]]}, "config is invalid"),
    ],
)
def test_documents(name, where, value, message, saved, path):
    document, arrays = taken_apart(saved[name])
    part, key = at(document, *where)
    part[key] = value
    refuse(path, put_together(document, arrays), message)


def test_a_file_older_than_a_parameter_has_its_default(saved, path):
    document, arrays = taken_apart(saved["bits"])
    document["estimator"]["parameters"].pop("patience")
    path.write_bytes(put_together(document, arrays))
    assert load(path).patience == BitwiseRegressor().patience


def test_a_file_older_than_a_parameter_does_what_was_done_before(saved, path, monkeypatch):
    document, arrays = taken_apart(saved["bits"])
    document["estimator"]["parameters"].pop("patience")
    path.write_bytes(put_together(document, arrays))
    monkeypatch.setitem(files_module._OLD_DEFAULTS, "patience", 77)
    assert load(path).patience == 77
    path.write_bytes(saved["bits"])
    assert load(path).patience != 77


NET = {name: ["fitted", "net_", "dict"] for name in ("fixed", "floats")}


def entry(items, key):
    return next(item for item in items if item[0] == key)


@pytest.mark.parametrize(
    ("name", "keys", "value", "message"),
    [
        ("fixed", ["quantization", "kind"], "floats", "reads 'floats' does not fit"),
        ("floats", ["quantization", "kind"], "bits", "reads 'bits' does not fit"),
        ("floats", ["quantization", "indicators"], 1, "indicators of the features must be an array"),
        ("fixed", ["quantization"], 5, "does not fit"),
        ("fixed", ["head", "dropout"], 1.0, "dropout"),
        ("fixed", ["head", "dropout"], None, "give head"),
        ("fixed", ["head", "weights"], [], "must have names"),
        ("fixed", ["head"], None, "fields in the head"),
        ("fixed", ["training", "task"], "os.system", "task of the net is invalid"),
        ("fixed", ["training", "loss"], "os.system", "loss of the net is invalid"),
        ("fixed", ["training", "quantile"], "high", "quantile of the net is invalid"),
        ("fixed", ["training", "lr"], -1.0, "lr of the net is invalid"),
        ("fixed", ["training", "max_epochs"], True, "max_epochs of the net is invalid"),
        ("fixed", ["training"], None, "head was a skorch net"),
        ("fixed", ["history"], [], "must have columns|history"),
        ("fixed", ["more"], 1, "Unknown field 'more' in the net"),
    ],
)
def test_nets(name, keys, value, message, saved, path):
    document, arrays = taken_apart(saved[name])
    items = document["estimator"]["fitted"]["net_"]["dict"]
    for key in keys[:-1]:
        items = entry(items, key)[1]["dict"]
    if keys[-1] in ("more", "loss", "quantile"):
        items.append([keys[-1], value])
    else:
        entry(items, keys[-1])[1] = value
    kept = json.dumps(document)
    arrays = {name: array for name, array in arrays.items() if f'"{name}"' in kept}
    refuse(path, put_together(document, arrays), message)


def changed(change):
    return lambda array: change(array.copy())


@pytest.mark.parametrize(
    ("name", "array", "change", "message"),
    [
        ("bits", "head.weights.0.weight", lambda a: a.T, "0.weight of the head must be float32 of shape"),
        ("bits", "head.weights.0.weight", lambda a: a.astype(np.float64), "must be float32"),
        ("bits", "head.weights.0.weight", lambda a: a[:, :-1], "must be float32 of shape"),
        ("bits", "head.weights.0.weight", lambda a: a * NAN, "must be finite"),
        ("bits", "head.weights.0.bias", lambda a: a[:-1], "0.bias of the head must be float32"),
        ("bits", "head.weights.3.weight", lambda a: np.vstack([a, a]), "3.bias of the head must be"),
        ("bits", "column_map", lambda a: a + 100, "column_map must hold columns from -1"),
        ("bits", "column_map", lambda a: a - 2, "column_map must hold columns from -1"),
        ("bits", "column_map", lambda a: a.astype(np.int32), "column_map must be int64"),
        ("bits", "column_map", lambda a: a[:0], "at least one"),
        ("bits", "column_map", lambda a: np.append(a, 0), "0.weight of the head must be"),
        ("bits", "history.epoch", lambda a: a[:-1], "a number per epoch"),
        ("bits", "history.dur", lambda a: a[:, None], "history of dur"),
        ("bits", "BitwiseRegressor.target_mean_", lambda a: a * NAN, "target_mean_ must be finite"),
        ("bits", "BitwiseRegressor.target_mean_", lambda a: np.append(a, 0), "target_scale_ must be"),
        ("bits", "BitwiseRegressor.target_mean_", lambda a: a[:0], "target_mean_ is invalid"),
        ("bits", "BitwiseRegressor.target_scale_", lambda a: a * 0, "target_scale_ is invalid"),
        ("bits", "BitwiseRegressor.target_range_", lambda a: a[::-1], "target_range_ is invalid"),
        ("bits", "quantizer_.initial_thresholds_.0", lambda a: a.astype("f8"), "initial_thresholds_ must be float32"),
        ("budget", "allocation_.cap", lambda a: a[:1], "cap of allocation_"),
        ("values", "quantization.values", lambda a: a[:1], "values of the codes must be"),
        ("values", "quantization.values", lambda a: a + np.inf, "values of the codes must be finite"),
        ("floats", "quantization.mean", lambda a: a * NAN, "mean of the features must be finite"),
        ("floats", "quantization.scale", lambda a: a * 0, "scale of the features must be positive"),
        ("own", "head.weights.1.num_batches_tracked", lambda a: a.astype("f8"), "num_batches_tracked of the head must"),
        ("own", "head.weights.3.weight", lambda a: -a, "it gives other outputs"),
        ("own", "head.answers", lambda a: a[:1], "answers of the head must be"),
    ],
)
def test_arrays(name, array, change, message, saved, path):
    document, arrays = taken_apart(saved[name])
    [full] = [known for known in arrays if known.endswith(array)]
    arrays[full] = np.ascontiguousarray(change(arrays[full]))
    refuse(path, put_together(document, arrays), message, **({"head": Normed} if name == "own" else {}))


def test_arrays_too_many_and_too_few(saved, path):
    document, arrays = taken_apart(saved["bits"])
    refuse(path, put_together(document, {**arrays, "more": np.zeros(1)}), "'more' is not part of the estimator")
    for name in arrays:
        rest = {other: array for other, array in arrays.items() if other != name}
        refuse(path, put_together(document, rest), f"no array '{name}'")


@pytest.mark.parametrize("threshold", ["nan", "inf", "0x1.00000001p0", "1; import os"])
def test_thresholds(threshold, saved, path):
    document, arrays = taken_apart(saved["quantizer"])
    fitted = document["estimator"]["fitted"]
    book = json.loads(fitted["codebook_"]["codebook"])
    book["features"][0]["thresholds"][0] = threshold
    fitted["codebook_"]["codebook"] = json.dumps(book)
    refuse(path, put_together(document, arrays), "thresholds")


def test_sizes_are_not_claimed(saved, path):
    """A small file cannot ask for much memory: features of no thresholds beside a wide one are padded in a net."""
    document, arrays = taken_apart(saved["fixed"])
    fitted = document["estimator"]["fitted"]
    inner = fitted["quantizer_"]["fitted"]["fitted"]
    book = json.loads(inner["codebook_"]["codebook"])
    narrow = {"name": None, "thresholds": [], "levels": ["0x0p0"], "has_missing": False, "counts": None}
    wide = {**narrow, "thresholds": [float(i).hex() for i in range(19_999)], "levels": ["0x0p0"] * 20_000}
    book["features"] = [wide] + [narrow] * 14_000
    inner["codebook_"]["codebook"] = json.dumps(book)
    fitted["n_features_in_"] = inner["n_features_in_"] = 14_001
    arrays[fitted["feature_importances_"]["array"]] = np.zeros(14_001)
    refuse(path, put_together(document, arrays), "exceed what a net can hold")


def load_and_use(path, name):
    """Refuse it, or have an estimator that does all that one does."""
    try:
        loaded = load(path, **({"head": Normed} if name == "own" else {}))
    except ValueError:
        return
    X = np.zeros((2, 2))
    if hasattr(loaded, "feature_names_in_"):
        X = pd.DataFrame(X, columns=loaded.feature_names_in_)
    use = getattr(loaded, "predict", None) or loaded.transform
    with np.errstate(over="ignore", invalid="ignore"):  # weights that are wild are weights
        assert len(use(X)) == 2
        for rate in getattr(loaded, "rates_", ()):
            assert len(use(X, rate=rate)) == 2
    save(loaded, path)


def test_features_are_not_claimed(saved, path):
    """Before an array shows how many there are, nothing of that size is made."""
    document, arrays = taken_apart(saved["floats"])
    for claimed in (3, 10**12, 2**70):
        document["estimator"]["fitted"]["n_features_in_"] = claimed
        refuse(path, put_together(document, arrays), "mean of the features")


def test_more_text_than_a_file_holds(path):
    quantizer = UniformQuantizer(1).fit(pd.DataFrame({"a" * 51_000_000: [0.0, 1.0]}))
    with pytest.raises(ValueError, match=r"UniformQuantizer needs 10.* bytes of text, and a safetensors file holds 99"):
        save(quantizer, path)
    assert not path.exists()


KINDS = st.sampled_from(["bits", "budget", "fixed", "rates", "values", "floats", "own", "quantizer"])
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
FLIPS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 7)), min_size=1, max_size=3)


@fuzzed
@given(name=KINDS, flips=FLIPS)
def test_flipped_bits_are_refused_or_harmless(saved, path, name, flips):
    data = bytearray(saved[name])
    for at, bit in flips:
        data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    load_and_use(path, name)


def places(document, place=()):
    yield place
    parts = {}
    if isinstance(document, dict | list):
        parts = document if isinstance(document, dict) else dict(enumerate(document))
    for key, part in parts.items():
        yield from places(part, (*place, key))


ODD = [None, True, 0, -1, 2**70, 0.5, "", "os.system", [], [1], {}, {"dict": []}, {"tuple": []}, {"float": "nan"}]
ODD += [{"strings": ["a"]}, {"objects": [1, "a"]}, {"dict": [["a", 1], [1, 2]]}, {"tuple": [{"float": "inf"}]}]


@fuzzed
@given(name=KINDS, value=st.sampled_from(ODD), at=st.integers(0, 10**9))
def test_odd_values_are_refused_or_harmless(saved, path, name, value, at):
    document, arrays = taken_apart(saved[name])
    _, *inner = places(document)
    *keys, last = inner[at % len(inner)]
    part = document
    for key in keys:
        part = part[key]
    part[last] = value
    text = json.dumps(document)
    path.write_bytes(put_together(text, {name: array for name, array in arrays.items() if f'"{name}"' in text}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A file holds plain values")  # of a parameter that is now left out
        load_and_use(path, name)
