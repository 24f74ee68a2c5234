import math

import pytest
import torch

from tssr.model.layers import Attention, Residual, Transformer, initialise
from tssr.model.real_steps import RealSteps, causal_mask
from tssr.model.settings import SequenceSettings
from tssr.model.shapes import MULTIPLE

B, L, D = 2, 3, 4


def test_the_mask_allows_real_steps_before_and_oneself():
    mask = causal_mask(torch.tensor([[False, True, True], [False, False, False]]))
    assert mask.shape == (2, 1, 3, 3)
    assert mask[0, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert mask[1, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def attention_by_loop(layer, states, context, mask):
    """softmax(Q K^T / sqrt(D/H)) V, head by head and step by step, in float64."""
    heads, size = layer.heads, D // layer.heads
    query, key_value = layer.query(states), layer.key_value(context)
    key, value = key_value[..., :D], key_value[..., D:]
    read = torch.zeros_like(states)
    for b in range(len(states)):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for step in range(states.shape[1]):
                allowed = [k for k in range(context.shape[1]) if mask[b, 0, step, k]]
                scores = [float(query[b, step, part] @ key[b, k, part]) / math.sqrt(size) for k in allowed]
                total = sum(math.exp(score) for score in scores)
                for k, score in zip(allowed, scores, strict=True):
                    read[b, step, part] += math.exp(score) / total * value[b, k, part]
    return layer.output(read)


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_its_formula(heads):
    torch.manual_seed(0)
    layer = Attention(D, heads, dropout=0.5).double().eval()
    states, *contexts = torch.randn(3, B, L, D).double()
    steps = RealSteps.of(torch.tensor([[0, 1, 2], [3, 1, 2]]))
    mask = steps.mask.repeat(1, 1, 1, 2)
    expected = attention_by_loop(layer, states, torch.cat(contexts, dim=1), mask)
    read = layer(steps.packed(states), [steps.packed(context) for context in contexts], steps)
    torch.testing.assert_close(read, steps.packed(expected))


@torch.no_grad()
def test_real_steps_are_taken_out_and_put_back():
    states = torch.randn(2, 3, D)
    steps = RealSteps.of(torch.tensor([[0, 0, 2], [0, 1, 2]]))
    packed = steps.packed(states)
    assert len(packed) % MULTIPLE == 0
    torch.testing.assert_close(packed[:3], torch.stack([states[0, 2], states[1, 1], states[1, 2]]))
    padded = steps.padded(packed)
    assert not padded[0, :2].any()
    torch.testing.assert_close(padded[1, 1:], states[1, 1:])
    whole = RealSteps.of(torch.tensor([[1, 1, 2], [3, 1, 2]]))
    assert torch.equal(whole.padded(whole.packed(states)), states)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["rezero", "post", "pre"])
def test_padding_is_no_part_of_what_an_encoder_does(norm):
    """The same real steps, whatever is on the padding and however much there is."""
    torch.manual_seed(0)
    encoder = Transformer(SequenceSettings(width=D, heads=2, norm=norm), blocks=2).eval()
    states, context = torch.randn(2, 1, 2, D)
    long = torch.full((1, 5, D), torch.nan)
    long_states, long_context = (torch.cat([long, part], dim=1) for part in (states, context))
    expected = encoder(states, RealSteps.of(torch.tensor([[4, 4]])), [context])
    result = encoder(long_states, RealSteps.of(torch.tensor([[0, 0, 0, 0, 0, 4, 4]])), [long_context])
    torch.testing.assert_close(result[:, 5:], expected)
    assert not result[:, :5].any()


@torch.no_grad()
@pytest.mark.parametrize(
    ("norm", "formula"),
    [
        ("post", lambda norm, x, y: norm(x + y)),
        ("pre", lambda norm, x, y: x + y),
        ("rezero", lambda norm, x, y: norm(x + 0.25 * y)),
    ],
)
def test_residuals(norm, formula):
    torch.manual_seed(0)
    residual = Residual(D, dropout=0.0, norm=norm)
    if residual.gate is not None:
        residual.gate.fill_(0.25)
    states, branch = torch.randn(2, D), torch.randn(2, D)
    entered = residual.norm(states) if norm == "pre" else states
    torch.testing.assert_close(residual.branch_input(states), entered)
    torch.testing.assert_close(residual.add(states, branch), formula(residual.norm, states, branch))


@torch.no_grad()
def test_a_rezero_encoder_starts_as_the_normalised_input():
    torch.manual_seed(0)
    encoder = Transformer(SequenceSettings(width=D, heads=2, norm="rezero"), blocks=2).eval()
    states = torch.randn(B, L, D)
    expected = torch.nn.functional.layer_norm(states, (D,))
    result = encoder(states, RealSteps.of(torch.ones(B, L)))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", ["rezero", "post", "pre"])
def test_gradients_are_those_of_each_window_by_itself(norm):
    torch.manual_seed(0)
    encoder = Transformer(SequenceSettings(width=D, heads=2, norm=norm), blocks=2).double().eval()
    lengths = [3, 1, 0, 2]
    inputs = torch.tensor([[0] * (L - length) + [1] * length for length in lengths])
    states = torch.randn(len(lengths), L, D, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(len(lengths), L, D, dtype=torch.float64)

    def gradients(total):
        return torch.autograd.grad(total, [states, *encoder.parameters()])

    together = gradients((weight * encoder(states, RealSteps.of(inputs))).sum())
    alone = 0.0
    for row, length in enumerate(lengths):
        if length:
            window = states[row : row + 1, L - length :]
            result = encoder(window, RealSteps.of(torch.ones(1, length)))
            alone = alone + (weight[row, L - length :] * result).sum()
    for mine, reference in zip(together, gradients(alone), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("norm", ["rezero", "post", "pre"])
def test_every_norm_keeps_the_future_out(norm):
    torch.manual_seed(0)
    encoder = Transformer(SequenceSettings(width=D, heads=2, norm=norm), blocks=2).eval()
    states = torch.randn(B, L, D, requires_grad=True)
    result = encoder(states, RealSteps.of(torch.ones(B, L)))
    (gradient,) = torch.autograd.grad((result[:, 0] * torch.randn(B, D)).sum(), states)
    assert gradient[:, 0].any()
    assert not gradient[:, 1:].any()


def test_initial_weights_are_those_of_the_released_code():
    module = torch.nn.ModuleList([torch.nn.Linear(300, 200), torch.nn.Embedding(100, 50, padding_idx=0)])
    torch.manual_seed(0)
    initialise(module, item_count=99)
    linear, embedding = module
    assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert linear.bias.unique().tolist() == pytest.approx([0.1])
    assert not embedding.weight[0].any()
    assert 0.099 < embedding.weight.abs().max().item() <= 0.1


def test_queries_keys_and_values_start_alike():
    """As three layers of the released code, though keys and values are one layer here."""
    attention = Attention(128, 4, 0.0)
    torch.manual_seed(1)
    initialise(attention, 10)
    key, value = attention.key_value.weight.chunk(2)
    expected = (2 / (128 + 128)) ** 0.5
    for weight in (attention.query.weight, key, value):
        assert float(weight.detach().std()) == pytest.approx(expected, rel=0.03)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["rezero", "post", "pre"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_newest_state_alone_is_the_last_of_all_states(norm, blocks):
    """Of windows of every length, an empty one among them first, in the middle and last."""
    torch.manual_seed(0)
    settings = SequenceSettings(width=D, heads=2, feedforward_width=8, norm=norm, dropout=0.5)
    encoder = Transformer(settings, blocks).eval()
    for part in encoder.modules():
        if isinstance(part, Residual) and part.gate is not None:
            part.gate.fill_(0.7)  # at its start the gate would leave the branches out
    for windows in ([[0, 0, 0], [0, 0, 4], [0, 0, 0], [1, 2, 3], [0, 5, 6], [0, 0, 0]], [[0, 0, 0]]):
        inputs = torch.tensor(windows)
        states, steps = torch.randn(*inputs.shape, D), RealSteps.of(inputs)
        torch.testing.assert_close(encoder.newest(states, steps), encoder(states, steps)[:, -1])
