"""Runs whose encoders were trained along, as parts of blends: of texts, of pictures, beside ids."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tssr.cli import main

pytestmark = pytest.mark.slow

IMAGES = ("--encoder", "squeezenet1_1", "--weights", "random")
MODEL = ("--width", "8", "--heads", "2", "--blocks", "1", "--batch-size", "32", "--max-epochs", "1")
ALONG = ("train", "--model", "sasrec-content", "--end-to-end", *MODEL)
TEXT = (*ALONG, "--features", "text", "--adapter", "side", "--adapter-dim", "4", "--encoder-lr", "1e-2")
PICTURES = (*ALONG[3:], "--features", "image", *IMAGES, "--unfreeze", "features.12")
IMAGE = (*ALONG[:3], *PICTURES, "--encoder-lr", "1e-2")
OF_CONTENT = ("--head", "content", "--refresh-items", "epoch")


def trained_shop(folder, bert, raw, *more):
    """A workspace with three runs: `texts` and `pictures`, with trained encoders, and `ids`."""

    def run(*words):
        main([*words, "--workspace", str(folder)])

    run("preprocess", "hm", "--raw", str(raw), "--keep-missing-content", *more)
    run(*TEXT, *OF_CONTENT, "--encoder", str(bert), "--run", "texts")
    run(*IMAGE, *OF_CONTENT, "--run", "pictures")
    run("train", "--model", "sasrec-id", *MODEL, "--run", "ids")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, bert, shop):
    return trained_shop(tmp_path_factory.mktemp("trained"), bert, shop)


@pytest.fixture
def prepared(tssr, workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "workspace")
    return tssr


def measured(tssr, run, *options):
    found = tssr("evaluate", "--run", run, "--force", "--json", *options)
    assert found.code == 0, found.err
    return found.json["measurements"][0]["metrics"]


def test_they_are_parts_like_any_other_and_the_blend_outlives_them(prepared, tmp_path):
    made = prepared("blend", "ids", "texts", "pictures", "--run", "all", "--json")
    assert made.code == 0, made.err
    result = made.json["result"]
    for part in result["parts"]:  # alone, each ranks within the blend as it does by itself
        assert result["searched"][part["run"]] == pytest.approx(part["validation_ndcg@10"], abs=1e-6)
    whole = measured(prepared, "all")
    cold = prepared("recommend", "--run", "all", "--user", "0" * 63 + "1", "--cold-items", "--json")
    assert cold.code == 0, cold.err
    runs = tmp_path / "workspace" / "runs"
    for name, part, modality in (("texts", "part-1", "text"), ("pictures", "part-2", "image")):
        kept, own = (
            load_file(runs / run / f"content-{modality}.safetensors") for run in (name, f"all/{part}")
        )
        assert all(torch.equal(kept[key], own[key]) for key in kept)
    assert not (runs / "all" / "part-0").exists()
    for name in ("ids", "texts", "pictures"):
        shutil.rmtree(runs / name)
    assert measured(prepared, "all") == whole


def test_ranking_cold_items_takes_the_content_of_trained_encoders(prepared):
    for run in ("texts", "pictures"):
        assert prepared("evaluate", "--run", run, "--cold-items", "--force").code == 0
    assert prepared("blend", "texts", "pictures", "--run", "both").code == 0
    assert measured(prepared, "both", "--cold-items")


def test_a_blend_encodes_content_that_came_later_with_its_part_s_encoder(tssr, tmp_path, bert, shop):
    raw = tmp_path / "raw"
    shutil.copytree(shop, raw)
    picture = sorted((raw / "images").rglob("*.jpg"))[0]
    hidden = picture.read_bytes()
    picture.unlink()
    trained_shop(tmp_path / "workspace", bert, raw)
    assert tssr("blend", "ids", "pictures", "--run", "both").code == 0
    shutil.rmtree(tmp_path / "workspace" / "runs" / "pictures")
    picture.write_bytes(hidden)
    assert tssr("preprocess", "hm", "--raw", raw, "--keep-missing-content").code == 0
    until = ("--until", "features.11", "--seed", "1")
    assert tssr("extract-features", "--modality", "image", *IMAGES, *until).code == 0
    after = tssr("evaluate", "--run", "both", "--force")
    assert after.code == 0, after.err
    assert "computed again with the run's encoder" in after.err
    kept = load_file(tmp_path / "workspace" / "runs" / "both" / "part-1" / "content-image.safetensors")
    assert int(kept["present"].sum()) == 20


def test_compare_blends_them_and_their_controls(prepared, commands, bert, tmp_path):
    (tmp_path / "mix.toml").write_text('[train.mix]\nblend = ["sasrec-id", "sasrec-content"]\n')
    options = (
        "--end-to-end",
        "--features",
        "text",
        "--encoder",
        bert,
        "--adapter",
        "side",
        "--adapter-dim",
        "4",
    )
    made = prepared(
        "compare", "--config", "mix.toml", "--models", "mix", "--seeds", "1", *options, *MODEL, "--json"
    )
    assert made.code == 0, made.err
    records = [json.loads(file.read_text()) for file in (tmp_path / "workspace" / "runs").glob("*/run.json")]
    along = [record for record in records if "end_to_end" in record and record["dataset"] == "hm"]
    assert sorted(record["end_to_end"]["seed"] for record in along) == [1, 1, 1, 2]
    blends = [tuple(part["model"] for part in record["parts"]) for record in records if "parts" in record]
    assert ("sasrec-id", "sasrec-content") in blends
    assert ("sasrec-content", "sasrec-content") in blends


def test_another_seed_of_a_random_encoder_is_refused_in_a_comparison(prepared):
    made = prepared("compare", "--models", "sasrec-content", "--seeds", "2", *PICTURES)
    assert made.code == 2, made.err
    assert "--weights random: with another seed it is another encoder; compare with --seeds 1" in made.err


@pytest.mark.parametrize("parts", [("texts", "pictures"), ("ids", "pictures")])
def test_an_export_takes_the_vectors_of_each_part(prepared, tmp_path, parts):
    assert prepared("blend", *parts, "--run", "both").code == 0
    made = prepared("export", "--run", "both", "--output", "out", "--json")
    assert made.code == 0, made.err
    side = made.json["item_side"]
    assert [each["encoder"] for each in side["reads"]] == ["the run's own, in its folder"] * (
        len(parts) - ("ids" in parts)
    )
