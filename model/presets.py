"""What `--preset NAME` changes of the defaults, which are the paper's.

A preset sets only what the chosen model has. `official` is what the released code does. `tuned` is for
sparse data, where users have a handful of actions: with it Amazon's Toys, Beauty and Instruments were
measured. It is the first that was tried; of nine learning rates and dropouts for SASRec-ID on Toys it is
within 1.5 % of the best on validation. `dense` is what validation on MovieLens-1M chose, where users have
165 actions on average (docs/results.md).
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "official": {
        "blocks": 1,
        "cross_blocks": 4,
        "user_mean": "all",
        "batch_size": 128,
        "max_epochs": 20,
        "patience": 20,
        "validate_every": 200,
        "precision": "float32",
    },
    "tuned": {
        "learning_rate": 1e-3,
        "dropout": 0.3,
        "input_dropout": 0.3,
        "patience": 3,
    },
    "dense": {
        "learning_rate": 3e-4,
        "input_dropout": 0.3,
        "lambda_user": 0.03,
        "lambda_item": 0.03,
        "lambda_stream": 2.0,
    },
}
