"""--cold-bonus: what is added to the scores of items that nobody took, for every model that can rank them."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from tssr.api.workspace import Workspace
from tssr.core.dataset import load_dataset
from tssr.core.errors import UsageError
from tssr.core.workspace import WorkspaceFolders
from tssr.evaluation.ranking import RankingOptions, rank_targets
from tssr.evaluation.scoring import open_index
from tssr.model.blend import Blend
from tssr.pipeline.runs.record import open_run
from tssr.pipeline.runs.scorer import scorer_of
from tssr.pipeline.runs.trained_model import trained_model

USERS, WARM, COLD = 24, 10, 3
SMALL = {"width": 8, "heads": 2, "max_epochs": 2, "batch_size": 8}
SINGLE = {
    "looks": {"model": "content-knn"},
    "head": {"model": "sasrec-content", "head": "content", **SMALL},
    "rank": {"model": "tssr-rank", "cold_share": 0.2, "width": 8, "max_epochs": 2},
    "late": {"model": "tssr-late", **SMALL},
    "ids": {"model": "sasrec-id", **SMALL},
    "pairs": {"model": "itemknn"},
}
BLENDS = {"vectors": ["ids", "looks"], "scores": ["pairs", "looks"]}
BY_CONTENT = ["looks", "head", "rank", "late", *BLENDS]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A log in which the last items are only ever a user's last action, and a run of each kind of model."""
    workspace, draw = Workspace(tmp_path_factory.mktemp("bonus")), np.random.default_rng(5)
    walks = [draw.permutation(WARM)[:5].tolist() for _ in range(USERS)]
    rows = [
        (user, f"i{item:02}", time)
        for user, walk in enumerate(walks)
        for time, item in enumerate([*walk, WARM + user % COLD] if user % 2 else walk)
    ]
    items = [f"i{item:02}" for item in range(WARM + COLD)]
    shop = workspace.preprocess(
        "custom",
        interactions=pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"),
        items=pl.DataFrame({"item": items, "title": [f"thing {item}" for item in items]}),
        user="user",
        item="item",
        time="time",
        text="title",
        min_actions=0,
    )
    shop.import_features("text", draw.normal(size=(len(items), 4)).astype(np.float32), ids=items)
    for name, settings in SINGLE.items():
        shop.train(run=name, device="cpu", **settings)
    for name, parts in BLENDS.items():
        workspace.blend(*parts, name=name)
    return workspace


def run_of(opened, name):
    """The model of a run, the test queries and which items are cold."""
    folders = WorkspaceFolders(opened.folder)
    plan = open_run(folders, folders.choose_run(name))
    dataset = load_dataset(plan.dataset)
    split = plan.split(dataset)
    model = trained_model(folders.choose_run(name), plan, dataset, "cpu")
    if isinstance(model, Blend):
        model.of_item.fill_(0.5)  # on a log without any order, validation may leave a part out
    assert split.cold_items().tolist() == [False] * WARM + [True] * COLD
    return model, split.test, split.cold_items()


def mid_ranks(scores, targets):
    """The definition, one query at a time."""
    own = scores[np.arange(len(targets)), targets - 1][:, None]
    return 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


