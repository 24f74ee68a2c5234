"""What refuses a training along with its encoders is said before hours of extraction, not after them."""

import re
import shutil
import sys
from collections import namedtuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tssr as package
from tssr.core import artifacts
from tssr.core.errors import TssrError
from tssr.core.schema import ITEMS_FILE, TEXT

MODEL = ("--model", "sasrec-content", "--width", "8", "--heads", "2", "--blocks", "1")
IMAGE = ("--features", "image", "--encoder", "squeezenet1_1", "--weights", "random")
WIDER = ("--encoder", "mobilenet_v3_small", "--weights", "random")
BOTH = ("--features", "image", "text")
TRAIN = ("train", "--end-to-end", *MODEL, "--max-epochs", "1")
CONTENT = "it scores all items by their content"


def refuse_without_extraction(refused, words, tmp_path):
    assert refused.code in (1, 2), refused.err
    assert re.search(words, refused.err), refused.err
    assert refused.err.count("error:") == 1
    assert not list((tmp_path / "workspace").glob("features/*/*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param((*IMAGE, "--head", "content"), f"--head content: {CONTENT}", id="head content"),
        pytest.param((*IMAGE, "--head", "table+content"), f"--head table.content: {CONTENT}", id="head both"),
        pytest.param((*IMAGE, "--head", "tied"), f"--head tied: {CONTENT}", id="head tied to content"),
        pytest.param((*IMAGE, "--refresh-items", "epoch"), "--head table.* reads no content", id="refresh"),
        pytest.param((*IMAGE, "--encoder-chunk", "0"), "--encoder-chunk", id="chunk below 1"),
        pytest.param((*IMAGE, "--unfreeze", "layer9"), "--unfreeze layer9: say all, last:N", id="stage"),
        pytest.param((*IMAGE, "--unfreeze", "last:99"), "--unfreeze last:99: say all", id="stages"),
        pytest.param((*IMAGE, "--adapter", "houlsby"), "no transformer blocks", id="adapter"),
        pytest.param((*IMAGE, "--adapter", "side"), "--adapter side", id="side network without blocks"),
        pytest.param(("--encoder", "nobody/none"), "--encoder nobody/none: ", id="no files of the encoder"),
        pytest.param(("--weights", "none.pth"), "--weights none.pth", id="no file of weights"),
        pytest.param((*IMAGE, "--start-from", "nobody"), "--start-from nobody: ", id="start from no run"),
        pytest.param((*IMAGE, "--device", "abacus"), "--device abacus", id="device"),
        pytest.param((*IMAGE, "--heads", "3"), "--heads", id="heads"),
        pytest.param((*IMAGE, "--preset", "nobody"), "--preset: ", id="preset"),
        pytest.param((*IMAGE, "--lambda-item", "1"), "has no such option", id="foreign option"),
        pytest.param((*IMAGE, "--length", "9000000"), "--length 9000000: a step of", id="memory"),
        pytest.param(("--features", "audio"), "--features audio: ", id="modality"),
    ],
)
def test_an_option_is_refused_before_extraction(prepared, tmp_path, options, words):
    refuse_without_extraction(prepared(*TRAIN, *options), words, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("--encoder", "squeezenet1_1", "nobody/none"), "--encoder nobody/none: ", id="encoder"),
        pytest.param(("--unfreeze", "features.12", "last:9"), "--unfreeze last:9: say all", id="stage"),
        pytest.param(("--adapter", "houlsby"), "no transformer blocks", id="adapter"),
        pytest.param((), "none of the 20 items has usable texts", id="no content"),
    ],
)
def test_the_second_modality_is_refused_before_the_first_is_extracted(
    prepared, bert, tmp_path, options, words
):
    items = next((tmp_path / "workspace").rglob(ITEMS_FILE))
    if not options:
        table = pq.read_table(items)
        place = table.column_names.index(TEXT)
        pq.write_table(table.set_column(place, TEXT, pa.nulls(len(table), pa.string())), items)
    encoders = () if "--encoder" in options else ("--encoder", "squeezenet1_1", bert)
    refused = prepared(*TRAIN, *BOTH, *encoders, *options, "--weights", "random", "random")
    refuse_without_extraction(refused, words, tmp_path)


def test_extract_features_refuses_the_second_encoder_before_it_runs_the_first(prepared, tmp_path):
    encoders = ("--encoder", "squeezenet1_1", "nobody/none", "--weights", "random", "random")
    refused = prepared("extract-features", "--modality", "image", "text", *encoders)
    refuse_without_extraction(refused, "--encoder nobody/none: ", tmp_path)


@pytest.fixture
def frozen(prepared, tmp_path):
    """A finished run on frozen vectors of an encoder, which alone are gone then."""
    assert prepared("extract-features", "--modality", "image", *IMAGE[2:]).code == 0
    assert prepared("train", *MODEL, "--max-epochs", "1", "--run", "frozen").code == 0
    shutil.rmtree(tmp_path / "workspace" / "features")
    return prepared


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("--start-from", "frozen", "--width", "16"), "--start-from frozen: .* is ", id="width"),
        pytest.param(
            ("--start-from", "frozen", "--features", "image", *WIDER),
            r"item_input\.project\.weight is \(8, 512\) there and",
            id="width of the encoder",
        ),
        pytest.param(
            ("--start-from", "frozen", "--model", "sasrec-hybrid"),
            "--start-from frozen: it is a run of sasrec-content and this one trains sasrec-hybrid",
            id="model",
        ),
        pytest.param(("--run", "frozen"), "holds a run with other settings or data", id="taken name"),
    ],
)
def test_what_does_not_fit_an_older_run_is_refused_before_extraction(frozen, tmp_path, options, words):
    source = () if "--features" in options else IMAGE
    refuse_without_extraction(frozen(*TRAIN, *source, *options), words, tmp_path)


