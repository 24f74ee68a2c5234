"""`train` and `evaluate` by several processes: one run folder, the same metrics for any number."""

import json
import subprocess
import time

import pytest

from tssr.cli import main
from tssr.core.errors import DivergedError, TssrError
from tssr.core.torchrun import current_world
from tssr.core.workspace import WorkspaceFolders
from tssr.evaluation import ranking
from tssr.evaluation.settings import EvaluateSettings
from tssr.pipeline.runs import scorer
from tssr.pipeline.runs import train as train_stage
from tssr.pipeline.runs.evaluate import evaluate
from tssr.pipeline.runs.plan import plan_run
from tssr.pipeline.runs.settings import RunSettings
from tssr.pipeline.runs.train import train

SMALL = {"width": 16, "heads": 2, "batch_size": 16, "max_epochs": 2, "dropout": 0.0, "device": "cpu"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    return WorkspaceFolders(folder)


@pytest.fixture
def small_blocks(monkeypatch):
    """The shop has 60 users; in blocks of 512 there would be nothing to share."""
    monkeypatch.setattr(ranking, "BLOCK", 8)


def trained(workspace, name, force=False, **settings):
    plan = plan_run(workspace, RunSettings(model=name), {}, settings)
    return train(workspace, plan, name, force=force).data["result"]


def test_metrics_and_ranks_are_the_same_bytes_for_any_number_of_processes(workspace, on_ranks, small_blocks):
    trained(workspace, "sasrec-id", **SMALL)
    folder = workspace.run("sasrec-id")
    settings = EvaluateSettings(backend="torch", device="cpu")

    def work():
        return evaluate(workspace, "sasrec-id", settings, force=True).data["measurements"]

    def written():
        return [(folder / name).read_bytes() for name in ("metrics.json", "ranks-test.parquet")]

    expected = work()
    alone = written()
    for world in (2, 3):
        assert on_ranks(world, work) == [expected] * world
        assert written() == alone


@pytest.mark.parametrize("name", ["poprec", "sasrec-id"])
def test_training_by_three_leaves_the_run_of_one(workspace, on_ranks, small_blocks, name):
    settings = SMALL if name == "sasrec-id" else {}
    alone = trained(workspace, name, force=True, **settings)
    folder = workspace.run(name)
    files = sorted(path.name for path in folder.iterdir())
    results = on_ranks(3, lambda: trained(workspace, name, force=True, **settings))
    assert sorted(path.name for path in folder.iterdir()) == files
    for result in results:
        assert result["validation_ndcg@10"] == pytest.approx(alone["validation_ndcg@10"], rel=1e-3)
        assert result.get("steps") == alone.get("steps")
    assert json.loads((folder / "run.json").read_text())["finished_at"]


@pytest.fixture
def torchrun(workspace, program):
    """`torchrun(2, "train")`: a command's JSON and its notes, under torchrun with two processes."""

    def run(world, *arguments):
        start = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        # "--": torchrun has an option --run-path, which --run would stand for.
        start += ["--nproc-per-node", world, "-m", "--", "tssr"]
        more = ("--workspace", workspace.root, "--json")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = program(*start, *arguments, *more, text=True, **pipes)
        out, err = process.communicate()
        assert process.returncode == 0, err
        return json.loads(out), err

    return run


def options(settings):
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.slow
def test_torchrun_runs_the_commands(workspace, torchrun):
    """The command of the documentation; the main process speaks for all."""
    train_shared = ("train", "--model", "sasrec-id", "--run", "shared", *options(SMALL))
    assert not torchrun(2, *train_shared)[0]["cached"]
    assert torchrun(3, *train_shared)[0]["cached"]
    metrics = workspace.run("shared") / "metrics.json"
    found = set()
    for world in (1, 2, 3):
        torchrun(world, "evaluate", "--run", "shared", "--force")
        found.add(metrics.read_bytes())
    assert len(found) == 1


@pytest.mark.slow
def test_two_processes_extract_what_an_encoder_reads_and_train_it(torchrun):
    """One command with two stages, each of which needs the other processes."""
    along = ("--end-to-end", "--features", "image", "--encoder", "squeezenet1_1", "--weights", "random")
    model = ("--model", "sasrec-content", "--unfreeze", "features.12", *options(SMALL | {"max_epochs": 1}))
    made, said = torchrun(2, "train", *along, *model, "--run", "along")
    assert not made["cached"]
    assert said.count("--weights random: squeezenet1_1 is untrained") == 1, (
        "the main process says it for both"
    )
    assert made["result"]["encoders"] == ["encoder-image.safetensors"]
    assert torchrun(1, "train", *along, *model, "--run", "along")[0]["cached"]


def test_scores_that_diverge_in_one_process_end_all_of_them(workspace, on_ranks, monkeypatch):
    """Alone, the others would wait for it, and the run would not be recorded as diverged."""

    def diverging(*arguments, **options):
        if current_world().rank == 1:
            raise DivergedError("NaN here")
        return rank_targets(*arguments, **options)

    def work():
        try:
            trained(workspace, "sasrec-id", force=True, **SMALL)
        except DivergedError as error:
            return str(error)

    rank_targets = scorer.rank_targets
    monkeypatch.setattr(scorer, "rank_targets", diverging)
    assert on_ranks(2, work) == [
        "scores are NaN or infinite in another process; lower --learning-rate and train again",
        "NaN here",
    ]
    record = json.loads((workspace.run("sasrec-id") / "run.json").read_text())
    assert "in another process" in record["diverged"]


def test_a_run_is_replaced_only_when_every_process_has_read_it(workspace, on_ranks, monkeypatch):
    """With --start-from the run may begin with the weights of the one that --force replaces."""
    trained(workspace, "sasrec-id", force=True, **SMALL)
    weights = workspace.run("sasrec-id") / "model.safetensors"
    untrained_model = train_stage.untrained_model
    found = []

    def slowly(*arguments):
        time.sleep(current_world().rank)
        found.append(weights.exists())
        return untrained_model(*arguments)

    def work():
        trained(workspace, "sasrec-id", force=True, **SMALL)
        return found

    monkeypatch.setattr(train_stage, "untrained_model", slowly)
    assert on_ranks(2, work) == [[True], [True]]


def test_processes_that_see_different_runs_or_plans_end_before_they_mix_them(workspace, on_ranks):
    trained(workspace, "poprec", force=True)
    trained(workspace, "sasrec-id", force=True, **SMALL)
    settings = EvaluateSettings(backend="torch", device="cpu")

    def refusal(step):
        with pytest.raises(TssrError) as caught:
            step()
        return str(caught.value)

    def work():
        rank = current_world().rank
        run = ("poprec", "sasrec-id")[rank]
        return [
            refusal(lambda: evaluate(workspace, run, settings, force=True)),
            refusal(lambda: trained(workspace, "sasrec-id", **SMALL | {"seed": rank})),
        ]

    for ranked, learned in on_ranks(2, work):
        assert "found different runs or stores: something was written" in ranked
        assert "found different features or settings: something was written" in learned
    assert not (workspace.run("sasrec-id") / "metrics.json").exists()
