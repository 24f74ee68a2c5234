"""RecBole's SASRec on a saved log; run by training.py in an environment that has RecBole 1.2.1.

    tssr export --to recbole --output exported
    python benchmarks/training_recbole.py log.npz --exported exported --seconds 60
    python benchmarks/training_recbole.py log.npz --exported exported --validate --seconds 600

It reads what `tssr export --to recbole` wrote, order and split among it, so that it runs on exactly our data.
Prints one JSON line: what was trained on in how long, or with --validate NDCG@10 after each epoch.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from training_data import Log
from training_runner import Speed, Validated, run


def prepared(log: Log, folder: Path, options: argparse.Namespace):  # noqa: ANN201 - RecBole is not typed
    """RecBole's trainer and its train and validation data: leave-one-out, all items ranked, no mask."""
    exported: Path = options.exported.absolute()
    (name,) = (path.name for path in exported.iterdir() if path.is_dir())
    chosen = {
        "data_path": str(exported), "checkpoint_dir": str(folder),
        "MAX_ITEM_LIST_LENGTH": 10, "hidden_size": 128, "inner_size": 256, "n_layers": 2, "n_heads": 4,
        "loss_type": "CE", "train_neg_sample_args": None, "train_batch_size": 256, "eval_batch_size": 256,
        "learning_rate": options.learning_rate, "metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10",
        "show_progress": False,
        "epochs": 10_000, "stopping_step": 3, "eval_step": 1, "seed": 1, "state": "ERROR", "use_gpu": False,
    }  # fmt: skip
    written = [str(exported / "recbole.yaml")]
    config = Config(model="SASRec", dataset=name, config_file_list=written, config_dict=chosen)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    if (dataset.user_num, dataset.item_num, dataset.inter_num) != (
        len(log.lengths) + 1,
        log.item_count + 1,
        len(log.items),
    ):  # fmt: skip - RecBole counts its padding
        raise SystemExit(f"RecBole reads other data than the log: {dataset}")
    train, validation, _ = data_preparation(config, dataset)
    model = get_model("SASRec")(config, train._dataset)
    return get_trainer(config["MODEL_TYPE"], "SASRec")(config, model), train, validation


def train(log: Log, speed: Speed, options: argparse.Namespace) -> None:
    """Take steps until the time is over; RecBole makes a sample of every prefix, with one position each."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, data, _ = prepared(log, Path(folder), options)
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
        trainer, data, asked = prepared(log, Path(folder), options)
        validated.begin()
        trainer.fit(
            data, asked, verbose=False, saved=False, callback_fn=lambda _, value: validated.add(value)
        )


if __name__ == "__main__":
    run(train, validate)