@pytest.mark.parametrize("backend", ["faiss", "torch"])
@pytest.mark.parametrize("name", BY_CONTENT)
def test_ranks_are_those_of_the_scores_with_the_bonus_added(opened, name, backend):
    model, queries, cold = run_of(opened, name)
    everyone = np.arange(len(queries)).repeat(len(cold)), np.tile(np.arange(1, len(cold) + 1), len(queries))

    def scores(bonus):
        index = open_index(scorer_of(model, queries, cold, bonus), len(cold), backend, "cpu")
        return index.block(0, len(queries)).pair_scores(*everyone).reshape(len(queries), -1)

    plain = scores(0.0)
    spread = float(np.ptp(plain[np.isfinite(plain)]))
    found = []
    for bonus in (-spread, 0.0, 0.1 * spread, 0.3 * spread, 2 * spread):
        moved = plain + bonus * cold
        np.testing.assert_allclose(scores(bonus), moved, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(scores(bonus)[:, ~cold], plain[:, ~cold])
        ranks = rank_targets(queries, scorer_of(model, queries, cold, bonus), RankingOptions(backend=backend))
        np.testing.assert_array_equal(ranks.by_mask["none"], mid_ranks(moved, queries.targets))
        found.append(ranks.by_mask["none"][cold[queries.targets - 1]])
    assert all((later <= earlier).all() for earlier, later in pairwise(found))
    assert found[0].min() > WARM - 1, "far below, cold items stand behind all others"
    assert found[-1].max() <= COLD, "far above, before all others"


@pytest.mark.parametrize("name", ["looks", "head", "rank", "late"])
def test_a_bonus_beyond_all_scores_fills_the_lists_with_what_nobody_took(opened, name):
    """Known answers: with +1000 all three cold items stand first, with -1000 all three stand last."""
    run = opened.run(name)

    def measured(bonus):
        found = run.evaluate(topk=COLD, mask="none", cold_items=True, cold_bonus=bonus)
        record = json.loads((run.folder / "metrics.json").read_text())
        assert found["cold_bonus"].to_list() == [bonus]
        return {part["protocol"]["targets"]: part["metrics"] for part in record["by_target"]}, found

    first, whole = measured(1000.0)
    assert whole[f"share[0]@{COLD}"].item() == 1.0
    assert (first["cold"][f"recall@{COLD}"], first["warm"][f"recall@{COLD}"]) == (1.0, 0.0)
    last, whole = measured(-1000.0)
    assert whole[f"share[0]@{COLD}"].item() == 0.0
    assert last["cold"][f"recall@{COLD}"] == 0.0


def test_two_bonuses_are_two_measurements_and_one_is_measured_once(tssr, opened):
    ask = (
        "evaluate",
        "--workspace",
        opened.folder,
        "--run",
        "looks",
        "--topk",
        "3",
        "--mask",
        "none",
        "--json",
    )
    cold = (*ask, "--cold-items")
    assert tssr(*cold, "--force").json["measurements"][0]["protocol"]["cold_bonus"] == 0.0
    assert tssr(*cold, "--cold-bonus", "0").json["cached"], "no bonus is a bonus of 0"
    more = tssr(*cold, "--cold-bonus", "0.5").json
    assert not more["cached"]
    assert {one["protocol"]["cold_bonus"] for one in (*more["measurements"], *more["by_target"])} == {0.5}
    assert tssr(*cold, "--cold-bonus", "0.5").json["cached"]
    shown = tssr(*cold[:-2], "--cold-items", "--cold-bonus", "0.5").out
    assert "all 13 items ranked, cold items from content with a bonus of 0.5, ties by mid-rank" in shown
    assert "are scored from content alone, plus 0.5" in shown


@pytest.mark.parametrize("name", ["looks", "head", "rank", "late"])
def test_lists_hold_the_scores_with_the_bonus(opened, name):
    run, histories = opened.run(name), [["i00", "i03"], ["i05"]]
    asked = {"histories": histories, "topk": WARM + COLD, "cold_items": True}

    def scores(**more):
        lists = run.recommend(**asked, **more)
        found = {
            row["item_id"]: row["score"] for row in lists.filter(pl.col("user_id") == "history 1").to_dicts()
        }
        assert list(found.values()) == sorted(found.values(), reverse=True)
        return found

    plain, moved = scores(), scores(cold_bonus=0.75)
    gained = {item: moved[item] - plain[item] for item in plain}
    assert gained == pytest.approx({item: 0.75 * (int(item[1:]) >= WARM) for item in plain}, abs=1e-5)


def test_a_bonus_that_no_item_would_get_is_refused_in_one_line(tssr, opened, tmp_path):
    words = "--cold-bonus 2 is for items ranked by --cold-items; give that too"
    of = ("--workspace", opened.folder, "--run", "looks")
    (tmp_path / "c.toml").write_text("[evaluate]\ncold_bonus = 2\n")
    for command in (
        ("evaluate", *of, "--cold-bonus", "2"),
        ("evaluate", *of, "--config", tmp_path / "c.toml"),
        ("recommend", *of, "--user", "0", "--cold-bonus", "2"),
    ):
        refused = tssr(*command)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert words in refused.err
    with pytest.raises(UsageError, match=words):
        opened.run("looks").recommend(users=["0"], cold_bonus=2)
    gone = tssr("train", "--workspace", opened.folder, "--model", "tssr-rank", "--cold-bonus", "2")
    assert gone.code == 2


def test_runs_of_the_time_when_the_bonus_was_trained_with_are_read(opened):
    """Their records have it among the model's settings; without one their keys are those of today."""
    folder = opened.run("rank").folder
    record = json.loads((folder / "run.json").read_text())
    before = open_run(WorkspaceFolders(opened.folder), folder)
    record["settings"]["model"]["cold_bonus"] = 2.0
    (folder / "run.json").write_text(json.dumps(record))
    assert open_run(WorkspaceFolders(opened.folder), folder) == before
    assert before.key() == record["key"]
