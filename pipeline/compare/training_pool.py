"""Training runs in processes of their own, several at once.

Each run is a process with the command `tssr train …`, so that its peak memory is measured by itself. An error
names this command, and a person can give it alone to see what happens.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import TssrError
from ...core.progress import Tell, note, side_by_side
from ...core.schema import SELECTION_METRIC
from ...core.settings import option_words
from ...core.signals import SECONDS_BETWEEN_LOOKS
from ...core.workspace import WorkspaceFolders
from ...model.own_models import environment
from ..runs.plan import RunPlan
from ..runs.train import recorded_run

SECONDS_TO_END = 10.0  # after SIGTERM a process has this long to end before it is killed
_THREADS = "OMP_NUM_THREADS"
_ERROR = "error: "  # how the last line of a command that failed begins


@dataclass(frozen=True)
class TrainedRun:
    """A finished run; `cached` says that it was finished before.

    A run that diverged has ended too, because it would diverge again: then `diverged` has its message, and
    the result is empty.
    """

    folder: Path
    result: dict[str, Any]
    command: list[str]
    cached: bool
    diverged: str | None = None


@dataclass(frozen=True)
class ContenderRuns:
    """A contender's runs: one of each trial at the first seed, and one a seed of the chosen trial.

    Where all trials diverged, `choice` is None and `runs` is empty.
    """

    tried: list[TrainedRun]
    choice: int | None
    runs: list[TrainedRun]


class TrainingPool:
    """Trains runs, `jobs` at a time, and shows progress; `total` is the number of runs in all."""

    def __init__(self, workspace: WorkspaceFolders, jobs: int, total: int) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._total = total
        self._done = 0
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._lock = threading.Lock()
        self._tell: Tell = lambda task, line: None

    def train(self, runs: Sequence[tuple[str, RunPlan]]) -> list[TrainedRun]:
        """Train the runs that are not finished; each is given by a label for messages and a plan.

        Runs with the same folder are one run, trained once. Raises TssrError where a run fails, except by
        diverging. After a failure or a signal, the other processes are ended within seconds; the same call
        resumes all of them from their checkpoints.
        """
        self._stopping = False
        folders = [plan.folder(self._workspace, None) for _, plan in runs]
        begun: dict[Path, Future[TrainedRun]] = {}
        with side_by_side() as self._tell, ThreadPoolExecutor(self._jobs) as threads:
            try:
                for folder, (_, plan) in zip(folders, runs, strict=True):
                    if folder not in begun:
                        labels = [
                            label for other, (label, _) in zip(folders, runs, strict=True) if other == folder
                        ]
                        begun[folder] = threads.submit(self._train_one, labels, plan)
                unfinished = set(begun.values())
                while unfinished:
                    done, unfinished = wait(unfinished, SECONDS_BETWEEN_LOOKS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()  # raises what a failed one raised
                return [begun[folder].result() for folder in folders]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                self._stop()
                raise

    def _train_one(self, labels: Sequence[str], plan: RunPlan) -> TrainedRun:
        """Train one run, which goes by one label or, where models are the same, by several."""
        label, folder = ", ".join(labels), plan.folder(self._workspace, None)
        command = train_command(self._workspace, plan)
        trained = self._ended(folder, plan, command, cached=True)
        if trained is None:
            try:
                self._run(label, command)
            except TssrError:
                trained = self._ended(folder, plan, command, cached=False)
                if trained is None or trained.diverged is None:
                    raise
            trained = trained or self._ended(folder, plan, command, cached=False)
        if trained is None:
            raise TssrError(f"{label}: training left no finished run in {folder}; run: {shlex.join(command)}")
        self._say(label, trained, len(labels))
        return trained

    @staticmethod
    def _ended(folder: Path, plan: RunPlan, command: list[str], *, cached: bool) -> TrainedRun | None:
        """The run in `folder` if it has ended, finished or diverged."""
        record = recorded_run(folder, plan)
        if record is not None and record["finished_at"]:
            return TrainedRun(folder, record["result"], command, cached)
        if record is not None and record.get("diverged"):
            return TrainedRun(folder, {}, command, cached, record["diverged"])
        return None

    def _run(self, label: str, command: Sequence[str]) -> None:
        """Give the command to a process of its own; raises TssrError with its last words."""
        with self._lock:
            if self._stopping:
                raise TssrError(f"{label}: not begun")
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=self._environment() | environment(),
            )
            self._processes.add(process)
        said = self._listen(label, process)
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
        if code < 0:  # killed by a signal, so its last line is not the reason
            said = f"killed by {signal.Signals(-code).name}" + (f" after it said: {said}" if said else "")
        if code != 0:
            raise TssrError(f"{label}: {said.removeprefix(_ERROR)}; tried: {shlex.join(command)}")

    def _listen(self, label: str, process: subprocess.Popen[str]) -> str:
        """Pass on the process's lines while it runs; returns its last line, the error if it failed."""
        last = ""
        assert process.stderr is not None
        for line in filter(None, map(str.strip, process.stderr)):
            last = line
            if not line.startswith(_ERROR):
                self._tell(label, line)
        self._tell(label, "")
        return last

    def _environment(self) -> dict[str, str]:
        """Environment variables that divide the processor cores among the runs trained at once."""
        environment = dict(os.environ)
        if self._jobs > 1:
            environment.setdefault(_THREADS, str(max(1, (os.cpu_count() or 1) // self._jobs)))
        return environment

    def _stop(self) -> None:
        """End all processes by SIGTERM, so that they can tidy up, and kill those that take too long.

        SIGINT, which Ctrl-C sends, would not do: processes that a shell starts in the background ignore it,
        and so do their children.
        """
        with self._lock:
            self._stopping = True
            left = set(self._processes)
        for process in left:
            process.terminate()
        deadline = time.monotonic() + SECONDS_TO_END
        for process in left:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _say(self, label: str, trained: TrainedRun, runs: int) -> None:
        with self._lock:
            self._done += runs
            how = "there already" if trained.cached else f"{trained.result.get('seconds', 0):.0f} s"
            if trained.diverged is not None:
                found = f"diverged: {trained.diverged}"
            else:
                found = f"validation NDCG@10 {trained.result[SELECTION_METRIC]:.4f} ({how})"
            note(f"[{self._done}/{self._total}] {label}: {found}")


def train_command(workspace: WorkspaceFolders, plan: RunPlan) -> list[str]:
    """The `tssr train …` that trains the plan into the folder of the plan's own name."""
    command = ["tssr", "train", "--workspace", str(workspace.root), "--dataset", plan.dataset.name]
    command += ["--model", plan.model]
    along = plan.end_to_end
    names = [store.name for store in plan.stores] if along is None else list(along.modalities)
    for name in names:
        command += ["--features", name]
    return command + option_words(plan.options())
