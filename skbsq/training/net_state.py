"""Convert the net and the frames of a fitted estimator to arrays and plain values, and back.

``__getstate__`` uses this for pickle and skops, and `skbsq.persistence` for its files. The result holds no object of
torch or skorch, and of the training it keeps only the history. The way back checks everything, because it may read an
untrusted file.
"""

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from torch import nn

from skbsq.codebook.checks import check_names
from skbsq.codebook.json import check_keys
from skbsq.nn.heads import MLP
from skbsq.nn.joint import JointNet
from skbsq.nn.layers import Standardization, Thermometer
from skbsq.nn.losses import LOSSES, RegressionLoss, criterion_type, row_criterion
from skbsq.nn.randomness import own_randomness
from skbsq.nn.values import CodeValues
from skbsq.training.loop import restore_fitted_net
from skbsq.training.nets import default_net, head_of, net_of
from skbsq.training.recipe import Recipe

_CPU = torch.device("cpu")
_TASKS = {**dict.fromkeys(LOSSES.values(), "regression"), nn.CrossEntropyLoss: "classification"}
_NAMES = {kind: name for name, kind in LOSSES.items()}
# Fitted attributes that are frames: the types of their columns, and whether they have one row per feature.
_FRAMES: dict[str, tuple[dict[str, str], bool]] = {
    "allocation_": ({"n_bits": "i8", "cap": "i8", "loss_if_dropped": "f8", "loss_of_one_bit_less": "f8"}, True),
    "length_search_": ({"epochs": "i8", "steps": "i8", "loss": "f8", "share": "f8"}, False),
}
# A custom head predicts this many rows, which tell it from another head with weights of the same shapes.
_PROBE_ROWS = 4
# A layer pads every feature to the largest number of levels. Beyond a gigabyte the file is an attack, not a model.
_MAX_PADDED = 2**28


def plain_state(estimator, attributes):
    """Replace the net and the frames among fitted attributes by arrays and plain values.

    A net with a custom head stays as it is, because only the user's code can build it again.

    Parameters
    ----------
    estimator : LearnedEstimator
    attributes : dict
        Changed in place.

    Returns
    -------
    dict
    """
    if "net_" in attributes:
        if attributes["net_"] is getattr(attributes.get("quantizer_"), "net_", None):
            del attributes["net_"]  # the quantizer stores it
        elif estimator.head is None and _is_default(attributes["net_"]):
            attributes["net_"] = net_state(estimator)
    for name in _FRAMES:
        if isinstance(frame := attributes.get(name), pd.DataFrame):
            attributes[name] = _frame_state(frame)
    return attributes


def restore(estimator):
    """Rebuild in place what `plain_state` replaced.

    Parameters
    ----------
    estimator : LearnedEstimator

    Raises
    ------
    ValueError
        If the state is not one that `plain_state` makes.
    """
    attributes = vars(estimator)
    if isinstance(state := attributes.get("net_"), dict):
        estimator.net_ = net_from(state, estimator)
    elif "net_" not in attributes and hasattr(attributes.get("quantizer_"), "net_"):
        estimator.net_ = attributes["quantizer_"].net_
    for name in _FRAMES:
        if isinstance(state := attributes.get(name), dict):
            attributes[name] = _frame_from(state, name, estimator.n_features_in_)


def net_state(estimator):
    """Convert the net of a fitted estimator.

    Parameters
    ----------
    estimator : LearnedEstimator

    Returns
    -------
    dict
        Nested dicts of arrays, numbers and strings.

    Raises
    ------
    ValueError
        If weights of the head have a type that NumPy lacks, or if the head has no weights.
    """
    net = estimator.net_
    layer, column_map = net.module_.quantization, net.module_.column_map
    return {
        "quantization": _quantization_state(layer, column_map),
        "head": _head_state(net.module_.head, _n_inputs(layer, column_map)),
        "training": _training_state(net),
        "history": _columns(net.history),
    }


