"""Write the C of a codebook as an Arduino library. NumPy alone."""

import re
import secrets
import shutil
from pathlib import Path

from skbsq.export._c import to_c

# The header lies in the include path of the compiler, where a file system may not tell "String.h" from "string.h".
_TAKEN = re.compile(
    "arduino|assert|complex|ctype|errno|fenv|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|"
    "stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype",
    re.IGNORECASE,
)
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){1,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
# The first line of library.properties, by which a folder is known again.
_MARK = "# Written by to_arduino of skbsq: it replaces this folder."

_PROPERTIES = """\
{mark}
name={name}
version={version}
author={author}
maintainer={author}
sentence=Turns sensor readings into the codes of the skbsq codebook {fingerprint}, packed rows and messages.
paragraph=No memory is allocated, and no floating-point arithmetic is used. The receiver needs the same codebook.
category=Data Processing
url={url}
architectures=*
includes={name}.h
"""

_EXAMPLE = """\
// Encodes a reading every second, and writes it as a message to the serial port. A receiver in Python reads it with
// skbsq.codec.read_messages, given the same codebook.

#include <{name}.h>

static {type} readings[{NAME}_FEATURES];
static uint8_t message[{NAME}_MESSAGE_BYTES(1)];

// Replace this by your sensors. The readings have the units of the codebook{units}.
static void readSensors()
{{
{sensors}\
}}

void setup()
{{
    Serial.begin(9600);
}}

void loop()
{{
    const size_t at = {name}_message_begin(message, 1);
    readSensors();
    // A row that is refused, because a sensor failed, must not be sent.
    if ({name}_encode(readings, message + at) == 0)
        Serial.write(message, {name}_message_end(message, 1));
    delay(1000);
}}
"""

_README = """\
# {name}

Turns sensor readings into the codes of the skbsq codebook {fingerprint}. Put this folder into the folder `libraries` of
your sketchbook, and open File > Examples > {name}.

The comment at the top of `src/{name}.h` lists the features, and those before its functions say what they do. This
folder was generated: `skbsq.export.to_arduino` replaces it. Keep your sketches elsewhere.
"""


def to_arduino(fitted, folder, name, *, version="1.0.0", author="unknown", url="unknown", **options):
    """Write an encoder as an Arduino library.

    The folder follows the Arduino library specification: ``library.properties``, the header of `to_c` in ``src``, an
    example that sends messages over the serial port, ``keywords.txt`` for the colors of the editor, and a README. Put
    it into the folder ``libraries`` of the sketchbook.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline that ends in one
        As in `to_c`.
    folder : path-like
        The library. A folder that this function wrote is replaced, in one step; any other must be empty or not exist.
    name : str
        Name of the library and its header, and prefix of every name in it, as in `to_c`.
    version : str, default="1.0.0"
        Version of the library, such as "1.2.0".
    author : str, default="unknown"
        Author and maintainer, as "Name <address>".
    url : str, default="unknown"
        Page of the library.
    **options
        Further parameters of `to_c`, such as `scale`, `optimize` or `decoder`.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        If there is something else in `folder`, if Arduino allows no library of that name, folder or version, or if
        `to_c` raises it.
    OSError
        If the folder cannot be written.
    sklearn.exceptions.NotFittedError
        If `fitted`, or a step of it, is not fitted.

    See Also
    --------
    to_c : The header alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skbsq import Codebook
    >>> from skbsq.export import to_arduino
    >>> book = Codebook.from_thresholds([[18.5, 25.0], [0.0]], feature_names=["temperature", "wind"])
    >>> with tempfile.TemporaryDirectory() as libraries:
    ...     folder = to_arduino(book, Path(libraries) / "hut", "hut")
    ...     print(*sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")))
    README.md examples/hut/hut.ino keywords.txt library.properties src/hut.h
    """
    header = to_c(fitted, name, **options)
    folder = Path(folder).absolute()
    _check(folder, name, version, author, url)
    files = _files(header, name, version=version, author=author, url=url)
    _check_replaceable(folder, name, set(files))
    _replace(folder, files)
    return folder


def _check(folder, name, version, author, url):
    if _TAKEN.fullmatch(name):
        raise ValueError(f"name must not be that of a header of C or Arduino, got {name!r}: take another one.")
    if len(name) > 63:
        raise ValueError(f"name must have at most 63 characters in an Arduino library, got {len(name)}.")
    if not _FOLDER.fullmatch(folder.name):
        raise ValueError(
            f"folder must end in a name that Arduino allows, which begins with a letter or digit and goes on with "
            f"letters, digits and '_.-', 63 at most, got {folder.name!r}."
        )
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError(f"version must be a version such as '1.2.0', got {version!r}.")
    for what, text in [("author", author), ("url", url)]:
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise ValueError(f"{what} must be a line of text, got {text!r}.")


def _files(header, name, **properties):
    """Return the text of each file by its path in the library."""
    fingerprint = re.search("Codebook ([0-9a-f]{16}) ", header)[1]
    value_type = re.search(rf"{name}_encode\(const (\w+) \*x", header)[1]
    names = {"name": name, "NAME": name.upper(), "fingerprint": fingerprint}
    return {
        "library.properties": _PROPERTIES.format(mark=_MARK, **names, **properties),
        "keywords.txt": _keywords(header, name),
        "README.md": _README.format(**names),
        f"src/{name}.h": header,
        f"examples/{name}/{name}.ino": _EXAMPLE.format(
            type=value_type,
            units=" or are counts of the converter" * (value_type != "float"),
            sensors=_sensors(header, name, value_type),
            **names,
        ),
    }


def _sensors(header, name, value_type):
    """Write a statement for each named feature, or a loop over the features."""
    features = re.findall(rf"#define ({name.upper()}_FEATURE_\w+) ", header)
    lines = [f"    readings[{feature}] = static_cast<{value_type}>(analogRead(A0));\n" for feature in features]
    return "".join(lines) or (
        f"    for (uint8_t i = 0; i < {name.upper()}_FEATURES; ++i)\n"
        f"        readings[i] = static_cast<{value_type}>(analogRead(A0));\n"
    )


def _keywords(header, name):
    r"""List types, functions and constants of a header; a tab is the separator.

    Examples
    --------
    >>> _keywords("#define HUT_READ(at)\n#define HUT_FEATURES 2\nstatic inline int hut_put(int i)\n", "hut")
    'hut_put\tKEYWORD2\nHUT_FEATURES\tLITERAL1\n'
    """
    upper = name.upper()
    types = re.findall(rf"^(?:}} |typedef uint\d+_t )({name}_\w+);", header, re.MULTILINE)
    functions = re.findall(rf"^static inline .*?\b({name}_\w+)\(", header, re.MULTILINE)
    constants = re.findall(rf"^#define ({upper}_(?!(?:CAST|TYPE_OF|FLASH|READ|COPY)\b)\w+)", header, re.MULTILINE)
    kinds = [(types, "KEYWORD1"), (functions, "KEYWORD2"), (constants, "LITERAL1")]
    return "".join(f"{word}\t{kind}\n" for words, kind in kinds for word in dict.fromkeys(words))


def _check_replaceable(folder, name, files):
    """Raise a ValueError if a folder holds anything but a library that `to_arduino` wrote under this name."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise ValueError(f"{folder} is no folder: remove it, or take another one.")
    found = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    if not found:
        return
    try:
        lines = (folder / "library.properties").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if lines[:2] != [_MARK, f"name={name}"]:
        raise ValueError(f"{folder} holds something other than the library {name} of to_arduino: take another folder.")
    if others := sorted(found - files):
        raise ValueError(
            f"{folder} holds {others[0]}, which to_arduino did not write: move it, or take another folder."
        )


def _replace(folder, files):
    """Write files into a new folder beside `folder`, which then takes its place."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    new, old = temporary / "new", temporary / "old"
    temporary.mkdir()
    try:
        for path, text in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
