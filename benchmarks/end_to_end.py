"""The cost of end-to-end training: memory and time of TSSR's steps, for several ways to train the encoder.

    python benchmarks/end_to_end.py                     at the paper's size on a GPU, else at a small one
    python benchmarks/end_to_end.py --encoders image --ways full-64 last-stage boundary --batches 128 256

The encoders have random weights, which cost what trained ones do; contents are drawn and stand in memory.
Users have H&M's mean of 6.9 actions, so 4 of the 10 steps of a window are real (texts: L 20, as MIND).
Every way runs in a process of its own.
    contents     distinct contents a step
    ms/step      the shortest step after one that is not counted: by the clock on a GPU, else CPU time
    contents/s   distinct contents a second of it
    peak         MiB: of the GPU by tensors; on a CPU of the process, beyond what it held before
    of full      seconds an item beside `full-64`
Adapters and the side network have their usual widths: lora 8, houlsby and side 64.
**bare** is the encoder alone, forward and backward on one chunk in memory: the limit of all the others. Its
share `of full` is the share of the limit that `full-64` reaches. A way with **-constant** is given the same
inputs each time, on the device: what it gains is what reading costs. Where a way does not fit into memory, it
is tried with half the batch, and so on; where one fails, the others still have their turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training_data import generate
from training_steps import split_of

from tssr.core.device import choose_device
from tssr.core.errors import TssrError
from tssr.core.memory import peak_memory
from tssr.features.modality import ALL, RANDOM, EncoderChoice
from tssr.features.stored_inputs import sent
from tssr.model.content import EncoderTraining
from tssr.model.inputs import ContentVectors
from tssr.model.materials import ContentFeatures, ContentSource, Materials, TrainableContent
from tssr.model.precision import chosen_precision, training_autocast
from tssr.model.recommender import NeuralRecommender
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings, TSSRSettings
from tssr.model.training_steps import TrainingSteps
from tssr.pipeline.runs.end_to_end_settings import DEFAULT_DIMS, KEPT_CHUNKS, SIDE_CHUNK

ACTIONS_A_USER = 6.92  # H&M's mean, Table 2 of the paper
DRAWN = 1024  # contents in memory; more numbers than that share them
RATE = 1e-4
NO_ROOM = "does not fit"


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    users: int
    items: int
    picture_model: str
    pixels: int
    text_width: int
    text_blocks: int
    tokens: int
    steps: int


GPU = Size(100_000, 61_574, "resnet50", 224, 768, 12, 30, 5)
SMALL = Size(4_000, 3_000, "resnet18", 32, 384, 6, 30, 2)  # texts through a model of MiniLM's size


@dataclass(frozen=True)
class Way:
    """One way to train: how much of the encoder, in what precision, how many contents at once."""

    chunk: int = 64
    part: str = "all"  # pixels: the last stage, from what a whole encoder reads; bare: no recommender
    precision: str = "auto"
    every_slot: bool = False  # all steps of the windows in one graph, as the released code has it
    constant: bool = False  # the same inputs each time, so that reading costs nothing


WAYS: dict[str, Way] = {
    "frozen": Way(part="frozen"),
    "plain": Way(precision="float32", every_slot=True),
    "distinct": Way(chunk=10**9, precision="float32"),
    "distinct-auto": Way(chunk=10**9),
    "full-64": Way(),
    "full-128": Way(chunk=128),
    "full-256": Way(chunk=256),
    "full-64-constant": Way(constant=True),
    "last-stage": Way(part="pixels"),
    "boundary": Way(part="boundary"),
    "boundary-constant": Way(part="boundary", constant=True),
    "lora": Way(part="lora"),
    "houlsby": Way(part="houlsby"),
    "side": Way(part="side", chunk=SIDE_CHUNK),
    "bare": Way(part="bare"),
}


class EverySlot(nn.Module):
    """Content as the released code reads it: each step of each window through the encoder, padding too."""

    def __init__(self, source: TrainableContent) -> None:
        super().__init__()
        self.encoder, self.read, self.width = source.encoder, source.read, source.width
        self.register_buffer("numbers", source.contents.clamp(min=0))

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, C)."""
        vectors: Tensor = self.encoder(*self.read(self.numbers[items].flatten().cpu()))
        return vectors.float().view(*items.shape, -1)


class Drawn:
    """Encoder inputs of any content by number, drawn once and kept in the processor's memory."""

    def __init__(self, inputs: tuple[Tensor, ...], device: torch.device, *, constant: bool) -> None:
        self.inputs, self.device = inputs, device
        self.same = tuple(self._given(each) for each in inputs) if constant else None

    def __call__(self, contents: Tensor) -> tuple[Tensor, ...]:
        """The inputs of contents (K,)."""
        if self.same is not None:
            return tuple(each[: len(contents)] for each in self.same)
        rows = contents % len(self.inputs[0])
        return tuple(self._given(each[rows]) for each in self.inputs)

    def _given(self, rows: Tensor) -> Tensor:
        """Rows on the device, as an encoder wants them."""
        moved = sent(rows, self.device)
        return moved.float() if moved.dtype == torch.float16 else moved


