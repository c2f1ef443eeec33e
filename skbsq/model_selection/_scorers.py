"""Scorers for searches: bits per row, and the scores of all rates of a model."""

from functools import partial

from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils.validation import check_is_fitted

from skbsq._row_bits import sent_bits
from skbsq.codebook.codebook import Codebook
from skbsq.model_selection._rates import ROW_BITS, models_of_rates, name_at


def row_bits(estimator, X=None, y=None):
    """Count the bits per row that a device sends to a fitted model: a scorer for searches.

    Do not maximize it. Use it together with a score, as in ``scoring={"score": "r2", "row_bits": row_bits}``. It is
    then the cost of each candidate for `fewest_bits` and `rate_distortion`.

    Parameters
    ----------
    estimator : estimator or Codebook
        A fitted quantizer, a fitted predictor of this package, or a fitted estimator of scikit-learn with quantizers
        anywhere in it. Other meta-estimators are counted if they keep their fitted members in ``estimators_`` or
        ``estimator_``.
    X, y : object, default=None
        Not used; scorers are called with them.

    Returns
    -------
    int
        Bits per row.

    Raises
    ------
    ValueError
        If an estimator holds a quantizer in a place that `row_bits` does not know. The message names the estimator.
        Inside a search this fails the scorer: pass ``error_score="raise"`` to see the message.
    sklearn.exceptions.NotFittedError
        If the estimator, or a quantizer that it predicts with, is not fitted.

    See Also
    --------
    fewest_bits : Choose the cheapest of the good candidates.
    rate_distortion : A table of bits and scores.

    Notes
    -----
    Only the fitted members of a model are counted, never the templates in its parameters:

    - A quantizer costs the ``row_bits`` of its codebook.
    - A pipeline costs as much as its first step with a quantizer. The device computes the steps before it, and the
      server works on codes from there on.
    - An ensemble costs the sum over its members' codebooks. The device sends a packed row for every codebook, so two
      codebooks that agree only in some features are both counted in full.
    - Codebooks that give equal codes are counted once: equal thresholds and missing codes for the same features. The
      preprocessing before them must be equal too. If it cannot be compared, both are counted.
    - A selector chooses features. A quantizer inside the selector only helped to choose, so it sends nothing.
    - In a chain or a stack, predictions of other members are not sent, and neither are their codes.
    - A member without a quantizer reads floats: 32 bits for each of its features, also next to a quantizer. A feature
      that several such members read is counted once. `DummyRegressor` and `DummyClassifier` read nothing.
    - A model without any quantizer costs 32 bits for each of its ``n_features_in_`` features.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import VotingRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.model_selection import row_bits
    >>> X, y = make_friedman1(100, random_state=0)
    >>> coarse, fine = (make_pipeline(QuantileQuantizer(n_bits=b), Ridge()) for b in (1, 3))
    >>> row_bits(fine.fit(X, y))
    30
    >>> row_bits(VotingRegressor([("a", coarse), ("b", fine), ("c", fine)]).fit(X, y))
    40
    >>> row_bits(Ridge().fit(X, y))
    320
    """
    if not isinstance(estimator, Codebook):
        check_is_fitted(estimator)
    return sent_bits(estimator)


def all_rates(scoring=None):
    """Return a scorer for searches over predictors with `rates`: scores and bits per row of each rate of a model.

    A search then scores every rate of a candidate after one fit. Its ``cv_results_`` have a score and the bits per row
    for each rate, such as ``mean_test_r2_at_4`` and ``mean_test_row_bits_at_4``.

    Parameters
    ----------
    scoring : str, callable, sequence of str, or dict name -> str or callable, default=None
        The score or scores, as for a search of scikit-learn. None: the score of the estimator. None and a callable have
        the name score.

    Returns
    -------
    callable
        For ``scoring=``. It takes a fitted predictor with rates, or a pipeline that ends in one, with X and y. It
        returns a dict from names to numbers: ``{score}_at_{rate}`` and ``row_bits_at_{rate}``, from the lowest rate.

    Raises
    ------
    ValueError
        If scikit-learn has no such scorer, or a score has the name row_bits.

    See Also
    --------
    rate_distortion : A table of candidates and rates.
    fewest_bits : Choose candidate and rate.
    best_rate : The rate that was chosen.
    rate_curve : The scores of one model.

    Notes
    -----
    All candidates must have the same rates, the finest one included: they share the names of their scores. Otherwise
    the search raises a ValueError after its fits. So leave `n_bits`, `bit_budget` and `rates` out of the search.

    A fit that fails has `error_score` as each of its numbers. If the scorer itself fails, scikit-learn cannot go on:
    search with ``error_score="raise"`` to see why it failed.

    The scorer does not use sample weights.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import all_rates
    >>> X, y = make_friedman1(200, random_state=0)
    >>> regressor = BitwiseRegressor(n_bits=3, rates=(1,), max_epochs=3, random_state=0).fit(X, y)
    >>> list(all_rates("r2")(regressor, X, y))
    ['r2_at_1', 'row_bits_at_1', 'r2_at_3', 'row_bits_at_3']
    """
    if isinstance(scoring, str):
        scoring = [scoring]
    if scoring is None or callable(scoring):
        scorers = {"score": scoring}
    else:
        scorers = dict(scoring) if isinstance(scoring, dict) else {name: name for name in scoring}
    if ROW_BITS in scorers:
        raise ValueError(f"all_rates counts {ROW_BITS} itself: leave it out of scoring, or rename that score.")
    scorers = {name: get_scorer(scorer) if isinstance(scorer, str) else scorer for name, scorer in scorers.items()}
    return partial(_score_all_rates, scorers=scorers)


def _score_all_rates(estimator, X, y=None, *, scorers):
    models = models_of_rates(estimator)
    found = _Scores()
    for rate, model in models.items():
        scores = {**check_scoring(model, scorers)(model, X, y), ROW_BITS: row_bits(model)}
        found |= {_Name(name_at(name, rate), models): score for name, score in scores.items()}
    return found


class _Name(str):
    """Name of a score at a rate, which knows all rates of the model."""

    rates: tuple

    def __new__(cls, name, rates=()):
        made = super().__new__(cls, name)
        made.rates = tuple(rates)
        return made


class _Scores(dict):
    """Scores of all rates of a model.

    A search takes the names in the scores of its first model, and looks them up in those of the others. It would ignore
    further rates of the others without a word.
    """

    def __getitem__(self, name):
        rates = next(iter(self)).rates
        if getattr(name, "rates", rates) != rates:
            raise ValueError(
                f"all_rates needs candidates with the same rates, but some have {list(name.rates)} and some "
                f"{list(rates)}: leave n_bits, bit_budget and rates out of the search, or make one search for each."
            )
        return super().__getitem__(name)
