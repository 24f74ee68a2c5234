"""eSASRec: gates opened by the states that come in, and the recipe's own defaults."""

import torch

from tssr.core.settings import resolve
from tssr.model.esasrec import LiGRBlock
from tssr.model.real_steps import RealSteps
from tssr.model.registry import MODELS
from tssr.model.settings import ESASRecSettings
from tssr.model.softmax import ItemSample

SMALL = {"width": 8, "heads": 2, "feedforward_width": 12, "dropout": 0.0}


@torch.no_grad()
def test_a_block_adds_each_branch_through_its_gate():
    torch.manual_seed(2)
    block = LiGRBlock(resolve(ESASRecSettings, SMALL)).eval()
    steps = RealSteps.of(torch.tensor([[0, 1, 2], [3, 4, 5]]))
    states = steps.packed(torch.randn(2, 3, 8))
    entered = block.norms[0](states)
    gate = torch.sigmoid(states @ block.gates[0].weight.T + block.gates[0].bias)
    middle = states + gate * block.attention(entered, (entered,), steps)
    inner = block.norms[1](middle)
    one, other = (inner @ part.weight.T for part in (block.feedforward.gate, block.feedforward.widen))
    thought = (one * one.sigmoid() * other) @ block.feedforward.narrow.weight.T
    gate = torch.sigmoid(middle @ block.gates[1].weight.T + block.gates[1].bias)
    torch.testing.assert_close(block(states, steps), middle + gate * thought)


@torch.no_grad()
def test_closed_gates_let_nothing_in():
    block = LiGRBlock(resolve(ESASRecSettings, SMALL)).eval()
    for gate in block.gates:
        gate.weight.zero_()
        gate.bias.fill_(-100.0)
    steps = RealSteps.of(torch.tensor([[1, 2, 3]]))
    states = steps.packed(torch.randn(1, 3, 8))
    torch.testing.assert_close(block(states, steps), states)


def test_the_recipe_is_the_default(build):
    model = build("esasrec")
    assert model.head.weight is None
    assert torch.equal(model.items()[0], model.item_input.table.weight[1:])
    assert isinstance(model.head.sample, ItemSample)
    assert model.head.sample.size == 256
    assert len(set(model.head.sample.weights.tolist())) == 1, "drawn evenly"
    assert build("esasrec", softmax_sample=0).head.sample is None
    assert not MODELS["esasrec"].reads_content
