"""Predictors in integers: near the floats, equal to a slow reference, and without overflow."""

import pickle
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, Receiver, SoftQuantizer
from skbsq.codec import dumps
from skbsq.export import to_c, to_integers
from skbsq.export._integer_layers import LIMIT, activations, round_layer, round_stages, round_table
from skbsq.nn import MLP, Ensemble, JointNet, Thermometer
from skbsq.nn.losses import PoissonLoss

INT16 = range(-(2**15), 2**15)
INT32 = range(-(2**31), 2**31)
BOOK = Codebook.from_thresholds([[0, 1, 2], [], [5], [6, 7]], missing="seen", has_missing=[True, False, False, True])


def fitted(book, head, *, classes=None, scale=1.0, mean=0.0, criterion=None, **attributes):
    """Return what is read from a fitted predictor, around a head that was not trained.

    Parameters
    ----------
    book : Codebook
    head : callable
        (n_inputs, n_outputs) -> nn.Module
    classes : list, default=None
        Labels of a classifier.
    scale, mean : float or list
        Of the targets.
    criterion : class, default=None
    **attributes
        Others.
    """
    k = np.size(scale) if classes is None else len(classes)
    layer = Thermometer(book)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # Without columns the head reads zeros, as that of a fit does.
        head = head(max(1, layer.n_columns), k).eval()
        for module in head.modules():
            if isinstance(module, nn.Linear):
                module.weight.data *= 3  # so that outputs depend on the codes as much as after training
    net = SimpleNamespace(module_=JointNet(layer, head), predict_nonlinearity="auto", criterion=criterion or nn.MSELoss)
    about = {"classes_": np.array(classes)} if classes is not None else {"target_ndim_": 1 if k == 1 else 2}
    about |= {"target_scale_": np.ones(k) * scale, "target_mean_": np.zeros(k) + mean}
    # Called by nobody: a predictor is recognized by it.
    return SimpleNamespace(codebook_=book, net_=net, quantizer_=None, predict_codes=None, **about, **attributes)


def mlp(*sizes, **options):
    return lambda n_inputs, n_outputs: MLP(n_inputs, n_outputs, hidden_sizes=sizes, **options)


def normalized(n_inputs, n_outputs):
    """Return a head in which batch norms and neighbouring linear layers must be folded."""
    head = nn.Sequential(
        nn.Linear(n_inputs, 9, bias=False),
        nn.BatchNorm1d(9),
        nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(9, affine=False)),
        nn.Linear(9, 5),
        nn.Identity(),
        nn.Linear(5, 7),
        nn.ReLU(),
        nn.Linear(7, n_outputs, bias=False),
    )
    head(torch.rand(100, n_inputs))  # statistics
    return head


def members(n_inputs, n_outputs):
    head = Ensemble(n_inputs, n_outputs, n_members=3, hidden_sizes=(4, 6, 5))
    return head.folded()


HEADS = {
    "linear": mlp(),
    "one": mlp(16),
    "two": mlp(8, 16, dropout=0.1),
    "three": mlp(5, 20, 3),
    "normalized": normalized,
    "members": members,
}


def random_codes(book, n=300):
    return np.random.default_rng(0).integers(0, book.n_levels, (n, book.n_features)).astype(book.dtype)


def float_outputs(model, codes):
    """Return the outputs of the float head, in the units of the target."""
    with torch.inference_mode():
        outputs = model.net_.module_.from_codes(torch.from_numpy(codes.astype(np.int32))).double().numpy()
    if hasattr(model, "classes_"):
        return np.diff(outputs) if model.classes_.size == 2 else outputs
    return outputs * model.target_scale_ + model.target_mean_


def root_mean_square(errors):
    return np.sqrt(np.mean(errors**2, axis=0))


