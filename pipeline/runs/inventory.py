"""The contents of a workspace: data sets, feature stores, runs, results, and which of these no longer fit.

Only manifests and records are read, never weights, and of tables only whether items have content. An entry
is `unused` where nothing refers to it and nothing can use it any more: a run whose data set or features
have changed and which is in no comparison; features, measured lists and studies of a data set that is gone.
While a comparison is damaged, no run is unused, for it may name any of them. A run that cannot be read for
another reason stays: its model may be registered in another shell. Comparisons, tables of `reproduce` and
tuned settings are results, and never unused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...core.artifacts import TEMPORARY_SUFFIX, read_json
from ...core.dataset import describe_dataset
from ...core.errors import ArtifactError, OutdatedError, TssrError, UsageError
from ...core.schema import ITEMS_FILE
from ...core.workspace import RUN_FILE, WorkspaceFolders, check_name, read_run
from ...features.modality import modalities_of
from ...features.store import has_stores, list_stores
from .evaluate import metrics_name
from .record import open_run

FINE = "fine"
_GONE = "its data set is gone"
_NAMING = ("tried", "runs")  # the lists of a contender in the record of a comparison
_HOUR = 3600.0  # seconds; a temporary file that is younger may belong to a running process


@dataclass(frozen=True)
class WorkspaceEntry:
    """One thing in the workspace: its kind and name, where it lies, and `state`: fine, or what is wrong.

    `unused` says that nothing refers to it and nothing can use it any more, so that it may be removed.
    `beside` are the other files of a result that is written in several formats.
    """

    kind: str
    name: str
    path: Path
    state: str
    unused: bool = False
    beside: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        files = [self.path, *self.beside] if self.path.is_file() else self.path.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def age(self) -> float:
        """Seconds since it was last changed."""
        return max(0.0, time.time() - self.path.stat().st_mtime)


def take_inventory(workspace: WorkspaceFolders) -> list[WorkspaceEntry]:
    """Everything in the workspace, data sets first, then what is made from them."""
    named = _named_runs(workspace)
    return [
        *_datasets(workspace),
        *_stores(workspace),
        *_runs(workspace, named),
        *_comparisons(workspace),
        *_lists(workspace),
        *_tuning(workspace),
        *_reproduced(workspace),
        *_leftovers(workspace),
    ]


def next_step(workspace: WorkspaceFolders, entries: list[WorkspaceEntry]) -> str:
    """The command that goes on from the newest run, or from the newest data set where there is none."""
    datasets = [entry for entry in entries if entry.kind == "data set"]
    if not datasets:
        return "tssr preprocess hm (or another data set), or tssr demo"
    unfinished = [entry for entry in entries if entry.kind == "run" and entry.state.startswith("unfinished")]
    if unfinished:
        return f"the train command of {unfinished[0].name} again, which resumes it"
    runs = [entry for entry in entries if entry.kind == "run" and entry.state.startswith(FINE)]
    if not runs:
        return _first_run(workspace, _newest(datasets).name)
    unmeasured = [entry for entry in runs if not (entry.path / metrics_name("test")).exists()]
    if unmeasured:
        return f"tssr evaluate --run {unmeasured[-1].name}"
    return f"tssr compare --dataset {read_run(_newest(runs).path)['dataset']}"


def _newest(entries: list[WorkspaceEntry]) -> WorkspaceEntry:
    return min(entries, key=lambda entry: entry.age)


def _first_run(workspace: WorkspaceFolders, dataset: str) -> str:
    """The command that goes on from a data set: content as vectors, if it has content, and then a model."""
    if has_stores(workspace.features(dataset)):
        return f"tssr train --dataset {dataset}"
    try:
        content = modalities_of(workspace.dataset(dataset) / ITEMS_FILE)
    except TssrError as error:
        return str(error)
    if content:
        return f"tssr extract-features --dataset {dataset} --modality {' '.join(content)}"
    return f"tssr train --dataset {dataset} --model rank-id"  # the default model reads content


def _datasets(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    for name in workspace.dataset_names():
        folder = workspace.dataset(name)
        try:
            info = describe_dataset(folder)
            state = f"{FINE}: {info.user_count:,} users, {info.item_count:,} items"
        except TssrError as error:
            state = str(error)
        yield WorkspaceEntry("data set", name, folder, state)


def _stores(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    known = workspace.dataset_names()
    for folder in sorted(path for path in (workspace.root / "features").glob("*") if path.is_dir()):
        if folder.name not in known:
            yield WorkspaceEntry("features", folder.name, folder, _GONE, unused=True)
            continue
        for store in list_stores(folder):
            try:
                tables = describe_dataset(workspace.dataset(folder.name)).manifest["tables"]
                store.refuse_other_items(tables[ITEMS_FILE]["sha256"])
                state = f"{FINE}: {store.items:,} items"
            except (TssrError, KeyError) as error:
                state = f"stale: {error}"
            yield WorkspaceEntry("features", f"{folder.name}/{store.name}", store.folder, state)


def _runs(workspace: WorkspaceFolders, named: set[str] | None) -> Iterator[WorkspaceEntry]:
    for path in sorted((workspace.root / "runs").glob(f"*/{RUN_FILE}")):
        folder, unused = path.parent, False
        try:
            finished = read_run(folder).get("finished_at")
            open_run(workspace, folder)
            measured = (folder / metrics_name("test")).exists()
            state = (FINE if measured else f"{FINE}, not measured on test") if finished else "unfinished"
        except OutdatedError as error:
            state, unused = f"stale: {error}", named is not None and folder.name not in named
        except TssrError as error:  # another shell or version may be able to read it, so it stays
            state = f"stale: {error}"
        yield WorkspaceEntry("run", folder.name, folder, state, unused)


def _named_runs(workspace: WorkspaceFolders) -> set[str] | None:
    """The runs that a comparison names; None where one cannot be read, which may name any of them."""
    try:
        return {run for path in _records(workspace) for run in _runs_of(path)}
    except ArtifactError:
        return None


def _records(workspace: WorkspaceFolders) -> list[Path]:
    return sorted((workspace.root / "comparisons").glob("*.json"))


def _runs_of(path: Path) -> set[str]:
    """The runs that the comparison in `path` names. Raises ArtifactError where it is damaged."""
    cure = "make it again with: tssr compare"
    try:
        contenders = read_json(path, cure=cure)["contenders"]
        return {
            check_name(run["run"], "--run")
            for one in contenders.values()
            for part in _NAMING
            for run in one.get(part, [])
        }
    except (AttributeError, KeyError, TypeError, UsageError) as error:
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}); {cure}") from error


def _comparisons(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    for path in _records(workspace):
        try:
            gone = sorted(run for run in _runs_of(path) if not (workspace.run(run) / RUN_FILE).exists())
            state = f"stale: its run {gone[0]} is gone" if gone else FINE
        except ArtifactError as error:
            state = f"stale: {error}"
        yield WorkspaceEntry("comparison", path.stem, path, state, beside=_beside(path))


def _beside(path: Path) -> tuple[Path, ...]:
    """The other files of a result: the same name with other endings."""
    return tuple(
        sorted(other for other in path.parent.glob("*") if other.stem == path.stem and other != path)
    )


def _lists(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    """Measurements of other systems' lists; which data set they are of is known once they are finished."""
    for folder in sorted(path for path in (workspace.root / "lists").glob("*") if path.is_dir()):
        written = sorted(folder.glob("metrics*.json"))
        if not written:
            yield WorkspaceEntry("lists", folder.name, folder, "unfinished")
            continue
        try:
            record = read_json(written[0], cure="run tssr evaluate --lists again, with --force")
            gone = record.get("dataset") not in workspace.dataset_names()
            state = _GONE if gone else f"{FINE}: {record.get('title')}"
        except TssrError as error:
            gone, state = False, f"stale: {error}"
        yield WorkspaceEntry("lists", folder.name, folder, state, unused=gone)


def _tuning(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    """The studies of `tssr tune`, each of one data set, and the settings that they found."""
    # The file of a study begins with the name of its data set.
    owners = tuple(f"{name}-" for name in workspace.dataset_names())
    for path in sorted((workspace.root / "tuning").glob("*.db")):
        gone = not path.name.startswith(owners)
        yield WorkspaceEntry("study", path.stem, path, _GONE if gone else FINE, unused=gone)
    for path in sorted((workspace.root / "tuning").glob("*.toml")):
        yield WorkspaceEntry("tuned settings", path.stem, path, FINE)


def _reproduced(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    for path in sorted((workspace.root / "reproduced").glob("*.md")):
        yield WorkspaceEntry("reproduced", path.stem, path, FINE, beside=_beside(path))


def _leftovers(workspace: WorkspaceFolders) -> Iterator[WorkspaceEntry]:
    """Temporary files of processes that were killed; younger ones may belong to a running process."""
    for path in sorted(workspace.root.rglob(f".*{TEMPORARY_SUFFIX}")):
        entry = WorkspaceEntry("leftover", path.name, path, "left by a process that was killed", unused=True)
        if entry.age > _HOUR:
            yield entry
