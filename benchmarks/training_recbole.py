"""RecBole's SASRec on a saved log; run by training.py in an environment that has RecBole 1.2.1.

    python benchmarks/training_recbole.py log.npz --seconds 60
    python benchmarks/training_recbole.py log.npz --validate --seconds 600

Prints one JSON line: what was trained on in how long, or with --validate NDCG@10 after each epoch.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from training_data import Log
from training_runner import Speed, Validated, run


def write_atomic(log: Log, folder: Path) -> None:
    """RecBole's own text format: user, item and place in time."""
    (folder / "log").mkdir()
    users = np.repeat(np.arange(len(log.lengths)), log.lengths)
    columns = np.stack([users, log.items, np.arange(len(users))], axis=1)
    header = "user_id:token\titem_id:token\ttimestamp:float"
    np.savetxt(folder / "log" / "log.inter", columns, "%d", "\t", header=header, comments="")


def prepared(log: Log, folder: Path, learning_rate: float):  # noqa: ANN201 - RecBole is not typed
    """RecBole's trainer and its train and validation data: leave-one-out, all items ranked, no mask."""
    write_atomic(log, folder)
    chosen = {
        "data_path": str(folder), "checkpoint_dir": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": 10, "hidden_size": 128, "inner_size": 256, "n_layers": 2, "n_heads": 4,
        "loss_type": "CE", "train_neg_sample_args": None, "train_batch_size": 256, "eval_batch_size": 256,
        "learning_rate": learning_rate, "metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10",
        "show_progress": False,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "epochs": 10_000, "stopping_step": 3, "eval_step": 1, "seed": 1, "state": "ERROR", "use_gpu": False,
    }  # fmt: skip
    config = Config(model="SASRec", dataset="log", config_dict=chosen)
    init_seed(config["seed"], config["reproducibility"])
    train, validation, _ = data_preparation(config, create_dataset(config))
    model = get_model("SASRec")(config, train._dataset)
    return get_trainer(config["MODEL_TYPE"], "SASRec")(config, model), train, validation


def train(log: Log, speed: Speed, options: argparse.Namespace) -> None:
    """Take steps until the time is over; RecBole makes a sample of every prefix, with one position each."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, data, _ = prepared(log, Path(folder), options.learning_rate)
        loss = trainer.model.calculate_loss
        speed.begin(len(data._dataset))

        def counted(interaction):  # noqa: ANN001, ANN202
            if speed.step(len(interaction)):
                raise speed.Over
            return loss(interaction)

        while True:
            trainer._train_epoch(data, 0, loss_func=counted)


def validate(log: Log, validated: Validated, options: argparse.Namespace) -> None:
    """Train until three validations brought no gain, or the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, data, asked = prepared(log, Path(folder), options.learning_rate)
        validated.begin()
        trainer.fit(
            data, asked, verbose=False, saved=False, callback_fn=lambda _, value: validated.add(value)
        )


if __name__ == "__main__":
    run(train, validate)