def slow_outputs(predictor, codes):
    """Compute the outputs of one row as the C does, one addition at a time, and check that no sum overflows."""
    hidden = INT16 if predictor.layers else INT32
    sums, rows = predictor.table.bias.tolist(), predictor.table.rows.tolist()
    for code, n_levels in zip(codes.tolist(), predictor.table.n_levels.tolist(), strict=True):
        if n_levels > 1:
            sums = [total + weight for total, weight in zip(sums, rows[code], strict=True)]
            rows = rows[n_levels:]
            assert all(total in hidden for total in sums)
    shift = 0
    for layer in predictor.layers:
        inputs = [(max(total, 0) + (1 << shift) // 2) >> shift for total in sums]
        assert all(value in INT16 for value in inputs)
        sums, per_member = layer.bias.tolist(), layer.bias.size // layer.n_members
        n_inputs = layer.weight.shape[1]
        for k, weights in enumerate(layer.weight.tolist()):
            first = k // per_member * n_inputs
            for weight, value in zip(weights, inputs[first : first + n_inputs], strict=True):
                sums[k] += weight * value
                assert sums[k] + (1 << layer.shift) // 2 in INT32
        shift = layer.shift
    assert all(abs(total) < LIMIT for total in sums)
    return sums


def test_a_table_by_hand():
    # Two features of 3 and 2 codes, one unit.
    table, scale, highest = round_table(np.array([[0.0, 1.0, 254.0, 2.0, 12.0]]), np.array([-7.0]), np.array([3, 2]))
    assert table.rows.ravel().tolist() == [-127, -126, 127, -5, 5]
    assert table.bias.tolist() == [-7 + 127 + 7]
    assert scale.tolist() == [1.0]
    assert highest.tolist() == [127 + 127 + 5]
    assert table.sums(np.array([[0, 0], [1, 1], [2, 1]])).ravel().tolist() == [-5, 6, 259]


def test_a_layer_by_hand():
    weight, bias = np.array([[1.0, -254.0], [127.0, 0.0]]), np.array([3.0, -1.0])
    layer, scale, highest = round_layer(weight, bias, np.array([2.0, 1.0]), np.array([1000, 1000]))
    # The first unit has the scale 2, the second the scale 2; the sums of the second reach 127,000.
    assert layer.weight.tolist() == [[1, -127], [127, 0]]
    assert layer.bias.tolist() == [2, 0]
    assert (layer.shift, scale.tolist(), highest.tolist()) == (2, [8.0, 8.0], [250 + 1, 31750])
    sums = layer.sums(np.array([[1000, 0], [0, 3]]))
    assert sums.tolist() == [[1002, 127000], [-379, 0]]
    assert activations(sums, layer.shift).tolist() == [[251, 31750], [0, 0]]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("case", [{"scale": 3.0, "mean": 20.0}, {"scale": [1e-3, 1e6], "mean": [0.1, -1]}])
def test_outputs_are_near_the_floats(head, case):
    model, codes = fitted(BOOK, HEADS[head], **case), random_codes(BOOK)
    predictor, expected = to_integers(model), float_outputs(model, codes)
    found = predictor.predict_codes(codes).reshape(expected.shape)
    assert (root_mean_square(found - expected) < 0.03 * expected.std(axis=0)).all()
    assert [slow_outputs(predictor, row) for row in codes[:50]] == predictor.outputs(codes[:50]).tolist()


@pytest.mark.parametrize("classes", [[3, 7], ["a", "b", "c"]])
@pytest.mark.parametrize("head", HEADS)
def test_classes_are_those_of_the_floats(head, classes):
    model, codes = fitted(BOOK, HEADS[head], classes=classes, criterion=nn.CrossEntropyLoss), random_codes(BOOK)
    predictor, logits = to_integers(model), float_outputs(model, codes)
    error = root_mean_square(predictor.outputs(codes) * predictor.output_scale - logits)
    assert (error < 0.03 * logits.std()).all()
    # All outputs have one scale, so that they can be compared.
    assert np.unique(predictor.output_scale).size == 1
    number = (logits[:, 0] > 0).astype(int) if len(classes) == 2 else logits.argmax(axis=1)
    clear = np.abs(logits[:, 0]) if len(classes) == 2 else np.diff(np.sort(logits, axis=1)[:, -2:])[:, 0]
    clear = clear > 0.1 * logits.std()
    assert clear.sum() > 50
    assert predictor.predict_codes(codes)[clear].tolist() == model.classes_[number[clear]].tolist()


numbers = st.floats(-1e6, 1e6).map(lambda x: x * 10.0 ** -(abs(x) % 7))


@given(st.data(), st.lists(st.integers(1, 4), min_size=0, max_size=2), st.lists(st.integers(1, 5), min_size=1))
def test_no_sum_overflows(data, hidden, n_levels):
    widths, stages = [sum(n_levels), *hidden, 2], []
    for n_inputs, n_units in pairwise(widths):
        drawn = data.draw(st.lists(numbers, min_size=n_units * (n_inputs + 1), max_size=n_units * (n_inputs + 1)))
        drawn = np.reshape(drawn, (n_units, n_inputs + 1))
        stages.append((drawn[:, 1:], drawn[:, 0]))
    try:
        table, layers, scale = round_stages(stages, np.array(n_levels))
    except ValueError as error:
        assert "far from zero" in str(error)  # noqa: PT017
        return
    predictor = SimpleNamespace(table=table, layers=layers)
    rng = np.random.default_rng(0)
    for codes in rng.integers(0, n_levels, (20, len(n_levels))):
        sums = slow_outputs(predictor, codes)
    assert (np.exp2(np.round(np.log2(scale))) == scale).all()
    assert len(sums) == 2


def test_predict_folds_a_pipeline_that_drops_features():
    rng = np.random.default_rng(0)
    X = rng.normal([5, 0, -3, 1], [1, 10, 2, 1], (300, 4)).astype(np.float32)
    y = np.sign(X[:, 1]) + X[:, 2]
    regressor = BitwiseRegressor(2, hidden_sizes=(8,), max_epochs=20, random_state=0)
    pipeline = make_pipeline(StandardScaler(), SelectKBest(lambda X, y: np.array([1.0, 9, 8, 0]), k=2), regressor)
    pipeline.fit(X, y)
    predictor = to_integers(pipeline)
    assert predictor.table.n_levels.tolist() == [1, 4, 4, 1]
    error = np.mean((predictor.predict(X) - y) ** 2)
    assert error == pytest.approx(np.mean((pipeline.predict(X) - y) ** 2), rel=0.02)
    assert (
        predictor.outputs(predictor.codebook_.encode(X)).tolist()
        == predictor.outputs(pickle.loads(pickle.dumps(predictor)).codebook_.encode(X)).tolist()
    )


def test_a_receiver_predicts_what_the_chip_predicts():
    predictor, codes = to_integers(fitted(BOOK, mlp(8))), random_codes(BOOK, 9)
    found = Receiver().add(predictor).predict(dumps(BOOK, codes))
    assert found.tolist() == predictor.predict_codes(codes).tolist()


def test_integers_are_written_as_they_are():
    """A machine without torch can write the C of a predictor that was pickled."""
    model = fitted(BOOK, mlp(8))
    predictor = pickle.loads(pickle.dumps(to_integers(model)))
    assert to_integers(predictor) is predictor
    assert to_c(predictor, "hut", part="predictor") == to_c(model, "hut", part="predictor")


def test_predictions_stay_within_the_training_targets():
    limits = np.float32([[19.0], [20.5]])
    model = fitted(BOOK, mlp(8), scale=3.0, mean=20.0, target_range_=limits)
    found = to_integers(model).predict_codes(random_codes(BOOK))
    assert found.min() == pytest.approx(19.0, abs=1e-5)
    assert found.max() == pytest.approx(20.5, abs=1e-5)


def test_with_rates_the_finest_one_is_taken():
    X = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    model = BitwiseClassifier(2, rates=(1,), hidden_sizes=(4,), max_epochs=5, random_state=0).fit(X, X[:, 0] > 0)
    assert to_integers(model).codebook_ == model.codebook_
    assert to_integers(model.at(1)).codebook_ == model.codebooks_[1]
    assert (to_integers(model).predict(X) == model.predict(X)).mean() > 0.98


def test_changes():
    model = fitted(BOOK, mlp(8))
    predictor, codes = to_integers(model), np.repeat(random_codes(BOOK, 20), 5, axis=0)
    outputs = predictor.outputs(codes)[:, 0].tolist()
    tolerance, sent, last = round(np.std(outputs)), [], None
    for output in outputs:
        sent.append(last is None or abs(output - last) > tolerance)
        last = output if sent[-1] else last
    assert predictor.changes(codes, tolerance=tolerance).tolist() == sent
    assert 1 < sum(sent) < 20
    assert predictor.changes(codes, tolerance=2**31, keyframe=3).tolist() == ([True, False, False] * 34)[:100]
    assert predictor.changes(codes[:0]).tolist() == []
    # A classifier sends the changes of the class.
    predictor = to_integers(fitted(BOOK, mlp(8), classes=[0, 1, 2], criterion=nn.CrossEntropyLoss))
    labels = predictor.predict_codes(codes)
    assert predictor.changes(codes).tolist() == [True, *(labels[1:] != labels[:-1])]


# -- errors ----------------------------------------------------------------------------------------------------------


def hooked(n_inputs, n_outputs):
    head = MLP(n_inputs, n_outputs, hidden_sizes=(4,))
    head[1].register_forward_hook(lambda *_: None)
    return head


def with_tanh(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.Tanh(), nn.Linear(4, n_outputs))


def without_statistics(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, n_outputs))


@pytest.mark.parametrize(
    ("head", "named"),
    [(with_tanh, r"Tanh\(\)"), (hooked, r"ReLU\(\)"), (without_statistics, r"BatchNorm1d\(4")],
)
def test_other_layers_are_refused_by_name(head, named):
    with pytest.raises(ValueError, match=rf"a layer that integers cannot compute: {named}.*hidden_sizes=\(16,\)"):
        to_integers(fitted(BOOK, head))


def test_heads_that_read_no_bits_are_refused():
    X = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
    model = BitwiseRegressor(quantizer=SoftQuantizer(2), hidden_sizes=(4,), max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"must begin with an nn.Linear that reads bits, got Linear.* behind Soft"):
        to_integers(model.fit(X, X[:, 0]))
    model = BitwiseRegressor(quantizer="passthrough", hidden_sizes=(4,), max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match='no codebook with quantizer="passthrough"'):
        to_integers(model.fit(X, X[:, 0]))


def test_other_outputs_than_targets_and_logits_are_refused():
    with pytest.raises(ValueError, match='With loss="poisson" the head predicts logarithms'):
        to_integers(fitted(BOOK, mlp(4), criterion=PoissonLoss))
    model = fitted(BOOK, mlp(4))
    model.net_.predict_nonlinearity = torch.sigmoid
    with pytest.raises(ValueError, match=r"predict_nonlinearity is .*sigmoid"):
        to_integers(model)
    model = fitted(BOOK, mlp(4), classes=[0, 1], criterion=nn.CrossEntropyLoss)
    model.net_.predict_nonlinearity = None
    with pytest.raises(ValueError, match=r"must end in logits .* it ends in 'probability'"):
        to_integers(model)


def test_weights_that_are_not_finite_are_refused():
    model = fitted(BOOK, mlp(4))
    with torch.no_grad():
        model.net_.module_.head[0].bias[0] = torch.nan
    with pytest.raises(ValueError, match="weights that are not finite"):
        to_integers(model)


def test_only_predictors_have_a_head():
    quantizer = QuantileQuantizer(1).fit(np.float32([[0], [1], [2]]))
    with pytest.raises(ValueError, match="Only a predictor has a head, got QuantileQuantizer"):
        to_integers(quantizer)


@pytest.mark.parametrize("head", ["linear", "one"])
def test_a_target_far_from_zero_is_refused(head):
    to_integers(fitted(BOOK, HEADS[head], mean=1e4))
    with pytest.raises(ValueError, match=r"far from zero, around 1e\+12.*subtract an offset from y"):
        to_integers(fitted(BOOK, HEADS[head], mean=1e12))


def test_too_many_features_or_units_are_refused():
    n = 2**15
    with pytest.raises(ValueError, match="32768 features are too many"):
        round_table(np.zeros((1, n)), np.zeros(1), np.ones(n, dtype=np.int64))
    with pytest.raises(ValueError, match="65536 hidden units are too many"):
        round_layer(np.zeros((1, 2 * n)), np.zeros(1), np.ones(2 * n), np.full(2 * n, 2**15 - 1))
