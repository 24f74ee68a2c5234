"""TSSR: a two-stream sequential recommender (Cheng et al., arXiv 2403.07623).

An ID stream and a content stream have a transformer each. Two contrastive losses, one over users and one over
items, align their states. Then each stream reads the other by cross-attention, and a gate merges both.

    items ─┬─ learned vectors ─ encoder ─ F_id ──┬─ cross-attention ─┐
           │            user contrast, item contrast                 ├─ gate ─ state · item table
           └─ projected content ─ encoder ─ F_con ┴─ cross-attention ┘

Reference: the authors' release, Mingyue-Cheng/TSSR, which decides what the paper leaves open: an untied head
with bias; the same causal mask in cross-attention, whose keys are always the other stream's unimodal output;
one position table for both streams; no temperature in the item contrast.
On purpose different from the release: two blocks a stream and one cross block (the paper's text; the
release has 1 and 4) and users that are means over real steps (there over padding as well, --user-mean all;
--preset official has both); padding enters no loss but that one, and no attention (there it looks at the
whole window, and its last step so sees the answer), and has no vector to learn; class 0 is no candidate.
Also different: content vectors are frozen by default, where paper and release train the image or text
encoder along (here with --end-to-end, see `content`).
Beyond the paper: any number M of content streams. Each has its own encoder and its own contrasts with the ID
stream (averaged over the M), each stream's cross-attention reads all others, and the gate is a softmax over
streams whose last logit is 0, which at M = 1 is the paper's sigmoid. With --lambda-stream, each stream's
unimodal states must also predict the next item, with the same head. Without it, a stream's only item loss
comes through the gate: what one stream already predicts gives the other little gradient, and on small data
both streams then predict worse than the same transformer trained alone.

Shapes: B batch, L steps, D width, N items, M content streams, P real positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.dataset import Queries
from ..core.schema import PADDING
from .batches import WindowBatch, newest
from .heads import item_head
from .input_embedding import InputEmbedding
from .inputs import ItemVectors, content_vectors
from .layers import Mix, Transformer, initialise
from .losses import item_contrast, pooled, user_contrast
from .real_steps import RealSteps
from .recommender import Losses, SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import TSSRSettings


class Gate(nn.Module):
    """Eq. 3: each stream's share of the merged state, dimension by dimension."""

    def __init__(self, width: int, streams: int) -> None:
        super().__init__()
        # W and b of Eq. 3: from all M + 1 streams side by side to one logit a dimension for each stream but
        # the last, whose logit is 0.
        self.weigh = nn.Linear(streams * width, (streams - 1) * width)

    def shares(self, streams: list[Tensor]) -> Tensor:
        """M + 1 streams of (B, L, D) -> their shares, (B, L, M + 1, D); over the streams they add up to 1."""
        shape = (*streams[0].shape[:-1], len(streams) - 1, streams[0].shape[-1])
        logits = self.weigh(torch.cat(streams, dim=-1)).view(shape)  # (B, L, M, D)
        # The last stream's logit. A softmax over (z, 0) is (sigmoid(z), 1 - sigmoid(z)), so with M = 1 the
        # two shares are S and 1 - S of Eq. 3.
        logits = torch.cat([logits, torch.zeros_like(logits[..., :1, :])], dim=-2)  # (B, L, M + 1, D)
        return logits.softmax(dim=-2)

    def forward(self, streams: list[Tensor]) -> Tensor:
        """M + 1 streams of (B, L, D) -> (B, L, D)."""
        # The second line of Eq. 3: each stream times its share, added over the streams.
        return (self.shares(streams) * torch.stack(streams, dim=-2)).sum(dim=-2)


class Sum(nn.Module):
    """Ablation of the gate: the streams' sum."""

    def forward(self, streams: list[Tensor]) -> Tensor:
        """M + 1 streams of (B, L, D) -> (B, L, D)."""
        return torch.stack(streams).sum(dim=0)


def _names(contents: list[str]) -> list[str]:
    """What the streams are called: the ID stream first, then the contents; a second of one name is numbered.

    >>> _names(["image", "text", "image"])
    ['id', 'image', 'text', 'image_2']
    """
    counts = [contents[: place + 1].count(name) for place, name in enumerate(contents)]
    numbered = [f"{name}_{n}" if n > 1 else name for name, n in zip(contents, counts, strict=True)]
    return ["id", *numbered]


