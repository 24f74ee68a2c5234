"""Every GPU figure of the project in one command, in under 25 minutes.

    python benchmarks/gpu.py                    on a machine with a GPU
    python benchmarks/gpu.py --device cpu       the same sections at a small size, to see that they run

Sections: TSSR with frozen features at H&M's and MIND's size; bfloat16 beside float32 and whether two
trainings give the same bits; training encoders along; extraction beside the bare forward; exact ranking.
Each runs in a process of its own with a limit of its own, so that one that fails costs no other its turn.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from training_data import generate
from training_steps import steps_of

from tssr.core.device import choose_device
from tssr.model.precision import chosen_precision

HERE = Path(__file__).parent
STEPS, CPU_STEPS = 30, 5  # of each training in `same_bits`


@dataclass(frozen=True)
class Section:
    """A table and the command that prints it, on a GPU and at a small size on a CPU; `minutes` at most."""

    title: str
    gpu: tuple[str, ...]
    cpu: tuple[str, ...]
    minutes: float


SECTIONS = (
    Section(
        "TSSR, an epoch with frozen features", ("training.py", "gpu"), ("training.py", "tssr", "--quick"), 3
    ),
    Section("precision and determinism", ("gpu.py", "--steps"), ("gpu.py", "--steps", "--device", "cpu"), 2),
    Section(
        "encoders trained along",
        ("end_to_end.py",),
        ("end_to_end.py", "--encoders", "text", "--ways", "full-64", "boundary", "--batches", "16"),
        12,
    ),
    Section(
        "extraction beside the bare forward",
        ("features.py", "--only", "throughput", "--encoders", "resnet50"),
        ("features.py", "--only", "reading", "--rows", "10000"),
        5,
    ),
    Section(
        "exact ranking beside the bare product",
        ("evaluation.py", "--device", "cuda", "--backends", "torch"),
        ("evaluation.py", "--backends", "torch", "--runs", "1", "--users", "256", "--items", "3000"),
        2,
    ),
)


def run(section: Section, command: tuple[str, ...]) -> None:
    """Print a section's table; a line where it fails or takes too long.

    It is ended with all the processes that it started: one that went on would slow down what comes after it.
    """
    print(f"\n## {section.title}: {' '.join(command)}", flush=True)
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(HERE.parents[1]))}
    program = [sys.executable, str(HERE / command[0]), *command[1:]]
    process = subprocess.Popen(program, env=environment, start_new_session=True)
    try:
        code = process.wait(60 * section.minutes)
        outcome = f"failed with exit code {code}, " if code else ""
    except subprocess.TimeoutExpired:
        outcome = f"stopped after its {section.minutes:g} minutes, "
    finally:  # also where a person stops it
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    print(f"({outcome}{time.perf_counter() - started:.0f} s)", flush=True)


def steps_on(device: torch.device) -> int:
    """How many steps each training of `same_bits` has."""
    return STEPS if device.type == "cuda" else CPU_STEPS


def trained(precision: str, device: torch.device) -> tuple[float, torch.Tensor]:
    """Seconds a step, and all weights after some steps of TSSR, in one row."""
    users, items = (100_000, 61_574) if device.type == "cuda" else (2_000, 1_000)
    steps = steps_of("tssr", generate(users, items, 7 * users), device=device, precision=precision)
    seconds = []
    for step in range(steps_on(device)):
        started = time.perf_counter()
        steps.take(step)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    weights = torch.cat([weight.detach().flatten().cpu() for weight in steps.model.parameters()])
    return min(seconds), weights


def same_bits(device: torch.device) -> None:
    """A step's time in both precisions, and whether training twice gives the same bits."""
    print(
        f"{'precision':<10}{'ms/step':>9}  twice the same weights after {steps_on(device)} steps", flush=True
    )
    for precision in ("float32", "bfloat16"):
        seconds, first = trained(precision, device)
        again = trained(precision, device)[1]
        distance = float((first - again).abs().max())
        same = "yes" if torch.equal(first, again) else f"no, they differ by up to {distance:.1e}"
        print(f"{precision:<10}{1000 * seconds:>9.1f}  {same}", flush=True)


def main() -> None:
    """Run all sections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", action="store_true", help="the section on precision and determinism alone")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    if chosen.steps:
        same_bits(device)
        return
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    print(f"{where}, torch {torch.__version__}, auto is {chosen_precision('auto', device)}")
    for section in SECTIONS:
        run(section, section.gpu if on_gpu else section.cpu)


if __name__ == "__main__":
    main()
