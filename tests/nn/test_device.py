"""Devices: which device a parameter means, and that results stay on the device of the input."""

import numpy as np
import pytest
import torch

from skbsq import BitwiseRegressor, Codebook
from skbsq import nn as sq
from skbsq.nn.device import prediction_device, training_device

HAS_GPU = torch.cuda.is_available()
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a GPU")

THRESHOLDS = [np.float32([-1, 0, 1]), np.linspace(-2, 2, 15, dtype=np.float32), np.float32([])]
MOMENTS = dict(mean=np.zeros(3), scale=np.ones(3))
MISSING = np.array([True, False, True])
CODEBOOK = Codebook.from_thresholds(THRESHOLDS, missing="code")
LAYERS = {
    "bits": lambda: sq.BitwiseQuantization(THRESHOLDS, space=sq.StandardSpace(**MOMENTS), has_missing=MISSING),
    "SQ+": lambda: sq.SoftQuantization(THRESHOLDS, **MOMENTS, has_missing=MISSING, learn_values=True),
    "LSQ": lambda: sq.LSQQuantization([4, 8, 1], [1.0] * 3, **MOMENTS, has_missing=MISSING),
    "LLT": lambda: sq.LLTQuantization([5, 2, 1], [1.0] * 3, **MOMENTS, has_missing=MISSING),
    "thermometer": lambda: sq.Thermometer(CODEBOOK),
    "values": lambda: sq.CodeValues(CODEBOOK, [np.zeros(t.size + 1, dtype=np.float32) for t in THRESHOLDS]),
    "floats": lambda: sq.Standardization(**MOMENTS, indicators=True),
}


def net_of(layer):
    """With the default head, which in training also reads levels."""
    n = layer(torch.zeros(1, 3)).shape[1]
    head, column_map = sq.MLP(n, 2, hidden_sizes=(4,)), None
    if hasattr(layer, "set_column_map"):
        column_map = np.arange(n)
        head[0] = sq.LevelLinear(head[0], column_map % 3, np.ones(n), np.zeros(3))
    return sq.JointNet(layer, head, column_map=column_map)


@pytest.mark.parametrize("name", LAYERS)
def test_training_stays_on_the_device_of_its_input(name):
    """On the meta device, which computes shapes and rejects tensors of the CPU as a GPU does."""
    net = net_of(LAYERS[name]()).to("meta")
    out = net(torch.zeros(7, 3, device="meta"))
    out.sum().backward()
    assert out.device.type == "meta"
    assert {p.grad.device.type for p in net.parameters() if p.grad is not None} == {"meta"}


@pytest.mark.parametrize("name", ["thermometer", "values"])
def test_decoding_stays_on_the_device_of_the_codes(name):
    net = net_of(LAYERS[name]()).to("meta").eval()
    with torch.inference_mode():
        assert net.decoder("meta")(torch.zeros(7, 3, dtype=torch.int32, device="meta")).device.type == "meta"
    assert net(torch.zeros(7, 3, device="meta")).device.type == "meta"


def test_a_row_needs_more_memory_if_bits_are_not_a_table():
    net = net_of(sq.Thermometer(CODEBOOK))
    assert net.row_floats() == 4
    assert net.row_floats("meta") == CODEBOOK.n_columns


@pytest.mark.parametrize(("given", "found"), [("cpu", "cpu"), (None, "cpu"), (torch.device("cpu"), "cpu")])
def test_devices(given, found):
    assert training_device(given) == prediction_device(given) == torch.device(found)


def test_auto_takes_a_gpu_where_there_is_one():
    assert training_device("auto").type == prediction_device("auto").type == ("cuda" if HAS_GPU else "cpu")


def test_auto_and_indices_with_two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert training_device("auto") == torch.device("cuda")
    assert training_device("cuda:1") == prediction_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="'cuda:2' asks for a GPU, and torch finds 2: use"):
        training_device("cuda:2")
    assert prediction_device("cuda:2") == torch.device("cpu")


@without_gpu
@pytest.mark.parametrize("given", ["cuda", "cuda:0", torch.device("cuda", 1)])
def test_a_gpu_that_is_not_there(given):
    with pytest.raises(ValueError, match='asks for a GPU, and torch finds none: use "cpu" or "auto"'):
        training_device(given)
    assert prediction_device(given) == torch.device("cpu")


@pytest.mark.parametrize("given", ["gpu", "meta", "xpu", "hpu", "mps", torch.device("meta")])
def test_devices_that_cannot_train(given):
    """Backends fail in different ways: with AssertionError, NotImplementedError or RuntimeError."""
    if getattr(torch, "xpu", None) is not None and torch.xpu.is_available() and given == "xpu":
        pytest.skip("there is an Intel GPU")
    message = r"device '\w+' cannot train: .*float64.*Use \"cpu\", \"cuda\" or \"auto\""
    if given == "gpu":
        message = "torch does not know the device 'gpu'"
    with pytest.raises(ValueError, match=message):
        BitwiseRegressor(device=given, max_epochs=1).fit([[0.0], [1.0]], [0.0, 1.0])
    assert prediction_device(given) == torch.device("cpu")
