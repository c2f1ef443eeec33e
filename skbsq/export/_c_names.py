"""Names in the C: the prefix of a header, and what features are called in it."""

import json
import re
from collections import Counter

_IDENTIFIER = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
_KEYWORD = re.compile(
    # C11
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    "restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while|"
    # C++20
    "alignas|alignof|and|and_eq|asm|bitand|bitor|bool|catch|char8_t|char16_t|char32_t|class|co_await|co_return|"
    "co_yield|compl|concept|consteval|constexpr|constinit|const_cast|decltype|delete|dynamic_cast|explicit|export|"
    "false|friend|mutable|namespace|new|noexcept|not|not_eq|nullptr|operator|or|or_eq|private|protected|public|"
    "reinterpret_cast|requires|static_assert|static_cast|template|this|thread_local|throw|true|try|typeid|typename|"
    "using|virtual|wchar_t|xor|xor_eq"
)


def check_name(name):
    """Raise a ValueError unless a name can be the prefix of a header."""
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"name must be a C identifier of ASCII letters, digits and single underscores between them, got {name!r}."
        )
    if _KEYWORD.fullmatch(name):
        raise ValueError(f"name must not be a keyword of C or C++, got {name!r}.")


def identifiers(names):
    """Turn names into distinct ends of C identifiers.

    Examples
    --------
    >>> identifiers(["wind", "t (C)", "t [C]", "t_C_1", "%"])
    ['wind', 't_C_1', 't_C_2', 't_C_1_3', '4']
    """
    plain = [re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") for name in names]
    times, unique = Counter(plain), {}
    for j, identifier in enumerate(plain):
        if not identifier or times[identifier] > 1:
            identifier = f"{identifier}_{j}".strip("_")
        while identifier in unique:
            identifier += f"_{j}"
        unique[identifier] = j
    return list(unique)


def label(codebook, j):
    """Return the number and name of a feature for a C comment."""
    return str(j) if codebook.feature_names is None else f"{j} {quoted(codebook.feature_names[j])}"


def quoted(value):
    r"""Write text or another plain value for a C comment, in ASCII and on one line.

    Examples
    --------
    >>> print(quoted("*/ caf\N{LATIN SMALL LETTER E WITH ACUTE}"), quoted(True))
    "* / caf\u00e9" true
    """
    text = json.dumps(value)
    # Break up everything that begins or ends a comment, and trigraphs.
    for before, after in [(r"\*", "/"), ("/", r"\*"), (r"\?", r"\?")]:
        text = re.sub(f"({before})(?={after})", r"\1 ", text)
    return text
