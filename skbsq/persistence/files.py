"""Save fitted estimators to files, and load them."""

import json
import os
import warnings
from inspect import signature

import numpy as np
from sklearn.utils.validation import check_is_fitted

import skbsq
from skbsq._files import atomic_write, read_arrays, safetensors_for
from skbsq.codebook.checks import check_guard, check_missing, check_n_bits
from skbsq.codebook.documents import NotPlain, from_document, to_document
from skbsq.codebook.json import check_keys, read
from skbsq.codebook.labels import without_pandas
from skbsq.nn.threads import serial_after_fork
from skbsq.persistence.fitted import check_attributes
from skbsq.thresholds.special import check_special
from skbsq.training.net_state import net_state
from skbsq.training.rate_state import rates_state

FORMAT = "skbsq-estimator"
VERSION = 1

# Readers of safetensors refuse a header of more than 100 MB. It holds the text and the names of the arrays.
_MAX_TEXT = 99_000_000

_NEEDS = "save and load need"

# Parameters added since version 0.1 whose default changes results, with the value that keeps the old results. `load`
# uses it for files older than the parameter.
# Text was an error then, and bools were numbers.
_OLD_DEFAULTS: dict = {"categorical_features": None}

# Parameters with values per feature, and the functions that check them.
_PER_FEATURE: dict = {
    "n_bits": check_n_bits,
    "missing": check_missing,
    "guard": check_guard,
    "special_values": check_special,
}

_QUANTIZERS = (
    *("UniformQuantizer", "QuantileQuantizer", "KMeansQuantizer", "TreeQuantizer", "ThresholdQuantizer"),
    *("BitwiseQuantizer", "SoftQuantizer", "LSQQuantizer", "LLTQuantizer"),
)
_PREDICTORS = ("BitwiseClassifier", "BitwiseRegressor")


def save(estimator, path):
    """Write a fitted estimator to a file of arrays and plain values.

    The file has the safetensors format, with JSON text in its metadata. It holds the codebook, the weights of the head,
    the mean and scale of the target, the history, and the parameters. `load` returns an estimator that predicts the
    same to the last bit and can be fitted again.

    The file contains no code. For a custom head it holds the weights, and you give the head to `load`. The file leaves
    out the metadata requests of ``set_fit_request`` and the batches of ``net_.history``.

    Parameters
    ----------
    estimator : BitwiseRegressor, BitwiseClassifier or a quantizer
        Fitted.
    path : str or path-like
        File to write. The write is atomic and replaces an existing file.

    Raises
    ------
    ValueError
        If the estimator is from another package, if class labels are neither numbers, bools nor strings, if the head
        has no weights, or if there are more thresholds than a file can hold, about 1.5 million.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ImportError
        If safetensors is not installed: ``pip install 'skbsq[save]'``.

    Warns
    -----
    UserWarning
        If a parameter other than `head` holds an object, such as a splitter or a RandomState. The file leaves it out.
        The loaded estimator predicts the same without it.

    See Also
    --------
    load : Read the file.
    skbsq.Codebook.to_json : Save only the codebook, which is all that a device needs.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.persistence import load, save
    >>> X, y = make_friedman1(100, random_state=0)
    >>> model = BitwiseRegressor(n_bits=2, max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save(model, path)
    ...     loaded = load(path)
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True
    """
    safetensors = safetensors_for(_NEEDS)
    name = type(estimator).__name__
    if not _is_ours(estimator, _QUANTIZERS + _PREDICTORS):
        raise ValueError(f"save writes fitted estimators of skbsq, got {name}: save the estimator of skbsq inside it.")
    check_is_fitted(estimator)
    arrays: dict[str, np.ndarray] = {}
    document = _estimator_document(estimator, name, arrays, fitted=True, names=_QUANTIZERS + _PREDICTORS)
    left_out = [parameter for parameter in document["left_out"] if parameter != "head"]
    if left_out:
        warnings.warn(
            f"A file holds only plain values, so it leaves out {', '.join(left_out)}. The loaded {name} predicts the "
            "same; pass them to load if you want to fit it again.",
            UserWarning,
            stacklevel=2,
        )
    text = json.dumps({"format": FORMAT, "version": VERSION, "estimator": document}, allow_nan=False)
    if (size := len(json.dumps(text))) > _MAX_TEXT:
        raise ValueError(
            f"This {name} needs {size} bytes of text, and a safetensors file holds {_MAX_TEXT}: lower n_bits, or save "
            "only its codebook with codebook_.to_json()."
        )
    with atomic_write(path) as part:
        part.write_bytes(safetensors.numpy.save(arrays, metadata={FORMAT: text}))


