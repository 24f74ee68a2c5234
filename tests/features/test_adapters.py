"""Adapters: where they sit, what trains, and that they start at the encoder as it was."""

import json
import sys

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer

from tssr.core.errors import UsageError
from tssr.features.adapter_files import AdapterRecord
from tssr.features.adapters import adapted_part, adapter_weights
from tssr.features.houlsby import Bottleneck, WithBottleneck
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice
from tssr.features.picture_encoder import PictureEncoder
from tssr.features.pictures import PicturePreparation
from tssr.features.text_encoder import TextEncoder
from tssr.features.torchvision_encoder import take_head_off
from tssr.features.vision_encoder import VisionBackbone

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {**SIZES, "image_size": 32, "patch_size": 16}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
TEXTS = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**SIZES)),
    "roberta": lambda: transformers.RobertaModel(transformers.RobertaConfig(**SIZES)),
    "distilbert": lambda: transformers.DistilBertModel(transformers.DistilBertConfig(**DISTIL)),
    "mpnet": lambda: transformers.MPNetModel(transformers.MPNetConfig(**SIZES)),
    "deberta": lambda: transformers.DebertaV2Model(transformers.DebertaV2Config(**SIZES)),
}
PICTURES = {
    "vit": lambda: VisionBackbone(transformers.ViTModel(transformers.ViTConfig(**PATCHES)), "cls"),
    "dinov2": lambda: VisionBackbone(transformers.Dinov2Model(transformers.Dinov2Config(**PATCHES)), "cls"),
    "clip": lambda: VisionBackbone(
        transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**PATCHES)), "pooler"
    ),
    "torchvision": lambda: without_head(VisionTransformer(32, 16, 2, 2, 16, 32)),
}


def without_head(model):
    take_head_off(model)
    return model


def of_pictures(backbone):
    nothing = PicturePreparation(lambda content: content, (3, 32, 32), [0.5] * 3, [0.5] * 3, {})
    return PictureEncoder(backbone, nothing).eval().requires_grad_(False)


def encoder(name):
    """A small encoder and inputs for it."""
    torch.manual_seed(0)
    if name in TEXTS:
        ids = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]])
        return TextEncoder(TEXTS[name](), "mean").eval().requires_grad_(False), (ids, (ids > 0).long())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    return of_pictures(PICTURES[name]()), (pixels,)


@pytest.mark.parametrize("kind", ["lora", "houlsby"])
@pytest.mark.parametrize("name", [*TEXTS, *PICTURES])
def test_an_adapter_starts_at_the_encoder_and_trains_alone(name, kind):
    module, inputs = encoder(name)
    before = module(*inputs)
    own = [weight.clone() for weight in module.parameters()]
    originals = list(module.parameters())
    part = adapted_part(module, "all", kind, 4, seed=0)
    assert part is module
    # A bottleneck starts as nearly the identity, an update of low rank as zero.
    near = 1e-5 if kind == "lora" else 0.02
    torch.testing.assert_close(module(*inputs), before, rtol=0, atol=near * float(before.abs().max()))
    asked = torch.randn_like(before)
    optimizer = torch.optim.SGD(adapter_weights(part).values(), lr=1.0)
    for _ in range(2):  # the first moves LoRA's zeros, the second what they hide
        optimizer.zero_grad()
        (module(*inputs) * asked).sum().backward()
        optimizer.step()
    assert all(torch.equal(weight, kept) for weight, kept in zip(originals, own, strict=True))
    assert all(weight.grad.any() for weight in adapter_weights(part).values())
    assert not torch.allclose(module(*inputs), before, rtol=1e-2)


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        # Two blocks; in each two matrices of 16 x 16 with rank 4.
        ("bert", "lora", 2 * 2 * (4 * 16 + 16 * 4)),
        ("vit", "lora", 2 * 2 * (4 * 16 + 16 * 4)),
        # 16 to 32 and 32 to 16.
        ("torchvision", "lora", 2 * 2 * (4 * 16 + 32 * 4)),
        *((name, "houlsby", 2 * 2 * (16 * 4 + 4 + 4 * 16 + 16)) for name in [*TEXTS, *PICTURES]),
    ],
)
def test_as_many_weights_train_as_the_papers_count(name, kind, count):
    part = adapted_part(encoder(name)[0], "all", kind, 4, seed=0)
    assert sum(weight.numel() for weight in adapter_weights(part).values()) == count


def test_an_update_of_low_rank_is_that_of_the_paper():
    """W x + B A x for query and value: the encoder whose weights are W + B A."""
    module, inputs = encoder("bert")
    merged = encoder("bert")[0]
    weights = adapter_weights(adapted_part(module, "all", "lora", 3, seed=0))
    with torch.no_grad():
        for weight in weights.values():
            weight.normal_()
        for name, down in weights.items():
            if ".lora_A." in name:
                layer = merged.get_submodule(name.split(".lora_A.")[0])
                layer.weight += weights[name.replace(".lora_A.", ".lora_B.")] @ down
    torch.testing.assert_close(module(*inputs), merged(*inputs), rtol=1e-4, atol=1e-5)


