"""The demo: a generated shop through exactly the public stages, to one table, one picture, one report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.artifacts import write_text
from ...core.errors import UsageError
from ...core.progress import note
from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.comparison import compare
from ...evaluation.measurement import Measurement
from ...evaluation.slices import slices_of
from ...features.modality import RANDOM
from ...features.settings import FeatureSettings
from ..extract.stage import extract_features
from ..preprocess.formats import FORMATS
from ..preprocess.settings import PreprocessSettings
from ..preprocess.stage import preprocess
from ..report.settings import ReportSettings
from ..report.stage import REPORT_FILE, missing_extra, write_report
from .contenders import (
    BLEND,
    CONTROL,
    PICTURE_ENCODER,
    REFERENCE,
    TEXTS_LEFT_OUT,
    TEXTS_READ,
    UNTRAINED,
    text_encoder,
)
from .contest import DATASET, TOPK, FinishedContender, hold_contest
from .dump import MARKER_FILE, make_dump
from .settings import DemoSettings
from .verdict import MASK, by_sales, lead, lead_line


def run_demo(workspace: WorkspaceFolders, settings: DemoSettings, *, force: bool) -> Summary:
    """Make the shop, run every stage on it, and compare the models on the test customers.

    What has not changed since the last time is not done again. Raises UsageError where the workspace holds a
    real H&M dump, or a data set made of one.
    """
    started = time.monotonic()
    steps: list[Summary] = []

    def finished(step: Summary) -> Summary:
        steps.append(step)
        state = "unchanged, nothing to do" if step.cached else "done"
        note(f"[{time.monotonic() - started:5.1f} s] {step.title}: {state}")
        return step

    raw, dataset = workspace.raw(DATASET), workspace.dataset(DATASET)
    if dataset.exists() and not (raw / MARKER_FILE).exists():
        raise UsageError(f"{dataset} is a data set that tssr demo did not make; choose another --workspace")
    finished(make_dump(raw, settings, force=force))
    protocol = resolve(PreprocessSettings, {}, FORMATS[DATASET].defaults)
    finished(preprocess(DATASET, protocol, raw, dataset, force=force))
    encoder = text_encoder()
    stores = []
    for content in _contents(encoder):
        extracted = finished(extract_features(workspace, resolve(FeatureSettings, content), force=force))
        stores.append(str(extracted.data["stores"][0]["name"]))
    found = hold_contest(workspace, stores, settings.seed, finished, force=force)
    pictures_made = {"picture": _gallery(workspace, found["tssr"].folder, settings)}
    shown = [own.folder for name, own in found.items() if name != CONTROL]
    if (report := _report(workspace, shown, settings, steps)) is not None:
        pictures_made["report"] = report
    return _summary(workspace, found, pictures_made, steps, texts=encoder is not None)


def _contents(encoder: Path | None) -> list[dict[str, Any]]:
    """What is encoded how: the pictures, and the descriptions where there is an encoder for them."""
    contents = [{"modality": ("image",), "encoder": (PICTURE_ENCODER,), "weights": (RANDOM,)}]
    if encoder is None:
        note(TEXTS_LEFT_OUT)
    else:
        contents.append({"modality": ("text",), "encoder": (str(encoder),)})
    return [{"dataset": DATASET, **content} for content in contents]


def _gallery(workspace: WorkspaceFolders, run: Path, settings: DemoSettings) -> Path:
    """The picture in the run's folder, drawn unless it is there; a new run has a new folder."""
    picture = run / "gallery.png"
    if not picture.exists():
        from .showcase import draw_showcase

        draw_showcase(picture, workspace, run, settings.seed)
    return picture


def _report(
    workspace: WorkspaceFolders, runs: Sequence[Path], settings: DemoSettings, steps: Sequence[Summary]
) -> Path | None:
    """The report on the runs, unless nothing changed since it was written; None without its extra."""
    if (cure := missing_extra()) is not None:
        note(cure)
        return None
    report = workspace.root / REPORT_FILE
    if not (report.exists() and all(step.cached for step in steps)):
        names = tuple(run.name for run in runs)
        chosen = {"run": names, "output": report, "seed": settings.seed}
        write_report(workspace, resolve(ReportSettings, chosen))
    return report


def _summary(
    workspace: WorkspaceFolders,
    found: Mapping[str, FinishedContender],
    pictures: Mapping[str, Path],
    steps: Sequence[Summary],
    *,
    texts: bool,
) -> Summary:
    measurements = {
        name: [Measurement.from_record(own.record["measurements"][0])] for name, own in found.items()
    }
    comparison = compare(measurements, REFERENCE, TOPK)
    leads = {other: lead(found[BLEND].ranks, found[other].ranks) for other in (REFERENCE, CONTROL)}
    table = workspace.root / "comparison.md"
    write_text(table, comparison.markdown())
    paths = {
        "raw dump": workspace.raw(DATASET),
        "tables": workspace.dataset(DATASET),
        "features": workspace.features(DATASET),
        **{f"run {name}": own.folder for name, own in found.items()},
        "table": table,
        **pictures,
    }
    notes = [
        comparison.note(),
        *(lead_line(BLEND, other, own) for other, own in leads.items()),
        *by_sales({name: own.record for name, own in found.items()}),
        UNTRAINED,
        TEXTS_READ if texts else TEXTS_LEFT_OUT,
        *(f"{name}: {path}" for name, path in paths.items()),
    ]
    data = {
        **comparison.record(),
        "stage": "demo",
        "encoder": {"name": PICTURE_ENCODER, "weights": RANDOM},
        "texts": texts,
        "leads": leads,
        "slices": {name: slices_of(own.record, "popularity", MASK) for name, own in found.items()},
        "paths": {name: str(path) for name, path in paths.items()},
        "cached_stages": [step.title for step in steps if step.cached],
    }
    title = "The next purchase of the generated shop's customers"
    return Summary(
        title, comparison.rows(), data, comparison.columns, notes, cached=all(step.cached for step in steps)
    )
