"""The loop: what it stops for, what it writes, and that a killed run ends like an unbroken one.

Run as a script with a folder, this file trains there; the test with a real kill does so.
"""

import itertools
import json
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tssr.core import progress as progress_module
from tssr.core.dataset import Histories
from tssr.core.errors import TssrError
from tssr.model import checkpoint
from tssr.model import trainer as trainer_module
from tssr.model.batches import Windows
from tssr.model.checkpoint import CHECKPOINT_FILE, MODEL_FILE
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings, TSSRSettings
from tssr.model.tracking import LOG_FILE
from tssr.model.trainer import Trainer

ITEM_COUNT = 12
SETTINGS = TrainSettings(
    batch_size=8, learning_rate=1e-2, max_epochs=6, validate_every=1, train_windows="all", device="cpu"
)
SCHEDULED = SETTINGS.model_copy(update={"schedule": "cosine", "warmup_steps": 15, "clip_norm": 0.5})


def make_trainer(folder, settings=SETTINGS, validate=None):
    """A small TSSR with dropout on seeded random walks; 40 users make 10 steps an epoch."""
    draw = np.random.default_rng(3)
    flat = draw.integers(1, ITEM_COUNT + 1, 40 * 8).astype(np.int32)
    starts = np.arange(40) * 8
    train = Histories(flat, starts, starts + 8, ITEM_COUNT)
    present = torch.tensor([False] + [True] * ITEM_COUNT)
    content = ContentFeatures("image", torch.eye(ITEM_COUNT + 1), present)
    torch.manual_seed(settings.seed)
    materials = Materials(ITEM_COUNT, 4, [content], train, torch.from_numpy(train.counts()))
    chosen = TSSRSettings(width=8, heads=2, feedforward_width=8, dropout=0.3)
    model = MODELS["tssr"].build(materials, chosen)
    windows = Windows(train, 4, "all", torch.device("cpu"))
    batch = windows.batch(torch.arange(windows.count))

    @torch.no_grad()
    def likeness():
        return float(torch.exp(-model.losses(batch)["ce"]))

    return Trainer(model, windows, settings, validate or likeness, folder)


def log_of(folder):
    lines = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def weights_of(trainer):
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def assert_same_end(folder, trainer, whole_folder, whole):
    assert log_of(folder) == log_of(whole_folder)
    for name, tensor in weights_of(whole).items():
        assert torch.equal(tensor, weights_of(trainer)[name]), name
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        ours, theirs = load_file(folder / name), load_file(whole_folder / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


def trained(folder, settings):
    trainer = make_trainer(folder, settings)
    trainer.fit()
    return folder, trainer


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("unbroken"), SETTINGS)


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("scheduled"), SCHEDULED)


def test_the_log_has_a_line_for_each_validation(unbroken):
    folder, _ = unbroken
    log = log_of(folder)
    assert [line["step"] for line in log] == [10, 20, 30, 40, 50, 60]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert all({"loss_ce", "loss_user", "loss_item", "validation_ndcg@10"} <= line.keys() for line in log)
    assert log[-1]["loss_ce"] < log[0]["loss_ce"]


def test_another_seed_trains_another_model(tmp_path, unbroken):
    make_trainer(tmp_path, SETTINGS.model_copy(update={"seed": 2})).fit()
    assert log_of(tmp_path) != log_of(unbroken[0])