def load(path, *, head=None, **parameters):
    """Read a fitted estimator from a file that `save` wrote.

    Loading executes nothing from the file and checks all of it, so the file may come from anyone. Files of earlier
    versions load as well: a parameter that did not exist then gets the value that keeps the results of that version.

    Parameters
    ----------
    path : str or path-like
    head : nn.Module class or instance, callable, or skorch.NeuralNet, default=None
        The custom head of the saved estimator, which receives the saved weights.
    **parameters
        Other parameters that the file leaves out, see `save`. Default: those of the estimator.

    Returns
    -------
    BitwiseRegressor, BitwiseClassifier or a quantizer
        Fitted.

    Raises
    ------
    ValueError
        If the file is corrupt, was not written by `save`, or has an unknown version; or if `head` is missing or is not
        the saved one.
    ImportError
        If safetensors is not installed: ``pip install 'skbsq[save]'``.

    See Also
    --------
    save : Write the file.
    skbsq.Codebook.from_json : Read only a codebook, with NumPy alone.

    Examples
    --------
    >>> import os, tempfile
    >>> from skbsq import UniformQuantizer
    >>> from skbsq.persistence import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "quantizer.safetensors")
    ...     save(UniformQuantizer(n_bits=1).fit([[0.0], [4.0]]), path)
    ...     load(path).thresholds_
    [array([2.], dtype=float32)]
    """
    if head is not None:
        parameters["head"] = head
    try:
        text, arrays = read_arrays(safetensors_for(_NEEDS), path, FORMAT, "a file of save")
        document = read(text, "an estimator")
        check_keys(document, {"format", "version", "estimator"}, "the file")
        if document["format"] != FORMAT or type(document["version"]) is not int or document["version"] != VERSION:
            raise ValueError(
                f"{document['format']!r} of version {document['version']!r}; this skbsq reads {FORMAT!r} of {VERSION}."
            )
        estimator = _estimator_from(document["estimator"], arrays, _QUANTIZERS + _PREDICTORS, parameters, fitted=True)
        if arrays:
            raise ValueError(f"The array {next(iter(arrays))!r} is not part of the estimator.")
        if superfluous := sorted(parameters.keys() - _left_out(document["estimator"])):
            raise ValueError(f"it already holds {superfluous[0]!r}: do not pass it, or set it afterwards.")
    except RecursionError:
        raise ValueError(f"{path} is refused: its JSON is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from error
    return estimator


def _is_ours(estimator, names):
    name = type(estimator).__name__
    return name in names and type(estimator) is getattr(skbsq, name)


def _parameters_of(kind):
    return signature(kind).parameters


def _estimator_document(estimator, path, arrays, *, fitted, names=_QUANTIZERS):
    if not _is_ours(estimator, names):
        what = f"of type {type(estimator).__name__}, neither a plain value nor a quantizer of skbsq"
        raise NotPlain(f"{path} is {what}: it could only be pickled.")
    estimator._validate_params()
    parameters, left_out = {}, []
    for key, parameter in _parameters_of(type(estimator)).items():
        value, own = getattr(estimator, key), {}
        try:
            if key == "device" or isinstance(value, os.PathLike):
                value = str(value)
            parameters[key] = to_document(without_pandas(value), f"{path}.{key}", own, _unfitted_document)
            arrays.update(own)
        except NotPlain:
            if not fitted or parameter.default is parameter.empty:
                raise
            left_out.append(key)
    attributes = None
    if fitted:
        state = _state_of(estimator)
        if "init" in left_out and not isinstance(state.get("init_"), str):
            state.pop("init_", None)  # the same object as `init`
        if _needs_head(state.get("net_")) and "head" in parameters:  # set to None after fit
            del parameters["head"]
            left_out.append("head")
        attributes = {
            key: to_document(
                value, f"{path}.{key}", arrays, _fitted_document if key == "quantizer_" else _unfitted_document
            )
            for key, value in state.items()
        }
    return {"class": type(estimator).__name__, "parameters": parameters, "left_out": left_out, "fitted": attributes}


def _state_of(estimator):
    """Fitted attributes as arrays, plain values and other estimators."""
    state = estimator.__getstate__()
    if "net_" in state and not isinstance(state["net_"], dict):
        with serial_after_fork():
            state["net_"] = net_state(estimator)
            if "rates_" in state:
                state["rates_"] = rates_state(state["rates_"])
    known = estimator._required_attributes | estimator._optional_attributes
    return {key: value for key, value in state.items() if key in known}


def _needs_head(net):
    return net is not None and (net["training"] is None or net["head"]["dropout"] is None)


def _unfitted_document(value, path, arrays):
    return {"unfitted": _estimator_document(value, path, arrays, fitted=False)}


def _fitted_document(value, path, arrays):
    return {"fitted": _estimator_document(value, path, arrays, fitted=True)}


def _estimator_from(document, arrays, classes, given, *, fitted):
    check_keys(document, {"class", "parameters", "left_out", "fitted"}, "an estimator")
    name, left_out, attributes = document["class"], document["left_out"], document["fitted"]
    if type(name) is not str or name not in classes:
        raise ValueError(f"{name!r} is not one of {', '.join(classes)}.")
    kind = getattr(skbsq, name)
    known = _parameters_of(kind)
    if type(left_out) is not list or not all(type(key) is str and key in known for key in left_out):
        raise ValueError(f"left_out must list parameters of {name}, got {left_out!r}.")
    # A file may be older than a parameter.
    newer = {key for key, parameter in known.items() if parameter.default is not parameter.empty}
    check_keys(document["parameters"], known.keys() - set(left_out), f"the parameters of {name}", optional=newer)
    if fitted and "head" in left_out and "head" not in given:
        raise ValueError(f"this {name} has a custom head, which a file cannot hold: pass it, load(path, head=...).")
    absent = newer - document["parameters"].keys() - set(left_out)
    values = {key: value for key, value in _OLD_DEFAULTS.items() if key in absent}
    values |= {key: from_document(value, arrays, _unfitted_from) for key, value in document["parameters"].items()}
    values |= {key: given[key] for key in left_out if key in given}
    estimator = kind(**values)
    estimator._validate_params()
    if fitted != (type(attributes) is dict):
        raise ValueError(f"The {name} should {'' if fitted else 'not '}be fitted.")
    if fitted:

        def fitted_from(document, arrays):
            check_keys(document, {"fitted"}, "quantizer_")
            return _estimator_from(document["fitted"], arrays, _QUANTIZERS, given, fitted=True)

        attributes = {
            key: from_document(value, arrays, fitted_from if key == "quantizer_" else _unfitted_from)
            for key, value in attributes.items()
        }
        check_attributes(estimator, attributes)
        estimator.__setstate__({**vars(estimator), **attributes})
        # Only now is the number of features confirmed by arrays.
        for parameter, check in _PER_FEATURE.items():
            if parameter in document["parameters"]:
                features = attributes.get("feature_names_in_"), attributes["n_features_in_"]
                check(getattr(estimator, parameter), *features)
    return estimator


def _unfitted_from(document, arrays):
    check_keys(document, {"unfitted"}, "a value")
    return _estimator_from(document["unfitted"], arrays, _QUANTIZERS, {}, fitted=False)


def _left_out(document):
    """Parameters of the estimator, or of the quantizer in it, that the file leaves out."""
    inner = document["fitted"].get("quantizer_")
    return {*document["left_out"], *(_left_out(inner["fitted"]) if inner else ())}
