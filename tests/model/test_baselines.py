"""What is particular to single baselines; what all models share is in test_every_model."""

import math

import pytest
import torch

from tssr.model.cl4srec import view_contrast
from tssr.model.layers import Mix, Recurrent
from tssr.model.mfn4rec import GatedMemory
from tssr.model.settings import MFN4RecSettings


@pytest.fixture
def batch(windows):
    return windows.batch(torch.arange(windows.count))


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_the_gru_reads_each_window_as_if_it_were_not_padded(layers):
    torch.manual_seed(0)
    recurrent = Recurrent(3, layers, dropout=0.5).eval()
    whole = torch.nn.GRU(3, 3, layers, batch_first=True)
    whole.load_state_dict(
        {
            f"{name.removesuffix('_l0')}_l{number}": weight
            for number, layer in enumerate(recurrent.layers)
            for name, weight in layer.state_dict().items()
        }
    )
    vectors = torch.randn(4, 5, 3)
    real = torch.arange(5) >= torch.tensor([[0], [2], [4], [5]])
    states = recurrent(vectors, real)
    for row, padding in enumerate([0, 2, 4]):
        alone, _ = whole(vectors[row : row + 1, padding:])
        torch.testing.assert_close(states[row, padding:], alone[0])
    assert not states[~real].any()


def test_the_contrast_of_views_is_nt_xent():
    torch.manual_seed(0)
    first, second = torch.randn(3, 4), torch.randn(3, 4)
    states = [*first.double(), *second.double()]
    total = 0.0
    for i, state in enumerate(states):
        scores = {j: math.exp(float(state @ other) / 0.5) for j, other in enumerate(states) if j != i}
        total -= math.log(scores[(i + 3) % 6] / sum(scores.values())) / 6
    assert view_contrast(first, second, 0.5).item() == pytest.approx(total, rel=1e-5)


def test_views_differ_and_the_item_loss_reads_the_window_itself(build, batch):
    model = build("cl4srec", dropout=0.0)
    plain = build("sasrec-id", dropout=0.0)
    plain.load_state_dict(
        model.state_dict() | {"item_input.table.weight": model.item_input.table.weight[:-1]}
    )
    before = batch.inputs.clone()
    terms = model.losses(batch)
    assert torch.equal(batch.inputs, before)
    torch.testing.assert_close(terms["ce"], plain.losses(batch)["ce"])
    first, second = model.views(batch.inputs)
    long = (batch.inputs > 0).sum(1) == 5
    assert (first[long] != second[long]).any(dim=1).float().mean() > 0.9
    assert {int(first.max()), int(second.max())} == {model.mask_token}


def test_without_the_contrast_cl4srec_is_sasrec(build, batch):
    assert list(build("cl4srec", lambda_view=0.0).losses(batch)) == ["ce"]


@torch.no_grad()
def test_mv_trm_is_sasrec_hybrid(build, batch):
    one, other = build("mv-trm", 2), build("sasrec-hybrid", 2)
    assert torch.equal(one.states(batch.inputs), other.states(batch.inputs))


@torch.no_grad()
def test_fdsa_is_tssr_without_cross_attention_gate_and_contrasts(build, batch):
    model = build("fdsa")
    bare = build("tssr", cross_blocks=0, fusion="concat", lambda_user=0.0, lambda_item=0.0)
    names = {
        "join": "fusion",
        "encoders": "unimodal",
        "entrance": "entrances.0",
        "inputs": "inputs",
        "head": "head",
    }
    renamed = {
        ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): tensor
        for name, tensor in model.state_dict().items()
    }
    bare.load_state_dict(renamed)
    torch.testing.assert_close(model.states(batch.inputs), bare.states(batch.inputs))
    torch.testing.assert_close(model.losses(batch), bare.losses(batch))


@torch.no_grad()
def test_the_memory_is_that_of_the_memory_fusion_network():
    """One window by hand, step by step: delta attention, candidate, retain and update gates."""
    torch.manual_seed(0)
    width, length = 3, 4
    memory = GatedMemory(2, MFN4RecSettings(width=width, memory_width=5)).eval()
    real = torch.tensor([[False, True, True, True]])
    views = [torch.randn(1, length, width) * real[..., None] for _ in range(2)]
    found = memory(views, real)
    kept, last = torch.zeros(width), torch.zeros(2 * width)
    for step in range(1, length):
        now = torch.cat([view[0, step] for view in views])
        both = torch.cat([last, now])
        attended = both * torch.softmax(memory.attend(both), dim=0)
        candidate = torch.tanh(memory.propose(attended))
        gates = torch.cat([attended, kept])
        kept = torch.sigmoid(memory.keep(gates)) * kept + torch.sigmoid(memory.update(gates)) * candidate
        torch.testing.assert_close(found[0, step], kept)
        last = now


@torch.no_grad()
def test_mix_is_one_linear_layer():
    mix = Mix(2, 3)
    streams = [torch.randn(1, 4, 2) for _ in range(3)]
    torch.testing.assert_close(mix(streams), torch.cat(streams, dim=-1) @ mix.mix.weight.T + mix.mix.bias)
