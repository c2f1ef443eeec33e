"""What every command does alike."""

import importlib

import pytest

from benchmarks.__main__ import commands, main
from benchmarks.paper import budget


@pytest.mark.parametrize("name", commands())
def test_help(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"benchmarks.{name}.__main__")
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_index(capsys):
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(commands()) > 10
    assert all(len(line.split(maxsplit=3)) == 4 for line in lines)  # python -m benchmarks.NAME, and what it does


def test_what_a_command_cannot_do_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        budget.main(["--data-dir", str(tmp_path)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("There is no file")