class TSSR(SequenceRecommender):
    """One ID stream and M content streams; stream 0 is the ID stream."""

    def __init__(self, materials: Materials, settings: TSSRSettings) -> None:
        super().__init__(materials.length)
        self.settings = settings
        width = settings.width
        # E_id and E_con of the paper: modules that turn item numbers (B, L) into vectors (B, L, D).
        inputs = [
            ItemVectors(materials.item_count, width),
            *content_vectors(materials, width, settings),
        ]
        self.streams = _names([content.name for content in materials.contents])
        streams = len(inputs)
        self.inputs = nn.ModuleList(inputs)
        # Position tables and encoders are either one for each stream or one for all (see `unimodal_states`).
        entrances = streams if settings.separate_positions else 1
        self.entrances = nn.ModuleList(InputEmbedding(materials.length, settings) for _ in range(entrances))
        encoders = 1 if settings.shared_encoder else streams
        self.unimodal = nn.ModuleList(Transformer(settings, settings.blocks) for _ in range(encoders))
        # The same blocks as in the unimodal encoders: what makes them cross-attention is that `_crossed`
        # hands them other streams to read.
        self.cross = nn.ModuleList(Transformer(settings, settings.cross_blocks) for _ in inputs)
        fusions: dict[str, Callable[[], nn.Module]] = {
            "gate": lambda: Gate(width, streams),
            "sum": Sum,
            "concat": lambda: Mix(width, streams),
        }
        self.fusion = fusions[settings.fusion]()
        # Before the head, whose parts have starts of their own, such as a projection of zeros.
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, self.inputs[0])

    def unimodal_states(self, inputs: Tensor, steps: RealSteps) -> tuple[list[Tensor], list[Tensor]]:
        """(B, L) -> per stream the items' vectors E and the unimodal states F, each (B, L, D)."""
        vectors = [vectors_of(inputs) for vectors_of in self.inputs]
        states = []
        for stream, vector in enumerate(vectors):
            # Where all streams share one, `stream % 1` is 0 for each of them.
            entrance = self.entrances[stream % len(self.entrances)]
            encoder = self.unimodal[stream % len(self.unimodal)]
            # F of the paper: the position is added, then come the unimodal blocks.
            states.append(encoder(entrance(vector), steps))
        return vectors, states

    def merged_states(self, states: list[Tensor], steps: RealSteps) -> Tensor:
        """Let the streams read each other and merge them: M + 1 of (B, L, D) -> (B, L, D)."""
        merged: Tensor = self.fusion(self._crossed(states, steps))
        return merged

    def _crossed(self, states: list[Tensor], steps: RealSteps) -> list[Tensor]:
        """Each stream after reading the others: M + 1 of (B, L, D)."""
        return [
            # The stream's own state asks (query); all other streams answer (keys and values).
            encoder(states[stream], steps, tuple(states[:stream] + states[stream + 1 :]))
            for stream, encoder in enumerate(self.cross)
        ]

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D), the merged states."""
        steps = RealSteps.of(inputs)
        _, states = self.unimodal_states(inputs, steps)
        return self.merged_states(states, steps)

    def gate_shares(self, inputs: Tensor) -> Tensor | None:
        """(B, L) -> each stream's mean share of the merged state, (B, L, M + 1); None without a gate.

        The gate has a share for each of the D dimensions; this is their mean. What stands at padding steps
        is undefined.
        """
        if not isinstance(self.fusion, Gate):
            return None
        steps = RealSteps.of(inputs)
        _, states = self.unimodal_states(inputs, steps)
        return self.fusion.shares(self._crossed(states, steps)).mean(dim=-1)

    def item_views(self, items: Tensor) -> dict[str, Tensor]:
        """Give each stream's vectors of some items, (K,) -> (K, D): what the contrasts bring together."""
        return {name: enter(items) for name, enter in zip(self.streams, self.inputs, strict=True)}

    def user_views(self, queries: Queries) -> dict[str, Tensor]:
        """Give each stream's users, (Q, D): unimodal states pooled over the window, as in the contrast."""
        inputs = newest(queries.histories, 0, len(queries), self.length).to(self.head.bias.device)
        real = inputs != PADDING
        _, states = self.unimodal_states(inputs, RealSteps.of(inputs))
        return {name: pooled(state, real) for name, state in zip(self.streams, states, strict=True)}

    def losses(self, batch: WindowBatch) -> Losses:
        """Eq. 4: the weighted terms; a term whose weight is 0 is not computed."""
        chosen, targets = self.settings, batch.at_positions(batch.targets)
        steps = RealSteps.of(batch.inputs)
        # A mean over whole windows (--user-mean all) needs states at padding steps too, so these are then
        # encoded like real steps. All other terms still read the real steps alone.
        padding_too = chosen.lambda_user > 0 and chosen.user_mean == "all"
        encoded_steps = RealSteps.all_of(batch.inputs) if padding_too else steps
        vectors, states = self.unimodal_states(batch.inputs, encoded_steps)
        merged = self.merged_states(states, steps)
        # λ3 · L_ce of Eq. 4. `at_positions` keeps the real steps: (B, L, D) -> (P, D).
        terms: Losses = {"ce": chosen.lambda_ce * self.head(batch.at_positions(merged), targets)}
        if chosen.lambda_stream:
            # Beyond the paper: each unimodal state must predict the next item without the others.
            alone = [self.head(batch.at_positions(stream), targets) for stream in states]
            terms["stream"] = chosen.lambda_stream * torch.stack(alone).mean()
        contents = range(1, len(states))
        if chosen.lambda_user:
            # λ1 · L_u of Eq. 4, where L_u is Eq. 1 between the ID stream and each content stream.
            counted = torch.ones_like(batch.real) if padding_too else batch.real
            contrasts = [user_contrast(states[0], states[m], counted, chosen.tau_user) for m in contents]
            terms["user"] = chosen.lambda_user * torch.stack(contrasts).mean()
        if chosen.lambda_item:
            # λ2 · L_i of Eq. 4, where L_i is Eq. 2 between the same pairs of streams.
            contrasts = [
                item_contrast(
                    (states[0], states[m]),
                    (vectors[0], vectors[m]),
                    batch,
                    temperature=chosen.tau_item,
                    all_steps=chosen.negatives == "all-steps",
                    mask_duplicates=chosen.mask_duplicates,
                )
                for m in contents
            ]
            terms["item"] = chosen.lambda_item * torch.stack(contrasts).mean()
        return terms
