"""The workspace: one folder with raw dumps, data sets, features and runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifacts import read_json
from .errors import UsageError
from .schema import MANIFEST_FILE
from .words import first_few, nearest_name

RUN_FILE = "run.json"
NAMES_SHOWN = 5  # in a message
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str, option: str) -> str:
    """Return `name`, or raise UsageError where it has a slash or begins with a dot, as ../x or .hidden do."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{option} {name!r}: use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class WorkspaceFolders:
    """Where things lie in the folder of `--workspace`; nothing is created before a stage writes."""

    root: Path

    def raw(self, dataset: str) -> Path:
        """Where a data set's raw dump lies unless `--raw` points elsewhere."""
        return self.root / "raw" / dataset

    def dataset(self, name: str) -> Path:
        """The folder of a data set's canonical tables."""
        return self.root / "datasets" / check_name(name, "--dataset")

    def features(self, dataset: str) -> Path:
        """The folder that holds a data set's feature stores, one folder each."""
        return self.root / "features" / check_name(dataset, "--dataset")

    def run(self, name: str) -> Path:
        """The folder of one training run."""
        return self.root / "runs" / check_name(name, "--run")

    def dataset_names(self) -> list[str]:
        """Data sets that are preprocessed, in alphabetical order."""
        return sorted(path.parent.name for path in (self.root / "datasets").glob(f"*/{MANIFEST_FILE}"))

    def choose_dataset(self, name: str | None) -> Path:
        """The folder of the data set `name`, or of the only one there is.

        Raises UsageError that lists what there is, or says how to make one.
        """
        names = self.dataset_names()
        if name is not None and name in names:
            return self.dataset(name)
        if not names:
            raise UsageError(
                f"{self.root} holds no data set; make one first, for example: tssr preprocess hm"
            )
        if name is not None:
            raise UsageError(
                f"--dataset {name}: {self.root} has {', '.join(names)}{nearest_name(name, names)}"
            )
        if len(names) > 1:
            raise UsageError(
                f"{self.root} has several data sets; choose one with --dataset: {', '.join(names)}"
            )
        return self.dataset(names[0])

    def run_names(self) -> list[str]:
        """Finished runs, the newest last."""
        ended = [(_finished_at(self.root / "runs" / name), name) for name in self._begun()]
        return [name for finished_at, name in sorted(ended) if finished_at]

    def _begun(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "runs").glob(f"*/{RUN_FILE}"))

    def choose_run(self, name: str | None, option: str = "--run") -> Path:
        """The folder of the finished run `name`, or of the newest one; messages name the `option`.

        Raises UsageError where there is none, ArtifactError where its record cannot be read.
        """
        begun = self._begun()
        if name in begun:  # whatever state other runs are in
            if _finished_at(self.run(name)):
                return self.run(name)
            raise UsageError(f"{option} {name} did not finish; the same train command resumes it")
        names = self.run_names()
        if name is None and names:
            return self.run(names[-1])
        if not names:
            unfinished = (
                f" ({first_few(begun, NAMES_SHOWN)} did not finish; the same train command resumes it)"
            )
            hint = unfinished if begun else ""
            asked = f"{option} {name}: " if name is not None else ""
            raise UsageError(f"{asked}{self.root} holds no finished run{hint}; make one with: tssr train")
        raise UsageError(
            f"{option} {name}: no such run; {self.root} has {first_few(names[::-1], NAMES_SHOWN)}"
            f"{nearest_name(str(name), names)}"
        )


def read_run(folder: Path) -> dict[str, Any]:
    """The record of the run in `folder`, finished or not. Raises ArtifactError where it cannot be read."""
    return read_json(folder / RUN_FILE, cure=f"delete {folder} and train again")


def _finished_at(folder: Path) -> str:
    """When the run in `folder` ended, "" where it has not."""
    return str(read_run(folder).get("finished_at") or "")
