"""tssr train --end-to-end on the small shop: the commands around it, resume, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tssr.cli import main
from tssr.core.dataset import describe_dataset
from tssr.core.workspace import WorkspaceFolders
from tssr.features.adapters import trained_part
from tssr.features.encoder_stages import first_trained, split_encoder
from tssr.features.loading import load_encoder
from tssr.features.store import list_stores, open_store
from tssr.features.stored_inputs import StoredInputs
from tssr.pipeline.runs import plan as plan_module
from tssr.pipeline.runs import train as train_module
from tssr.pipeline.runs.encoder_inputs import input_store
from tssr.pipeline.runs.end_to_end_settings import EndToEndSettings
from tssr.pipeline.runs.settings import RunSettings

ENCODER = ("--encoder", "squeezenet1_1", "--weights", "random")
MODEL = ("--model", "sasrec-content", "--width", "8", "--heads", "2", "--blocks", "1")
STEPS = ("--max-epochs", "2", "--batch-size", "32", "--validate-every", "1", "--learning-rate", "1e-3")
TRAIN = ("train", "--end-to-end", "--features", "image", *ENCODER, *MODEL, *STEPS)
TOP = ("--unfreeze", "features.12")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    """The shop with its pixels, and what the lower part of a small random network gives, made once."""
    folder = tmp_path_factory.mktemp("along")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    common = ["extract-features", "--modality", "image", *ENCODER, "--seed", "1", "--workspace", str(folder)]
    main([*common, "--until", "features.11", "--dtype", "float32"])
    return folder


@pytest.fixture
def prepared(tssr, workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "workspace")
    return tssr


def run_folder(tmp_path, name):
    return tmp_path / "workspace" / "runs" / name


def test_a_trained_encoder_is_used_by_all_that_follows(prepared, tmp_path):
    trained = prepared(*TRAIN, *TOP, "--run", "along", "--json")
    assert trained.code == 0, trained.err
    assert trained.json["result"]["encoders"] == ["encoder-image.safetensors"]
    folder = run_folder(tmp_path, "along")
    measured = prepared("evaluate", "--run", "along")
    assert measured.code == 0, measured.err
    assert prepared("recommend", "--run", "along", "--user", "0" * 63 + "1", "--topk", "3").code == 0
    # What extract-features makes with the saved encoder is what the run keeps.
    weights = str(folder / "encoder-image.safetensors")
    again = prepared(
        "extract-features", "--modality", "image", "--encoder", "squeezenet1_1", "--weights", weights,
        "--dtype", "float32", "--json",
    )  # fmt: skip
    assert again.code == 0, again.err
    name = again.json["stores"][0]["name"]
    stores = {
        store.name: store for store in list_stores(WorkspaceFolders(tmp_path / "workspace").features("hm"))
    }
    vectors, present = open_store(stores[name]).item_features()
    kept = load_file(folder / "content-image.safetensors")
    np.testing.assert_allclose(kept["vectors"], vectors, rtol=1e-4, atol=1e-4 * np.abs(vectors).max())
    assert np.array_equal(kept["present"], present)


@pytest.mark.slow
def test_training_moves_the_upper_part_and_nothing_below(prepared, tmp_path):
    assert prepared(*TRAIN, *TOP, "--run", "along").code == 0
    after = load_file(run_folder(tmp_path, "along") / "encoder-image.safetensors")
    assert prepared(*TRAIN, *TOP, "--run", "still", "--encoder-lr", "1e-12").code == 0
    before = load_file(run_folder(tmp_path, "still") / "encoder-image.safetensors")
    moved = {name.rsplit(".", 2)[0] for name in after if not torch.allclose(after[name], before[name])}
    assert moved
    assert all(name.startswith("features.12") for name in moved)


def test_the_boundary_store_trains_as_the_whole_encoder_would(prepared, tmp_path):
    """Upper stages on stored float32 activations, against pixels through the whole with the rest frozen."""
    ws = WorkspaceFolders(tmp_path / "workspace")
    extract = ("extract-features", "--modality", "image", *ENCODER, "--seed", "1", "--inputs")
    assert prepared(*extract).code == 0
    settings = EndToEndSettings(encoder=("squeezenet1_1",), weights=("random",))
    (choice,) = settings.choices(("image",), seed=1)
    info = describe_dataset(ws.dataset("hm"))
    encoder = load_encoder(choice)
    boundary = StoredInputs(input_store(ws, info, encoder, choice, "features.12"), torch.device("cpu"))
    pixels = StoredInputs(input_store(ws, info, encoder, choice, "all"), torch.device("cpu"))
    upper = trained_part(encoder.module, "features.12").eval()
    whole = split_encoder(encoder.module, first_trained(encoder.module, "features.12")).eval()
    contents = torch.arange(5)
    assert torch.equal(boundary.contents, pixels.contents)
    torch.testing.assert_close(upper(*boundary(contents)), whole(*pixels(contents)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(goes_on_like_unbroken):
    options = (*TRAIN, *TOP, "--encoder-chunk", "5", "--encoder-weight-decay", "0.1")
    files = ("model.safetensors", "content-image.safetensors", "encoder-image.safetensors")
    goes_on_like_unbroken(options, files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "written"),
    [("keep_vectors", False), ("keep_vectors", True), ("keep_encoders", True), ("write_run", False)],
)
def test_a_run_killed_after_its_last_step_trains_no_further(prepared, tmp_path, monkeypatch, stage, written):
    """Before and after the vectors of all items are written, after the encoder, before the last record."""
    options = (*TRAIN, *TOP, "--encoder-weight-decay", "0.1", "--content-scale", "standard", "--json")
    whole = prepared(*options, "--run", "whole").json["result"]
    inner = getattr(train_module, stage)

    def killed(*given, **named):
        if stage == "write_run" and given[2] is None:
            return inner(*given, **named)  # the record of a run that begins
        if written:
            inner(*given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, stage, killed)
    assert prepared(*options, "--run", "broken").code == 130
    monkeypatch.setattr(train_module, stage, inner)
    again = prepared(*options, "--run", "broken")
    assert again.code == 0, again.err
    result = again.json["result"]
    assert (result["steps"], result["weights_sha256"]) == (whole["steps"], whole["weights_sha256"])
    for file in ("content-image.safetensors", "encoder-image.safetensors"):
        one, other = (load_file(run_folder(tmp_path, run) / file) for run in ("whole", "broken"))
        assert all(torch.equal(one[name], other[name]) for name in one), file


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        ("--head", "content", "--refresh-items", "epoch"),
        ("--head", "tied", "--refresh-items", "epoch"),
        ("--head", "content", "--softmax-sample", "8"),
    ],
)
def test_heads_of_content_resume_exactly_and_rank_cold_items(goes_on_like_unbroken, prepared, head):
    goes_on_like_unbroken((*TRAIN, *TOP, *head), ("model.safetensors", "content-image.safetensors"))
    measured = prepared("evaluate", "--run", "whole", "--cold-items", "--json")
    assert measured.code == 0, measured.err


def test_the_key_of_a_run_knows_how_items_are_refreshed_only_where_it_is_set(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module, "fingerprint", json.dumps)
    ws = WorkspaceFolders(tmp_path / "workspace")

    def key(**changed):
        along = {"end_to_end": True, "unfreeze": ("features.12",)}
        encoder = {"encoder": ("squeezenet1_1",), "weights": ("random",)}
        chosen = RunSettings(model="sasrec-content", features=("image",))
        return plan_module.plan_run(ws, chosen, {}, {**along, **encoder, **changed}).key()

    assert "refresh_items" not in key()
    assert '"refresh_items": "epoch"' in key(head="content", refresh_items="epoch")


@pytest.mark.slow
def test_a_new_picture_is_encoded_by_the_run_s_own_encoder(prepared, tmp_path, shop):
    raw = tmp_path / "raw"
    shutil.copytree(shop, raw)
    pictures = sorted((raw / "images").rglob("*.jpg"))
    hidden = pictures[0].read_bytes()
    pictures[0].unlink()
    assert prepared("preprocess", "hm", "--raw", raw, "--keep-missing-content").code == 0
    assert prepared(*TRAIN, *TOP, "--run", "along").code == 0
    before = load_file(run_folder(tmp_path, "along") / "content-image.safetensors")
    pictures[0].write_bytes(hidden)
    assert prepared("preprocess", "hm", "--raw", raw, "--keep-missing-content").code == 0
    for command in (("evaluate", "--force"), ("recommend", "--user", "0" * 63 + "1")):
        refused = prepared(*command, "--run", "along")
        assert refused.code == 1
        assert "was made for another version of the items; run the same tssr extract-features" in refused.err
    until = ("--until", "features.11", "--seed", "1")
    assert prepared("extract-features", "--modality", "image", *ENCODER, *until).code == 0
    measured = prepared("evaluate", "--run", "along", "--force")
    assert measured.code == 0, measured.err
    assert "computed again with the run's encoder" in measured.err
    after = load_file(run_folder(tmp_path, "along") / "content-image.safetensors")
    assert int(after["present"].sum()) == int(before["present"].sum()) + 1
    assert torch.equal(after["vectors"][before["present"]], before["vectors"][before["present"]])


@pytest.mark.slow
def test_a_model_starts_from_a_run_on_frozen_features(prepared, tmp_path):
    extract = ("extract-features", "--modality", "image", *ENCODER, "--seed", "1")
    assert prepared(*extract).code == 0
    frozen = ("train", "--features", "image", *MODEL, *STEPS, "--missing", "zero", "--run", "frozen")
    assert prepared(*frozen).code == 0
    tiny = ("--learning-rate", "1e-12", "--max-epochs", "1", "--dropout", "0")
    assert prepared(*TRAIN, *TOP, *tiny, "--start-from", "frozen", "--run", "warm").code == 0
    frozen_weights = load_file(run_folder(tmp_path, "frozen") / "model.safetensors")
    warm = load_file(run_folder(tmp_path, "warm") / "model.safetensors")
    for name, weight in frozen_weights.items():
        torch.testing.assert_close(warm[name], weight)
    other = ("--encoder", "mobilenet_v3_small", "--weights", "random", "--unfreeze", "last:1")
    along = [word for word in TRAIN if word not in ENCODER]
    narrow = prepared(*along, *other, "--start-from", "frozen", "--run", "narrow")
    assert narrow.code == 2
    assert re.search(r"item_input\.project\.weight is \(8, 512\) there and \(8, \d+\) here", narrow.err)
    wide = prepared(*TRAIN, *TOP, "--width", "16", "--start-from", "frozen", "--run", "wide")
    assert wide.code == 2
    assert "--start-from frozen: " in wide.err
    assert "features of the same encoder" in wide.err


def test_a_scaled_model_begins_where_the_run_on_scaled_features_ended(prepared, tmp_path):
    extract = ("extract-features", "--modality", "image", *ENCODER, "--seed", "1", "--dtype", "float32")
    assert prepared(*extract).code == 0
    scale = ("--content-scale", "whiten", "--whiten-rank", "4")
    assert prepared("train", "--features", "image", *MODEL, *STEPS, *scale, "--run", "frozen").code == 0
    still = ("--learning-rate", "1e-12", "--max-epochs", "1", "--start-from", "frozen")
    warm = prepared(*TRAIN, *TOP, *scale, *still, "--run", "warm")
    assert warm.code == 0, warm.err
    frozen, after = (
        prepared("evaluate", "--run", run, "--topk", "3", "10", "--json") for run in ("frozen", "warm")
    )
    assert after.json["measurements"][0]["metrics"] == pytest.approx(
        frozen.json["measurements"][0]["metrics"], rel=1e-3
    )
    kept = load_file(run_folder(tmp_path, "warm") / "content-image.safetensors")
    assert kept["scaling.turn"].shape == (512, 4)
    other = prepared(*TRAIN, *TOP, "--start-from", "frozen", "--run", "other")
    assert other.code == 2
    assert (
        "--start-from frozen: it was trained with --content-scale whiten and this run has raw; give both the "
        "same" in other.err
    )


@pytest.mark.slow
def test_a_killed_run_keeps_its_scaling(goes_on_like_unbroken):
    goes_on_like_unbroken(
        (*TRAIN, *TOP, "--content-scale", "standard"), ("model.safetensors", "content-image.safetensors")
    )


@pytest.mark.slow
def test_compare_takes_trained_encoders(prepared, tmp_path):
    options = ("--end-to-end", "--features", "image", *ENCODER, *MODEL[2:], *STEPS, *TOP)
    made = prepared("compare", "--models", "sasrec-id", "sasrec-content", "--seeds", "1", *options, "--json")
    assert made.code == 0, made.err
    runs = [path.name for path in (tmp_path / "workspace" / "runs").iterdir()]
    assert len(runs) == 2
    records = [json.loads((run_folder(tmp_path, name) / "run.json").read_text()) for name in runs]
    assert sorted("end_to_end" in record for record in records) == [False, True]


@pytest.mark.slow
def test_how_an_encoder_is_trained_can_be_tried(prepared, tmp_path):
    along = ("--end-to-end", "--features", "image", *ENCODER, *MODEL[2:], *STEPS, *TOP)
    tried = ("--try", "encoder_lr=1e-4,1e-3")
    compared = prepared("compare", "--models", "sasrec-content", "--seeds", "1", *along, *tried, "--json")
    assert compared.code == 0, compared.err
    runs = tmp_path / "workspace" / "runs"
    records = [json.loads(path.read_text()) for path in runs.glob("*/run.json")]
    assert sorted(record["end_to_end"]["settings"]["encoder_lr"] for record in records) == [1e-4, 1e-3]
    tuned = prepared("tune", "sasrec-content", *along, *tried, "--json")
    assert tuned.code == 0, tuned.err
    assert len(list(runs.glob("*/run.json"))) == 2  # trained before, by compare
    # The file that tune writes says all that it takes to train the best run again.
    best = tmp_path / tuned.json["config"]
    again = prepared("train", "--config", best, "--features", "image", "--model", "sasrec-content", "--json")
    assert again.json["cached"], again.err


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        (
            "unfreeze=all,last:1",
            "--try --unfreeze: only options of training, of models, and of how an encoder is",
        ),
        ("encoder_lr=1e-4,1e-3", "--encoder-lr: only with --end-to-end"),
    ],
)
def test_what_cannot_be_tried_of_an_encoder_is_one_line(prepared, tried, words):
    assert prepared("extract-features", "--modality", "image", *ENCODER).code == 0
    refused = prepared("compare", "--models", "sasrec-content", "--try", tried)
    assert refused.code == 2
    assert words in refused.err
    assert refused.err.count("error:") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--unfreeze", "layer9"), "--unfreeze layer9: say all, last:N with N from 1 to"),
        (("--unfreeze", "all", "last:1"), "--unfreeze: 2 given for 1 modalities"),
        (
            ("--head", "content"),
            "--head content: it scores all items by their content.* --refresh-items epoch.*--softmax-sample",
        ),
        (("--head", "tied"), "--head tied: it scores all items by their content.* --refresh-items epoch"),
        (
            ("--refresh-items", "epoch"),
            r"--refresh-items epoch: the head .*\(--head table\) reads no content",
        ),
        (("--features", "image-store"), "--features image-store: with --end-to-end say image, text or both"),
        (
            ("--train-batchnorm", "--encoder-chunk", "1"),
            "--encoder-chunk 1: --train-batchnorm normalises by the spread within a chunk.* choose 2 or more",
        ),
        (("--start-from", "nobody"), "--run nobody: no such run|holds no finished run"),
    ],
)
def test_what_cannot_be_meant_is_one_line(prepared, options, words):
    given = [*TRAIN, *(() if "--unfreeze" in options else TOP)]
    if "--features" in options:
        at = given.index("--features")
        del given[at : at + 2]
    refused = prepared(*given, *options)
    assert refused.code in (1, 2)
    assert re.search(words, refused.err), refused.err
    assert refused.err.count("error:") == 1


def test_an_encoder_that_diverges_names_its_own_learning_rate(prepared):
    diverged = prepared(*TRAIN, *TOP, "--encoder-lr", "1e30")
    assert diverged.code == 1
    assert "not finite" in diverged.err
    assert "; lower --encoder-lr or --learning-rate, or raise the temperatures" in diverged.err


def test_options_of_encoders_need_the_flag(prepared):
    refused = prepared("train", *MODEL, "--unfreeze", "layer4")
    assert (refused.code, "--unfreeze: only with --end-to-end" in refused.err) == (2, True)


def test_without_make_the_missing_store_is_named_with_its_command(prepared):
    refused = prepared(*TRAIN, "--no-make")
    assert refused.code == 2
    assert "holds no pixels for squeezenet1_1; make them with: tssr extract-features" in refused.err
    assert "--inputs" in refused.err


def test_a_model_of_ids_has_no_encoder(prepared):
    refused = prepared("train", "--model", "sasrec-id", "--end-to-end")
    assert (refused.code, "--end-to-end: sasrec-id has no such option" in refused.err) == (2, True)