def test_a_bottleneck_adds_what_a_narrow_layer_makes_of_the_states():
    torch.manual_seed(0)
    layer = nn.Linear(5, 6)
    both = WithBottleneck(layer, 2)
    states = torch.randn(3, 4, 5)
    projected = layer(states)
    down, up = both.bottleneck.down, both.bottleneck.up
    wanted = projected + F.gelu(projected @ down.weight.T + down.bias) @ up.weight.T + up.bias
    torch.testing.assert_close(both(states), wanted)
    assert not Bottleneck(6, 2).down.bias.any()


def test_below_the_boundary_there_is_no_adapter_and_the_whole_has_those_above():
    module, (ids, mask) = encoder("bert")
    whole = encoder("bert")[0]
    part = adapted_part(module, "last:1", "houlsby", 4, seed=0)
    assert sum(weight.numel() for weight in adapter_weights(part).values()) == 2 * (16 * 4 + 4 + 4 * 16 + 16)
    with torch.no_grad():
        for weight in adapter_weights(part).values():
            weight.normal_()
    states = whole.backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(part(states * mask.unsqueeze(-1), mask), module(ids, mask))
    assert not torch.allclose(whole(ids, mask), module(ids, mask), rtol=1e-2)


def test_in_a_convolutional_network_lora_sits_beside_the_convolutions():
    module = load_encoder(EncoderChoice("image", "resnet18", "random", None, 30, 0)).module
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    before = module(pixels)
    part = adapted_part(module, "layer4", "lora", 2, seed=0)
    assert torch.equal(module(pixels), before)
    names = {name.split(".lora_")[0] for name in adapter_weights(part)}
    assert len(names) == 5  # two blocks of two convolutions, and the shortcut's
    with pytest.raises(UsageError, match=r"--adapter houlsby: .* for a convolutional network --adapter lora"):
        adapted_part(module, "all", "houlsby", 2, seed=0)


def test_an_encoder_without_layers_of_a_known_name_is_refused():
    module = of_pictures(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))
    with pytest.raises(
        UsageError, match=r"--adapter lora: this encoder has no attention .* take a BERT-family"
    ):
        adapted_part(module, "all", "lora", 2, seed=0)


def test_without_peft_lora_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"--adapter lora needs peft: pip install 'tssr\[adapters\]'"):
        adapted_part(encoder("bert")[0], "all", "lora", 2, seed=0)


def test_the_first_weights_depend_on_the_seed_and_draw_from_nobody_else():
    torch.manual_seed(3)
    drawn = torch.rand(2)
    first, again, other = [], [], []
    for weights, seed in ((first, 1), (again, 1), (other, 2)):
        module = encoder("bert")[0]
        torch.manual_seed(3)
        weights += adapter_weights(adapted_part(module, "all", "houlsby", 4, seed)).values()
        assert torch.equal(torch.rand(2), drawn)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def text_choice(bert, **changed):
    return EncoderChoice("text", str(bert), None, None, 12, 0, **changed)


@pytest.fixture
def adapter_file(bert, tmp_path):
    """Write an adapter of houlsby for the test BERT; what is `changed` in the record, or the tensors."""

    def write(tensors=None, **changed):
        base = load_encoder(text_choice(bert))
        part = adapted_part(base.module, "all", "houlsby", 4, seed=7)
        values = AdapterRecord("houlsby", 4, "all", base.key["weights"]).values() | changed
        path = tmp_path / "adapter-text.safetensors"
        weights = {name: weight.detach() for name, weight in adapter_weights(part).items()}
        save_file(weights if tensors is None else tensors, path, metadata={"record": json.dumps(values)})
        return path, part

    return write


def test_an_adapter_file_makes_the_encoder_that_was_trained(bert, adapter_file):
    path, trained = adapter_file()
    made = load_encoder(text_choice(bert, adapter_weights=str(path)))
    ids = torch.tensor([[2, 5, 7, 3]])
    assert torch.equal(made.module(ids, torch.ones_like(ids)), trained.eval()(ids, torch.ones_like(ids)))
    assert not any(weight.requires_grad for weight in made.module.parameters())
    plain = load_encoder(text_choice(bert))
    assert (made.name, made.key["adapter"] in str(plain.key)) == (f"{plain.name}-houlsby", False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weights": "0" * 64}, r"trained in an encoder with other weights than .* give the --encoder"),
        ({"dim": 5}, r"its weights are not those of houlsby in "),
        ({"tensors": {"x": torch.zeros(1)}}, r"its weights are not those of houlsby in "),
        ({"width": 5}, r"no adapter file \(.*a run of tssr train --end-to-end --adapter has one"),
    ],
)
def test_an_adapter_file_of_something_else_is_refused(bert, adapter_file, changed, words):
    path, _ = adapter_file(**changed)
    with pytest.raises(UsageError, match=f"--adapter-weights .*{words}"):
        load_encoder(text_choice(bert, adapter_weights=str(path)))


def test_an_adapter_file_with_a_record_nested_too_deeply_is_refused(bert, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "a", metadata={"record": "[" * 100_000})
    with pytest.raises(UsageError, match=r"no adapter file \(its values are nested too deeply"):
        load_encoder(text_choice(bert, adapter_weights=str(tmp_path / "a")))


def test_a_missing_adapter_file_is_named(bert, tmp_path):
    with pytest.raises(UsageError, match=r"--adapter-weights .*nowhere: no adapter file"):
        load_encoder(text_choice(bert, adapter_weights=str(tmp_path / "nowhere")))
