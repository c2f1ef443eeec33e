"""Count the bits per row that a device sends to a fitted model."""

import gc
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from functools import singledispatch
from types import FunctionType, MethodType, ModuleType

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.feature_selection import RFE, SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import _ConstantPredictor
from sklearn.multioutput import ClassifierChain, RegressorChain
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skbsq.codebook.codebook import Codebook
from skbsq.quantizers.base import HasCodebook

FLOAT_BITS = 32
# Attributes in which meta-estimators keep fitted members that all read X. An ensemble has a template in estimator_ and
# its members in estimators_, so the order matters.
_MEMBERS = ("estimators_", "estimator_", "classifier_", "regressor_")
# Estimators whose predictions do not depend on X.
_CONSTANT = (DummyClassifier, DummyRegressor, _ConstantPredictor)
# Scalers that compute every feature from that feature alone, and their learned values per feature.
_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
_SCALER_VALUES = ("mean_", "center_", "scale_", "min_")
# Packages whose meta-estimators read X only through their members.
_KNOWN_PACKAGES = ("sklearn", "skbsq")
# The search for quantizers follows globals of a function only if they have these types.
_USED_BY_FUNCTIONS = (BaseEstimator, Codebook, MethodType, FunctionType, dict, list, tuple)
# The search stops at plain values, and at objects from which everything in the process could be reached.
_OPAQUE = (type, ModuleType, str, bytes, int, float, np.generic)

_WAY_OUT = (
    "Score the fitted part that reads X instead, here part_: "
    'scoring={"row_bits": lambda model, X, y: row_bits(model.part_)}.'
)


def sent_bits(fitted):
    """Count the bits per row that a fitted model needs from the device.

    Parameters
    ----------
    fitted : Codebook or fitted estimator

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the model holds a quantizer in a place that this module does not know, or has no n_features_in_.
    """
    n = _n_features_in(fitted)
    features = _Features() if n is None else _Features().take(range(n))
    return sum(_sent(fitted, features).values())


@dataclass(frozen=True)
class _Features:
    """Features that a part of a model reads, each identified by its origin.

    Features of equal origin have equal values. The origin None marks a prediction, which the server computes.

    Parameters
    ----------
    table : Hashable, default="X"
        Identity of the table that the part reads: the X of the device, or the output of a step.
    origins : tuple, default=None
        Origin of every feature. None: all features of the table; only the reader knows their number.
    """

    table: Hashable = "X"
    origins: tuple[Hashable | None, ...] | None = None

    def origin(self, j):
        return (self.table, j) if self.origins is None else self.origins[j]

    def take(self, indices):
        """Select features by index; the index None stands for a prediction."""
        return _Features(origins=tuple(None if j is None else self.origin(j) for j in indices))

    def count(self, reader):
        """Count the features, by n_features_in_ of the reader if necessary."""
        n = _n_features_in(reader) if self.origins is None else len(self.origins)
        if n is None:
            raise ValueError(
                f"row_bits does not know how many features {_name(reader)} reads, because it has no n_features_in_: "
                "set this attribute in its fit, or put a quantizer before it."
            )
        return n


# -- codes and floats that a device sends ----------------------------------------------------------------
# A dict maps each item that a device sends to its bits per row. The codes of a codebook are a frozenset with an entry
# per feature; a float is the origin of a feature. So equal items of several members merge with `|`.


def _sent(part, features):
    """Return the items that a device sends to a part of a model."""
    n = _n_features_in(part)
    if features.origins is not None and n not in (None, len(features.origins)):
        raise ValueError(
            f"row_bits does not know which features {_name(part)} reads: it was fitted with {n}, but the estimator "
            f"around it reads {len(features.origins)}. {_WAY_OUT}"
        )
    codebook = getattr(part, "codebook_", part)
    if isinstance(codebook, Codebook):
        return _codes(codebook, features)
    if isinstance(part, _CONSTANT):
        return {}
    if not _codebooks(part):
        origins = {features.origin(j) for j in range(features.count(part))}
        return {origin: FLOAT_BITS for origin in origins if origin is not None}
    if isinstance(part, HasCodebook):
        check_is_fitted(part)
    if isinstance(part, Pipeline):
        return _sent_to_pipeline(part, features)
    sent = {}
    for inner, read in _parts(part, features):
        sent |= _sent(inner, read)
    return sent


def _codes(codebook, features):
    """Return the codes that the device sends; the server computes the codes of predictions."""
    rows = zip(codebook.parts, codebook.has_missing.tolist(), codebook.n_bits.tolist(), strict=True)
    bits = {
        (features.origin(j), _identity_of_codes(part, codebook), has_missing): n
        for j, (part, has_missing, n) in enumerate(rows)
        if n and features.origin(j) is not None
    }
    return {frozenset(bits): sum(bits.values())}


