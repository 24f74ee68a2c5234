"""A module as a graph in two formats: torch.export (.pt2), which torch runs, and ONNX, for most others."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import UsageError
from ...core.float32 import full_float32, traceable

if TYPE_CHECKING:
    from torch import Tensor, nn

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Raise UsageError that says what to install where a part of ONNX is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"export needs {', '.join(missing)}; install them with: pip install 'tssr[export]'")


def write_graphs(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str], stem: Path
) -> float:
    """Write `module` as STEM.pt2 and STEM.onnx; returns the largest difference between their outputs.

    `example` are inputs by the names of `forward`'s parameters, (B, …) each with B > 1; a graph takes any B.
    `outputs` are the names of what `forward` returns.
    """
    import torch

    sizes = {name: {0: torch.export.Dim("batch")} for name in example}
    with torch.no_grad(), _quiet(), traceable():
        program = torch.export.export(module.eval(), (), dict(example), dynamic_shapes=sizes)
        # Into memory first: on a full disk torch's own writer would end the process.
        packed = io.BytesIO()
        torch.export.save(program, packed)
        stem.with_suffix(".pt2").write_bytes(packed.getbuffer())
        onnx = torch.onnx.export(
            program, dynamo=True, input_names=list(example), output_names=list(outputs), verbose=False
        )
        assert onnx is not None
        onnx.save(str(stem.with_suffix(".onnx")))
    return _largest_difference(stem, example)


@full_float32()
def _largest_difference(stem: Path, example: Mapping[str, Tensor]) -> float:
    """How far the two files, read back, are apart on the example."""
    import onnxruntime
    import torch

    with torch.no_grad(), _quiet():
        there = torch.export.load(stem.with_suffix(".pt2")).module()(**example)
    session = onnxruntime.InferenceSession(stem.with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    here = session.run(None, {name: value.numpy() for name, value in example.items()})
    pairs = zip(here, [there] if isinstance(there, torch.Tensor) else there, strict=True)
    return max(float(np.abs(one - other.numpy()).max()) for one, other in pairs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what the exporters print and log about their own work; stdout is for results."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
