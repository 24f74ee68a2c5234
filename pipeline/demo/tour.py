"""The demo: a generated shop through exactly the public stages, to one table and one picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.artifacts import write_text
from ...core.progress import note
from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import Workspace
from ...evaluation.comparison import Comparison, compare
from ...evaluation.metrics import Measurement
from ...evaluation.settings import EvaluateSettings
from ...features.settings import RANDOM, FeatureSettings
from ..evaluate import evaluate
from ..extract_features import extract_features
from ..formats import FORMATS
from ..preprocess import preprocess
from ..preprocess_settings import PreprocessSettings
from ..run import plan_run
from ..run_settings import RunSettings
from ..train import train
from .dump import make_dump
from .settings import DemoSettings

DATASET = "hm"
REFERENCE = "sasrec-id"
MODELS = ("poprec", REFERENCE, "sasrec-content", "tssr")
# The same for every model that is trained: a small shop takes a narrower model and larger steps.
TRAINING: dict[str, Any] = {
    "learning_rate": 1e-3, "max_epochs": 50, "validate_every": 50, "patience": 4, "width": 64,
    "feedforward_width": 128,
}  # fmt: skip
TOPK = (10, 20)
ENCODER = "resnet18"
UNTRAINED = (
    f"The pictures were encoded by an UNTRAINED network ({ENCODER}, random weights), so that no download is "
    "needed: such vectors tell colours, patterns and shapes apart, and no more. For real use leave out "
    "--weights random, and extract-features takes pretrained weights (--encoder resnet50 by default)."
)


def run_demo(workspace: Workspace, settings: DemoSettings, *, force: bool) -> Summary:
    """Make the shop, run every stage on it, and compare the models on the test customers.

    What has not changed since the last time is not done again. Raises UsageError where the workspace holds a
    real H&M dump.
    """
    started = time.monotonic()
    raw, dataset = workspace.raw(DATASET), workspace.dataset(DATASET)
    steps = [make_dump(raw, settings, force=force)]
    _tell(steps[-1], started)
    protocol = resolve(PreprocessSettings, {}, FORMATS[DATASET].defaults)
    steps.append(preprocess(DATASET, protocol, raw, dataset, force=force))
    _tell(steps[-1], started)
    pictures = {"modality": ("image",), "dataset": DATASET, "encoder": (ENCODER,), "weights": (RANDOM,)}
    steps.append(extract_features(workspace, resolve(FeatureSettings, pictures), force=force))
    _tell(steps[-1], started)
    store = str(steps[-1].data["stores"][0]["name"])
    measurements, runs = {}, {}
    for model in MODELS:
        run, measurement, done = _train_and_evaluate(workspace, model, store, settings, force=force)
        steps += done
        for step in done:
            _tell(step, started)
        measurements[model], runs[model] = measurement, run
    picture = _gallery(workspace, runs["tssr"], settings)
    comparison = compare(measurements, REFERENCE, TOPK)
    return _summary(workspace, comparison, runs, picture, steps)


def _train_and_evaluate(
    workspace: Workspace, model: str, store: str, settings: DemoSettings, *, force: bool
) -> tuple[Path, Measurement, list[Summary]]:
    """One model's run folder, its headline measurement on the test split, and what the two stages said."""
    trained = model != "poprec"
    reads_pictures = model in ("sasrec-content", "tssr")
    features = (store,) if reads_pictures else ()
    chosen = resolve(RunSettings, {"model": model, "dataset": DATASET, "features": features})
    options = {**TRAINING, "seed": settings.seed} if trained else {}
    training = train(workspace, plan_run(workspace, chosen, {}, options, None), None, force=force)
    folder = Path(str(training.data["folder"]))
    measuring = evaluate(workspace, folder.name, resolve(EvaluateSettings, {"topk": TOPK}), force=force)
    return folder, Measurement.from_record(measuring.data["measurements"][0]), [training, measuring]


def _gallery(workspace: Workspace, run: Path, settings: DemoSettings) -> Path:
    """The picture in the run's folder, drawn unless it is there; a new run has a new folder."""
    picture = run / "gallery.png"
    if not picture.exists():
        from .showcase import draw_showcase

        draw_showcase(picture, workspace, run, settings.seed)
    return picture


def _tell(step: Summary, started: float) -> None:
    done = "unchanged, nothing to do" if step.cached else "done"
    note(f"[{time.monotonic() - started:5.1f} s] {step.title}: {done}")


def _summary(
    workspace: Workspace,
    comparison: Comparison,
    runs: dict[str, Path],
    picture: Path,
    steps: Sequence[Summary],
) -> Summary:
    table = workspace.root / "comparison.md"
    write_text(table, comparison.markdown())
    paths = {
        "raw dump": workspace.raw(DATASET),
        "tables": workspace.dataset(DATASET),
        "features": workspace.features(DATASET),
        **{f"run {model}": run for model, run in runs.items()},
        "table": table,
        "picture": picture,
    }
    notes = [
        f"In brackets: gain over {REFERENCE}. {comparison.protocol.describe()}.",
        UNTRAINED,
        *(f"{name}: {path}" for name, path in paths.items()),
    ]
    data = {
        **comparison.record(),
        "stage": "demo",
        "encoder": {"name": ENCODER, "weights": RANDOM},
        "paths": {name: str(path) for name, path in paths.items()},
        "cached_stages": [step.title for step in steps if step.cached],
    }
    title = "The next purchase of the generated shop's customers"
    return Summary(
        title, comparison.rows(), data, comparison.columns, notes, cached=all(step.cached for step in steps)
    )