def _identity_of_codes(part, codebook):
    """Return a value that is equal for equal thresholds, or for equal codes of categories."""
    if isinstance(part, np.ndarray):
        return part.tobytes()
    # Types tell True from 1.
    return codebook.handle_unknown, frozenset((type(known), known, code) for known, code in part.items())


def _sent_to_pipeline(pipeline, features):
    """Return what the first step with codes needs: the device computes the steps before, the server those behind."""
    *before, last = _steps(pipeline)
    for step in before:
        # A quantizer inside a selector only helped to choose features.
        if not isinstance(step, SelectorMixin) and _codebooks(step):
            sent = _sent(step, features)
            if any(isinstance(item, frozenset) for item in sent):
                return sent
        features = _behind(step, features)
    return _sent(last, features)


def _behind(step, features):
    """Return the features behind a step that makes no codes."""
    if isinstance(step, Pipeline):
        for inner in _steps(step):
            features = _behind(inner, features)
        return features
    if isinstance(step, SelectorMixin):
        return features.take(step.get_support(indices=True))
    if type(step) in _SCALERS:
        return _scaled(step, features)
    if features.origins is not None and None in features.origins:
        raise ValueError(
            f"row_bits cannot count codes behind {_name(step)}: it may mix features of the device with predictions of "
            "the server. Move this step before the chain or stack."
        )
    return _Features(table=(features, _identity(step)))


def _scaled(scaler, features):
    learned = [getattr(scaler, name, None) for name in _SCALER_VALUES]
    values = np.array([v for v in learned if v is not None]).reshape(-1, scaler.n_features_in_)
    kind = (type(scaler), repr(sorted(scaler.get_params().items())))
    origins = map(features.origin, range(scaler.n_features_in_))
    scaled = [None if origin is None else (origin, kind, values[:, j].tobytes()) for j, origin in enumerate(origins)]
    return _Features(origins=tuple(scaled))


def _identity(step):
    """Return a value that is equal for steps of equal class, parameters and fitted attributes."""
    try:
        return joblib.hash(step)
    except Exception:  # a step that cannot be pickled counts as different from all others
        return id(step)


def _steps(pipeline):
    return [step for _, step in pipeline.steps if step not in (None, "passthrough")]


def _n_features_in(part):
    """Return the number of features that an estimator was fitted with, None if it is unknown."""
    n = getattr(part, "n_features_in_", None)
    if n is not None:
        return n
    # In a meta-estimator the property fails if the first part is "passthrough" or "drop".
    if isinstance(part, Pipeline):
        readers = _steps(part)[:1]
    elif isinstance(part, FeatureUnion):
        readers = [step for _, step in part.transformer_list]
    else:
        readers = _flat([getattr(part, name, None) for name in ("best_estimator_", *_MEMBERS)])
    return next((n for n in map(_n_features_in, readers) if n is not None), None)


def _name(part):
    return part if isinstance(part, str) else type(part).__name__


# -- the parts of a meta-estimator ---------------------------------------------------------------------


@singledispatch
def _parts(holder, features):
    """Return the fitted parts of a meta-estimator, each with the features that it reads."""
    members = _members(holder)
    if hasattr(holder, "estimators_features_"):  # bagging
        reads = [features.take(indices) for indices in holder.estimators_features_]
    else:
        reads = [features] * len(members)
    return list(zip(members, reads, strict=True))


@_parts.register
def _(union: FeatureUnion, features):
    return [(step, features) for _, step in union.transformer_list if step != "drop"]


@_parts.register
def _(transformer: ColumnTransformer, features):
    indices = transformer._transformer_to_input_indices
    # A step without features is not fitted.
    steps = [(step, indices[name]) for name, step, _ in transformer.transformers_ if len(indices[name])]
    return [(step, features.take(read)) for step, read in steps if step != "drop"]


@_parts.register
def _(selector: SelectorMixin, features):
    # RFE predicts with an estimator; other selectors pass their features on as floats.
    reader = selector.estimator_ if isinstance(selector, RFE) else "passthrough"
    return [(reader, features.take(selector.get_support(indices=True)))]


@_parts.register(ClassifierChain)
@_parts.register(RegressorChain)
def _(chain, features):
    read = range(features.count(chain))
    return [(member, features.take([*read, *[None] * k])) for k, member in enumerate(chain.estimators_)]


@_parts.register(StackingClassifier)
@_parts.register(StackingRegressor)
def _(stack, features):
    parts = [(member, features) for member in stack.estimators_]
    if stack.passthrough:
        final, n = stack.final_estimator_, features.count(stack)
        n_predictions = (_n_features_in(final) or n) - n
        parts.append((final, features.take([*[None] * n_predictions, *range(n)])))
    return parts


