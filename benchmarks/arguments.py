"""Arguments of the commands: the same name, type and help text everywhere."""

import argparse
from pathlib import Path

from benchmarks.datasets import FRIED_ROWS, NAMES

SEEDS = (42, 43, 44)


def positive(text):
    """Argument type: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


_DATA_DIR = "folder of the <name>.csv.gz files (default: the variable SKBSQ_DATA_DIR; if it is not set, a download)"
_OUTPUT = "append each row here once measured; a rerun skips the rows it finds (default: %(default)s)"
_ARGUMENTS: dict[str, dict] = {
    "dataset": {"nargs": "+", "metavar": "NAME", "help": f"of {', '.join(NAMES)}"},
    "data_dir": {"metavar": "DIR", "help": _DATA_DIR},
    "n_samples": {"type": positive, "metavar": "N", "help": f"rows of fried (default: {FRIED_ROWS})"},
    "bits": {"type": positive, "nargs": "+", "metavar": "B", "help": "per feature"},
    "seeds": {"type": int, "nargs": "+", "metavar": "SEED", "help": "one per split"},
    "hidden_sizes": {"type": positive, "nargs": "+", "metavar": "UNITS", "help": "of the head"},
    "max_epochs": {"type": positive, "metavar": "N", "help": "of every fit (default: that of its method)"},
    "n_jobs": {"type": int, "metavar": "N", "help": "processes (default: %(default)s)"},
    "threads": {"type": positive, "metavar": "N", "help": "threads of torch (default: as torch chooses)"},
    "output": {"type": Path, "metavar": "CSV", "help": _OUTPUT},
}


def make_parser(spec, description, *optional, **defaults):
    """Make the parser of a command.

    Parameters
    ----------
    spec : ModuleSpec
        ``__spec__`` of the module of the command.
    description : str
        ``__doc__`` of that module.
    *optional : str
        Names of common arguments without a default, such as ``"data_dir"`` for ``--data-dir``.
    **defaults
        Defaults of other common arguments, such as ``bits=[2, 4]`` for ``--bits``.

    Returns
    -------
    ArgumentParser
    """
    name = spec.name.removesuffix(".__main__")
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description, formatter_class=layout)
    for argument, default in {**dict.fromkeys(optional), **defaults}.items():
        parser.add_argument(f"--{argument.replace('_', '-')}", default=default, **_ARGUMENTS[argument])
    return parser


def add_output_dir(parser: argparse.ArgumentParser, files, default="out"):
    """Add the argument ``--output-dir``, the folder of the named files."""
    parser.add_argument(
        "--output-dir", type=Path, default=Path(default), metavar="DIR", help=f"of {files} (default: %(default)s)"
    )


def add_parts(parser: argparse.ArgumentParser, parts):
    """Add the argument ``--parts``, by default all of them."""
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=parts, metavar="PART", help="of %(choices)s")


def add_number(parser: argparse.ArgumentParser, name, default, text):
    """Add an argument that is an integer of at least 1, or several of them if the default is a list."""
    several = "+" if isinstance(default, list) else None
    text = f"{text} (default: %(default)s)"
    parser.add_argument(name, type=positive, nargs=several, default=default, metavar="N", help=text)


def given(arguments, *names):
    """Select the named arguments that were given.

    Parameters
    ----------
    arguments : Namespace
    *names : str

    Returns
    -------
    dict
    """
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}
