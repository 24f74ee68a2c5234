"""`tssr blend` through the command line: what it leaves, what reads it, and what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest

from tssr.cli import main

SMALL = ("--width", "8", "--max-epochs", "1", "--batch-size", "16", "--heads", "2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, shop):
    """A workspace with runs of several models on one data set, and one on another."""
    folder = tmp_path_factory.mktemp("prepared")
    here = ("--workspace", str(folder))
    main(["preprocess", "hm", "--raw", str(shop), *here])
    encoder = ["--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0"]
    main(["extract-features", "--modality", "image", *encoder, *here])
    for name, *options in (
        ("ids", "--model", "sasrec-id", *SMALL),
        ("again", "--model", "sasrec-id", *SMALL, "--seed", "2"),
        ("looks", "--model", "content-knn"),
        ("popular", "--model", "poprec"),
        ("leaks", "--model", "poprec", "--count-all"),
        ("together", "--model", "itemknn"),
    ):
        main(["train", *here, "--dataset", "hm", "--run", name, *options])
    main(["preprocess", "hm", "--raw", str(shop), *here, "--dataset", "other", "--keep-last", "6"])
    main(["train", *here, "--dataset", "other", "--run", "elsewhere", "--model", "poprec"])
    return folder


@pytest.fixture
def blended(tssr, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "workspace")
    return tssr


def test_a_blend_is_a_run_like_any_other(blended, tmp_path):
    made = blended("blend", "ids", "looks", "--run", "both", "--json")
    assert made.code == 0, made.err
    result = made.json["result"]
    assert sum(part["share"] for part in result["parts"]) == pytest.approx(1)
    alone = [part["validation_ndcg@10"] for part in result["parts"]]
    assert result["searched"]["together"] >= max(result["searched"]["ids"], result["searched"]["looks"])
    assert result["validation_ndcg@10"] >= max(alone) - 1e-9
    shutil.rmtree(tmp_path / "workspace" / "runs" / "ids")  # it stands for itself
    shown = blended("evaluate", "--run", "both", "--topk", "5", "--json")
    assert shown.code == 0, shown.err
    assert shown.json["title"] == "SASRec-ID + Content-KNN"
    (tmp_path / "users.txt").write_text("0100000003 0100000004\n")
    lists = blended("recommend", "--run", "both", "--history", "users.txt", "--topk", "3", "--json")
    assert len(lists.json["users"][0]["items"]) == 3


def test_the_same_again_does_nothing_unless_a_part_was_trained_anew(blended, tmp_path):
    first = blended("blend", "ids", "looks", "--json").json
    assert first["run"].startswith("hm-blend-")
    assert blended("blend", "ids", "looks", "--json").json["cached"]
    assert not blended("blend", "ids", "looks", "--force", "--json").json["cached"]
    run = tmp_path / "workspace" / "runs" / "ids" / "run.json"
    record = json.loads(run.read_text())
    record["result"]["weights_sha256"] = "0" * 64  # as if it held other weights now
    run.write_text(json.dumps(record))
    assert "model.safetensors is damaged" in blended("blend", "ids", "looks").err  # so it was read again


def test_a_dense_part_two_seeds_and_three_parts(blended):
    dense = blended("blend", "together", "looks", "ids", "--by-popularity", "--by-history", "--json")
    assert dense.code == 0, dense.err
    assert blended("evaluate", "--run", dense.json["run"], "--topk", "5", "--json").code == 0
    control = blended("blend", "ids", "again")
    assert "2 x SASRec-ID" in control.out


def test_all_weight_on_one_run_is_said(blended):
    """The second ranks as the first does, so it adds nothing."""
    blended("train", "--dataset", "hm", "--model", "poprec", "--run", "twin")
    told = blended("blend", "popular", "twin")
    assert "All weight falls on popular: the others do not improve it" in told.out


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (["ids"], "a blend takes two runs or more"),
        (["ids", "ids"], "ids is listed twice"),
        (["ids", "elsewhere"], "different data sets, hm and other"),
        (["ids", "leaks"], "validation cannot weigh what was counted on it"),
        (["ids", "nobody"], "no such run"),
    ],
)
def test_what_cannot_be_added_is_refused_in_one_line(blended, runs, words):
    refused = blended("blend", *runs)
    assert refused.code != 0
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_a_blend_of_blends_and_of_changed_data_is_refused(blended, tmp_path):
    blended("blend", "ids", "popular", "--run", "pair")
    assert "is a blend itself" in blended("blend", "pair", "looks").err
    features = tmp_path / "workspace" / "features" / "hm"
    features.rename(features.with_name("gone"))
    refused = blended("blend", "ids", "looks")
    assert refused.code != 0
    assert "holds no feature store" in refused.err or "no feature" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    manifest = tmp_path / "workspace" / "datasets" / "hm" / "manifest.json"
    record = json.loads(manifest.read_text())
    record["fingerprint"] = "another split"
    manifest.write_text(json.dumps(record))
    assert "another version of data set hm" in blended("blend", "ids", "popular").err


def test_cold_items_need_a_part_that_reads_content(blended):
    blended("blend", "ids", "popular", "--run", "blind")
    blended("blend", "ids", "looks", "--run", "seeing")
    assert "--cold-items" in blended("evaluate", "--run", "blind", "--topk", "5", "--cold-items").err
    assert blended("evaluate", "--run", "seeing", "--topk", "5", "--cold-items", "--json").code == 0