@pytest.mark.parametrize("fail_at", [1, 11, 29])
@pytest.mark.parametrize("checkpoint_at_every_look", [False, True])
@pytest.mark.parametrize("kind", ["unbroken", "scheduled"])
def test_a_run_that_failed_at_any_step_ends_like_an_unbroken_one(
    tmp_path, monkeypatch, request, kind, fail_at, checkpoint_at_every_look
):
    whole_folder, whole = request.getfixturevalue(kind)
    if checkpoint_at_every_look:
        monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_CHECKS", 1)
    broken = make_trainer(tmp_path, whole.settings)
    losses = broken.model.losses

    def failing(batch):
        if broken.state.step + 1 == fail_at:
            raise RuntimeError("power cut")
        return losses(batch)

    broken.model.losses = failing
    with pytest.raises(RuntimeError, match="power cut"):
        broken.fit()
    resumed = make_trainer(tmp_path, whole.settings)
    resumed.fit()
    if checkpoint_at_every_look:  # sums are taken in other groups, so the log may differ in last bits
        for name, tensor in weights_of(whole).items():
            assert torch.equal(tensor, weights_of(resumed)[name]), name
    else:
        assert_same_end(tmp_path, resumed, whole_folder, whole)


def test_schedule_and_clipping_train_another_model(unbroken, scheduled):
    """The other tests would hold too if these settings were ignored."""
    assert [line["learning_rate"] for line in log_of(unbroken[0])] == [1e-2] * 6
    rates = [line["learning_rate"] for line in log_of(scheduled[0])]
    assert rates[0] == pytest.approx(1e-2 * 10 / 15)
    assert rates[1] > rates[2] > rates[5] > 0
    plain, other = weights_of(unbroken[1]), weights_of(scheduled[1])
    assert not any(torch.equal(plain[name], other[name]) for name in plain)


def test_a_failure_while_validating_loses_nothing(tmp_path, unbroken):
    broken = make_trainer(tmp_path)
    measure, calls = broken.validate, []

    def failing():
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("power cut")
        return measure()

    broken.validate = failing
    with pytest.raises(RuntimeError, match="power cut"):
        broken.fit()
    resumed = make_trainer(tmp_path)
    resumed.fit()
    assert_same_end(tmp_path, resumed, *unbroken)


