import pytest
import torch
import torch.nn.functional as F

from tssr.model.input_embedding import InputEmbedding
from tssr.model.recommender import SequenceRecommender
from tssr.model.registry import MODELS
from tssr.model.settings import SequenceSettings

D = 4


def entered(vectors, **switches):
    torch.manual_seed(3)
    entrance = InputEmbedding(5, SequenceSettings(width=D, heads=2, **switches))
    return entrance, entrance(vectors)


@torch.no_grad()
def test_positions_are_added_and_normalised_on_request():
    vectors = torch.randn(3, 5, D)
    plain, without = entered(vectors)
    torch.testing.assert_close(without, vectors + plain.position.weight, rtol=0, atol=0)
    _, normalised = entered(vectors, input_norm=True)
    torch.testing.assert_close(normalised, F.layer_norm(without, (D,)))


def test_dropout_is_for_training():
    vectors = torch.randn(64, 5, D)
    entrance, dropped = entered(vectors, input_dropout=0.5)
    whole = vectors + entrance.position.weight
    kept = dropped != 0
    assert kept.float().mean() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
    torch.testing.assert_close(entrance.eval()(vectors), whole)


def all_states(model, inputs):
    """The states of a model, and of each one inside: tssr-late is made of two."""
    return [part.states(inputs) for part in model.modules() if isinstance(part, SequenceRecommender)]


@pytest.mark.parametrize(
    "name", [name for name, spec in MODELS.items() if issubclass(spec.settings, SequenceSettings)]
)
def test_every_transformer_has_the_switches(build, windows, name):
    batch = windows.batch(torch.arange(windows.count))
    model = build(name, input_norm=True)
    assert any("entrance" in n and n.endswith("norm.weight") for n, _ in model.named_parameters())
    torch.stack(list(model.losses(batch).values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model = build(name, input_norm=True, input_dropout=0.5, dropout=0.0).train()
    twice = zip(all_states(model, batch.inputs), all_states(model, batch.inputs), strict=True)
    assert [torch.equal(one, other) for one, other in twice] == [False] * (2 if name == "tssr-late" else 1)
    model = build(name, input_dropout=0.5).eval()
    for one, other in zip(all_states(model, batch.inputs), all_states(model, batch.inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
