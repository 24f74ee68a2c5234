"""RecTools' SASRec on a saved log; run by training.py in an environment that has rectools[torch] 0.19.

    python benchmarks/training_rectools.py log.npz --seconds 60

Prints one JSON line: what was trained on in how long, or with --validate NDCG@10 after each epoch.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings

import numpy as np
import pandas as pd
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from training_data import Log
from training_runner import Speed, Validated, run

CPU = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def dataset(log: Log) -> Dataset:
    """The train actions as RecTools takes them."""
    users = np.repeat(np.arange(len(log.lengths)), log.lengths)
    place = np.arange(len(users)) - np.repeat(log.ends - log.lengths, log.lengths)
    kept = place < np.repeat(log.train_lengths(), log.lengths)
    table = pd.DataFrame({Columns.User: users[kept], Columns.Item: log.items[kept]})
    table[Columns.Weight] = 1.0
    table[Columns.Datetime] = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.flatnonzero(kept), unit="s")
    return Dataset.construct(table)


def model(callbacks: list[Callback], folder: str, learning_rate: float) -> SASRecModel:
    """SASRec of the size that all are compared at."""

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=10_000, enable_checkpointing=False, callbacks=callbacks, default_root_dir=folder, **CPU
        )

    return SASRecModel(
        n_blocks=2, n_heads=4, n_factors=128, session_max_len=10, loss="softmax", batch_size=256,
        lr=learning_rate, epochs=10_000, get_trainer_func=trainer,
    )  # fmt: skip


class Counter(Callback):
    """Counts the positions of each batch and ends training when the time is over."""

    def __init__(self, speed: Speed, positions: int) -> None:
        self.speed, self.positions = speed, positions

    def __deepcopy__(self, memo: dict) -> Counter:
        """RecTools trains with a copy of the trainer; what is counted must be seen here."""
        return self

    def on_train_start(self, trainer: Trainer, pl_module: object) -> None:
        """Everything is prepared."""
        self.speed.begin(self.positions)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: object, batch: dict, batch_idx: int
    ) -> int | None:
        """Count the targets that are not padding."""
        if self.speed.step(int((batch["y"] != 0).sum())):
            raise self.speed.Over
        return None


def train(log: Log, speed: Speed, options: argparse.Namespace) -> None:
    """Take steps until the time is over."""
    positions = int(np.minimum(log.train_lengths() - 1, 10).sum())
    with tempfile.TemporaryDirectory() as folder:
        model([Counter(speed, positions)], folder, options.learning_rate).fit(dataset(log))


def validate(log: Log, validated: Validated, options: argparse.Namespace) -> None:
    """RecTools is compared in speed alone."""
    raise SystemExit("training_rectools.py has no --validate")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    run(train, validate)
