"""The item side of an export: a graph from the content of new items to item vectors, and its check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import ArtifactError
from ...core.float32 import full_float32
from ...model.blend import VectorBlend
from ...model.item_side import BlendSide, ItemSide, side_of
from ...model.recommender import ColdVectors
from ..runs.build import content_features
from ..runs.kept_encoders import kept_contents
from .graphs import write_graphs

if TYPE_CHECKING:
    from ...core.dataset import Int64
    from ...model.materials import ContentFeatures
    from ..runs.plan import RunPlan
    from .kinds import ExportedRun

STEM, OUTPUTS = "item_side", ("vectors", "biases")
CHECKED = 1000  # items, spread evenly
# Allowed difference, relative to the largest number of a vector. Scaled content is rounded to the store's
# float16; a difference in the last bit of a float32 may change the direction of rounding, and one step of
# float16 is at most 1e-3 of a number.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class ContentSide:
    """The graph that was written: the stores whose vectors are its input, and the result of its check."""

    reads: list[dict[str, Any]]
    items: int
    difference: float
    graphs: float

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def write_content_side(exported_run: ExportedRun, run: Path, folder: Path) -> ContentSide | None:
    """Write the graph for the run in `run` into `folder`; None where content makes no item vector.

    Raises ArtifactError where its vectors differ from those that the run itself gives cold items.
    """
    if not (isinstance(exported_run.model, ColdVectors) and exported_run.model.ranks_cold_items):
        return None
    contents = _contents(run, exported_run.plan)
    counts = torch.from_numpy(exported_run.train_counts)
    warm = counts[1:] > 0
    widths = [content.vectors.shape[1] for content in contents]
    side = ItemSide(_part(exported_run.model, exported_run.plan, contents, counts, warm), widths).eval()
    asked = np.unique(np.linspace(1, len(warm), min(CHECKED, len(warm))).astype(np.int64))
    given = _given(contents, asked)
    example = {name: value[:2] for name, value in given.items()}
    graphs = write_graphs(side, example, OUTPUTS, folder / STEM)
    vectors, bias = _run(folder / f"{STEM}.onnx", given)
    with torch.inference_mode(), full_float32():
        own = exported_run.model.items_with_cold(torch.ones_like(warm), warm)
    expected = [part.float().numpy()[asked - 1] for part in own]
    difference = max(float(np.abs(a - b).max()) for a, b in zip((vectors, bias), expected, strict=True))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected[0]).max())):
        raise ArtifactError(
            f"the exported content side gives items other vectors than the run, by {difference:.1e}, so "
            "nothing was written; report this model"
        )
    return ContentSide(_reads(exported_run.plan, widths), len(asked), difference, graphs)


def _contents(run: Path, plan: RunPlan) -> list[ContentFeatures]:
    """The vectors of each content type, in the order of the plan's stores."""
    if plan.end_to_end is None:
        return [content_features(store) for store in plan.stores]
    kept = kept_contents(run, plan.end_to_end, plan.stores)
    assert kept is not None, "whoever loads the run makes them again where they are missing"
    return kept


def _part(
    model: Any,
    plan: RunPlan,
    contents: Sequence[ContentFeatures],
    counts: torch.Tensor,
    warm: torch.Tensor,
) -> torch.nn.Module:
    """The side of a plan's model, or of a blend's models, each over the content types that it reads."""
    if isinstance(model, VectorBlend):
        place = {store.name: m for m, store in enumerate(plan.stores)}
        reads = [[place[store.name] for store in part.stores] for part in plan.parts]
        sides = [
            _part(own, part, [contents[m] for m in own_reads], counts, warm)
            for own, part, own_reads in zip(model.parts, plan.parts, reads, strict=True)
        ]
        return BlendSide(model, sides, reads)
    scalings = [content.scaling(plan.model_settings, counts) for content in contents]  # type: ignore[arg-type]
    return side_of(model, scalings, warm)


def _given(contents: Sequence[ContentFeatures], items: Int64) -> dict[str, torch.Tensor]:
    """The graph's inputs for items by number."""
    rows = torch.from_numpy(items)
    return {
        "content": torch.cat([content.vectors[rows].float() for content in contents], dim=1),
        "present": torch.stack([content.present[rows] for content in contents], dim=1),
    }


def _run(path: Path, given: dict[str, torch.Tensor]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {name: value.numpy() for name, value in given.items()})
    return found


def _reads(plan: RunPlan, widths: Sequence[int]) -> list[dict[str, Any]]:
    """For each store, in the order of `content`: its dimension and the encoder of its vectors."""
    along = plan.end_to_end is not None
    return [
        {
            "store": store.name,
            "modality": store.modality,
            "dimension": width,
            "encoder": "the run's own, in its folder" if along else store.encoder,
            "key": store.manifest["key"],
        }
        for store, width in zip(plan.stores, widths, strict=True)
    ]