def encoder_of(kind: str, size: Size) -> tuple[nn.Module, tuple[Tensor, ...], int, str]:
    """An encoder with random weights, inputs of `DRAWN` contents, its width, and its last stage's name."""
    if kind == "image":
        from tssr.features.torchvision_encoder import load_torchvision_encoder

        choice = EncoderChoice("image", size.picture_model, RANDOM, None, size.tokens, 0)
        loaded = load_torchvision_encoder(choice)
        pixels = torch.randint(0, 256, (DRAWN, 3, size.pixels, size.pixels), dtype=torch.uint8)
        return loaded.module, (pixels,), loaded.dimension, "layer4"
    import transformers

    from tssr.features.text_encoder import TextEncoder

    width = size.text_width
    config = transformers.BertConfig(
        hidden_size=width,
        num_hidden_layers=size.text_blocks,
        num_attention_heads=width // 64 or 1,
        intermediate_size=4 * width,
    )
    ids = torch.randint(1, config.vocab_size, (DRAWN, size.tokens))
    encoder = TextEncoder(transformers.BertModel(config, add_pooling_layer=False), "cls")
    return encoder, (ids, torch.ones_like(ids)), width, "last:2"


@torch.no_grad()
def stored(lower: nn.Module, inputs: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """What `lower` gives for all inputs, in float16 as a store keeps it."""
    lower.to(device)
    pieces = []
    for piece in zip(*(each.split(64) for each in inputs), strict=True):
        given = lower(*(each.to(device) for each in piece))
        states, *rest = given if isinstance(given, tuple) else (given,)
        pieces.append((states.half().cpu(), *(each.cpu() for each in rest)))
    return tuple(torch.cat(each) for each in zip(*pieces, strict=True))


def source_of(kind: str, size: Size, way: Way, device: torch.device) -> ContentSource:
    """The content of all items as `way` has it."""
    torch.manual_seed(1)
    encoder, inputs, width, last = encoder_of(kind, size)
    contents = torch.arange(size.items + 1) - 1
    if way.part == "frozen":
        return ContentFeatures(kind, torch.randn(size.items + 1, width), contents >= 0)
    encoder.eval().requires_grad_(True)
    if way.part in ("pixels", "boundary"):
        from tssr.features.encoder_stages import first_trained, split_encoder

        staged = split_encoder(encoder, first_trained(encoder, last))
        encoder = staged
        if way.part == "boundary":
            encoder, inputs = staged.upper, stored(staged.lower, inputs, device)
    elif way.part == "side":
        from tssr.features.block_states import BlockStates
        from tssr.features.encoder import ContentEncoder
        from tssr.features.side_network import side_network

        beside = side_network(ContentEncoder(kind, width, {}, None, encoder), DEFAULT_DIMS["side"], seed=0)
        encoder, inputs = beside, stored(BlockStates(encoder), inputs, device)
    elif way.part in ("lora", "houlsby"):
        from tssr.features.adapters import adapted_part

        encoder = adapted_part(encoder, ALL, way.part, DEFAULT_DIMS[way.part], seed=0)
    kept = KEPT_CHUNKS if way.part == "boundary" and kind == "text" else 1
    training = EncoderTraining(RATE, 0.0, way.chunk, train_batchnorm=False, kept_chunks=kept)
    read = Drawn(inputs, device, constant=way.constant)
    return TrainableContent(kind, encoder, read, contents, width, training)


def steps_of(kind: str, size: Size, way: Way, batch: int, device: torch.device) -> TrainingSteps:
    """TSSR with that content, ready to step."""
    log = generate(size.users, size.items, int(ACTIONS_A_USER * size.users))
    train = split_of(log).train
    length = 10 if kind == "image" else 20
    source = source_of(kind, size, way, device)
    materials = Materials(size.items, length, [source], train, torch.from_numpy(train.counts()))
    model = MODELS["tssr"].build(materials, TSSRSettings())
    assert isinstance(model, NeuralRecommender)
    if way.every_slot:
        assert isinstance(source, TrainableContent)
        for part in model.modules():
            if isinstance(part, ContentVectors):
                part.content = EverySlot(source)  # type: ignore[assignment]
    model.to(device)
    chosen = TrainSettings(batch_size=batch, learning_rate=RATE, precision=way.precision, device=str(device))  # type: ignore[arg-type]
    return TrainingSteps(model, model.samples(train, "last", device), chosen)


def finish(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def shortest(work: Callable[[int], int], steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds of the best of some steps after one that is not counted, and seconds a content in it."""
    work(0)
    now = time.perf_counter if device.type == "cuda" else time.process_time
    taken = []
    for step in range(1, steps + 1):
        finish(device)
        started = now()
        contents = work(step)
        finish(device)
        taken.append((now() - started, contents))
    seconds, contents = min(taken, key=lambda each: each[0] / each[1])
    return seconds, seconds / contents


def bare(kind: str, size: Size, way: Way, device: torch.device) -> Callable[[int], int]:
    """The whole encoder alone, forward and backward, on one chunk that lies on the device."""
    source = source_of(kind, size, Way(constant=True), device)
    assert isinstance(source, TrainableContent)
    encoder, inputs = source.encoder.to(device), source.read(torch.arange(way.chunk))

    def work(_: int) -> int:
        with training_autocast(way.precision, device):
            vectors = encoder(*inputs)
        vectors.float().sum().backward()
        return way.chunk

    return work


def stepped(steps: TrainingSteps) -> Callable[[int], int]:
    """Steps of the trainer; each tells how many distinct contents it had."""
    cut, seen = steps.samples.batch, [0]

    def counted(numbers: Tensor) -> Any:
        batch = cut(numbers)
        seen[0] = len(torch.unique(batch.inputs[batch.inputs > 0]))
        return batch

    steps.samples.batch = counted  # type: ignore[method-assign]

    def work(step: int) -> int:
        steps.take(step)
        return seen[0]

    return work


def start_of_peak(device: torch.device) -> int:
    """Let the peak of memory begin anew; what the process holds now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the high water mark falls
    return peak_memory()


def measure(kind: str, name: str, batch: int, device_name: str) -> dict[str, float] | str:
    """One line of the table, in a process of its own; words where it does not fit into memory."""
    device, way = choose_device(device_name), WAYS[name]
    size = GPU if device.type == "cuda" else SMALL
    try:
        work = (
            bare(kind, size, way, device)
            if way.part == "bare"
            else stepped(steps_of(kind, size, way, batch, device))
        )
        before = start_of_peak(device)
        seconds, each = shortest(work, size.steps, device)
    except torch.OutOfMemoryError:
        return NO_ROOM
    except TssrError as error:  # memory ran out in a step, or the encoder has no layers that the adapter fits
        return NO_ROOM if str(error).startswith("out of") else str(error)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else peak_memory() - before
    return {"contents": seconds / each, "seconds": seconds, "each": each, "peak": peak / 2**20}


def measured(kind: str, name: str, batch: int, device: str) -> dict[str, float] | str:
    """What `measure` gives in a process of its own; where that fails or is killed, why."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, kind, name, batch, device).result()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other ways are to be measured
            return f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def table(kind: str, ways: list[str], batch: int, device: str) -> bool:
    """Measure the ways one after the other; whether none failed."""
    full: float | None = None
    whole = True
    waiting = [(name, batch) for name in ways]
    while waiting:
        name, size = waiting.pop(0)
        found = measured(kind, name, size, device)
        line = f"{kind:6}{size:>6} {name:<18}"
        if isinstance(found, str):
            print(f"{line} {found}", flush=True)
            whole = whole and not found.startswith("failed")
            if found == NO_ROOM and size > 1 and WAYS[name].part != "bare":
                waiting.insert(0, (name, size // 2))
            continue
        full = found["each"] if name == "full-64" else full
        share = f"{found['each'] / full:8.3f}" if full else f"{'':8}"
        print(
            f"{line}{found['contents']:9,.0f}{1000 * found['seconds']:10,.1f}{1 / found['each']:12,.1f}"
            f"{found['peak']:9,.0f}{share}",
            flush=True,
        )
    return whole


def main() -> None:
    """Measure what is asked for, all of it by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=("image", "text"), default=["image", "text"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="[default: all]")
    parser.add_argument("--batches", nargs="+", type=int, help="[default: 256; 128 on a CPU]")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
    print(f"{device}, {where}, torch {torch.__version__}, auto is {chosen_precision('auto', device)}")
    columns = f"{'contents':>9}{'ms/step':>10}{'contents/s':>12}{'peak':>9}{'of full':>8}"
    print(f"{'':6}{'batch':>6} {'way':<18}{columns}")
    ordered = sorted(
        chosen.ways or WAYS, key=lambda name: name != "full-64"
    )  # the others are held against it
    batches = chosen.batches or ([256] if on_gpu else [128])
    whole = True
    for kind in chosen.encoders:
        for batch in batches:
            whole &= table(kind, ordered, batch, chosen.device)
    if not whole:
        sys.exit(1)


if __name__ == "__main__":
    main()