def test_a_run_that_fits_starts_a_training_whose_inputs_are_extracted_after_that(frozen):
    begun = frozen(*TRAIN, *IMAGE, "--unfreeze", "last:1", "--start-from", "frozen", "--run", "along")
    assert begun.code == 0, begun.err
    again = frozen(*TRAIN, *IMAGE, "--unfreeze", "last:1", "--start-from", "frozen", "--run", "along")
    assert "Nothing changed since the last time" in again.out
    chained = frozen(*TRAIN, *IMAGE, "--unfreeze", "last:1", "--start-from", "along")
    assert chained.code == 2
    assert (
        "--start-from along: it trained its encoders along, and a training starts from a run on froz"
        in chained.err
    )


def test_a_missing_library_is_told_before_extraction(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not installed
    refused = prepared(*TRAIN, *IMAGE, "--adapter", "lora")
    refuse_without_extraction(refused, r"pip install 'tssr\[adapters\]'", tmp_path)


@pytest.fixture
def one_mebibyte_free(monkeypatch):
    Disk = namedtuple("Disk", "total used free")
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda folder: Disk(0, 0, 2**20))


def test_a_disk_with_too_little_room_is_told_before_a_row_is_written(prepared, tmp_path, one_mebibyte_free):
    """20 pictures of 3 x 224 x 224 bytes are 2.9 MiB."""
    refused = prepared(*TRAIN, *IMAGE)
    words = r"the pixels of pictures take 2\.9 MiB and the disk of .*features.* has 1\.0 MiB free; free space"
    assert re.search(words, refused.err), refused.err
    assert not list((tmp_path / "workspace").rglob("*.arrow"))


@pytest.mark.parametrize("command", ["train", "extract-features"])
def test_the_stores_of_two_modalities_must_fit_together_before_the_first_is_made(
    prepared, bert, tmp_path, monkeypatch, command
):
    """The disk has room for each of the two and not for both.

    20 pictures of 512 x 13 x 13 numbers of two bytes are 3.3 MiB, 20 texts of 512 x 16 numbers 320 KiB.
    """
    Disk = namedtuple("Disk", "total used free")
    free = int(3.5 * 2**20)
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda folder: Disk(0, 0, free))
    if command == "train":
        asked = (*TRAIN, *BOTH, "--unfreeze", "features.12", "last:1")
    else:
        asked = (command, "--modality", "image", "text", "--until", "features.11", "0")
    long_texts = ("--max-tokens", "512", "--weights", "random", "random")
    refused = prepared(*asked, *long_texts, "--encoder", "squeezenet1_1", bert)
    assert refused.code == 1
    assert "the activations of pictures take 3.3 MiB (20 of 173,056 bytes)" in refused.err
    assert "the activations of texts take 320.0 KiB (20 of 16,384 bytes)" in refused.err
    words = r"pictures and the activations of texts take 3\.6 MiB and the disk of .* has 3\.5 MiB free; free"
    assert re.search(words, refused.err), refused.err
    assert not list((tmp_path / "workspace").rglob("*.arrow"))


def test_the_python_interface_refuses_before_extraction(prepared, tmp_path):
    data = package.Workspace(tmp_path / "workspace").dataset("hm")
    given = {"features": "image", "encoder": "squeezenet1_1", "weights": "random", "head": "content"}
    for make in (True, False):
        with pytest.raises(TssrError, match=f"--head content: {CONTENT}"):
            data.train("sasrec-content", end_to_end=True, make=make, **given)
    with pytest.raises(TssrError, match="--start-from nobody: "):
        data.train("sasrec-content", end_to_end=True, start_from="nobody", **given | {"head": "table"})
    assert not list((tmp_path / "workspace").glob("features/*/*"))


@pytest.mark.parametrize("command", ["compare --models sasrec-content", "tune sasrec-content", "train"])
def test_who_lacks_the_inputs_hears_first_what_their_extraction_would_not_cure(prepared, tmp_path, command):
    """Without --make, as in compare and tune, the missing store is the last thing to be told."""
    asked = [*command.split(), "--end-to-end", *IMAGE, *(["--no-make"] if command == "train" else [])]
    refused = prepared(*asked, "--start-from", "nobody")
    refuse_without_extraction(refused, "--start-from nobody: ", tmp_path)
    refuse_without_extraction(prepared(*asked), "holds no pixels for squeezenet1_1", tmp_path)


def test_values_to_try_are_refused_before_the_first_training(prepared, tmp_path):
    along = ("--end-to-end", *IMAGE, *MODEL[2:], "--unfreeze", "last:1")
    store = ("extract-features", "--modality", "image", *IMAGE[2:], "--until", "-1", "--seed", "1")
    assert prepared(*store).code == 0
    refused = prepared("compare", "--models", "sasrec-content", *along, "--try", "head=table,content")
    assert f"--head content: {CONTENT}" in refused.err
    assert not (tmp_path / "workspace" / "runs").exists()
