"""What every command does alike."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks

ROOT = Path(benchmarks.__file__).parent
COMMANDS = sorted(path.stem for path in ROOT.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [*COMMANDS, "experiments.__main__"])
def test_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert caught.value.code == 0
    assert f"python -m benchmarks.{name.removesuffix('.__main__')}" in capsys.readouterr().out


def test_missing_folder_exits_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget", "--data-dir", str(tmp_path)],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("There is no file")
    assert "Traceback" not in done.stderr
