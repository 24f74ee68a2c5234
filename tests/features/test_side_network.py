"""Side networks: the states they read, and that they are no part of the encoder."""

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import nn
from torchvision.models import VisionTransformer

from tssr.core.errors import UsageError
from tssr.features.block_states import BlockStates, all_layers
from tssr.features.encoder import ContentEncoder
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice
from tssr.features.picture_encoder import PictureEncoder
from tssr.features.pictures import PicturePreparation
from tssr.features.side_network import BesideEncoder, SideNetwork, side_network
from tssr.features.text_encoder import TextEncoder
from tssr.features.torchvision_encoder import take_head_off
from tssr.features.vision_encoder import VisionBackbone

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {**SIZES, "image_size": 32, "patch_size": 16}
IDS = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]])
MASK = (IDS > 0).long()
PIXELS = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def of_pictures(backbone):
    nothing = PicturePreparation(lambda content: content, (3, 32, 32), [0.5] * 3, [0.5] * 3, {})
    return PictureEncoder(backbone, nothing).eval().requires_grad_(False)


def bert(pooling):
    torch.manual_seed(0)
    return TextEncoder(transformers.BertModel(transformers.BertConfig(**SIZES)), pooling).eval()


@pytest.mark.parametrize("pooling", ["cls", "mean", "last", "pooler"])
def test_the_states_are_those_of_the_library_pooled(pooling):
    module = bert(pooling)
    hidden = module.backbone(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    by_hand = {
        "cls": lambda states: states[:, 0],
        "pooler": lambda states: states[:, 0],  # the pooler belongs to the last block
        "last": lambda states: torch.stack([states[0, 3], states[1, 1]]),
        "mean": lambda states: torch.stack([states[0].mean(0), states[1, :2].mean(0)]),
    }[pooling]
    hooks = [len(part._forward_hooks) for part in module.modules()]  # the library has some of its own
    found = BlockStates(module)(IDS, MASK)
    assert [len(part._forward_hooks) for part in module.modules()] == hooks
    torch.testing.assert_close(found[:, 0], by_hand(hidden[1]))
    torch.testing.assert_close(found[:, 1], by_hand(hidden[2]))
    assert torch.equal(found[:, 2], module(IDS, MASK))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_of_a_vision_transformer_too(pooling):
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**PATCHES))
    module = of_pictures(VisionBackbone(model, pooling))
    scaled = (PIXELS - module.mean) / module.std
    hidden = model(pixel_values=scaled, output_hidden_states=True).hidden_states
    found = BlockStates(module)(PIXELS)
    wanted = hidden[1].mean(1) if pooling == "mean" else hidden[1][:, 0]
    torch.testing.assert_close(found[:, 0], wanted)
    assert torch.equal(found[:, 2], module(PIXELS))


def test_of_torchvision_s_too():
    torch.manual_seed(0)
    model = VisionTransformer(32, 16, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)
    take_head_off(model)
    module = of_pictures(model)
    found = BlockStates(module)(PIXELS)
    assert found.shape == (2, 3, 16)
    with torch.no_grad():  # the last norm is all that lies between the last block and the vector
        for layer in list(model.encoder.layers)[2:]:
            for weight in layer.parameters():
                weight.zero_()  # the residual connection alone: the block gives what it is given
    found = BlockStates(module)(PIXELS)
    torch.testing.assert_close(model.encoder.ln(found[:, 1]), found[:, 2])


def test_a_side_network_mixes_block_after_block():
    """By hand, with gates that differ."""
    torch.manual_seed(0)
    side = SideNetwork(3, 4, 2)
    states = torch.randn(5, 3, 4)
    with torch.no_grad():
        for weight in side.parameters():
            weight.normal_()
    bottleneck = [
        lambda given, b=b: given + F.linear(F.gelu(b.down(given)), b.up.weight, b.up.bias)
        for b in side.bottlenecks
    ]
    one, two = (1 / (1 + torch.exp(-side.gates))).tolist()
    wanted = bottleneck[0](states[:, 0])
    wanted = bottleneck[1](one * wanted + (1 - one) * states[:, 1])
    wanted = bottleneck[2](two * wanted + (1 - two) * states[:, 2])
    torch.testing.assert_close(side(states), wanted)


def test_a_closed_gate_leaves_frozen_features():
    torch.manual_seed(0)
    side = SideNetwork(3, 4, 2)
    states = torch.randn(5, 3, 4)
    with torch.no_grad():
        side.gates[-1] = -50
    torch.testing.assert_close(side(states), states[:, -1], rtol=0, atol=0.02)


def test_beside_the_encoder_it_gives_what_it_gives_on_stored_states():
    module = bert("mean").requires_grad_(False)
    encoder = ContentEncoder("bert", 16, {}, None, module)
    side = side_network(encoder, 4, seed=1)
    whole = BesideEncoder(module, side)
    torch.testing.assert_close(whole(IDS, MASK), side(BlockStates(module)(IDS, MASK)))
    whole(IDS, MASK).sum().backward()
    assert all(weight.grad is not None for weight in side.parameters())
    assert all(weight.grad is None for weight in module.parameters())
    again = side_network(encoder, 4, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(side.parameters(), again.parameters(), strict=True))


def test_a_convolutional_network_has_no_blocks():
    encoder = load_encoder(EncoderChoice("image", "squeezenet1_1", "random", None, 30, 0))
    with pytest.raises(
        UsageError, match=r"--adapter side: squeezenet1_1 has no transformer .* --unfreeze last:1"
    ):
        side_network(encoder, 4, seed=1)


def test_blocks_of_other_widths_are_refused(bert):
    """A model whose vectors are wider than its states."""
    encoder = load_encoder(EncoderChoice("text", str(bert), None, None, 12, 0))

    class Wider(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.backbone, self.encoder, self.pooling = encoder.backbone, encoder, "cls"

        def forward(self, *inputs):
            return self.encoder(*inputs).repeat(1, 2)

    other = ContentEncoder("wider", 32, encoder.key, encoder.prepare, Wider(encoder.module))
    with pytest.raises(UsageError, match=r"--layers all: the blocks of wider do not all give 32 numbers"):
        all_layers(other, EncoderChoice("text", str(bert), None, None, 12, 0))
