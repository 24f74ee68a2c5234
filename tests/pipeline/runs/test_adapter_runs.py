"""tssr train --end-to-end --adapter: what a run keeps, and the commands that go on from it."""

import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tssr.cli import main
from tssr.core.workspace import WorkspaceFolders
from tssr.evaluation.settings import EvaluateSettings
from tssr.features.store import list_stores, open_store
from tssr.pipeline.runs.evaluate import evaluate

MODEL = ("--model", "sasrec-content", "--width", "8", "--heads", "2", "--blocks", "1")
STEPS = ("--max-epochs", "2", "--batch-size", "32", "--validate-every", "1", "--learning-rate", "1e-2")
TRAIN = ("train", "--end-to-end", "--features", "text", *MODEL, *STEPS)
HOULSBY = ("--adapter", "houlsby", "--adapter-dim", "4")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    """The small shop, preprocessed once."""
    folder = tmp_path_factory.mktemp("adapters")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    return folder


@pytest.fixture
def encoder(bert, tmp_path):
    """A copy of the test BERT that a test may change, as an option."""
    return "--encoder", str(shutil.copytree(bert, tmp_path / "bert"))


@pytest.fixture
def prepared(tssr, workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "workspace")
    return tssr


def run_folder(tmp_path, name):
    return tmp_path / "workspace" / "runs" / name


@pytest.mark.parametrize(
    "adapter",
    [
        HOULSBY,
        ("--adapter", "side", "--adapter-dim", "4"),
        pytest.param((*HOULSBY, "--unfreeze", "last:1"), marks=pytest.mark.slow),
        pytest.param(("--adapter", "lora", "--adapter-dim", "2"), marks=pytest.mark.slow),
    ],
)
def test_an_adapter_is_all_that_a_run_keeps_and_all_that_follows_uses_it(
    prepared, encoder, tmp_path, adapter
):
    trained = prepared(*TRAIN, *encoder, *adapter, "--run", "along", "--json")
    assert trained.code == 0, trained.err
    counts = trained.json["result"]["encoder_weights"]["text"]
    folder = run_folder(tmp_path, "along")
    file = folder / "adapter-text.safetensors"
    kept = load_file(file)
    assert sum(weight.numel() for weight in kept.values()) == counts["trained"] < counts["whole"] / 5
    saved = load_file(folder / "model.safetensors")
    of_encoder = {name for name in saved if ".encoder." in name}
    assert {name.split(".encoder.", 1)[1] for name in of_encoder} == set(kept)
    assert prepared("evaluate", "--run", "along").code == 0
    assert prepared("recommend", "--run", "along", "--user", "0" * 63 + "1", "--topk", "3").code == 0
    # What extract-features makes with the adapter is what the run keeps.
    again = prepared(
        "extract-features", "--modality", "text", *encoder, "--adapter-weights", file, "--dtype", "float32",
        "--json",
    )  # fmt: skip
    assert again.code == 0, again.err
    name = again.json["stores"][0]["name"]
    stores = {
        store.name: store for store in list_stores(WorkspaceFolders(tmp_path / "workspace").features("hm"))
    }
    vectors, _ = open_store(stores[name]).item_features()
    found = load_file(folder / "content-text.safetensors")["vectors"]
    # A boundary store is float16.
    np.testing.assert_allclose(found, vectors, rtol=1e-3, atol=2e-3 * np.abs(vectors).max())


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [(), HOULSBY])
def test_the_last_block_of_a_vision_transformer_trains_on_what_the_others_give(prepared, tmp_path, adapter):
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path / "vit"
    model = ViTModel(ViTConfig(image_size=32, patch_size=16, initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    options = ("--features", "image", "--encoder", folder, *MODEL, *STEPS, "--unfreeze", "last:1", *adapter)
    made = prepared("train", "--end-to-end", *options, "--run", "along", "--json")
    assert made.code == 0, made.err
    features = WorkspaceFolders(tmp_path / "workspace").features("hm")
    (store,) = list_stores(features)
    assert (store.kind, store.shape) == ("activations", (5, 16))  # the class token and four patches
    assert prepared("evaluate", "--run", "along").code == 0
    kept = run_folder(tmp_path, "along") / made.json["result"]["encoders"][0]
    given = ("--encoder", folder, "--adapter-weights", kept) if adapter else ("--encoder", kept)
    again = prepared("extract-features", "--modality", "image", *given, "--dtype", "float32")
    assert again.code == 0, again.err
    (store,) = [store for store in list_stores(features) if store.kind == "vectors"]
    vectors, _ = open_store(store).item_features()
    found = load_file(run_folder(tmp_path, "along") / "content-image.safetensors")["vectors"]
    np.testing.assert_allclose(found, vectors, rtol=1e-3, atol=2e-3 * np.abs(vectors).max())


def test_the_trained_share_is_printed(prepared, encoder):
    shown = prepared(*TRAIN, *encoder, *HOULSBY)
    assert re.search(r"trained of the text encoder +592 weights, \d+\.\d\d% of its [\d,]+", shown.out), (
        shown.out
    )


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["houlsby", "lora", "side"])
def test_a_killed_run_goes_on_to_the_same_numbers(goes_on_like_unbroken, encoder, adapter):
    options = (*TRAIN, *encoder, "--adapter", adapter, "--adapter-dim", "4", "--encoder-chunk", "5")
    files = ("model.safetensors", "content-text.safetensors", "adapter-text.safetensors")
    goes_on_like_unbroken(options, files)


@pytest.mark.slow
def test_an_item_that_gets_a_text_later_is_encoded_by_base_and_adapter(prepared, encoder, tmp_path, shop):
    raw = tmp_path / "raw"
    shutil.copytree(shop, raw)
    table = raw / "articles.csv"
    lines = table.read_text()
    preprocess = ("preprocess", "hm", "--raw", raw, "--keep-missing-content")
    table.write_text(lines.replace("Thing 3,Type 3,Colour 3,A thing of kind 3.", ",,,"))
    assert prepared(*preprocess).code == 0
    assert prepared(*TRAIN, *encoder, *HOULSBY, "--run", "along").code == 0
    before = load_file(run_folder(tmp_path, "along") / "content-text.safetensors")
    assert int(before["present"].sum()) == 19
    table.write_text(lines)
    assert prepared(*preprocess).code == 0
    assert prepared("extract-features", "--modality", "text", *encoder, "--inputs").code == 0
    measured = prepared("evaluate", "--run", "along", "--force")
    assert measured.code == 0, measured.err
    after = load_file(run_folder(tmp_path, "along") / "content-text.safetensors")
    assert int(after["present"].sum()) == 20
    torch.testing.assert_close(after["vectors"][before["present"]], before["vectors"][before["present"]])


@pytest.mark.slow
def test_two_processes_encode_the_items_of_a_run_that_lost_its_vectors(prepared, encoder, tmp_path, on_ranks):
    assert prepared(*TRAIN, *encoder, *HOULSBY, "--run", "along").code == 0
    vectors = run_folder(tmp_path, "along") / "content-text.safetensors"
    before = load_file(vectors)
    vectors.unlink()
    settings = EvaluateSettings(backend="torch", device="cpu")

    def work():
        return evaluate(WorkspaceFolders(tmp_path / "workspace"), "along", settings, force=True).data[
            "measurements"
        ]

    together = on_ranks(2, work)
    assert together == [work()] * 2
    again = load_file(vectors)
    torch.testing.assert_close(again["vectors"], before["vectors"])


def test_an_adapter_is_not_put_into_another_encoder(prepared, encoder, tmp_path):
    assert prepared(*TRAIN, *encoder, *HOULSBY, "--run", "along").code == 0
    (run_folder(tmp_path, "along") / "content-text.safetensors").unlink()
    from transformers import BertModel

    other = BertModel.from_pretrained(encoder[1])
    with torch.no_grad():
        other.encoder.layer[0].output.dense.weight += 1
    other.save_pretrained(encoder[1])
    refused = prepared("evaluate", "--run", "along")
    assert refused.code == 1
    assert "are not those that the run's adapters were trained in; put the files of that time" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--adapter-dim", "4"), "--adapter-dim: it is for --adapter; add that"),
        ((*HOULSBY, "--train-batchnorm"), "--train-batchnorm: with --adapter the encoder's own weights stay"),
        (("--adapter", "side", "--unfreeze", "last:1"), "--unfreeze: with --adapter side nothing of"),
        (("--adapter", "prefix"), "Invalid value for '--adapter': 'prefix' is not one of 'lora', '"),
    ],
)
def test_what_cannot_be_meant_is_one_line(prepared, encoder, options, words):
    refused = prepared(*TRAIN, *encoder, *options)
    assert (refused.code, words in refused.err) == (2, True), refused.err
    assert refused.err.count("error:") == 1


