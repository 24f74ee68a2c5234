"""The report as a file: what stands in it, what never does, and what a person can get wrong."""

import html
import json
import re
import shutil

import pytest

from tssr.cli import main
from tssr.pipeline.report import stage

HOSTILE = "</script><script>document.title='taken over'</script>"


@pytest.fixture(scope="module")
def page(reported):
    output = reported / "all.html"
    main(["report", "--workspace", str(reported), "--output", str(output), "--users", "30"])
    return output.read_text(encoding="utf-8")


def data_in(page, name):
    return json.loads(re.search(rf'id="{name}-data">(.*?)</script>', page, re.S).group(1))


def test_the_numbers_of_the_page_are_those_that_evaluate_measured(page, reported):
    for run in ("poprec", "sasrec-id", "tssr"):
        metrics = json.loads((reported / "runs" / run / "metrics.json").read_text())["measurements"]
        assert len(metrics) == 3
        for measurement in metrics:
            for name in ("recall@5", "ndcg@5", "mrr@5"):
                assert f"<b>{measurement['metrics'][name]:.4f}</b>" in page, (run, name)


def test_protocol_funnel_curves_gate_and_tests_stand_in_the_page(page):
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    for expected in (
        "For each of 60 users the model saw all but the last item taken and ranked all 20 items",
        "items they took before may be listed again",
        "all but the right answer are kept out of the list",
        "items without content dropped",
        "Validation NDCG@10",
        "Loss: ce",
        "Loss: user",
        "Loss: total",
        "Alignment of items, id and image",
        "Uniformity of users, image stream",
        "Uniformity of items, the only stream",
        "By how often the target was taken in training",
        "NDCG@5 of TSSR against each other model",
        "Coverage@5",
        "newest",
        "TSSR merges its streams by a gate",
    ):
        assert expected in words, expected
    assert "p, all" not in words, "each model has one seed"


def test_nothing_in_the_file_asks_for_anything_outside(page):
    assert "default-src 'none'" in page
    assert re.findall(r"""(?:src|href|action)=["']?(?!data:image/webp|#)[^"'\s>]+""", page) == []
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", page)


def test_titles_stay_text_whatever_they_hold(page):
    assert HOSTILE not in page
    assert page.count("taken over") > 0, "the title is there"
    users = data_in(page, "users")
    assert HOSTILE in users["titles"].values()
    assert len(re.findall("<script", page)) == 5


def test_lists_ranks_and_marks_of_the_browsed_users_agree(page):
    users = data_in(page, "users")
    assert users["runs"] == ["PopRec", "SASRec-ID", "TSSR"]
    assert len(users["users"]) == 30
    found = 0
    for user in users["users"]:
        assert user["before"] == 7
        assert user["new"] == (user["target"] not in user["history"])
        for rank, items in zip(user["ranks"][1:], user["lists"][1:], strict=True):
            assert len(set(items)) == 10
            if rank == int(rank) and rank <= 10:
                assert items[int(rank) - 1] == user["target"]
                found += 1
    assert found > 10


def test_without_a_script_some_users_can_be_read_with_their_pictures(page):
    static = page.split('class="no-js-only"')[1]
    assert static.count("<article") == 3
    assert static.count("data:image/webp") > 50


@pytest.mark.slow
def test_a_second_report_differs_in_its_date_alone(page, reported, tmp_path):
    again = tmp_path / "again.html"
    main(["report", "--workspace", str(reported), "--output", str(again), "--users", "30"])
    undated = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text) for text in (page, again.read_text())]
    assert undated[0] == undated[1]


def test_runs_that_were_made_unlike_or_measured_twice_say_so(tssr, workspace):
    path = workspace / "runs" / "poprec" / "run.json"
    record = json.loads(path.read_text())
    here, record["versions"]["torch"] = record["versions"]["torch"], "2.0.0"
    path.write_text(json.dumps(record))
    tssr("evaluate", "--run", "poprec", "--topk", "5", "--force")
    made = tssr("report", "--run", "poprec", "sasrec-id", "--no-pictures", "--users", "2")
    assert made.code == 0, made.err
    page = (workspace / "report.html").read_text()
    assert f"the runs were not made alike: torch 2.0.0 (PopRec), {here} (SASRec-ID)." in page
    assert page.count("this run was measured on the test split 2 times (test-readings.jsonl)") == 1


@pytest.mark.slow
def test_a_comparison_brings_its_models_seeds_and_tests(tssr, workspace, commands):
    models = ("--models", "poprec", "sasrec-id", "--seeds", "2", "--topk", "5", "--focus", "sasrec-id")
    small = ("--width", "8", "--heads", "2", "--max-epochs", "1", "--batch-size", "16")
    made = tssr("compare", *models, *small, "--name", "mine", "--json")
    assert made.code == 0, made.err
    shown = tssr("report", "--comparison", "mine", "--no-pictures", "--users", "2", "--json")
    assert shown.code == 0, shown.err
    assert len(shown.json["runs"]) == 2
    page = (workspace / "report.html").read_text()
    assert "over 2 seeds" in page
    assert f"<b>{made.json['models']['sasrec-id']['metrics']['ndcg@5']:.4f}</b>" in page
    assert f"<b>{made.json['tests']['poprec']['difference']:+.4f}</b>" in page
    assert f"<td>{made.json['tests']['poprec']['p_all']:.2g}</td>" in page
    assert "data:image/webp" not in page.split("<script type")[0]
    assert "Made without pictures" in page
    failed = tssr("report", "--comparison", "other")
    assert "--comparison other: no such comparison;" in failed.err
    assert "has mine" in failed.err