def net_from(state, estimator):
    """Rebuild the net from the result of `net_state`, ready to predict.

    Parameters
    ----------
    state : dict
    estimator : LearnedEstimator
        With its other fitted attributes, and with `head` if the net has a custom head.

    Returns
    -------
    skorch.NeuralNet

    Raises
    ------
    ValueError
        If the parts of the state contradict each other, or if `head` is not the saved one.
    """
    check_keys(state, {"quantization", "head", "training", "history"}, "the net")
    n_outputs = estimator.target_mean_.size
    layer, column_map = _quantization_from(state["quantization"], estimator)
    head = _head_from(state["head"], _n_inputs(layer, column_map), n_outputs, estimator)
    module = JointNet(layer, head, column_map=column_map)
    return _fitted_net(module, state["training"], _rows(state["history"]), estimator)


def net_around(module, estimator):
    """Build a net like that of a fitted estimator around another trained module.

    Parameters
    ----------
    module : JointNet
    estimator : LearnedEstimator
        It stays as it is.

    Returns
    -------
    skorch.NeuralNet
        With the history of the estimator.

    Raises
    ------
    ValueError
        If the net of the estimator was a skorch net that is no longer its `head`.
    """
    net = estimator.net_
    return _fitted_net(module, _training_state(net), net.history, estimator)


def _fitted_net(module, training, history, estimator):
    if training is not None:
        net = default_net(module, **_checked_training(training))
    elif isinstance(estimator.head, NeuralNet):
        net = net_of(Recipe.of(estimator), module, None, estimator.target_mean_.size, device=_CPU)
    else:
        raise ValueError(f"head was a skorch net, whose criterion and class are needed, got {estimator.head!r}.")
    restore_fitted_net(net, history)
    return net


def _is_default(net):
    """Whether the head and the training of a net are the defaults of this package."""
    head = net.module_.head
    return type(head) is MLP and _dropout_of_default(head) is not None and _training_state(net) is not None


def _quantization_state(layer, column_map):
    if isinstance(layer, Thermometer):
        return {"kind": "bits", "column_map": column_map.numpy()}
    if isinstance(layer, CodeValues):
        return {"kind": "values", "values": layer.values.numpy()}
    mean, scale = layer.space.mean.numpy(), layer.space.scale.numpy()
    indicators = np.isin(np.arange(mean.size), layer.missing.numpy())
    # The form of the first files, unless features differ.
    indicators = bool(indicators[0]) if (indicators == indicators[0]).all() else indicators
    return {"kind": "floats", "mean": mean, "scale": scale, "indicators": indicators}


def _quantization_from(state, estimator):
    kind, d = state.get("kind") if isinstance(state, dict) else state, estimator.n_features_in_
    if kind == "floats" and getattr(estimator, "quantizer_", estimator) is None:
        check_keys(state, {"kind", "mean", "scale", "indicators"}, "the quantization")
        mean, scale = (checked(state[name], "f8", (d,), f"{name} of the features") for name in ("mean", "scale"))
        indicators = state["indicators"]
        if type(indicators) is not bool:
            indicators = checked(indicators, "?", (d,), "indicators of the features")
        if not (scale > 0).all():
            raise ValueError("The scale of the features must be positive.")
        return Standardization(mean=mean, scale=scale, indicators=indicators), None
    if kind not in ("bits", "values") or getattr(estimator, "quantizer_", estimator) is None:
        raise ValueError(f"A net that reads {kind!r} does not fit this {type(estimator).__name__}.")
    book = estimator.codebook_
    widest = int(book.n_levels.max())
    if book.n_features * widest > _MAX_PADDED:
        raise ValueError(f"{book.n_features} features with up to {widest} levels exceed what a net can hold.")
    if kind == "values":
        check_keys(state, {"kind", "values"}, "the quantization")
        return CodeValues(book, checked(state["values"], "f4", (d, widest), "values of the codes")), None
    check_keys(state, {"kind", "column_map"}, "the quantization")
    column_map = checked(state["column_map"], "i8", (None,), "column_map")
    if not column_map.size or column_map.min() < -1 or column_map.max() >= book.n_columns:
        raise ValueError(f"column_map must hold columns from -1 to {book.n_columns - 1}, and at least one.")
    return Thermometer(book), column_map


def _n_inputs(layer, column_map):
    return layer.n_columns if column_map is None else len(column_map)