@_parts.register
def _(calibrated: CalibratedClassifierCV, features):
    return [(pair.estimator, features) for pair in calibrated.calibrated_classifiers_]


@_parts.register
def _(model: TransformedTargetRegressor, features):
    return [(model.regressor_, features)]  # a quantizer of the target sends nothing


@_parts.register
def _(frozen: FrozenEstimator, features):
    return [(frozen.estimator, features)]


@_parts.register
def _(search: BaseSearchCV, features):
    if not hasattr(search, "best_estimator_"):
        raise ValueError(
            f"This {_name(search)} has no best_estimator_, so row_bits has no model to count: search with refit=True "
            "or refit=fewest_bits()."
        )
    return [(search.best_estimator_, features)]


def _members(holder):
    """Return the fitted members of a meta-estimator, after a check that it uses no other quantizer."""
    name = next((name for name in _MEMBERS if hasattr(holder, name)), None)
    members = [] if name is None else _flat(getattr(holder, name))
    counted = _codebooks(members)
    others = _codebooks(holder) - counted - {None}
    if counted - {None} and hasattr(holder, "get_params"):
        others -= _codebooks(holder.get_params(deep=False))  # templates may be fitted too
    if name is None or others:
        found = next(iter(others), "a quantizer without a codebook")
        raise ValueError(
            f"row_bits cannot count what a device sends to {_name(holder)}: it holds {found} outside the attributes "
            f"that row_bits can count ({', '.join(_MEMBERS)}). {_WAY_OUT}"
        )
    if type(holder).__module__.partition(".")[0] not in _KNOWN_PACKAGES:
        _check_reads_through(holder, name, members)
    return members


def _check_reads_through(holder, name, members):
    """Reject a meta-estimator of an unknown class that may read X not only through its members."""
    given = holder.get_params(deep=False) if hasattr(holder, "get_params") else {}
    known = set(map(id, members))
    for key, value in vars(holder).items():
        inner_parts = [] if key == name or key in given else _flat(value)
        if any(hasattr(inner, "n_features_in_") and id(inner) not in known for inner in inner_parts):
            raise ValueError(
                f"row_bits cannot count what a device sends to {_name(holder)}: besides {name} it has a fitted "
                f"estimator in {key}, which may read X too. {_WAY_OUT}"
            )
    if hasattr(holder, "transform") and not hasattr(holder, "predict"):
        raise ValueError(
            f"row_bits cannot count what a device sends to {_name(holder)}: its output may contain more than the codes "
            f"of its {name}. {_WAY_OUT}"
        )


def _flat(members):
    """Return all members in nested containers as a list."""
    if isinstance(members, np.ndarray):
        members = members.ravel().tolist()
    if isinstance(members, dict):
        members = list(members.values())
    if isinstance(members, list | tuple):
        return [inner for member in members for inner in _flat(member)]
    return [] if members is None or isinstance(members, str) else [members]


# -- quantizers anywhere in an object ------------------------------------------------------------------


def _codebooks(holder):
    """Return all codebooks that an object holds, directly or through others, and None for unfitted quantizers."""
    found, seen, stack, layers = set(), {}, [holder], _layers()
    while stack:
        held = stack.pop()
        if id(held) in seen or isinstance(held, _OPAQUE):
            continue
        seen[id(held)] = held  # no other object can then have the same id
        if isinstance(held, Codebook):
            found.add(held)
        elif isinstance(held, HasCodebook):
            if not _reads_floats(held):
                found.add(getattr(held, "codebook_", None))
        elif isinstance(held, layers):
            found.add(None)
        else:
            stack += _referents(held)
    return found


def _layers():
    """Return the types of torch layers that quantize; none if nothing imported them so far."""
    nn = sys.modules.get("skbsq.nn")
    names = ("BitwiseQuantization", "Thermometer", "SoftQuantization", "LSQQuantization", "LLTQuantization")
    return () if nn is None else tuple(getattr(nn, name) for name in names)


def _reads_floats(estimator):
    """Return whether an estimator of this package is a predictor without a quantizer."""
    if hasattr(estimator, "quantizer_"):
        return estimator.quantizer_ is None
    return isinstance(getattr(estimator, "quantizer", None), str)


def _referents(held):
    """Return the objects that an object refers to; for a function only those that it may use."""
    if isinstance(held, np.ndarray):  # unknown to the garbage collector
        return held.ravel().tolist() if held.dtype.hasobject else []
    if isinstance(held, FunctionType):
        used = [held.__globals__.get(name) for name in held.__code__.co_names]
        used = [value for value in used if isinstance(value, _USED_BY_FUNCTIONS)]
        return [*used, *(held.__closure__ or ()), held.__defaults__, held.__kwdefaults__]
    return gc.get_referents(held)
