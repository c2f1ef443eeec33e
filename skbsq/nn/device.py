"""Where a net is trained, and where it predicts."""

import torch


def training_device(device):
    """The device that a parameter asks for.

    Parameters
    ----------
    device : str, torch.device or None
        "auto" is a GPU where torch finds one, else the CPU; None is the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        For one that torch does not know, that is not there, or that cannot train.

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
        raise ValueError(f"device {device!r} is not one torch knows: {error}") from None
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise ValueError(f'device {device!r} asks for a GPU, and torch finds {n_gpus or "none"}: use "cpu" or "auto".')
    if found.type not in ("cpu", "cuda"):
        _check_computes(found)
    return found


def _check_computes(device):
    """Refuse a device that is not there, holds no numbers ("meta") or has no float64 ("mps")."""
    try:
        torch.ones(1, dtype=torch.float64, device=device).item()
    except Exception as error:  # each backend raises its own: AssertionError, NotImplementedError, RuntimeError, ...
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device {str(device)!r} cannot train: thresholds get the units of X in float64, and it failed to hold one "
            f'such number ({reason}). Use "cpu", "cuda" or "auto".'
        ) from error


def prediction_device(device):
    """Where a fitted head is run: on the GPU that a parameter asks for, or the CPU where it is not there.

    A fitted net needs no GPU, so one that was trained on a GPU predicts wherever it is read.

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
    try:
        found = training_device(device)
    except ValueError:
        return torch.device("cpu")
    return found if found.type == "cuda" else torch.device("cpu")
