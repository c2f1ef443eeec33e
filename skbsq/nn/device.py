"""Devices for training and prediction."""

from contextlib import suppress

import torch


def training_device(device):
    """Return the device that a parameter names.

    Parameters
    ----------
    device : str, torch.device or None
        "auto" is a GPU if torch finds one, else the CPU; None is the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If torch does not know the device or cannot find it, or if the device cannot train.

    Examples
    --------
    >>> from skbsq.nn.device import training_device
    >>> training_device("cpu")
    device(type='cpu')
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if n_gpus else "cpu"
    try:
        found = torch.device(device or "cpu")
    except RuntimeError as error:
        raise ValueError(f"torch does not know the device {device!r}: {error}") from None
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise ValueError(f'device {device!r} asks for a GPU, and torch finds {n_gpus or "none"}: use "cpu" or "auto".')
    if found.type not in ("cpu", "cuda"):
        _check_computes(found)
    return found


def _check_computes(device):
    """Reject a device that is absent, stores no numbers ("meta") or lacks float64 ("mps")."""
    try:
        torch.ones(1, dtype=torch.float64, device=device).item()
    except Exception as error:  # depends on the backend: AssertionError, NotImplementedError, RuntimeError, ...
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device {str(device)!r} cannot train: thresholds are converted to the units of X in float64, and the "
            f'device failed to store a float64 number ({reason}). Use "cpu", "cuda" or "auto".'
        ) from error


def prediction_device(device):
    """Return the device for predictions: the GPU that a parameter names, or the CPU if there is no such GPU.

    A fitted net needs no GPU: a net trained on a GPU predicts on any machine.

    Parameters
    ----------
    device : str, torch.device or None

    Returns
    -------
    torch.device

    Examples
    --------
    >>> from skbsq.nn.device import prediction_device
    >>> prediction_device("cuda:99")
    device(type='cpu')
    """
    with suppress(ValueError):
        found = training_device(device)
        if found.type == "cuda":
            return found
    return torch.device("cpu")
