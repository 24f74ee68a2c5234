"""Transformers split between two blocks: the halves together are the whole, for texts and pictures."""

import pytest
import torch
import transformers
from torchvision.models import VisionTransformer

from tssr.core.errors import UsageError
from tssr.features.encoder_stages import first_trained, last_frozen, split_encoder, stage_names
from tssr.features.picture_encoder import PictureEncoder
from tssr.features.pictures import PicturePreparation
from tssr.features.text_encoder import TextEncoder
from tssr.features.torchvision_encoder import take_head_off
from tssr.features.vision_encoder import VisionBackbone

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {**SIZES, "image_size": 32, "patch_size": 16}


def pictures(backbone):
    nothing = PicturePreparation(lambda content: content, (3, 32, 32), [0.5] * 3, [0.5] * 3, {})
    return PictureEncoder(backbone, nothing).eval()


def torchvision_vit():
    model = VisionTransformer(32, 16, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)
    take_head_off(model)
    return pictures(model)


def vision(kind, config, pooling):
    return pictures(VisionBackbone(kind(config(**PATCHES)), pooling))


def text(kind, config, **sizes):
    return TextEncoder(kind(config(vocab_size=30, **(sizes or SIZES))), "mean").eval()


T = transformers
DISTIL = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
MODERN = {
    **SIZES,
    "pad_token_id": 0,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "eos_token_id": 2,
    "bos_token_id": 1,
}
ENCODERS = {
    "vit": lambda: vision(T.ViTModel, T.ViTConfig, "cls"),
    "vit-pooler": lambda: vision(T.ViTModel, T.ViTConfig, "pooler"),
    "dinov2": lambda: vision(T.Dinov2Model, T.Dinov2Config, "mean"),
    "clip": lambda: vision(T.CLIPVisionModel, T.CLIPVisionConfig, "pooler"),
    "siglip": lambda: vision(T.SiglipVisionModel, T.SiglipVisionConfig, "pooler"),
    "torchvision": torchvision_vit,
    "bert": lambda: text(T.BertModel, T.BertConfig),
    "distilbert": lambda: text(T.DistilBertModel, T.DistilBertConfig, **DISTIL),
    "modernbert": lambda: text(T.ModernBertModel, T.ModernBertConfig, **MODERN),
}


def encoder(name):
    torch.manual_seed(0)
    return ENCODERS[name]()


def inputs_of(name):
    if isinstance(encoder(name), TextEncoder):
        ids = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]])
        return ids, (ids > 0).long()
    return (torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8),)


@pytest.mark.parametrize("what", ["last:1", "1"])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_halves_give_what_the_whole_gives(name, what):
    module, inputs = encoder(name), inputs_of(name)
    assert stage_names(module) == ["0", "1", "2"]
    staged = split_encoder(module, first_trained(module, what)).eval()
    with torch.no_grad():
        torch.testing.assert_close(staged(*inputs), module(*inputs), rtol=1e-5, atol=1e-6)
    states = staged.lower(*inputs)[0]
    assert (states.ndim, len(states), states.shape[-1]) == (3, 2, 16)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_upper_half_has_the_last_blocks_and_what_is_behind_them(name):
    """No embedding, no position, no patch: what is below the boundary does not train."""
    module = encoder(name)
    staged = split_encoder(module, last_frozen(module, "-1")).train()
    staged(*inputs_of(name)).sum().backward()
    trained = [weight for weight in staged.parameters() if weight.requires_grad]
    assert 0 < len(trained) < len(list(module.parameters())) / 2
    assert all(weight.grad is None for weight in staged.lower.parameters() if not weight.requires_grad)
    whole = {weight.data_ptr() for weight in module.parameters()}
    assert {weight.data_ptr() for weight in trained} <= whole


def test_what_names_no_block_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"--unfreeze layer4: .*from 1 to 2.*this encoder has 0, 1, 2"):
        first_trained(encoder("vit"), "layer4")
