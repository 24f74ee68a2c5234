"""Tables of item vectors that start as the principal components of the items' content.

With a random start, two items resemble each other only after training on their actions. With this one, items
of similar content begin with similar vectors.
EnsRec (arXiv 2512.17820) compares this start under the name LLMInit; LLMInit itself (arXiv 2503.01814) takes
single dimensions of the content for the same purpose.

The components keep their variances relative to each other, so the first counts most; one factor scales all to
the size of the random start. Where the content varies in fewer directions than the table is wide, the
remaining columns start at random, and so do the rows of items without content.

Example: content of 384 dimensions and tables of width 128 start as the 128 components of largest variance.

Shapes: N items, C dimensions of all content types together, D width, R components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.errors import UsageError
from ..core.settings import resolve
from .bpr import BPRMF
from .inputs import ItemVectors
from .principal_components import principal_components
from .settings import ScaleSettings

if TYPE_CHECKING:
    from .materials import Materials


@torch.no_grad()
def start_from_content(model: nn.Module, materials: Materials) -> None:
    """Let the model's tables of item vectors start from content.

    Raises UsageError for a model without such a table, and without fixed content vectors.
    """
    tables = _tables(model, materials.item_count)
    if not tables:
        raise UsageError(
            "--item-start content: this model reads no learned item vectors; leave the option out"
        )
    components, present = _components(materials)
    items = present.nonzero()[:, 0]
    for table in tables:
        width = min(table.shape[1], components.shape[1])
        chosen = components[items, :width]
        # One factor brings the components to the size of the random start, whose mean is 0.
        scale = table.std() / chosen.square().mean().sqrt()
        table[items - 1, :width] = (chosen * scale).to(table.dtype)


def _tables(model: nn.Module, item_count: int) -> list[Tensor]:
    """The vectors of items 1…N of each table, (N, D); writing into one changes the model."""
    inputs = [part for part in model.modules() if isinstance(part, ItemVectors)]
    tables: list[Tensor] = [part.table.weight[1 : item_count + 1] for part in inputs]
    if isinstance(model, BPRMF):
        tables.append(model.vectors)
    return tables


def _components(materials: Materials) -> tuple[Tensor, Tensor]:
    """Principal components (N + 1, R) of content, and which items have any, (N + 1,).

    Several content types stand side by side, each of the same variance. Mean and directions are those of the
    train items that have content.
    """
    contents = materials.features()
    if not contents:
        raise UsageError("--item-start content: there are no content vectors; name them with --features")
    present = torch.stack([content.present for content in contents]).any(dim=0)
    known = present & (materials.train_counts > 0)
    sides = [content.centred(resolve(ScaleSettings, {}), materials.train_counts) for content in contents]
    # Divided by the root mean square of its vectors' lengths, each type counts alike,
    # whatever the scale of its encoder.
    sides = [side / side[known].square().sum(dim=1).mean().sqrt().clamp(min=1e-12) for side in sides]
    vectors = torch.cat(sides, dim=1)
    if not bool(vectors[known].any()):
        raise UsageError("--item-start content: the content of all train items is the same; it tells nothing")
    _, directions = principal_components(vectors[known])
    return (vectors.double() @ directions).float(), present
