"""Identity of a fit: everything that its result depends on."""

import hashlib
import re

import numpy as np
import sklearn
import skorch
import torch
from sklearn.base import BaseEstimator
from torch import nn

import skbsq
from skbsq.codebook.labels import without_pandas

# The identity holds only digests of these.
ROWS = ("X", "y", "sample_weight")
# Parameters that do not change the result, or that the identity holds under another name.
_NOT_COMPARED = {"checkpoint", "device", "encode", "verbose"}
_MAX_LISTED = 1000


def fit_identity(estimator, rows, device):
    """Describe everything that the result of a fit depends on.

    Parameters
    ----------
    estimator : BaseEstimator
    rows : Rows
    device : torch.device

    Returns
    -------
    dict of str to str
        Equal for identical fits, also in another process.
    """
    return {
        **{module.__name__: str(module.__version__) for module in (skbsq, np, sklearn, skorch, torch)},
        "estimator": type(estimator).__name__,
        "device": device.type,
        **_described_parameters(estimator),
        "feature names": repr(None if rows.names is None else rows.names.tolist()),
        "task": rows.task,
        "categories": repr({j: _digests_of(known) for j, known in rows.categories.items()}),
        "X": digest(rows.X),
        "y": digest(rows.y),
        "sample_weight": digest(rows.weights),
    }


def refit_identity(estimator, rows, device):
    """Describe everything that the result of a new head depends on, see `fit_identity`.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted.
    rows : Rows
    device : torch.device

    Returns
    -------
    dict of str to str
    """
    rates = vars(estimator).get("rates_")
    modules = [estimator.net_.module_] if rates is None else [found.module for found in rates.values()]
    layers = [digest(buffer.numpy()) for module in modules for buffer in module.quantization.buffers()]
    return {**fit_identity(estimator, rows, device), "codebooks": repr(layers)}


def _described_parameters(estimator):
    # A subclass may set a parameter of ours that its own constructor does not take.
    kinds = [
        kind
        for kind in type(estimator).__mro__
        if kind.__module__.partition(".")[0] == skbsq.__name__ and issubclass(kind, BaseEstimator)
    ]
    fixed = {name: getattr(estimator, name) for kind in kinds for name in kind._get_param_names()}
    given = {**fixed, **estimator.get_params(deep=False)}
    return {name: _described(value) for name, value in sorted(given.items()) if name not in _NOT_COMPARED}


def _described(value):
    """Text that is equal for equal parameters, also in another process.

    Code is identified by its name: no text tells whether it still does the same.
    """
    value = without_pandas(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return _described(value.tolist()) if value.size <= _MAX_LISTED else digest(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_described(item)}' for key, item in value.items())}}}"
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__  # fit changes its state; the checkpoint keeps the seed
    if isinstance(value, nn.Module):
        weights = [
            digest(_bytes_of(tensor)) for tensor in value.state_dict().values() if isinstance(tensor, torch.Tensor)
        ]
        return f"{structure_of(value)} {weights}"
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params"):
        return f"{type(value).__qualname__} {_described_parameters(value)}"
    return structure_of(value)


def structure_of(value):
    """The repr of an object such as a module, without memory addresses, which differ between processes."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _bytes_of(tensor):
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def _digests_of(categories):
    return digest(np.array(categories.names, dtype=object)), digest(categories.group)


def digest(array):
    """Digest of the values, type and shape of an array."""
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    if array.dtype.hasobject:
        found.update(repr(array.tolist()).encode())
    else:
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return found.hexdigest()[:16]
