"""Tables and figures by command: trained through compare, resumed, and set beside what was published."""

import csv
import json
import shutil

import pytest

from tssr.cli import main
from tssr.pipeline.reproduce import paper
from tssr.pipeline.reproduce.claims import what_is_best
from tssr.pipeline.reproduce.experiments import EXPERIMENTS
from tssr.pipeline.reproduce.figures import draw_lines
from tssr.pipeline.reproduce.published_tables import PUBLISHED
from tssr.pipeline.runs.plan import options_of

ENCODER = ("--modality", "image", "--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0")
SVG = b"<?xml"
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def made(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    main(["extract-features", *ENCODER, "--workspace", str(folder)])
    return folder


@pytest.fixture
def prepared(tssr, made, tmp_path, commands):
    shutil.copytree(made, tmp_path / "workspace")
    return tssr


def test_the_papers_numbers_are_copied_right():
    for table in (paper.TABLE_3_RECALL_10, paper.TABLE_3_NDCG_10):
        for place in range(len(paper.DATASETS)):
            values = {model: row[place] for model, row in table.items()}
            assert max(values, key=values.get) == "tssr", "bold in the paper"
    gain = paper.TABLE_3_RECALL_10["tssr"][0] / paper.TABLE_3_RECALL_10["sasrec-content"][0] - 1
    assert round(100 * gain, 2) == 9.83, "its IMP, which it says is over SASRec-ID"


def test_table_1_stands_beside_the_papers_and_is_not_trained_twice(prepared, commands, tmp_path):
    done = prepared("reproduce", "table1", "--quick", "--json")
    assert done.code == 0, done.err
    trained = len(commands)
    assert trained == 3
    rows = {row["model"]: row for row in done.json["rows"]}
    assert list(rows) == ["sasrec-id", "sasrec-content", "sasrec-hybrid"]
    content = rows["sasrec-content"]
    assert content["ndcg@10 paper"] == 0.1035, "of H&M, whose name the data set has"
    assert content["ndcg@10 paper gain"] == pytest.approx(0.1035 / 0.0963 - 1)
    gain = content["ndcg@10"] / rows["sasrec-id"]["ndcg@10"] - 1
    assert content["ndcg@10 gain"] == pytest.approx(gain)
    assert content["ndcg@10 ratio of gains"] == pytest.approx(gain / content["ndcg@10 paper gain"])
    assert any("no evidence" in note for note in done.json["notes"])
    folder = tmp_path / "workspace" / "reproduced"
    table = list(csv.DictReader((folder / "table1-hm-quick.csv").open()))
    assert float(table[1]["ndcg@10"]) == content["ndcg@10"]
    assert "| sasrec-content |" in (folder / "table1-hm-quick.md").read_text()
    assert prepared("reproduce", "table1", "--quick", "--beside", "toy").code == 0
    assert len(commands) == trained
    assert any("history mask exempt" in note for note in done.json["notes"]), "the mask of the paper's code"
    other = prepared("reproduce", "table1", "--quick", "--mask", "none", "--json")
    assert any("history mask none" in note for note in other.json["notes"])
    assert len(commands) == trained


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["figure1", "figure3", "figure4", "figure5", "figure6"])
def test_a_figure_is_drawn_from_what_was_trained(prepared, tmp_path, figure):
    pytest.importorskip("matplotlib")
    done = prepared("reproduce", figure, "--quick", "--json")
    assert done.code == 0, done.err
    assert [row["model"] for row in done.json["rows"]] == list(EXPERIMENTS[figure].models)
    if EXPERIMENTS[figure].geometry:
        assert done.json["rows"][0]["alignment_items_image"] >= 0
        assert done.json["rows"][0]["uniformity_users_id"] <= 0
    folder = tmp_path / "workspace" / "reproduced"
    assert (folder / f"{figure}-hm-quick.svg").read_bytes().startswith(SVG)
    assert (folder / f"{figure}-hm-quick.png").read_bytes().startswith(PNG)


def test_figure_6_sets_each_model_beside_the_ids_at_the_same_share():
    experiment = EXPERIMENTS["figure6"]
    assert experiment.reference_of("tssr-20") == "sasrec-id-20"
    assert experiment.variants["tssr-20"] == {"model": "tssr", "train_users_share": 0.2}
    assert len(experiment.models) == 5 * 4
    values = {"sasrec-id": 0.04, "mv-trm": 0.08, "tssr": 0.1}
    models = {
        f"{model}-{share}": {"metrics": {"recall@20": value, "ndcg@20": value * share / 100}}
        for model, value in values.items()
        for share in (20, 100)
    }
    assert what_is_best(experiment, models, "toy") == [
        "Recall@20 at 20 %: TSSR 0.1000, its best rival mv-trm-20 0.0800, +25.0%",
        "Recall@20 at 100 %: TSSR 0.1000, its best rival mv-trm-100 0.0800, +25.0%",
        "NDCG@20 at 20 %: TSSR 0.0200, its best rival mv-trm-20 0.0160, +25.0%",
        "NDCG@20 at 100 %: TSSR 0.1000, its best rival mv-trm-100 0.0800, +25.0%",
    ]


