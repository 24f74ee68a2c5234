"""RecBole's full sort on a saved log; run by evaluation.py in an environment that has RecBole 1.2.1.

    python benchmarks/evaluation_recbole.py log.npz --runs 3

Prints one JSON line: its trainer's own evaluation of the test split, Recall and NDCG at 10 and 20. The
weights are the first ones: time does not depend on what they say.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from evaluation_runner import BLOCKS, FEEDFORWARD, HEADS, LENGTH, WIDTH, Works, run
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from training_data import Log

BATCH = 512  # test users at once, as ours


def write_atomic(log: Log, folder: Path) -> None:
    """The generated log in RecBole's own text format: user, item and place in time."""
    (folder / "log").mkdir()
    users = np.repeat(np.arange(len(log.lengths)), log.lengths)
    columns = np.stack([users, log.items, np.arange(len(users))], axis=1)
    header = "user_id:token\titem_id:token\ttimestamp:float"
    np.savetxt(folder / "log" / "log.inter", columns, "%d", "\t", header=header, comments="")


def prepare(log: Log, chosen: argparse.Namespace) -> tuple[int, Works]:
    """How many users are ranked, and what is timed."""
    with tempfile.TemporaryDirectory() as folder:
        write_atomic(log, Path(folder))
        wanted = {
            "data_path": folder, "checkpoint_dir": folder,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "MAX_ITEM_LIST_LENGTH": LENGTH, "hidden_size": WIDTH, "inner_size": FEEDFORWARD,
            "n_layers": BLOCKS, "n_heads": HEADS, "loss_type": "CE", "train_neg_sample_args": None,
            "eval_batch_size": BATCH, "metrics": ["Recall", "NDCG"], "topk": [10, 20],
            "valid_metric": "NDCG@10", "show_progress": False,
            "eval_args": {
                "split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full",
            },
            "seed": 1, "state": "ERROR", "use_gpu": False,
        }  # fmt: skip
        config = Config(model="SASRec", dataset="log", config_dict=wanted)
        init_seed(config["seed"], config["reproducibility"])
        train, _, test = data_preparation(config, create_dataset(config))
    model = get_model("SASRec")(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, model)
    return len(test._dataset), {"full sort": lambda: trainer.evaluate(test, load_best_model=False)}


if __name__ == "__main__":
    run(prepare)
