"""Where the time of a training step goes, and how it grows: tables that need no process of their own.

Jobs that are compared are timed in turns, and the shortest of several runs counts for each, so that a busy
moment of the machine affects single runs and not the ratio. Times are processor time on a CPU.
Imports torch, NumPy and what tssr needs to train: no Polars, no peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from training_data import Log, generate

from tssr.core.dataset import DatasetInfo, Histories, LoadedDataset, Split
from tssr.core.progress import note
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.recommender import SequenceRecommender
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings
from tssr.model.softmax import full_softmax
from tssr.model.training_steps import TrainingSteps

CPU = torch.device("cpu")
WIDTH = 128
CONTENT_WIDTH = 512  # of the frozen features that TSSR reads
LENGTH = 10


def split_of(log: Log) -> Split:
    """The leave-one-out split of a log."""
    histories = Histories(log.items, log.ends - log.lengths, log.ends, log.item_count)
    return LoadedDataset(DatasetInfo("log", Path(), {}), histories).leave_one_out()


def materials_of(train: Histories, length: int, content_width: int = 0) -> Materials:
    """What a model is built from; with a width, random features of every item."""
    contents = []
    if content_width:
        vectors = torch.randn(train.item_count + 1, content_width)
        vectors[0] = 0
        contents = [ContentFeatures("image", vectors, torch.arange(train.item_count + 1) > 0)]
    return Materials(train.item_count, length, contents, train, torch.from_numpy(train.counts()))


def steps_of(
    name: str,
    log: Log,
    *,
    length: int = LENGTH,
    device: torch.device = CPU,
    precision: str | None = None,
    **changed: object,
) -> TrainingSteps:
    """A model by name with the defaults, ready to be trained on one window a user."""
    torch.manual_seed(1)
    spec, train = MODELS[name], split_of(log).train
    width = CONTENT_WIDTH if spec.reads_content else 0
    model = spec.build(materials_of(train, length, width), spec.settings(**changed))
    assert isinstance(model, SequenceRecommender)
    model.to(device)
    precision = precision or ("auto" if device.type == "cuda" else "float32")
    chosen = TrainSettings(learning_rate=1e-3, device=str(device), precision=precision)
    return TrainingSteps(model, model.samples(train, "last", device), chosen)


def numbers_of(steps: TrainingSteps) -> Tensor:
    """The samples of step 0, which is taken."""
    seen: list[Tensor] = []
    cut = steps.samples.batch

    def watched(numbers: Tensor) -> Any:
        seen.append(numbers)
        return cut(numbers)

    steps.samples.batch = watched  # type: ignore[method-assign]
    steps.take(0)
    steps.samples.batch = cut  # type: ignore[method-assign]
    return seen[0]


def in_turns(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of processor time of each job: the least of some rounds, after one that is not counted."""
    least = dict.fromkeys(jobs, float("inf"))
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            started = time.process_time()
            job()
            if turn:
                least[name] = min(least[name], time.process_time() - started)
    return least


def softmax(log: Log, rounds: int) -> None:
    """The softmax step beside its three bare products, at the positions of a batch of this log."""
    positions = min(256, len(log.lengths)) * int(np.minimum(log.train_lengths() - 1, LENGTH).mean() + 0.5)
    item_count = log.item_count
    states, items = torch.randn(positions, WIDTH), torch.randn(item_count, WIDTH) * 0.05
    bias, targets = torch.zeros(item_count), torch.randint(1, item_count + 1, (positions,))
    parts = [part.requires_grad_() for part in (states, items, bias)]
    scores = torch.empty(positions, item_count)
    grad_states, grad_items = torch.empty(positions, WIDTH), torch.empty(item_count, WIDTH)

    @torch.no_grad()
    def products() -> None:
        torch.mm(states, items.T, out=scores)
        torch.mm(scores, items, out=grad_states)
        torch.mm(scores.T, states, out=grad_items)

    def ours() -> None:
        torch.autograd.grad(full_softmax(states, items, bias, targets), parts)

    def plain() -> None:
        torch.autograd.grad(F.cross_entropy(states @ items.T + bias, targets - 1), parts)

    spent = in_turns({"three bare products": products, "softmax step": ours, "cross_entropy": plain}, rounds)
    floor = spent["three bare products"]
    for name, seconds in spent.items():
        print(
            f"{item_count:>9,} {positions:>9,}  {name:<20} {seconds * 1e3:>9.1f} {seconds / floor:>8.2f} "
            f"{positions / seconds:>11,.0f}"
        )


