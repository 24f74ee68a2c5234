"""Training by several processes: the same weights everywhere, one writer, exact resume."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tssr.core.errors import TssrError
from tssr.core.torchrun import current_world
from tssr.model import trainer as trainer_module
from tssr.model.checkpoint import CHECKPOINT_FILE, MODEL_FILE
from tssr.model.tracking import LOG_FILE

CPU = torch.device("cpu")
SETTINGS = {"batch_size": 7, "max_epochs": 4, "schedule": "cosine", "clip_norm": 0.5}


@pytest.fixture
def trainer_of(build, ring, training, trainer_on):
    """A trainer of a small TSSR on 24 users, whose validation is its own cross-entropy."""

    def made(folder, dropout=0.3, **changed):
        model = build("tssr", dropout=dropout)
        samples = model.samples(ring, "last", CPU)
        settings = training.model_copy(update=SETTINGS | changed)
        return trainer_on(model, samples, settings, folder)

    return made


def log_of(folder):
    lines = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def outcome(trainer):
    fit = trainer.fit()
    weights = {name: tensor.tolist() for name, tensor in trainer.model.state_dict().items()}
    return {"steps": fit.steps, "best_step": fit.best_step, "weights": weights}


@pytest.mark.parametrize("world", [2, 3])
def test_without_chance_they_train_the_model_of_one_process(tmp_path, trainer_of, on_ranks, world):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    outcome(trainer_of(alone, dropout=0.0))
    results = on_ranks(world, lambda: outcome(trainer_of(shared, dropout=0.0)))
    assert all(result == results[0] for result in results)
    ours, theirs = log_of(shared), log_of(alone)
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    expected = load_file(alone / MODEL_FILE)
    for name, tensor in load_file(shared / MODEL_FILE).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-2, atol=1e-3)


def test_the_first_alone_writes(tmp_path, trainer_of, on_ranks):
    def work():
        rank = current_world().rank
        folder = tmp_path / str(rank)
        folder.mkdir()
        outcome(trainer_of(folder))
        return sorted(path.name for path in folder.iterdir())

    first, *others = on_ranks(3, work)
    assert first == sorted([CHECKPOINT_FILE, LOG_FILE, MODEL_FILE])
    assert others == [[], []]


def test_processes_drop_out_differently_and_a_killed_run_ends_like_an_unbroken_one(
    tmp_path, monkeypatch, trainer_of, on_ranks
):
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_CHECKS", 1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()

    def failing():
        trainer = trainer_of(broken)
        losses = trainer.model.losses

        def power_cut(batch):
            if trainer.state.step == 6:
                raise RuntimeError("power cut")
            return losses(batch)

        trainer.model.losses = power_cut
        with pytest.raises(RuntimeError, match="power cut"):
            trainer.fit()
        return trainer.state.step

    unbroken = on_ranks(2, lambda: outcome(trainer_of(whole)))
    assert on_ranks(2, failing) == [6, 6]
    assert on_ranks(2, lambda: outcome(trainer_of(broken))) == unbroken
    ours, theirs = (load_file(folder / CHECKPOINT_FILE) for folder in (broken, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["random.cpu"], ours["random.cpu.1"])


def test_a_run_may_go_on_with_another_number_of_processes(tmp_path, trainer_of, on_ranks):
    outcome(trainer_of(tmp_path, max_epochs=2, schedule="constant"))
    results = on_ranks(2, lambda: outcome(trainer_of(tmp_path, max_epochs=4, schedule="constant")))
    assert [result["steps"] for result in results] == [16, 16]
    assert results[0] == results[1]
    assert outcome(trainer_of(tmp_path, max_epochs=5, schedule="constant"))["steps"] == 20


def test_a_loss_that_is_not_finite_on_one_stops_all(tmp_path, trainer_of, on_ranks):
    def work():
        trainer = trainer_of(tmp_path)
        losses = trainer.model.losses

        def breaking(batch):
            broken = current_world().rank == 1 and trainer.state.step == 2
            return {name: term * float("nan") if broken else term for name, term in losses(batch).items()}

        trainer.model.losses = breaking
        with pytest.raises(TssrError) as error:
            trainer.fit()
        return str(error.value)

    first, second = on_ranks(2, work)
    assert first.startswith("the loss is not finite at step 3 (ce nan")
    assert first == second