def test_both_p_values_of_a_comparison_over_seeds_stand_beside_each_other(tssr, workspace):
    """One is over users alone, the other over trainings too; older files lack it."""
    test = {"difference": 0.0023, "low": 0.0002, "high": 0.0044, "p_value": 0.011, "adjusted": 0.022}
    tests = {"PopRec": test | {"seed_error": 0.0007, "p_all": 0.061}, "TSSR": test | {"adjusted": 0.033}}
    labels = {"PopRec": "poprec", "SASRec-ID": "sasrec-id", "TSSR": "tssr"}
    record = {
        "contenders": {label: {"runs": [{"run": run}] * 2} for label, run in labels.items()},
        "focus": "SASRec-ID",
        "tested": "ndcg@5",
        "tests": tests,
        "models": {},
    }
    (workspace / "comparisons").mkdir()
    (workspace / "comparisons" / "mine.json").write_text(json.dumps(record))
    assert tssr("report", "--comparison", "mine", "--no-pictures", "--users", "2").code == 0
    page = (workspace / "report.html").read_text()
    table = re.search(r'<table class="forest">.*?</table>', page, re.DOTALL)[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in table.split("<tr>")[1:]]
    places = [rows[0].index(title) for title in ("p (Holm)", "Error over seeds", "p, all")]
    assert [[row[place] for place in places] for row in rows[1:]] == [
        ["0.022", "0.0007", "0.061"],
        ["0.033", "\N{EN DASH}", "\N{EN DASH}"],
    ]
    assert "p, all takes users and trainings as drawn at random" in page


def test_views_without_their_data_say_so(tssr, workspace):
    """No features, no pictures, no run that learns: still a report."""
    shutil.rmtree(workspace / "features")
    shutil.rmtree(workspace / "runs" / "tssr")
    (workspace / "runs" / "poprec" / "metrics.json").unlink()
    manifest = workspace / "datasets" / "hm" / "manifest.json"
    record = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(record | {"raw": str(workspace / "moved")}))
    shown = tssr("report", "--run", "poprec", "--users", "3")
    assert shown.code == 0, shown.err
    page = (workspace / "report.html").read_text()
    for expected in (
        "No run here has been measured on the test split yet",
        "There is nothing to compare",
        "There is nothing to draw a map by",
        "No run here has a gate",
        "PopRec: counted, not trained in steps",
        "None of the pictures could be read",
    ):
        assert expected in page, expected


def test_no_run_is_one_line(tssr, tmp_path):
    failed = tssr("report")
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "holds no finished run; make one with: tssr train" in failed.err


def test_runs_of_two_data_sets_are_one_line(tssr, workspace, shop):
    assert tssr("preprocess", "hm", "--raw", shop, "--dataset", "other", "--min-actions", "3").code == 0
    assert tssr("train", "--model", "poprec", "--dataset", "other", "--run", "mine").code == 0
    failed = tssr("report", "--run", "tssr", "mine")
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "a report is of one data set, but run tssr is on hm and run mine on other" in failed.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--run", "nosuch"), "--run nosuch: no such run; workspace has tssr, sasrec-id, poprec"),
        (("--output", "report.pdf"), "--output report.pdf: a report is HTML; let the name end in .html"),
        (("--comparison", "x"), "--comparison x: no such comparison; make one with: tssr compare"),
        (("--comparison", "../x"), "--comparison '../x': use letters"),
        (("--users", "-1"), "--users: should be greater than or equal to 0"),
    ],
)
def test_what_an_option_gets_wrong(tssr, workspace, arguments, words):
    failed = tssr("report", *arguments)
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert words in failed.err


def test_a_missing_extra_names_the_install_command(tssr, workspace, monkeypatch):
    monkeypatch.setattr(stage, "find_spec", lambda module: None)
    failed = tssr("report")
    assert failed.code == 1
    assert "tssr report needs jinja2 and scikit-learn; install with: pip install 'tssr[report]'" in failed.err


def test_a_damaged_log_names_its_line(tssr, workspace):
    log = workspace / "runs" / "tssr" / "log.jsonl"
    whole = log.read_text()
    for line in ('{"step": 5, "epo', "[" * 100_000):
        log.write_text(whole + line)
        failed = tssr("report", "--users", "1")
        assert failed.code == 1
        assert f"log.jsonl, line {len(whole.splitlines()) + 1} is damaged; delete" in failed.err
        assert failed.err.count("\n") == 1, "told before any model was asked"


def test_a_blend_is_shown_beside_its_parts(tssr, workspace):
    assert tssr("blend", "sasrec-id", "poprec", "--run", "both").code == 0
    assert tssr("evaluate", "--run", "both", "--topk", "5").code == 0
    made = tssr("report", "--run", "sasrec-id", "both", "--output", "blend.html", "--users", "5")
    assert made.code == 0, made.err
    words = re.sub(r"<[^>]+>", " ", (workspace.parent / "blend.html").read_text(encoding="utf-8"))
    assert "SASRec-ID + PopRec" in html.unescape(words)
