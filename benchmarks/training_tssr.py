"""SASRec-ID of this package on a saved log, as training.py runs it beside its peers.

    python benchmarks/training_tssr.py log.npz --seconds 60
    python benchmarks/training_tssr.py log.npz --validate --wanted 0.04

Prints one JSON line: what was trained on in how long, or with --validate NDCG@10 after each validation.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from training_data import Log
from training_runner import Speed, Validated, run
from training_steps import CPU, materials_of, split_of

from tssr.model.batches import WindowBatch
from tssr.model.registry import MODELS
from tssr.model.settings import SASRecSettings, TrainSettings
from tssr.model.trainer import Trainer
from tssr.model.training_steps import TrainingSteps
from tssr.pipeline.runs.scorer import validation_ndcg


def settings_of(options: argparse.Namespace) -> TrainSettings:
    """How all that is timed here is trained."""
    return TrainSettings(
        learning_rate=options.learning_rate,
        precision=options.precision,
        train_windows="all",
        device="cpu",
        patience=5,
    )


def train(log: Log, speed: Speed, options: argparse.Namespace) -> None:
    """Take steps of the trainer until the time is over."""
    chosen = settings_of(options)
    histories = split_of(log).train
    torch.manual_seed(1)
    model = MODELS["sasrec-id"].build(materials_of(histories, 10), SASRecSettings())
    windows = model.samples(histories, chosen.train_windows, CPU)
    cut = windows.batch

    def counted(numbers: Tensor) -> WindowBatch:
        batch = cut(numbers)
        if speed.step(int(batch.real.sum())):
            raise speed.Over
        return batch

    windows.batch = counted  # type: ignore[method-assign]
    steps = TrainingSteps(model, windows, chosen)
    speed.begin(windows.transitions)
    for step in range(steps.last):
        steps.take(step)


def validate(log: Log, validated: Validated, options: argparse.Namespace) -> None:
    """Train with the settings that are best on validation until the time is over."""
    chosen, split = settings_of(options), split_of(log)
    torch.manual_seed(1)
    best = SASRecSettings(norm="post", dropout=0.5, input_norm=True, input_dropout=0.5)
    model = MODELS["sasrec-id"].build(materials_of(split.train, 10), best)

    def measure() -> float:
        value = validation_ndcg(model, split.validation, CPU)
        validated.add(value)
        return value

    with tempfile.TemporaryDirectory() as folder:
        samples = model.samples(split.train, chosen.train_windows, CPU)
        trainer = Trainer(model, samples, chosen, measure, Path(folder))
        validated.begin()
        trainer.fit()


if __name__ == "__main__":
    run(train, validate)
