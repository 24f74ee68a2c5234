"""Every model of the registry goes through the public commands."""

from __future__ import annotations

import pytest

from tssr.cli import main
from tssr.model.registry import MODELS

ENCODER = ("--modality", "image", "--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    main(["extract-features", *ENCODER, "--workspace", str(folder)])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_train_and_evaluate(tssr, workspace, name):
    options = ["--batch-size", "16", "--max-epochs", "2"] if MODELS[name].trained else []
    fields = MODELS[name].settings.model_fields
    options += [
        part
        for key, value in {"width": "16", "heads": "2"}.items()
        if key in fields
        for part in (f"--{key}", value)
    ]
    options += ["--run", name]
    trained = tssr("train", "--workspace", workspace, "--model", name, *options, "--json")
    assert trained.code == 0, trained.err
    scored = tssr("evaluate", "--workspace", workspace, "--run", name, "--topk", "5", "--json")
    assert scored.code == 0, scored.err
    by_mask = {m["protocol"]["mask"]: m["metrics"]["recall@5"] for m in scored.json["measurements"]}
    assert 0 <= by_mask["none"] <= by_mask["exempt"] <= 1
    again = tssr("train", "--workspace", workspace, "--model", name, *options, "--json").json
    assert again["cached"]