def profile(name: str, log: Log, rounds: int) -> None:
    """The parts of a step: the same step with a cut between encoder and softmax; the rest are contrasts."""
    steps = steps_of(name, log)
    model, samples = steps.model, steps.samples
    assert isinstance(model, SequenceRecommender)
    numbers = numbers_of(steps)
    least: dict[str, float] = {}

    def timed(part: str, job: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = job()
        spent[part] = spent.get(part, 0.0) + time.process_time() - started
        return result

    for _ in range(rounds + 1):
        spent: dict[str, float] = {}
        batch = timed("cutting the batch", lambda: samples.batch(numbers))
        states = timed("encoder", lambda batch=batch: model.states(batch.inputs)[batch.real])
        leaf = states.detach().requires_grad_()
        timed(
            "softmax", lambda leaf=leaf, batch=batch: model.head(leaf, batch.targets[batch.real]).backward()
        )
        timed("encoder", lambda states=states, leaf=leaf: states.backward(leaf.grad))
        timed("optimizer", steps.optimizer.step)
        timed("optimizer", steps.optimizer.zero_grad)
        timed("step", lambda: steps.take(0))
        steps.optimizer.zero_grad()
        least = {part: min(seconds, least.get(part, seconds)) for part, seconds in spent.items()}
    whole = least["step"]
    least["rest"] = 2 * whole - sum(least.values())
    for part, seconds in least.items():
        print(f"{log.item_count:>9,} {name:<10} {part:<18} {seconds * 1e3:>9.1f} {seconds / whole:>7.0%}")


def ratio(log: Log, rounds: int) -> None:
    """The step of TSSR beside SASRec-ID's."""
    by_model = {name: steps_of(name, log) for name in ("sasrec-id", "tssr")}
    jobs = {name: lambda steps=steps: steps.take(0) for name, steps in by_model.items()}
    spent = in_turns(jobs, rounds)
    for name, seconds in spent.items():
        print(f"{log.item_count:>9,} {name:<10} {seconds * 1e3:>9.1f} {seconds / spent['sasrec-id']:>7.2f}")


def cost(log: Log, rounds: int) -> float:
    """Microseconds of a SASRec-ID step for each position."""
    steps = steps_of("sasrec-id", log)
    taken = iter(range(10**9))
    seconds = in_turns({"step": lambda: steps.take(next(taken) % steps.per_epoch)}, rounds)["step"]
    mean = steps.samples.transitions / steps.samples.count * min(256, steps.samples.count)
    return seconds / mean * 1e6


def scaling(users: list[int], item_counts: list[int], rounds: int) -> None:
    """Cost per position against users at one catalogue, and against items at one number of users."""
    for count in users:
        note(f"scaling: {count:,} users")
        log = generate(count, 10_000, 7 * count)
        print(f"{count:>11,} {log.item_count:>11,} {cost(log, rounds):>14.1f}", flush=True)
    for count in item_counts:
        note(f"scaling: {count:,} items")
        users_here = max(10_000, count // 5)
        log = generate(users_here, count, 7 * users_here)
        print(f"{users_here:>11,} {log.item_count:>11,} {cost(log, rounds):>14.1f}", flush=True)


def gpu(users: int, item_count: int, length: int, budget: float, device: torch.device) -> None:
    """One epoch of TSSR with frozen features; extrapolated where it takes longer than the budget."""
    note(f"gpu: generating {users:,} users, {item_count:,} items")
    log = generate(users, item_count, users * (length + 4))
    steps = steps_of("tssr", log, length=length, device=device)
    for step in range(5):
        steps.take(step)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    started, done = time.perf_counter(), 0
    while done < steps.per_epoch and time.perf_counter() - started < budget:
        steps.take(done)
        done += 1
        if done % 100 == 0:
            torch.cuda.synchronize(device)
    torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    epoch = seconds / done * steps.per_epoch
    positions = steps.samples.transitions / steps.samples.count * 256 * done / seconds
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    print(
        f"{users:>9,} {item_count:>9,} {length:>3} {epoch:>9.2f} {positions:>12,.0f} {peak:>9,.0f}"
        f"{'' if done == steps.per_epoch else '  (epoch extrapolated)'}",
        flush=True,
    )
