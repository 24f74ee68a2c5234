"""Training runs in processes of their own, several at once.

A process a run makes its peak memory an honest figure, and is what `tssr train` would have done: the child is
that command, and the record keeps it so that a person can give it alone.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import TssrError
from ...core.progress import note
from ...core.schema import SELECTION_METRIC
from ...core.settings import option_words
from ...core.workspace import Workspace
from ..runs.plan import RunPlan
from ..runs.train import recorded_run

_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Trained:
    """A finished run; `cached` says that it was there already."""

    folder: Path
    result: dict[str, Any]
    command: list[str]
    cached: bool


class TrainingPool:
    """Trains runs, `jobs` at a time, and says how far it is: `total` is how many there will be in all."""

    def __init__(self, workspace: Workspace, jobs: int, total: int) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._total = total
        self._done = 0
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._lock = threading.Lock()

    def train(self, runs: Sequence[tuple[str, RunPlan]]) -> list[Trained]:
        """Train what is not finished; each run is a label to speak of and a plan.

        Raises TssrError where a run fails; the others are interrupted, and all go on from where they were
        when the same is asked again.
        """
        self._stopping = False
        with ThreadPoolExecutor(self._jobs) as threads:
            futures = [threads.submit(self._train_one, label, plan) for label, plan in runs]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                return [future.result() for future in futures if future.done()]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                self._interrupt()
                raise

    def _train_one(self, label: str, plan: RunPlan) -> Trained:
        folder = plan.folder(self._workspace, None)
        command = train_command(self._workspace, plan)
        record = recorded_run(folder, plan)
        cached = record is not None and bool(record["finished_at"])
        if not cached:
            self._run(label, command)
            record = recorded_run(folder, plan)
        if record is None or not record["finished_at"]:
            raise TssrError(f"{label}: training left no finished run in {folder}; run: {shlex.join(command)}")
        self._say(label, record["result"], cached=cached)
        return Trained(folder, record["result"], command, cached)

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
                env=self._environment(),
            )
            self._processes.add(process)
        _, said = process.communicate()
        with self._lock:
            self._processes.discard(process)
        if process.returncode != 0:
            words = (said.strip().splitlines() or [f"killed by signal {-process.returncode}"])[-1]
            raise TssrError(f"{label}: {words.removeprefix('error: ')}; tried: {shlex.join(command)}")

    def _environment(self) -> dict[str, str]:
        """Runs beside each other share the processor cores."""
        environment = dict(os.environ)
        if self._jobs > 1:
            environment.setdefault(_THREADS, str(max(1, (os.cpu_count() or 1) // self._jobs)))
        return environment

    def _interrupt(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._processes:
                process.send_signal(signal.SIGINT)

    def _say(self, label: str, result: dict[str, Any], *, cached: bool) -> None:
        with self._lock:
            self._done += 1
            how = "there already" if cached else f"{result.get('seconds', 0):.0f} s"
            value = result[SELECTION_METRIC]
            note(f"[{self._done}/{self._total}] {label}: validation NDCG@10 {value:.4f} ({how})")


def train_command(workspace: Workspace, plan: RunPlan) -> list[str]:
    """The `tssr train …` that trains the plan into the folder of the plan's own name."""
    command = ["tssr", "train", "--workspace", str(workspace.root), "--dataset", plan.dataset.name]
    command += ["--model", plan.model]
    for store in plan.stores:
        command += ["--features", store.name]
    return command + option_words(plan.train.changed() | plan.model_settings.changed())
