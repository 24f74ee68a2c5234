import io

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from tssr.core.errors import UsageError
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice

WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {**WIDTHS, "image_size": 32, "patch_size": 8}


def build(kind):
    torch.manual_seed(0)
    size = {"height": 32, "width": 32}
    if kind == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        return transformers.ResNetModel(config), transformers.ConvNextImageProcessor(
            size={"shortest_edge": 32}
        )
    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**PATCHES)), transformers.ViTImageProcessor(
            size=size
        )
    if kind == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**PATCHES))
        return model, transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size=size)
    text = {**WIDTHS, "vocab_size": 30, "max_position_embeddings": 8, "projection_dim": 8}
    vision = {**PATCHES, "projection_dim": 8}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision))
    return model, transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)


@pytest.fixture
def save(tmp_path):
    def make(kind):
        model, processor = build(kind)
        model.save_pretrained(tmp_path / kind)
        processor.save_pretrained(tmp_path / kind)
        return tmp_path / kind, model.eval(), processor

    return make


def choice(encoder, pooling=None, weights=None, seed=0):
    return EncoderChoice("image", str(encoder), weights, pooling, 30, seed)


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def expected(kind, model, inputs):
    if kind == "clip":
        return model.vision_model(pixel_values=inputs).pooler_output
    output = model(pixel_values=inputs)
    return output.pooler_output.flatten(1) if kind == "resnet" else output.last_hidden_state[:, 0]


@pytest.mark.parametrize("kind", ["resnet", "vit", "dinov2", "clip"])
def test_vectors_are_those_of_the_model_with_its_own_processor(save, kind):
    folder, model, processor = save(kind)
    encoder = load_encoder(choice(folder))
    contents = [picture(seed) for seed in range(3)]
    images = [Image.open(io.BytesIO(content)) for content in contents]
    with torch.inference_mode():
        found = encoder.module(torch.from_numpy(np.stack([encoder.prepare(content) for content in contents])))
        inputs = processor(images, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(found, expected(kind, model, inputs), rtol=1e-3, atol=1e-4)
    assert encoder.dimension == found.shape[1] == 16
    assert load_encoder(choice(folder)).key == encoder.key


def test_pooling_can_be_chosen(save):
    folder, model, processor = save("vit")
    inputs = processor([Image.open(io.BytesIO(picture(1)))], return_tensors="pt")["pixel_values"]
    pixels = torch.from_numpy(load_encoder(choice(folder)).prepare(picture(1)))[None]
    with torch.inference_mode():
        output = model(pixel_values=inputs)
        for pooling, wanted in (("pooler", output.pooler_output), ("mean", output.last_hidden_state.mean(1))):
            found = load_encoder(choice(folder, pooling)).module(pixels)
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_model_without_class_token_has_no_cls_pooling(save):
    folder, _, _ = save("resnet")
    with pytest.raises(UsageError, match=r"--pooling cls: .* has no class token"):
        load_encoder(choice(folder, "cls"))


def test_random_weights_are_seeded(save):
    folder, _, _ = save("vit")
    keys = [load_encoder(choice(folder, weights="random", seed=seed)).key for seed in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]


def test_a_folder_without_a_processor_is_refused(save):
    folder, _, _ = save("vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match="no encoder of this kind, or one with a damaged file"):
        load_encoder(choice(folder))
