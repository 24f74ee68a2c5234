import json
from pathlib import Path

import pytest
from PIL import Image

from tssr.cli import main
from tssr.pipeline.demo import tour
from tssr.pipeline.demo.tour import MODELS

SMALL = ["--customers", "150", "--articles", "60"]


def demo(workspace, capsys, *options):
    main(["demo", "--workspace", str(workspace), "--json", *SMALL, *options])
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


@pytest.fixture
def short_training(monkeypatch):
    for model, options in tour.MODELS.items():
        monkeypatch.setitem(tour.MODELS, model, options and options | {"max_epochs": 2, "width": 8})


@pytest.mark.slow
def test_demo_ends_with_a_table_a_picture_and_paths_and_a_second_run_does_nothing(
    tmp_path, capsys, short_training
):
    workspace = tmp_path / "demo"
    first, said = demo(workspace, capsys)
    assert not first["cached"]
    assert list(first["models"]) == list(MODELS)
    for model in first["models"].values():
        assert list(model["metrics"]) == ["recall@10", "ndcg@10", "recall@20", "ndcg@20"]
        assert 0 < model["metrics"]["recall@10"] <= model["metrics"]["recall@20"] <= 1
    assert all(Path(path).exists() for path in first["paths"].values())
    with Image.open(first["paths"]["picture"]) as picture:
        assert picture.width > 1000
    assert "untrained" in said.lower()
    report = Path(first["paths"]["report"])
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    written = report.stat().st_mtime_ns

    second, said = demo(workspace, capsys)
    assert second["cached"]
    assert second["models"] == first["models"]
    assert report.stat().st_mtime_ns == written, "nothing changed, so the report stands"
    assert said.count("unchanged, nothing to do") == 3 + 2 * len(MODELS)

    other, _ = demo(workspace, capsys, "--seed", "2")
    assert not other["cached"]
    assert other["models"] != first["models"]


@pytest.mark.slow
def test_the_table_for_people_warns_of_the_untrained_encoder(tmp_path, capsys, short_training):
    main(["demo", "--workspace", str(tmp_path / "demo"), *SMALL])
    shown = " ".join(capsys.readouterr().out.split())
    assert "UNTRAINED network" in shown
    assert "history mask none" in shown
    assert "comparison.md" in shown


def test_a_real_dump_is_never_replaced(tmp_path, capsys):
    raw = tmp_path / "raw" / "hm"
    raw.mkdir(parents=True)
    (raw / "articles.csv").write_text("precious")
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--workspace", str(tmp_path), "--force"])
    assert stop.value.code == 2
    assert "holds files that tssr demo did not write; choose another --workspace" in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == ["articles.csv"]


def test_a_data_set_made_of_a_real_dump_elsewhere_is_never_replaced(tmp_path, capsys):
    (tmp_path / "datasets" / "hm").mkdir(parents=True)
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--workspace", str(tmp_path), "--force"])
    assert stop.value.code == 2
    assert "is a data set that tssr demo did not make; choose another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
