"""`train --end-to-end` with pictures and texts at once, for every model that reads content."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from tssr.model.registry import MODELS

SMALL = {"width": "8", "heads": "2", "blocks": "1", "length": "5"}
STEPS = ("--max-epochs", "1", "--batch-size", "64", "--learning-rate", "1e-3")
NEIGHBOURS = ("tssr-rank", "tssr-late")
TRAINED = [
    name
    for name, spec in MODELS.items()
    if spec.trained and spec.reads_content and name not in NEIGHBOURS and spec.same_as is None
]


def options_of(name, bert):
    """A small model of this name whose two encoders train their last stage."""
    fields = MODELS[name].settings.model_fields
    small = [word for field, value in SMALL.items() if field in fields for word in (f"--{field}", value)]
    # The input of UniSRec reads content and its head is tied to it.
    small += ["--refresh-items", "epoch"] if name == "unisrec" else []
    both = ("--features", "text", "image", "--encoder", "squeezenet1_1", bert)
    return ("--model", name, *both, "--weights", "random", "random", "--unfreeze", "last:1", *small, *STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_both_encoders_are_trained_and_all_that_follows_reads_their_vectors(prepared, bert, tmp_path, name):
    made = prepared("train", "--end-to-end", *options_of(name, bert), "--run", "along", "--json")
    assert made.code == 0, made.err
    assert made.json["result"]["encoders"] == ["encoder-image.safetensors", "encoder-text"]
    folder = tmp_path / "workspace" / "runs" / "along"
    for modality, width in (("image", 512), ("text", 16)):
        assert load_file(folder / f"content-{modality}.safetensors")["vectors"].shape == (21, width)
    assert prepared("evaluate", "--run", "along").code == 0
    assert prepared("recommend", "--run", "along", "--user", "0" * 63 + "1", "--topk", "3").code == 0


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_model_with_neighbours_by_content_says_how_it_gets_trained_vectors(prepared, bert, tmp_path, name):
    refused = prepared("train", "--end-to-end", *options_of(name, bert))
    assert refused.code == 2
    assert "--end-to-end: this model looks for neighbours by content" in refused.err
    assert "train the encoder with another model such as sasrec-content, give it to extr" in refused.err
    assert refused.err.count("error:") == 1
    assert not (tmp_path / "workspace" / "features").exists()


@pytest.mark.slow
def test_it_then_reads_what_a_trained_encoder_gives(prepared, bert, tmp_path):
    text = ("--features", "text", "--encoder", bert, "--unfreeze", "last:1", "--width", "8", "--heads", "2")
    assert (
        prepared("train", "--model", "sasrec-content", "--end-to-end", *text, *STEPS, "--run", "along").code
        == 0
    )
    encoder = tmp_path / "workspace" / "runs" / "along" / "encoder-text"
    assert prepared("extract-features", "--modality", "text", "--encoder", encoder).code == 0
    made = prepared(
        "train", "--model", "tssr-rank", "--features", "text", "--max-epochs", "1", "--run", "rank"
    )
    assert made.code == 0, made.err
    record = json.loads((tmp_path / "workspace" / "runs" / "rank" / "run.json").read_text())
    assert len(record["features"]) == 1