def _head_state(head, n_inputs):
    try:
        weights = {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"head {type(head).__name__} has weights that NumPy cannot hold: {error}") from None
    if not any(True for _ in head.parameters()):
        raise ValueError(f"head {type(head).__name__} has no weights, so there is nothing to save.")
    dropout = _dropout_of_default(head)
    return {"dropout": dropout, "answers": _answers(head, n_inputs) if dropout is None else None, "weights": weights}


def _dropout_of_default(head):
    """Dropout of the default head; None for a custom head."""
    dropout = next((module.p for module in head.modules() if isinstance(module, nn.Dropout)), 0.0)
    is_default = type(head) is MLP and repr(head) == repr(_empty_mlp(head.state_dict(), dropout))
    return float(dropout) if is_default else None


def _head_from(state, n_inputs, n_outputs, estimator):
    check_keys(state, {"dropout", "answers", "weights"}, "the head")
    dropout, weights = state["dropout"], state["weights"]
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError("The weights of the head must have names.")
    if dropout is None:
        return _custom_head(state, n_inputs, n_outputs, estimator)
    if not isinstance(dropout, float) or not 0 <= dropout < 1 or state["answers"] is not None:
        raise ValueError(f"The dropout of the head must be a number from 0 to 1, got {dropout!r}.")
    # Sizes come from the weights in the file, never from a number that the file merely states.
    size, tensors = n_inputs, {}
    for name, array in weights.items():
        array = checked(array, "f4", (None, size) if name.endswith("weight") else (size,), f"{name} of the head")
        size, tensors[name] = len(array), torch.from_numpy(array)
        if not size:
            raise ValueError(f"The {name} of the head is empty.")
    head = _empty_mlp(weights, dropout) if size == n_outputs and tensors else None
    if head is None or list(head.state_dict()) != list(tensors):
        raise ValueError(f"The weights of the head are not those of layers that end in {n_outputs} outputs.")
    head.load_state_dict(tensors, assign=True)
    return head


def _empty_mlp(weights, dropout):
    """The default head for weights of these shapes. It allocates no memory and draws no random number."""
    sizes = [len(array) for name, array in weights.items() if array.ndim == 2] or [0]
    n_inputs = next((array.shape[1] for array in weights.values() if array.ndim == 2), 0)
    with torch.device("meta"):
        return MLP(n_inputs, sizes[-1], hidden_sizes=sizes[:-1], dropout=dropout)


def _custom_head(state, n_inputs, n_outputs, estimator):
    """Build the custom head again, with the saved weights."""
    if estimator.head is None:
        raise ValueError("The net has a custom head, and there is none to load the weights into: give head.")
    with own_randomness(0, _CPU):
        head = head_of(Recipe.of(estimator), n_inputs, n_outputs)
    made = head.state_dict()
    if unlike := sorted(made.keys() ^ state["weights"].keys()):
        where = "head" if unlike[0] in made else "the saved head"
        raise ValueError(f"head is not the one that was saved: only {where} has {unlike[0]!r} among its weights.")
    weights = {}
    for name, tensor in made.items():
        array = checked(
            state["weights"][name], tensor.numpy().dtype, tuple(tensor.shape), f"{name} of the head", finite=False
        )
        weights[name] = torch.from_numpy(array)
    head.load_state_dict(weights)
    answers = checked(state["answers"], "f4", (_PROBE_ROWS, n_outputs), "answers of the head", finite=False)
    found = _answers(head, n_inputs)
    if not np.allclose(found, answers, rtol=1e-3, atol=1e-3 * np.abs(answers).max(), equal_nan=True):
        raise ValueError(
            "head is not the one that was saved: its weights have the same shapes, but it gives other outputs."
        )
    return head


def _answers(head, n_inputs):
    """Outputs of a head for a few fixed rows of bits."""
    bits = np.random.RandomState(0).randint(0, 2, size=(_PROBE_ROWS, n_inputs)).astype(np.float32)
    training = head.training
    head.eval()
    try:
        with torch.inference_mode():
            return head(torch.from_numpy(bits)).float().numpy()
    finally:
        head.train(training)