def test_the_states_of_all_blocks_are_a_store_like_any_other(prepared, encoder, tmp_path):
    extract = ("extract-features", "--modality", "text", *encoder, "--layers", "all", "--json")
    made = prepared(*extract)
    assert made.code == 0, made.err
    (info,) = list_stores(WorkspaceFolders(tmp_path / "workspace").features("hm"))
    assert (info.kind, info.shape, info.manifest["dtype"]) == ("layers", (2, 16), "float16")
    assert made.json["stores"][0]["encoded"] == 20
    assert prepared(*extract).json["stores"][0]["encoded"] == 0
    # Frozen features do not take it for vectors.
    refused = prepared("train", "--features", "text", *MODEL)
    assert (refused.code, "holds no features" in refused.err) == (2, True), refused.err
    both = prepared(*extract, "--until", "0")
    assert (both.code, "--layers: it is one kind of store" in both.err) == (2, True), both.err


def test_without_make_the_store_of_a_side_network_is_named_with_its_command(prepared, encoder):
    refused = prepared(*TRAIN, *encoder, "--adapter", "side", "--no-make")
    assert refused.code == 2
    assert re.search(
        r"holds no layers for .*make them with: tssr extract-features .*--layers all", refused.err
    )


def test_an_adapter_belongs_into_vectors_alone(prepared, encoder):
    refused = prepared(
        "extract-features", "--modality", "text", *encoder, "--adapter-weights", "a.safetensors", "--inputs"
    )
    assert refused.code == 2
    assert "--adapter-weights: they change the encoder's vectors alone" in refused.err


def test_an_adapter_for_an_encoder_without_such_layers_names_the_cure(prepared, tmp_path):
    network = ("--encoder", "squeezenet1_1", "--weights", "random")
    pictures = ("train", "--end-to-end", "--features", "image", *network, *MODEL, *STEPS)
    refused = prepared(*pictures, *HOULSBY)
    assert refused.code == 2
    assert "--adapter houlsby: this encoder has no transformer blocks" in refused.err
    assert refused.err.count("error:") == 1
    assert not WorkspaceFolders(tmp_path / "workspace").features("hm").exists()  # before pictures are read
