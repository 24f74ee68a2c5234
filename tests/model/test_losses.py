"""The contrasts against float64 loops written from the paper's equations."""

import math

import pytest
import torch

from tssr.model.batches import WindowBatch
from tssr.model.losses import (
    binary_cross_entropy,
    bpr_max,
    gbce_power,
    item_contrast,
    pooled,
    user_contrast,
)

B, L, D = 5, 4, 3
INPUTS = [
    [0, 0, 0, 2],
    [0, 1, 2, 3],
    [4, 2, 2, 1],
    [0, 0, 5, 2],
    [3, 1, 4, 3],
]


@pytest.fixture
def batch():
    inputs = torch.tensor(INPUTS)
    return WindowBatch(inputs, torch.where(inputs > 0, 1, 0), torch.arange(B))


@pytest.fixture
def streams():
    torch.manual_seed(3)
    return [torch.randn(B, L, D) for _ in range(4)]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def log_softmax_at(scores, chosen):
    """log( exp(scores[chosen]) / sum exp(scores) ), the fraction of Eq. 1 and 2."""
    return scores[chosen] - math.log(sum(math.exp(score) for score in scores.values()))


def mean_of_real_steps(states, user):
    real = [step for step in range(L) if INPUTS[user][step]]
    return [sum(float(states[user, step, d]) for step in real) / len(real) for d in range(D)]


def user_contrast_by_loop(states_id, states_content, temperature):
    total = 0.0
    for source, other in ((states_id, states_content), (states_content, states_id)):
        for u in range(B):
            mine = mean_of_real_steps(source, u)
            scores = {v: cosine(mine, mean_of_real_steps(other, v)) / temperature for v in range(B)}
            total += -log_softmax_at(scores, u) / B
    return total


def item_contrast_by_loop(states, vectors, temperature, all_steps, mask_duplicates):
    """Eq. 2: the state at a step finds the other stream's next item."""
    rows = [(u, at) for u in range(B) for at in range(L - 1) if INPUTS[u][at]]
    followers = [(v, k) for v in range(B) for k in range(L - 1) if INPUTS[v][k + 1]]
    total = 0.0
    for source, other in ((0, 1), (1, 0)):
        for u, at in rows:
            scores = {}
            for v, k in followers:
                if not all_steps and k != at:
                    continue
                same_item = INPUTS[v][k + 1] == INPUTS[u][at + 1]
                if mask_duplicates and same_item and (v, k) != (u, at):
                    continue
                scores[v, k] = dot(states[source][u, at], vectors[other][v, k + 1]) / temperature
            total += -log_softmax_at(scores, (u, at)) / len(rows)
    return total


def test_pooling_ignores_padding(streams):
    real = torch.tensor(INPUTS) > 0
    result = pooled(streams[0], real)
    for user in range(B):
        assert result[user].tolist() == pytest.approx(mean_of_real_steps(streams[0], user), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_user_contrast_is_equation_1(batch, streams, temperature):
    result = user_contrast(streams[0], streams[1], batch.real, temperature)
    assert float(result) == pytest.approx(user_contrast_by_loop(*streams[:2], temperature), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("all_steps", [False, True])
@pytest.mark.parametrize("mask_duplicates", [False, True])
def test_item_contrast_is_equation_2(batch, streams, temperature, all_steps, mask_duplicates):
    states, vectors = (streams[0], streams[1]), (streams[2], streams[3])
    result = item_contrast(
        states,
        vectors,
        batch,
        temperature=temperature,
        all_steps=all_steps,
        mask_duplicates=mask_duplicates,
    )
    expected = item_contrast_by_loop(states, vectors, temperature, all_steps, mask_duplicates)
    assert float(result) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("all_steps", [False, True])
@pytest.mark.parametrize("mask_duplicates", [False, True])
def test_padding_enters_neither_contrast(batch, streams, all_steps, mask_duplicates):
    changed = [stream.clone().masked_fill_(~batch.real[..., None], 1e4) for stream in streams]

    def both(parts):
        return (
            user_contrast(parts[0], parts[1], batch.real, 0.2),
            item_contrast(
                (parts[0], parts[1]),
                (parts[2], parts[3]),
                batch,
                temperature=1.0,
                all_steps=all_steps,
                mask_duplicates=mask_duplicates,
            ),
        )

    assert both(changed) == both(streams)


@pytest.mark.parametrize("all_steps", [False, True])
@pytest.mark.parametrize("length", [4, 1])
def test_item_contrast_of_windows_without_a_next_item_is_zero(streams, length, all_steps):
    inputs = torch.tensor([[0, 0, 0, 2][-length:]] * B)
    states = [stream[:, -length:].requires_grad_() for stream in streams]
    loss = item_contrast(
        (states[0], states[1]),
        (states[2], states[3]),
        WindowBatch(inputs, inputs, torch.arange(len(inputs))),
        temperature=1.0,
        all_steps=all_steps,
    )
    loss.backward()
    assert loss.item() == 0.0
    assert not states[0].grad.any()


def test_item_contrast_of_one_user_alone_has_no_negative(streams):
    """At the same step a single user has only the positive, so there is nothing to learn."""
    one = [stream[4:5] for stream in streams]
    inputs = torch.tensor(INPUTS[4:5])
    loss = item_contrast(
        (one[0], one[1]),
        (one[2], one[3]),
        WindowBatch(inputs, inputs, torch.arange(len(inputs))),
        temperature=1.0,
    )
    assert loss.item() == 0.0


def test_binary_cross_entropy_is_its_formula():
    taken, drawn, power = [0.5, -2.0], [[1.0, 0.0, -3.0], [2.0, 4.0, 0.1]], 0.3

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    total = 0.0
    for positive, negatives in zip(taken, drawn, strict=True):
        total -= math.log(sigmoid(positive) ** power)
        total -= sum(math.log(1 - sigmoid(negative)) for negative in negatives)
    found = binary_cross_entropy(torch.tensor(taken), torch.tensor(drawn), power)
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


def test_gbce_is_plain_without_calibration_and_the_sampling_rate_with_all_of_it():
    assert gbce_power(4, 101, calibration=0.0) == pytest.approx(1.0)
    assert gbce_power(4, 101, calibration=1.0) == pytest.approx(0.04)
    assert gbce_power(100, 101, calibration=0.75) == pytest.approx(1.0)  # all items drawn: nothing to undo


@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_bpr_max_is_its_formula(l2):
    taken, drawn = [0.5, -2.0], [[1.0, 0.0, -3.0], [2.0, 4.0, 0.1]]
    total = 0.0
    for positive, negatives in zip(taken, drawn, strict=True):
        weights = [math.exp(score) / sum(map(math.exp, negatives)) for score in negatives]
        chances = [1 / (1 + math.exp(score - positive)) for score in negatives]
        total -= math.log(sum(w * chance for w, chance in zip(weights, chances, strict=True)))
        total += l2 * sum(w * score**2 for w, score in zip(weights, negatives, strict=True))
    found = bpr_max(torch.tensor(taken), torch.tensor(drawn), l2)
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


def test_bpr_max_of_a_hopeless_position_is_finite():
    taken = torch.tensor([-500.0], requires_grad=True)
    loss = bpr_max(taken, torch.tensor([[500.0, 500.0]]), 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(1000)
    assert taken.grad.item() == pytest.approx(-1, abs=1e-4)
