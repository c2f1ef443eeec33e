"""How a model reads codes: which codebooks its codes have, and how it is called. Readers are recognised by what they
have, so that none of their packages is imported.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.origin import codes_of_origin, has_codes_of
from skbsq.codec import RowCodec
from skbsq.codec.encodings import encoded
from skbsq.export import to_codebook

METHODS = ("predict", "predict_proba")


@dataclass(frozen=True, eq=False)
class Way:
    """A way from codes to predictions.

    Parameters
    ----------
    codebook : Codebook
        Codebook of the codes that are received.
    inner : Codebook
        Codebook of the codes that the model reads: `codebook`, or the one from which it was folded.
    call : callable
        ``call(codes, method)`` returns predictions for codes of `inner`.
    """

    codebook: Codebook
    inner: Codebook
    call: Any

    def predict(self, codes, method):
        """Return the predictions for codes of `codebook`, one per row."""
        if method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
        if self.inner.fingerprint != self.codebook.fingerprint:
            codes = codes_of_origin(self.codebook, self.inner, codes)
        predictions = np.asarray(self.call(codes, method))
        if predictions.shape[:1] != (len(codes),):
            raise ValueError(
                f"{self.call!r} returned an array of shape {predictions.shape} for {len(codes)} rows: a reader returns "
                "one prediction per row."
            )
        return predictions


def ways_of(reader, codebook=None):
    """Find out how a reader is called.

    Parameters
    ----------
    reader : object
        As for `skbsq.receiver.Receiver.add`.
    codebook : Codebook, default=None

    Returns
    -------
    list of Way
        One per rate, the finest first.
    """
    if codebook is not None:
        RowCodec(codebook)  # refuses anything else
    model = getattr(reader, "best_estimator_", reader)  # of a search
    steps = _flat_steps(model)
    known = [k for k, step in enumerate(steps) if isinstance(getattr(step, "codebook_", None), Codebook)]
    if not known:
        return [_way_of_codes(model, codebook)]
    before, quantizer, behind = steps[: known[-1]], steps[known[-1]], steps[known[-1] + 1 :]
    calls = _calls(quantizer, behind)
    if codebook is None:
        return [Way(_folded(before, book), book, call) for book, call in calls]
    for book, call in calls:
        if has_codes_of(codebook, book):
            return [Way(codebook, book, call)]
    raise ValueError(
        f"codebook (fingerprint {codebook.fingerprint.hex()}) is none of those of this {type(model).__name__}, nor "
        "folded from one of them. Leave it out, or fold the pipeline of this model again with "
        "skbsq.export.to_codebook."
    )


def _flat_steps(model):
    """Return the steps of a pipeline that do something, those of nested pipelines included."""
    if model is None or isinstance(model, str):
        return []  # "passthrough"
    if not isinstance(getattr(model, "steps", None), list):
        return [model]
    return [flat for _, step in model.steps for flat in _flat_steps(step)]


def _pipeline(steps):
    from sklearn.pipeline import Pipeline  # not at the top, because a gateway has no scikit-learn

    return Pipeline([(str(k), step) for k, step in enumerate(steps)])


def _folded(before, book):
    return to_codebook(_pipeline([*before, book])) if before else book


def _calls(quantizer, behind):
    """Return the codebooks of a fitted estimator of skbsq, each with what reads its codes."""
    if behind:
        model = behind[0] if len(behind) == 1 else _pipeline(behind)
        return [(quantizer.codebook_, _Behind(quantizer, model))]
    if not hasattr(quantizer, "predict_codes"):
        raise TypeError(
            f"{type(quantizer).__name__} predicts nothing: add the model that reads its codes, with "
            "codebook=quantizer.codebook_."
        )
    rates = quantizer.codebooks_ if hasattr(quantizer, "rates_") else {None: quantizer.codebook_}
    return [(book, _Head(quantizer, rate)) for rate, book in rates.items()]


def _way_of_codes(model, codebook):
    """Return the way of a model without a codebook of its own."""
    is_session = hasattr(model, "run") and hasattr(model, "get_modelmeta")
    if not (is_session or hasattr(model, "predict") or callable(model)):
        raise TypeError(
            "A reader is a fitted predictor, a model with predict, a pipeline, an ONNX session, or a function of "
            f"codes, got {type(model).__name__}."
        )
    if codebook is None:
        raise ValueError(
            f"{type(model).__name__} has no fitted codebook: give the one whose codes it reads, for example "
            "codebook=quantizer.codebook_."
        )
    if is_session:
        _check_session(model, codebook)
        return Way(codebook, codebook, _Session(model))
    if not hasattr(model, "predict"):
        return Way(codebook, codebook, _Function(model))
    if getattr(model, "n_features_in_", codebook.n_features) != codebook.n_features:
        raise ValueError(
            f"This {type(model).__name__} was fitted on {model.n_features_in_} columns, but codebook has "
            f"{codebook.n_features} features. If it reads another encoding of the codes, add the pipeline of quantizer "
            "and model."
        )
    return Way(codebook, codebook, _Estimator(model))


def _check_session(session, codebook):
    (given, *_), origin = session.get_inputs(), session.get_modelmeta().custom_metadata_map.get("fingerprint")
    if given.name != "codes" or origin is None:
        raise ValueError(
            f'This ONNX model reads {given.name!r}, not codes: write it with to_onnx(model, part="head"), or add a '
            "function that calls it."
        )
    same = origin == codebook.fingerprint.hex()
    folded = codebook.folded_from is not None and origin == codebook.folded_from.hex()
    if not (same or folded) or given.shape[1] != codebook.n_features:
        raise ValueError(
            f"This ONNX model reads codes of {given.shape[1]} features of the codebook {origin}, but codebook has "
            f"{codebook.n_features} features and the fingerprint {codebook.fingerprint.hex()}: write the model again "
            "from the pipeline that has this codebook."
        )


@dataclass(frozen=True)
class _Head:
    """A predictor of skbsq, at one of its rates."""

    model: Any
    rate: int | None

    def __call__(self, codes, method):
        rate = {} if self.rate is None else {"rate": self.rate}
        return _method_of(self.model, f"{method}_codes")(codes, **rate)


@dataclass(frozen=True)
class _Behind:
    """A model behind a quantizer: it reads what the quantizer makes of codes."""

    quantizer: Any
    model: Any

    def __call__(self, codes, method):
        table = encoded(self.quantizer.codebook_, codes, self.quantizer.encode)
        return _method_of(self.model, method)(_with_names(self.model, table))


@dataclass(frozen=True)
class _Estimator:
    """A model that was fitted on codes."""

    model: Any

    def __call__(self, codes, method):
        return _method_of(self.model, method)(_with_names(self.model, codes))


@dataclass(frozen=True)
class _Session:
    """An ONNX session that reads codes."""

    session: Any

    def __call__(self, codes, method):
        names = {"predict": ("prediction", "label"), "predict_proba": ("probabilities",)}[method]
        for output in self.session.get_outputs():
            if output.name in names:
                return self.session.run([output.name], {"codes": codes})[0]
        raise ValueError(f"This ONNX model has no {' or '.join(names)}, which method={method!r} needs.")


@dataclass(frozen=True)
class _Function:
    """A function of codes."""

    function: Any

    def __call__(self, codes, method):
        if method != "predict":
            raise ValueError(f'A function of codes has no method {method!r}: use method="predict".')
        return self.function(codes)


def _method_of(model, name):
    if not hasattr(model, name):
        raise ValueError(f"{type(model).__name__} has no {name}.")
    return getattr(model, name)


def _with_names(model, table):
    """Name the columns if the model was fitted on named ones."""
    if (names := getattr(model, "feature_names_in_", None)) is None:
        return table
    import pandas as pd

    return pd.DataFrame(table, columns=names)
