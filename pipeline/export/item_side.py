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
from ..runs.kept_encoders import kept_contents, part_folder
from .graphs import write_graphs

if TYPE_CHECKING:
    from ...core.dataset import Int64
    from ...features.store import StoreInfo
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
class ExportedItemSide:
    """The graph that was written: the stores whose vectors are its input, and the result of its check."""

    reads: list[dict[str, Any]]
    items: int
    difference: float
    graphs: float

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Input:
    """One content type: all items' vectors, the store they come from, and the encoder that made them."""

    name: str  # no two inputs of a run have the same
    content: ContentFeatures
    store: StoreInfo
    encoder: str

    def record(self) -> dict[str, Any]:
        """Its dimension and the encoder of its vectors, for the card."""
        return {
            "store": self.store.name,
            "modality": self.store.modality,
            "dimension": self.content.vectors.shape[1],
            "encoder": self.encoder,
            "key": self.store.manifest["key"],
        }


def write_item_side(exported_run: ExportedRun, run: Path, folder: Path) -> ExportedItemSide | None:
    """Write the graph for the run in `run` into `folder`; None where content makes no item vector.

    Raises ArtifactError where its vectors differ from those that the run itself gives cold items.
    """
    if not (isinstance(exported_run.model, ColdVectors) and exported_run.model.ranks_cold_items):
        return None
    inputs = _inputs(run, exported_run.plan)
    contents = [each.content for each in inputs]
    counts = torch.from_numpy(exported_run.train_counts)
    warm = counts[1:] > 0
    widths = [content.vectors.shape[1] for content in contents]
    part = _part(exported_run.model, exported_run.plan, run, inputs, counts, warm)
    side = ItemSide(part, widths, exported_run.cold_bonus).eval()
    asked = np.unique(np.linspace(1, len(warm), min(CHECKED, len(warm))).astype(np.int64))
    given = _given(contents, asked)
    example = {name: value[:2] for name, value in given.items()}
    graphs = write_graphs(side, example, OUTPUTS, folder / STEM)
    vectors, bias = _run(folder / f"{STEM}.onnx", given)
    with torch.inference_mode(), full_float32():
        vectors_as_new, bias_as_new = exported_run.model.items_with_cold(torch.ones_like(warm), warm)
    own = (vectors_as_new, bias_as_new + exported_run.cold_bonus)
    expected = [part.float().numpy()[asked - 1] for part in own]
    difference = max(float(np.abs(a - b).max()) for a, b in zip((vectors, bias), expected, strict=True))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected[0]).max())):
        raise ArtifactError(
            f"the exported item side gives items other vectors than the run, by {difference:.1e}, so "
            "nothing was written; report this model"
        )
    return ExportedItemSide([each.record() for each in inputs], len(asked), difference, graphs)


def _inputs(run: Path, plan: RunPlan) -> list[_Input]:
    """Each content type that the run reads; of a blend those of all its parts, by name."""
    if plan.parts:
        parts = [_inputs(part_folder(run, number), part) for number, part in enumerate(plan.parts)]
        found = {each.name: each for own in parts for each in own}
        return [found[name] for name in sorted(found)]
    if plan.end_to_end is None:
        return [_Input(store.name, content_features(store), store, store.encoder) for store in plan.stores]
    kept = kept_contents(run, plan.end_to_end, plan.stores)
    assert kept is not None, "whoever loads the run makes them again where they are missing"
    return [
        _Input(f"{run.name}/{store.name}", content, store, "the run's own, in its folder")
        for store, content in zip(plan.stores, kept, strict=True)
    ]


def _part(
    model: Any, plan: RunPlan, run: Path, inputs: Sequence[_Input], counts: torch.Tensor, warm: torch.Tensor
) -> torch.nn.Module:
    """The side of a plan's model, or of a blend's models, each over the content types that it reads."""
    if isinstance(model, VectorBlend):
        place = {each.name: m for m, each in enumerate(inputs)}
        folders = [part_folder(run, number) for number in range(len(plan.parts))]
        own = [_inputs(folder, part) for folder, part in zip(folders, plan.parts, strict=True)]
        sides = [
            _part(model_of_part, part, folder, read, counts, warm)
            for model_of_part, part, folder, read in zip(model.parts, plan.parts, folders, own, strict=True)
        ]
        return BlendSide(model, sides, [[place[each.name] for each in read] for read in own])
    settings: Any = plan.model_settings
    return side_of(model, [each.content.scaling(settings, counts) for each in inputs], warm)


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