def test_lines_are_drawn_through_the_points_that_are_there(tmp_path):
    """A model that diverged at one share has a line through the others."""
    pytest.importorskip("matplotlib")
    points = {"tssr-20": ("tssr", 20), "tssr-50": ("tssr", 50), "bpr-mf-20": ("bpr-mf", 20)}
    rows = [["tssr-20", 0.1, None], ["tssr-50", 0.2, None]]
    draw_lines(tmp_path / "figure", "Lines", ["model", "ndcg@20", "ndcg@20 gain"], rows, points)
    assert (tmp_path / "figure.svg").read_bytes().startswith(SVG)
    assert (tmp_path / "figure.png").read_bytes().startswith(PNG)


def test_table_2_counts_the_data_set(prepared):
    rows = prepared("reproduce", "table2", "--json").json["rows"]
    by_name = {row[""]: row for row in rows}
    assert by_name["users"]["hm"] == 60
    assert by_name["users"]["the paper's H&M"] == 100_000


def test_what_cannot_be_reproduced_is_told_in_one_line(prepared, tssr, monkeypatch, tmp_path):
    for words, told in (
        (("table9",), "reproduce table9: there are table1, table2, table3"),
        (("table1", "toys"), "reproduce table1 takes no name"),
        (("table1", "--dataset", "none"), "has hm"),
        (("published", "nobody"), "published nobody: there are s3rec-toys-poprec"),
        (("published", "s3rec-toys-poprec", "--raw", tmp_path), "get Toys_and_Games.txt from github.com/"),
    ):
        refused = prepared("reproduce", *words)
        assert refused.code in (1, 2)
        assert told in refused.err
        assert refused.err.count("\n") == 1
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert "pip install 'tssr[report]'" in prepared("reproduce", "figure3").err
    shutil.rmtree(tmp_path / "workspace" / "features")
    assert "tssr extract-features" in prepared("reproduce", "table1").err


def test_a_config_replaces_settings_of_the_paper_and_the_table_says_so(prepared, commands, tmp_path):
    (tmp_path / "own.toml").write_text(
        "[train]\nlearning-rate = 3e-3\nbatch-size = 4\n[train.sasrec-id]\ninput-dropout = 0.5\n"
        '[train.mv-rnn]\nlayers = 2\n[train.both]\nblend = ["sasrec-id", "content-knn"]\n'
    )
    done = prepared("reproduce", "table1", "--quick", "--config", tmp_path / "own.toml", "--json")
    assert done.code == 0, done.err
    assert (
        "settings that are not the paper's: --learning-rate 0.003 --batch-size 4; "
        "sasrec-id: --input-dropout 0.5"
    ) in done.json["notes"]
    runs = [json.loads(path.read_text()) for path in (tmp_path / "workspace" / "runs").glob("*/run.json")]
    assert {run["settings"]["train"]["learning_rate"] for run in runs} == {0.003}
    assert {run["settings"]["train"]["max_epochs"] for run in runs} == {2}, "those of --quick stay"
    assert len(runs) == len(commands) == 3


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_entry_is_whole(name):
    """Numbers copied wrong seldom grow with k, and a setting misspelt is no option of the model."""
    entry = PUBLISHED[name]
    for metric in ("recall", "ndcg"):
        by_k = [entry.numbers[f"{metric}@{k}"] for k in (5, 10, 20)]
        assert by_k == sorted(by_k)
    assert all(entry.numbers[f"ndcg@{k}"] < entry.numbers[f"recall@{k}"] for k in (5, 10, 20))
    assert set(entry.settings) <= options_of(entry.model)
    assert entry.file.removesuffix(".txt").split("_")[0].lower() in name


def test_published_numbers_beside_ours(tssr, commands, tmp_path):
    lines = (f"{user} {' '.join(str(1 + (user + step) % 25) for step in range(6))}\n" for user in range(40))
    (tmp_path / "Beauty.txt").write_text("".join(lines))
    listed = tssr("reproduce", "published", "--json").json["published"]
    assert "s3rec-beauty-poprec" in [entry["name"] for entry in listed]
    done = tssr("reproduce", "published", "s3rec-beauty-poprec", "--raw", tmp_path, "--json")
    assert done.code == 0, done.err
    rows = {row["metric"]: row for row in done.json["rows"]}
    assert rows["recall@10"]["published"] == 0.0152
    assert rows["recall@10"]["difference"] == pytest.approx(rows["recall@10"]["ours"] / 0.0152 - 1)
    assert "further away than 5%" in done.json["notes"][1], "this is another Beauty"
    notes = next(tmp_path.glob("workspace/runs/*/test-readings.jsonl")).read_text()
    assert json.loads(notes.splitlines()[-1])["by"] == "reproduce"


@pytest.mark.slow
def test_the_published_poprec_of_both_files_is_within_5_percent(tssr, commands, shared_data):
    for name in ("s3rec-toys-poprec", "s3rec-beauty-poprec"):
        done = tssr("reproduce", "published", name, "--raw", shared_data / "s3rec", "--json")
        assert done.code == 0, done.err
        assert all(abs(row["difference"]) < 0.05 for row in done.json["rows"]), name
