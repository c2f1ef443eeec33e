"""What all commands have in common."""

import importlib

import pytest

from benchmarks.__main__ import commands, main

# Commands that load data sets, with the arguments they need.
LOADING = {
    **{
        "paper": [],
        "paper.budget": [],
        "paper.small": ["--dataset", "german"],
        "paper.losses": [],
        "paper.lossless": [],
        "paper.mixed": [],
        "paper.rates": [],
        "device.traffic": [],
        "device.change": [],
        "device.streams": [],
    },
    **{"experiments": ["start"], "speed": ["--parts", "train"]},
}


def module_of(name):
    module = importlib.import_module(f"benchmarks.{name}")
    return importlib.import_module(f"benchmarks.{name}.__main__") if hasattr(module, "__path__") else module


@pytest.mark.parametrize("name", commands())
def test_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        module_of(name).main(["--help"])
    assert caught.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_index(capsys):
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(commands()) > 10
    assert all(len(line.split(maxsplit=3)) == 4 for line in lines)  # python -m benchmarks.NAME, and a sentence


@pytest.mark.parametrize("name", LOADING)
def test_an_error_is_one_sentence(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        module_of(name).main([*LOADING[name], "--data-dir", str(tmp_path)])
    assert caught.value.code == 2
    assert "There is no file" in capsys.readouterr().err
