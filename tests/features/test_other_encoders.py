"""Folders of models that are no BERT: causal ones are pooled in the right place, others are one line."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2Model,
    T5Config,
    T5Model,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    WhisperConfig,
    WhisperModel,
)

from tssr.core.errors import UsageError
from tssr.features.batches import pad
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice

TEXTS = ["red shirt", "red shoes old", "red"]
WORDS = 82  # of the BERT folder's vocabulary


def choice(folder, pooling=None, modality="text", max_tokens=12):
    return EncoderChoice(modality, str(folder), None, pooling, max_tokens, 0)


def saved(folder, bert, model):
    """A model beside the tokenizer of the BERT folder."""
    shutil.copytree(bert, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def gpt2(bert, tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=WORDS, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    return saved(tmp_path / "gpt2", bert, GPT2Model(config))


def vectors(encoder):
    with torch.inference_mode():
        return encoder.module(*pad(encoder.prepare(TEXTS), encoder.prepare.padding))


def test_a_causal_model_is_pooled_where_it_knows_the_text(gpt2):
    """An oracle one text at a time, without padding."""
    model = GPT2Model.from_pretrained(gpt2).eval()
    default, last = load_encoder(choice(gpt2)), load_encoder(choice(gpt2, "last"))
    assert (default.key["pooling"], last.key["pooling"]) == ("mean", "last")
    for row, ids in enumerate(default.prepare(TEXTS)):
        with torch.inference_mode():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        torch.testing.assert_close(vectors(default)[row], states.mean(dim=0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(vectors(last)[row], states[-1], rtol=1e-4, atol=1e-5)
    assert torch.pdist(vectors(default)).min() > 1e-3


def test_the_first_token_of_a_causal_model_is_refused(gpt2):
    with pytest.raises(UsageError, match=r"--pooling cls: .* from left to right.*--pooling mean or last"):
        load_encoder(choice(gpt2, "cls"))
    with pytest.raises(UsageError, match=r"--max-tokens 33: .* reads at most 32 tokens"):
        load_encoder(choice(gpt2, max_tokens=33))


def test_a_sentence_encoder_may_ask_for_the_last_token(gpt2):
    (gpt2 / "1_Pooling").mkdir()
    (gpt2 / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    assert load_encoder(choice(gpt2)).key["pooling"] == "last"
    for damaged, words in (("", "Expecting value"), ("[" * 100_000, "its values are nested too deeply")):
        (gpt2 / "1_Pooling" / "config.json").write_text(damaged)
        with pytest.raises(UsageError, match=rf"1_Pooling/config\.json is damaged \({words}"):
            load_encoder(choice(gpt2))


def test_of_a_model_that_reads_and_writes_the_reading_half_is_taken(bert, tmp_path):
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    folder = saved(
        tmp_path / "t5", bert, T5Model(T5Config(vocab_size=WORDS, decoder_start_token_id=0, **sizes))
    )
    encoder = load_encoder(choice(folder))
    assert (encoder.key["pooling"], encoder.dimension) == ("mean", 16)
    assert torch.pdist(vectors(encoder)).min() > 1e-3


def test_models_of_other_kinds_are_one_line(bert, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = saved(tmp_path / "vit", bert, ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes)))
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(vit)
    assert load_encoder(choice(vit, modality="image")).dimension == 16
    layers = {
        f"{half}_{what}": 1 for half in ("encoder", "decoder") for what in ("layers", "attention_heads")
    }
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    speech = WhisperConfig(vocab_size=WORDS, d_model=16, num_mel_bins=8, **layers, **tokens)
    for folder in (vit, saved(tmp_path / "speech", bert, WhisperModel(speech))):
        with pytest.raises(UsageError, match="its model makes no vector of text content"):
            load_encoder(choice(folder))


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", None])
def test_damaged_and_empty_folders_are_one_line(gpt2, tmp_path, modality, name):
    folder = gpt2 if name else tmp_path
    if name:
        (folder / name).write_bytes(b"")
    with pytest.raises(
        UsageError, match=r"^--encoder .*: no encoder of this kind, or one with a damaged file \("
    ):
        load_encoder(choice(folder, modality=modality))
