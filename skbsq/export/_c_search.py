"""How the C finds a code: it counts the thresholds below a value, or the entries that a count reaches. NumPy alone."""

# Up to this many thresholds, a linear search takes fewer instructions than bisection on a Cortex-M0+ and M4.
_MAX_LINEAR = 7

_BEGIN_LOOP = """\
    const uint32_t begin = NAME_READ(name_offsets + feature);
    uint32_t k = begin, end = NAME_READ(name_offsets + feature + 1);
"""
_LINEAR = """\
    while (k < end && NAME_READ(name_thresholds + k) {below})
        ++k;
    return k - begin;
"""
_BISECT = """\
    while (k < end) {{
        const uint32_t middle = k + (end - k) / 2;
        if (NAME_READ(name_thresholds + middle) {below})
            k = middle + 1;
        else
            end = middle;
    }}
    return k - begin;
"""

_BEGIN_STEPS = """\
    const uint32_t begin = NAME_READ(name_offsets + feature);
"""
_STEP = """\
    if (NAME_READ({entry}) {below})
        at += {passed};
"""
# Declared after the test for a missing value, it takes less flash.
_AT = """\
    const {key_type} *at = name_thresholds + begin;
"""
_RETURN = """\
    return NAME_CAST(uint32_t, at - name_thresholds) - begin;
"""


def of_features(source):
    """Write a search in the thresholds of any feature.

    If all features have the same number of thresholds, its steps stand one after the other. That takes half of the
    instructions of a loop, and about the same flash.

    Returns
    -------
    begin, search : str
        Declarations, and the search itself.
    n_keys : str
        C expression for the number of thresholds.
    """
    numbers = set(map(len, source.keys))
    if len(numbers) == 1 and (n := numbers.pop()):
        return _BEGIN_STEPS, _AT.format(key_type=source.key_type) + steps(n, source.below) + _RETURN, f"{n}u"
    search = _LINEAR if max(map(len, source.keys)) <= _MAX_LINEAR else _BISECT
    return _BEGIN_LOOP, search.format(below=source.below), "end - begin"


def steps(n, below):
    """Write a search that moves `at` beyond those of the n thresholds from there on that lie below the value."""
    entries = [("at" if entry == 0 else f"at + {entry}", passed) for entry, passed in plan(n)]
    return "".join(_STEP.format(entry=entry, below=below, passed=passed) for entry, passed in entries)


def plan(n):
    """List which of n thresholds a search compares, and how many it passes if the value exceeds that one.

    Examples
    --------
    >>> plan(7)
    [(3, 4), (1, 2), (0, 1)]
    >>> plan(6)  # beyond the fourth are only two: three remain to search, one of them again
    [(3, 3), (1, 2), (0, 1)]
    """
    entries = []
    while n:
        half = 2 ** (n.bit_length() - 1)
        entries.append((half - 1, n - half + 1))
        n = half - 1
    return entries
