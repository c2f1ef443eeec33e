"""Every public name has a numpydoc docstring that says what its signature says."""

import inspect

import pytest

import skbsq

validate = pytest.importorskip("numpydoc.validate").validate

CHECKS = {
    "GL01",  # text starts in the right place
    "GL02",  # and ends there
    "GL03",  # no double blank lines
    "GL06",  # known sections
    "GL07",  # in their order
    "GL08",  # a docstring at all
    "GL10",  # directives with two colons
    "SS01",  # a summary
    "SS02",  # with a capital letter
    "PR01",  # parameters documented
    "PR02",  # no others
    "PR03",  # in the order of the signature
    "PR10",  # "name : type"
    "SA04",  # a word on each See Also
}
CLASS_CHECKS = CHECKS | {"EX01"}  # an example


def is_ours(value):
    """Whether a function, method or property was written in this package."""
    for attribute in ("fget", "func", "__func__"):
        value = getattr(value, attribute, value)
    return callable(value) and str(getattr(value, "__module__", "")).startswith("skbsq.")


def members(cls):
    """Names of what the package defines on a class, but for overrides that keep the docstring of another package."""
    for name in dir(cls):
        versions = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
        if name.startswith("_") or not versions or not is_ours(versions[0]):
            continue
        if versions[0].__doc__ or not any(version.__doc__ for version in versions if not is_ours(version)):
            yield name


MODULES = [skbsq, *(getattr(skbsq, name) for name in skbsq._SUBMODULES)]


def public():
    for module in MODULES:
        for name in module.__all__:
            path, value = f"{module.__name__}.{name}", getattr(module, name)
            if inspect.isclass(value):
                yield path, CHECKS if issubclass(value, Exception) else CLASS_CHECKS
                for member in members(value):
                    yield f"{path}.{member}", CHECKS
            else:
                yield path, CHECKS


@pytest.mark.parametrize(("path", "checks"), [pytest.param(*case, id=case[0]) for case in public()])
def test_docstring(path, checks):
    problems = [f"{code}: {text}" for code, text in validate(path)["errors"] if code in checks]
    assert not problems, "\n".join(problems)
