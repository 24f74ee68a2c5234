import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tssr.cli import main
from tssr.evaluation.ranking import Ranks
from tssr.pipeline.demo import contenders
from tssr.pipeline.demo.contenders import BLEND, CONTENDERS, CONTROL
from tssr.pipeline.demo.verdict import lead, lead_line

SMALL = ["--customers", "150", "--articles", "60"]


def demo(workspace, capsys, *options):
    main(["demo", "--workspace", str(workspace), "--json", *SMALL, *options])
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


@pytest.fixture
def short_training(monkeypatch):
    for model, options in contenders.CONTENDERS.items():
        monkeypatch.setitem(contenders.CONTENDERS, model, options and options | {"max_epochs": 2, "width": 8})


@pytest.mark.slow
def test_demo_ends_with_a_table_a_picture_and_paths_and_a_second_run_does_nothing(
    tmp_path, capsys, short_training
):
    workspace = tmp_path / "demo"
    first, said = demo(workspace, capsys)
    assert not first["cached"]
    assert list(first["models"]) == [*CONTENDERS, CONTROL, BLEND]
    assert set(first["leads"]) == {"sasrec-id", CONTROL}
    assert {entry["slice"] for entry in first["slices"][BLEND]} <= {"0", "1-4", "5-19", "20+"}
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
    contents = 1 + first["texts"]
    steps = (
        2 + contents + 2 * len(CONTENDERS) + 1 + 2 * 2
    )  # another seed for the control; blends are measured too
    assert said.count("unchanged, nothing to do") == steps

    other, _ = demo(workspace, capsys, "--seed", "2")
    assert not other["cached"]
    assert other["models"] != first["models"]


@pytest.mark.slow
def test_without_the_package_of_the_text_encoder_the_demo_says_so_and_works(
    tmp_path, capsys, short_training, monkeypatch
):
    monkeypatch.setattr(contenders, "_TEXT_PACKAGE", "no_such_package_here")
    shown, said = demo(tmp_path / "demo", capsys)
    assert not shown["texts"]
    assert said.count("The descriptions were left out, for there is no text encoder") == 1
    assert [path.name.split("-")[0] for path in (tmp_path / "demo/features/hm").iterdir()] == ["image"]


@pytest.mark.slow
def test_the_table_for_people_warns_of_the_untrained_encoder(tmp_path, capsys, short_training):
    main(["demo", "--workspace", str(tmp_path / "demo"), *SMALL])
    shown = " ".join(capsys.readouterr().out.split())
    assert "UNTRAINED network" in shown
    assert "history mask none" in shown
    assert "sasrec-id + content-knn over 2 x sasrec-id: Recall@10" in shown
    assert "new: never, rare: 1 to 4 times" in shown
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


def test_leads_are_told_in_standard_errors_of_paired_differences():
    """Of four customers one is hit only by ours: a mean of .25 with a deviation of .5 over √4."""
    ours, theirs = (
        Ranks(np.arange(4), np.arange(4), {"none": np.array(ranks)}, 10)
        for ranks in ([1, 1, np.nan, 1], [1, 1, np.nan, np.nan])
    )
    found = lead(ours, theirs)
    assert found["recall@10"] == pytest.approx({"difference": 0.25, "errors": 1.0})
    assert lead(ours, ours)["ndcg@10"] == {"difference": 0, "errors": 0}
    line = lead_line("both", "ids", found)
    assert line.startswith("both over ids: Recall@10 +0.2500 (+1.0 standard errors), NDCG@10 +0.2500")
