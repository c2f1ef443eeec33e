"""Share what quantizers have in common whose thresholds are learned with a head."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.utils._param_validation import HasMethods, StrOptions

from skbsq._targets import TASKS
from skbsq.codebook.checks import check_n_bits
from skbsq.codebook.guards import inner_thresholds
from skbsq.exceptions import MissingCodeWarning
from skbsq.quantizers.base import BaseQuantizer, FixedQuantizer
from skbsq.quantizers.estimator import LearnedEstimator
from skbsq.quantizers.inner import clone_with, fit_thresholds_on
from skbsq.quantizers.threshold import ThresholdQuantizer
from skbsq.quantizers.tree import TreeQuantizer
from skbsq.thresholds.special import special_by_label
from skbsq.training.recipe import Recipe
from skbsq.training.starts import RULES, RuleStart


class LearnedQuantizer(LearnedEstimator, BaseQuantizer):
    """A quantizer trained together with a head, behind the layer that a subclass defines in `_kind`."""

    _is_supervised = True
    _required_attributes = (
        BaseQuantizer._required_attributes | LearnedEstimator._required_attributes | {"task_", "net_"}
    )
    _optional_attributes = BaseQuantizer._optional_attributes | LearnedEstimator._optional_attributes
    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        **LearnedEstimator._parameter_constraints,
        "task": [StrOptions(set(TASKS))],
    }

    @property
    def _task(self):
        return self.task

    def _learn(self, rows, checkpoint):
        """Learn from checked rows, and set the attributes of a fit.

        Parameters
        ----------
        rows : Rows or ChunkedRows
        checkpoint : Checkpoint or None

        Returns
        -------
        Learned
        """
        n_bits = self._checked_n_bits(self.n_bits, rows)
        learner = self._learner(rows, checkpoint)
        learned = self._learn_model(learner, n_bits, self._start())
        self._keep(learned, rows)
        return learned

    def _learn_model(self, learner, n_bits, start):
        return learner.learn(self._kind(), n_bits, start)

    def _checked_n_bits(self, n_bits, rows):
        """Return the bits per feature; reject those without room for guards, warn of those without for thresholds."""
        n_bits = check_n_bits(n_bits, rows.names, rows.n_features)
        widths = rows.widths(n_bits)
        widths.refuse_without_guards(rows.guarded, rows.names)
        widths.refuse_without_special(rows.names)
        widths.warn_of_indicators(rows.nan_seen, rows.names, stacklevel=6)
        return n_bits

    def _keep(self, learned, rows):
        super()._keep(learned, rows)
        self.n_features_in_ = rows.n_features
        if rows.names is not None:
            self.feature_names_in_ = rows.names
        self.codebook_ = learned.codebook
        self.task_ = rows.task

    def _with_head(self, learned, rows):
        """Return a copy that has another head behind its codebook.

        Parameters
        ----------
        learned : Learned
            Its codebook is that of this quantizer.
        rows : Rows

        Returns
        -------
        LearnedQuantizer
        """
        made = self._shallow_copy()
        LearnedEstimator._keep(made, learned, rows)
        return made

    def _kind(self):
        """Return the layer to train, see `skbsq.training.feeds`."""
        raise NotImplementedError

    def _start(self):
        """Return where thresholds start; None if the layer needs no initial thresholds."""


class StartsFromThresholds(LearnedQuantizer):
    """A learned quantizer whose layer starts from thresholds, as `init` says."""

    _required_attributes = LearnedQuantizer._required_attributes | {"initial_thresholds_"}
    _optional_attributes = LearnedQuantizer._optional_attributes | {"init_"}
    _parameter_constraints: dict = {
        **LearnedQuantizer._parameter_constraints,
        "init": [StrOptions({"auto", *RULES}), HasMethods(["fit", "transform"])],
    }

    def _keep(self, learned, rows):
        super()._keep(learned, rows)
        self.initial_thresholds_ = learned.starts
        narrowed = learned.allocation is not None and self._start().is_narrowed
        use_init = not isinstance(self.init, str) and not narrowed
        self.init_ = learned.rule or (self.init if use_init else ThresholdQuantizer(learned.starts))

    def _check_can_learn_in_chunks(self):
        init = TreeQuantizer() if self.init == "tree" else self.init
        if isinstance(init, FixedQuantizer):
            init._check_can_summarize()

    def _start(self):
        if not isinstance(self.init, str):
            return QuantizerStart(self.init)
        return RuleStart(self.init, Recipe.of(self).regression_loss)


@dataclass(frozen=True)
class QuantizerStart:
    """Initial thresholds that a given quantizer finds on the rows.

    Parameters
    ----------
    quantizer : BaseQuantizer
    """

    quantizer: BaseQuantizer

    @property
    def is_given(self):
        """Whether the thresholds are known without rows."""
        return isinstance(self.quantizer, ThresholdQuantizer)

    # Given thresholds do not fit into a budget: a narrow model starts from those of a wide one.
    is_narrowed = is_given

    def thresholds(self, rows, widths, seed):
        """See `skbsq.training.starts.RuleStart.thresholds`."""
        # These rules leave each feature the levels that `widths` leaves it: NaN without a missing code has 0 bits.
        missing = np.where(widths.has_missing, "code", "seen")
        given = {"n_bits": widths.n_bits, "missing": missing, "guard": widths.has_guard, "task": rows.task}
        given["special_values"] = special_by_label(rows.special, rows.names) or None
        quantizer = clone_with(self.quantizer, "init", seed=seed, **given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MissingCodeWarning)  # the fit that starts from the thresholds warns
            return None, inner_thresholds(fit_thresholds_on(quantizer, rows).codebook_)
