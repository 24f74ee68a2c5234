"""Pixels and token ids for end-to-end training, in the store's format."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import SqueezeNet1_1_Weights
from torchvision.transforms import functional as F
from transformers import AutoTokenizer

from tssr.core.errors import UsageError
from tssr.core.progress import note_once
from tssr.core.settings import resolve
from tssr.features.settings import FeatureSettings
from tssr.features.store import choose_stores, open_store
from tssr.pipeline.extract.stage import extract_features


def extract(workspace, **values):
    return extract_features(workspace, resolve(FeatureSettings, {"workers": 0, **values}))


def test_pixels_are_what_the_encoder_would_see(make_catalogue, monkeypatch):
    monkeypatch.setattr("tssr.features.parts.PART_BYTES", 2 * 3 * 224 * 224)  # parts of two pictures
    workspace, raw = make_catalogue(images=["a.png", "b.png", None, "c.png"])
    dice = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(dice.integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(raw / f"{name}.png")
    extract(workspace, modality=("image",), encoder=("squeezenet1_1",), inputs=True)
    (info,) = choose_stores(workspace.features("catalogue"), (), kind="pixels")
    assert (info.kind, info.shape, info.dimension) == ("pixels", (3, 224, 224), 3 * 224 * 224)
    store = open_store(info)
    assert len(store.vectors.parts) == 2
    rows = store.rows[[4, 3, 1]]
    found = store.gather(rows).reshape(3, *info.shape)
    assert found.dtype == np.uint8
    transform = SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    for pixels, name in ((found[0], "c"), (found[2], "a")):
        image = F.center_crop(F.resize(Image.open(raw / f"{name}.png"), transform.resize_size), 224)
        assert torch.equal(torch.from_numpy(pixels), F.pil_to_tensor(image))
    assert not found[1].any()


def test_tokens_are_the_encoders_own_padded_with_minus_one(make_catalogue, bert):
    texts = ["red shirt", None, "old blue shoes " * 9, "a"]
    workspace, _ = make_catalogue(texts=texts)
    extract(workspace, modality=("text",), encoder=(str(bert),), inputs=True, max_tokens=7)
    (info,) = choose_stores(workspace.features("catalogue"), ("text",), kind="tokens")
    assert info.name.startswith("text-tokens-7-")
    ids, present = open_store(info).item_features()
    assert ids.dtype == np.int32
    tokenizer = AutoTokenizer.from_pretrained(bert)
    for number in (1, 3, 4):
        expected = tokenizer(texts[number - 1], truncation=True, max_length=7)["input_ids"]
        assert ids[number].tolist() == expected + [-1] * (7 - len(expected))
    assert present.tolist() == [False, True, False, True, True]


def test_material_is_not_mistaken_for_vectors(make_catalogue, bert):
    workspace, _ = make_catalogue(texts=["red"])
    with pytest.raises(UsageError, match=r"holds no tokens; make them first: .*--modality text --inputs"):
        choose_stores(workspace.features("catalogue"), (), kind="tokens")
    extract(workspace, modality=("text",), encoder=(str(bert),), inputs=True)
    with pytest.raises(UsageError, match="holds no features; make them first"):
        choose_stores(workspace.features("catalogue"), ("text",))


def test_the_former_flag_of_one_modality_makes_the_same_store_and_says_so_once(make_catalogue, bert, capsys):
    note_once.cache_clear()
    workspace, _ = make_catalogue(texts=["red"])
    asked = {"modality": ("text",), "encoder": (str(bert),)}
    made = extract(workspace, **asked, tokens=True)
    again = extract(workspace, **asked, tokens=True)
    assert capsys.readouterr().err.count("--tokens goes in 0.3.0; write --inputs") == 1
    assert again.cached
    assert extract(workspace, **asked, inputs=True).rows[0][0] == made.rows[0][0]


def test_material_of_another_modality_is_refused(make_catalogue):
    workspace, _ = make_catalogue(texts=["red"])
    with pytest.raises(
        UsageError, match="--pixels is for --modality image; add that or leave the option out"
    ):
        extract(workspace, modality=("text",), pixels=True)
