"""UniSRec: cosines over a temperature, items scored by what they are read with, experts mixed by content."""

import pytest
import torch

from tssr.core.dataset import Queries
from tssr.model.unisrec import MixtureAdaptor


@torch.no_grad()
def test_scores_are_cosines_over_the_temperature_and_a_bias(build, ring):
    model = build("unisrec", contents=2, temperature=0.1)
    vectors, bias = model.items()
    queries = Queries(torch.arange(len(ring)).numpy(), ring, torch.ones(len(ring)).numpy())
    states = model.encode_queries(queries, 0, len(ring))
    torch.testing.assert_close(states.norm(dim=1), torch.ones(len(ring)))
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((8,), 10.0))
    read = model.item_input(torch.arange(1, 9))
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(read, dim=1) / 0.1)
    assert bias.shape == (8,)


@torch.no_grad()
def test_the_adaptor_mixes_its_experts_by_the_content(build):
    model = build("unisrec", experts=3)
    (adaptor,) = (part for part in model.modules() if isinstance(part, MixtureAdaptor))
    items = torch.tensor([2, 5])
    content = adaptor.content(items)
    shares = (content @ adaptor.gate.weight.T).softmax(dim=1)
    expected = sum(shares[:, [g]] * expert(content) for g, expert in enumerate(adaptor.experts))
    torch.testing.assert_close(adaptor(items), expected)
    adaptor.gate.weight.zero_()
    assert not torch.allclose(adaptor(items), expected)


@pytest.mark.parametrize("contents", [1, 2])
def test_each_content_type_has_an_adaptor_and_all_are_added_to_the_ids(build, contents):
    model = build("unisrec", contents=contents)
    parts = model.item_input.parts
    assert len(parts) == 1 + contents
    items = torch.tensor([[1, 2], [3, 4]])
    torch.testing.assert_close(model.item_input(items), sum(part(items) for part in parts))