def _training_state(net):
    """Training parameters of a default net; None for a custom skorch net, which only the user can build."""
    ours = type(net) is NeuralNet and net.optimizer is torch.optim.AdamW and net.predict_nonlinearity == "auto"
    task = _TASKS.get(criterion_type(net))
    if not ours or task is None:
        return None
    criterion = row_criterion(net)
    loss = RegressionLoss(_NAMES[type(criterion)], float(getattr(criterion, "quantile", 0.5)))
    if getattr(criterion, "delta", 1.0) != 1.0:
        return None
    return {
        "task": task,
        # A squared error is left out, as in files from before there were other losses.
        **({} if loss == RegressionLoss() else {"loss": loss.name, "quantile": loss.quantile}),
        "lr": float(net.lr),
        "max_epochs": int(net.max_epochs),
        "batch_size": int(net.batch_size),
        "weight_decay": float(net.get_params_for("optimizer").get("weight_decay", 0.01)),
    }


def _checked_training(state):
    kinds = {"task": str, "loss": str, "quantile": float}
    kinds |= {"lr": float, "max_epochs": int, "batch_size": int, "weight_decay": float}
    check_keys(state, kinds.keys(), "the training of the net", optional={"loss", "quantile"})
    state = {"loss": "squared_error", "quantile": 0.5, **state}
    words = {"task": _TASKS.values(), "loss": LOSSES}
    for name, kind in kinds.items():
        value = state[name]
        if type(value) is not kind or (value not in words[name] if kind is str else not 0 <= value < np.inf):
            raise ValueError(f"The {name} of the net is invalid: {value!r}.")
    loss = RegressionLoss(state.pop("loss"), state.pop("quantile"))
    return {**state, "loss": loss}


def _columns(history):
    """The history as one array per recorded quantity, without batches and without values that are not numbers."""
    rows = [{name: value for name, value in row.items() if name != "batches"} for row in history]
    columns = {name: np.asarray([row.get(name) for row in rows]) for name in rows[0]}
    return {name: column for name, column in columns.items() if column.ndim == 1 and column.dtype.kind in "biuf"}


def _rows(columns):
    if not isinstance(columns, dict):
        raise ValueError(f"The history must have columns, got {columns!r}.")
    columns = {
        name: checked(column, None, (None,), f"history of {name}", finite=False) for name, column in columns.items()
    }
    if "epoch" not in columns or "batches" in columns or len({len(column) for column in columns.values()}) != 1:
        raise ValueError("The history must hold a number per epoch in each of its columns, and the epochs.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def _frame_state(frame):
    columns = {name: frame[name].to_numpy() for name in frame}
    return (
        columns if frame.index.name is None else {**columns, frame.index.name: np.array(list(frame.index), dtype="O")}
    )


def _frame_from(state, name, d):
    dtypes, indexed = _FRAMES[name]
    check_keys(state, dtypes.keys() | ({"feature"} if indexed else set()), name)
    n_rows = d if indexed else None
    columns = {
        column: checked(state[column], dtype, (n_rows,), f"{column} of {name}", finite=False)
        for column, dtype in dtypes.items()
    }
    if not indexed:
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError(f"The columns of {name} differ in length.")
        return pd.DataFrame(columns)
    names = check_names(checked(state["feature"], "O", (d,), f"features of {name}"))
    return pd.DataFrame(columns, index=pd.Index(list(names), name="feature"))


def checked(array, dtype, shape, what, *, finite=True):
    """Check the type and shape of an array, and copy it in the byte order of the machine.

    Parameters
    ----------
    array : object
    dtype : dtype-like or None
        None: any numeric type.
    shape : tuple of int or None
        None stands for any length.
    what : str
        What the message calls the array.
    finite : bool, default=True
        Refuse NaN and infinities.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If it is not such an array.
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"The {what} must be an array, got {type(array).__name__}.")
    native = array.dtype.newbyteorder("=")
    right = native.kind in "biuf" if dtype is None else native == np.dtype(dtype)
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not right or not fits:
        wanted = f"{'numbers' if dtype is None else np.dtype(dtype)} of shape {shape}".replace("None", "*")
        raise ValueError(f"The {what} must be {wanted}, got {array.dtype} of shape {array.shape}.")
    if finite and native.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"The {what} must be finite.")
    return np.array(array, dtype=native, order="C")
