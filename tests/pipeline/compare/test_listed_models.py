"""`--models all` on data without content, and the window that models of different lengths can share."""

import re
from pathlib import Path

import pytest

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.core.workspace import WorkspaceFolders
from tssr.model.registry import MODELS
from tssr.pipeline.compare.contenders import plan_contenders
from tssr.pipeline.compare.settings import CompareSettings
from tssr.pipeline.runs.train_config import TrainConfig

QUICK = ("--max-epochs", "1", "--seeds", "1", "--topk", "5")


@pytest.fixture
def without_features(tssr, shop):
    """A data set of which no feature store was made."""
    assert tssr("preprocess", "hm", "--raw", shop).code == 0
    return tssr


def planned(*models, own=None, **typed):
    chosen = resolve(CompareSettings, {"models": models, "features": typed.pop("features", ())})
    return [
        c.name
        for c in plan_contenders(
            WorkspaceFolders(Path("workspace")), chosen, TrainConfig.of(own or {}, None), typed
        )
    ]


def test_all_leaves_out_models_that_need_content_in_one_line(without_features, capfd):
    names = planned("all")
    assert names == [name for name, spec in MODELS.items() if not spec.reads_content]
    (line,) = capfd.readouterr().err.splitlines()
    content = [name for name, spec in MODELS.items() if spec.reads_content]
    assert line == (
        f"left out: {', '.join(content)} read item content, and the data set has no features; tssr "
        "extract-features makes them"
    )


@pytest.mark.parametrize(
    ("models", "own", "typed"),
    [
        (["all", "content-knn"], {}, {}),
        (["poprec", "tssr"], {}, {}),
        (["all", "both"], {"both": {"blend": ["sasrec-id", "content-knn"]}}, {}),
        (["all"], {}, {"features": ["text"]}),
    ],
)
def test_content_that_was_asked_for_is_still_refused(without_features, models, own, typed):
    with pytest.raises(UsageError, match="holds no features; make them first: tssr extract-features"):
        planned(*models, own=own, **typed)


def test_the_cure_of_different_windows_works(without_features, commands):
    """rank-id looks back on 20 actions by a default of its own, poprec on the data set's 10."""
    asked = ("compare", "--models", "poprec", "rank-id", "--mask", "exempt", *QUICK)
    refused = without_features(*asked)
    assert refused.code == 2
    assert "(poprec 10, rank-id 20)" in refused.err
    cure = re.search(r"with (--length \d+), or", refused.err)[1]
    cured = without_features(*asked, *cure.split())
    assert cured.code == 0, cured.err


def test_the_cure_names_a_length_that_is_tried(without_features):
    refused = without_features(
        "compare", "--models", "sasrec-id", "--try", "length=5,10", "--mask", "exempt", *QUICK
    )
    assert "(sasrec-id 5/10)" in refused.err
    assert "with --length 10 in place of --try length, or choose another --mask" in refused.err