def test_a_failure_between_best_weights_and_checkpoint_loses_nothing(tmp_path, monkeypatch, unbroken):
    save, calls = trainer_module.save_checkpoint, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("power cut")
        save(*arguments)

    monkeypatch.setattr(trainer_module, "save_checkpoint", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        make_trainer(tmp_path).fit()
    assert len(log_of(tmp_path)) == 3  # the line of the lost validation is there and must not stay twice
    resumed = make_trainer(tmp_path)
    resumed.fit()
    assert_same_end(tmp_path, resumed, *unbroken)


def test_a_killed_process_ends_like_an_unbroken_one(tmp_path, unbroken, program):
    process = program(__file__, tmp_path)
    log = tmp_path / LOG_FILE
    while not (log.exists() and log.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(log_of(tmp_path)) < 6
    resumed = make_trainer(tmp_path)
    resumed.fit()
    assert_same_end(tmp_path, resumed, *unbroken)


def test_the_progress_line_says_speed_and_time_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    make_trainer(tmp_path, SETTINGS.model_copy(update={"patience": 3})).fit()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7  # six validations and a look at step 25
    for line in lines:
        assert re.search(r"[\d,]+ positions/s · \d+:\d\d( to \d+:\d\d)? left · best NDCG@10 0\.\d+ at", line)
    assert " 0:00 left " in lines[-1]


def test_time_left_is_to_the_end_of_patience_and_at_most_to_the_last_step(tmp_path):
    trainer = make_trainer(tmp_path, SETTINGS.model_copy(update={"patience": 2}))
    state = trainer.state
    assert trainer._steps_left() == (30, 60)  # the first validation is always better than none
    for state.step, state.best_step, state.validations_without_gain, expected in (
        (10, 10, 0, (20, 50)),
        (13, 10, 0, (17, 47)),
        (20, 10, 1, (10, 40)),
        (50, 50, 0, (10, 10)),
        (60, 50, 1, (0, 0)),
    ):
        assert trainer._steps_left() == expected


def test_a_finished_run_does_nothing_more(tmp_path):
    settings = SETTINGS.model_copy(update={"max_epochs": 1})
    first = make_trainer(tmp_path, settings).fit()
    log = (tmp_path / LOG_FILE).read_bytes()

    def never():
        raise AssertionError("validated again")

    assert make_trainer(tmp_path, settings, validate=never).fit() == first
    assert (tmp_path / LOG_FILE).read_bytes() == log


def test_early_stopping_keeps_the_best_weights(tmp_path):
    seen = []
    values = iter([0.1, 0.3, 0.2, 0.3, 0.9])  # an equal value is no gain

    def scripted():
        seen.append(weights_of(trainer))
        return next(values)

    trainer = make_trainer(tmp_path, SETTINGS.model_copy(update={"patience": 2}), validate=scripted)
    fit = trainer.fit()
    assert (fit.best, fit.best_step, fit.steps, fit.epochs) == (0.3, 20, 40, 4.0)
    assert fit.stopped == "2 validations without a better NDCG@10"
    saved = load_file(tmp_path / MODEL_FILE)
    assert all(torch.equal(saved[name], tensor) for name, tensor in seen[1].items())


@pytest.mark.parametrize(("validate_every", "validated"), [(1, 5), (11, 3), (20, 3), (1000, 1)])
def test_max_epochs_ends_with_a_validation(tmp_path, validate_every, validated):
    settings = SETTINGS.model_copy(update={"max_epochs": 5, "validate_every": validate_every})
    fit = make_trainer(tmp_path, settings).fit()
    log = log_of(tmp_path)
    assert (fit.steps, fit.stopped) == (50, "--max-epochs 5")
    assert len(log) == validated
    assert log[-1]["step"] == 50


def test_a_batch_larger_than_the_data_is_one_step_an_epoch(tmp_path):
    settings = SETTINGS.model_copy(update={"batch_size": 10_000, "max_epochs": 2})
    assert make_trainer(tmp_path, settings).fit().steps == 2


def test_a_loss_that_is_not_finite_names_step_terms_and_norms(tmp_path):
    trainer = make_trainer(tmp_path)
    losses = trainer.model.losses

    def breaking(batch):
        terms = losses(batch)
        return {**terms, "user": terms["user"] * (float("nan") if trainer.state.step + 1 == 17 else 1)}

    trainer.model.losses = breaking
    wanted = r"not finite at step 17 \(ce [\d.]+, user nan, item [\d.]+; largest weights now: \S+ nan.*"
    with pytest.raises(TssrError, match=wanted + "--learning-rate.*last good checkpoint is kept in"):
        trainer.fit()
    kept = load_file(tmp_path / CHECKPOINT_FILE)
    assert all(tensor.isfinite().all() for tensor in kept.values() if tensor.is_floating_point())
    assert log_of(tmp_path)[-1]["step"] == 10


def test_weights_broken_by_a_finite_loss_reach_no_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path)
    step = trainer.training_steps.optimizer.step

    def breaking():
        step()
        if trainer.state.step + 1 == 20:
            with torch.no_grad():
                trainer.model.head.bias[0] = float("inf")

    trainer.training_steps.optimizer.step = breaking
    with pytest.raises(TssrError, match=r"weights are not finite after step 20 \(ce .*head\.bias inf"):
        trainer.fit()
    assert all(
        tensor.isfinite().all()
        for name, tensor in load_file(tmp_path / CHECKPOINT_FILE).items()
        if name.startswith("model.")
    )
    assert log_of(tmp_path)[-1]["step"] == 10


if __name__ == "__main__":
    torch.set_num_threads(1)

    def slow_validation() -> float:
        time.sleep(0.1 if next(validations) < 3 else 60)  # to be killed in the fourth
        return measured()

    validations = itertools.count()
    measured = (running := make_trainer(Path(sys.argv[1]))).validate
    running.validate = slow_validation
    running.fit()


def test_weights_on_a_full_disk_are_one_line(tmp_path, monkeypatch, build):
    def full(tensors, path, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TssrError, match=r"could not write .*model\.safetensors: the disk holding .* is full"):
        checkpoint.save_model(tmp_path / "model.safetensors", build("sasrec-id"), {})
    assert list(tmp_path.iterdir()) == []
