"""What a comparison and a report say where their models were trained unlike one another."""

import json

from tssr.model.registry import MODELS, own_defaults
from tssr.pipeline.runs.run_differences import run_differences

OWN = "trained with defaults of their own, which tssr train --help shows: "
ASKED = ("compare", "--seeds", "1", "--topk", "5", "--max-epochs", "1")


def test_the_models_with_defaults_of_their_own():
    """Known from the settings classes and the registry; all others have those of their families."""
    found = {name: set(own_defaults(spec)) for name, spec in MODELS.items() if own_defaults(spec)}
    rankers = {"learning_rate", "batch_size", "patience", "validate_every", "length"}
    assert found == {
        "esasrec": {"head", "norm", "feedforward_width", "softmax_sample", "softmax_sample_by"},
        "unisrec": {"head", "input_norm"},
        "rank-id": rankers,
        "tssr-rank": rankers,
    }


def made(torch, precision=None):
    return {"versions": {"tssr": "0.2", "torch": torch}, "result": {"precision": precision}}


def test_versions_and_precision_are_told_where_they_differ():
    assert run_differences([("a", made("2.12")), ("b", made("2.12", "float32"))]) is None
    assert run_differences([("unfinished", {"versions": {}, "result": None}), ("a", made("2.12"))]) is None
    runs = [("a", made("2.12", "float32")), ("b", made("2.13", "bfloat16")), ("b", made("2.12", "bfloat16"))]
    assert run_differences(runs) == (
        "the runs were not made alike: torch 2.12 (a, b), 2.13 (b); precision float32 (a), bfloat16 (b)"
    )


def test_a_comparison_names_its_models_that_were_trained_unlike(tssr, shop, commands, tmp_path):
    assert tssr("preprocess", "hm", "--raw", shop).code == 0
    alike = tssr(*ASKED, "--models", "poprec", "sasrec-id")
    assert alike.code == 0, alike.err
    assert OWN not in alike.out
    assert "not made alike" not in alike.out
    asked = (*ASKED, "--models", "poprec", "rank-id", "--json")
    run = tssr(*asked).json["contenders"]["rank-id"]["runs"][0]["run"]
    path = tmp_path / "workspace" / "runs" / run / "run.json"
    record = json.loads(path.read_text())
    here, record["versions"]["torch"] = record["versions"]["torch"], "2.0.0"
    path.write_text(json.dumps(record))
    assert tssr(*asked).json["unlike"] == [
        f"{OWN}rank-id",
        f"the runs were not made alike: torch {here} (poprec), 2.0.0 (rank-id)",
    ]
