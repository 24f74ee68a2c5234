"""The transformer block that all attention models share.

Block and initialisation follow the released TSSR code: LayerNorm after the residual, each residual branch
behind a learned scalar that starts at 1e-8 (ReZero, arXiv 2003.04887), GELU, biases everywhere.
On purpose different: padding is left out. In the released code it attends to the average of all steps, the
future included, which leaks the answer to the last padding step.

Shapes: B batch, L steps, D width, H heads, P real steps of the batch and filler (see `real_steps`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .content import trained_contents
from .precision import in_float32
from .real_steps import RealSteps
from .settings import SequenceSettings

REZERO_START = 1e-8
LINEAR_BIAS_START = 0.1


def initialise(module: nn.Module, item_count: int) -> None:
    """Draw the initial weights as the released code does, for linear layers and embeddings alike.

    The weights of a content encoder that is trained along stay: they were trained before.
    """
    # The release draws embeddings evenly from this range, whose bound depends on the number of items, not on
    # the width. Example: N = 9,999 gives numbers between -.01 and .01.
    bound = math.sqrt(1 / (item_count + 1))
    kept = {part for content in trained_contents(module) for part in content.modules()}
    for part in module.modules():
        if part in kept:
            continue
        if isinstance(part, nn.Linear):
            nn.init.xavier_normal_(part.weight)
            if part.bias is not None:
                nn.init.constant_(part.bias, LINEAR_BIAS_START)
        elif isinstance(part, nn.Embedding):
            nn.init.uniform_(part.weight, -bound, bound)
            if part.padding_idx is not None:
                # The draw has overwritten the zeros of the padding's row. It gets no gradient,
                # so zeros are what it keeps.
                nn.init.zeros_(part.weight[part.padding_idx])
    for part in module.modules():
        if isinstance(part, Attention):
            # The release has two layers, each (D, D), where here is one of (2 D, D). Xavier's deviation falls
            # with the size of a matrix, so the halves are drawn one by one.
            for weight in part.key_value.weight.chunk(2):
                nn.init.xavier_normal_(weight)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        # One product gives the keys and the values of all heads: (P, D) -> (P, 2 D).
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(
        self, states: Tensor, contexts: Sequence[Tensor], steps: RealSteps, *, newest: bool = False
    ) -> Tensor:
        """Let `states` (P, D) read from the past of each of C contexts (P, D), all at once.

        With `newest` they are those of each window's last step alone, (B, D).
        """
        (B, L), D = steps.shape, states.shape[1]
        split = (self.heads, D // self.heads)
        # Linear layers run on packed steps (P, D). The products of attention need whole windows, so their
        # results are put back into (B, L, D), or with `newest` into windows of one step, (B, 1, D).
        asked = self.query(states).unsqueeze(1) if newest else steps.padded(self.query(states))
        query = asked.unflatten(2, split).transpose(1, 2)  # (B, H, L or 1, D/H)
        key_values = [steps.padded(self.key_value(context)) for context in contexts]  # (B, L, 2 D) each
        # The contexts stand one after another along the steps. A query's softmax then runs over the steps of
        # all contexts together, and their shares are decided against each other.
        key_value = torch.cat(key_values, dim=1).view(B, len(contexts) * L, 2, *split)
        key, value = key_value.permute(2, 0, 3, 1, 4)  # each (B, H, C L, D/H)
        # (B, 1, L, C L): a step may read the same steps of every context, so the mask
        # stands C times side by side.
        mask = steps.mask if len(contexts) == 1 else steps.mask.repeat(1, 1, 1, len(contexts))
        # The last row of the mask is what the last step may read.
        mask = mask[:, :, -1:] if newest else mask
        # The function, unlike nn.Dropout, does not know whether the model is in training.
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        # (B, H, L, D/H) -> (B, L, D). Sizes are read, not left to -1: B may be 0 (see `gathering`).
        read = read.transpose(1, 2).flatten(2)
        output: Tensor = self.output(read[:, 0] if newest else steps.packed(read))
        return output


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, applied to every step by itself."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """(P, D) -> (P, D)."""
        output: Tensor = self.dropout(self.narrow(F.gelu(self.widen(states))))
        return output


class Residual(nn.Module):
    """A residual branch with its LayerNorm before or after, and with or without the ReZero gate."""

    def __init__(self, width: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.before = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        # One number for a whole branch. At 1e-8 the branch adds next to nothing, so an untrained stack hands
        # on its input, normalised, and each branch grows as far as it lowers the loss.
        self.gate = nn.Parameter(torch.tensor(REZERO_START)) if norm == "rezero" else None

    def branch_input(self, states: Tensor) -> Tensor:
        """What the branch reads, (P, D)."""
        inputs: Tensor = self.norm(states) if self.before else states
        return inputs

    def add(self, states: Tensor, branch: Tensor) -> Tensor:
        """Add the branch's result to what was there, (P, D)."""
        # Added first and normalised after, as in the release, or with --norm pre only added: there the branch
        # has read normalised states already (see `branch_input`).
        branch = self.dropout(branch if self.gate is None else self.gate * branch)
        summed: Tensor = states + branch if self.before else self.norm(states + branch)
        return summed


class TransformerBlock(nn.Module):
    """Attention, then feed-forward. Without contexts it is self-attention, else attention to the contexts."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.attention = Attention(width, settings.heads, dropout)
        self.feedforward = FeedForward(width, settings.feedforward_width, dropout)
        self.attention_residual = Residual(width, dropout, settings.norm)
        self.feedforward_residual = Residual(width, dropout, settings.norm)

    def forward(self, states: Tensor, steps: RealSteps, contexts: Sequence[Tensor] = ()) -> Tensor:
        """(P, D) -> (P, D); contexts, (P, D) each, are used as they are."""
        inputs = self.attention_residual.branch_input(states)
        # Without contexts the steps read themselves: keys and values come from the
        # same inputs as the queries.
        return self._after_attention(states, self.attention(inputs, contexts or (inputs,), steps))

    def newest(self, states: Tensor, steps: RealSteps, rows: Tensor) -> Tensor:
        """(P, D) -> (B, D): what `forward` gives at `rows`, the last steps of the B windows; cheaper."""
        inputs = self.attention_residual.branch_input(states)
        # The last step reads all steps, so keys and values are computed for all P rows, queries for B.
        attended = self.attention(inputs[rows], (inputs,), steps, newest=True)
        return self._after_attention(states[rows], attended)

    def _after_attention(self, states: Tensor, attended: Tensor) -> Tensor:
        """The rest of the block for some steps: both residual branches added, (P, D) -> (P, D)."""
        states = self.attention_residual.add(states, attended)
        transformed = self.feedforward(self.feedforward_residual.branch_input(states))
        return self.feedforward_residual.add(states, transformed)


class Mix(nn.Module):
    """Streams concatenated and mapped to the width by one linear layer."""

    def __init__(self, width: int, streams: int) -> None:
        super().__init__()
        self.mix = nn.Linear(streams * width, width)

    def forward(self, streams: list[Tensor]) -> Tensor:
        """Streams of (B, L, D) -> (B, L, D)."""
        mixed: Tensor = self.mix(torch.cat(streams, dim=-1))
        return mixed


class Recurrent(nn.Module):
    """A GRU over the real steps of left-padded windows, started at zero; dropout between its layers."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        # One module a layer: cuDNN draws its own dropout from a state that no checkpoint could keep.
        self.layers = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """(B, L, D), (B, L) -> (B, L, D), zeros on padding."""
        # A GRU has no mask. So each window is rolled: 0 0 5 7 becomes 5 7 0 0, the state after 7 is the same
        # as without padding, and what the GRU computes on the padding behind it is thrown away.
        steps = torch.arange(real.shape[1], device=real.device)
        padding = (~real).sum(dim=1, keepdim=True)  # (B, 1)
        # Example with L = 4: 0 5 7 9 has one padding step, so `front` is 1 2 3 0, which takes 5 7 9 0, and
        # `back` is 3 0 1 2, which takes 0 5 7 9 from that again.
        front, back = ((steps + shift) % len(steps) for shift in (padding, -padding))
        states = _at_steps(vectors, front)
        for number, layer in enumerate(self.layers):
            states = self._layer(layer, states if number == 0 else self.dropout(states))
        return _at_steps(states, back) * real.unsqueeze(-1)

    @staticmethod
    def _layer(layer: nn.Module, vectors: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        if vectors.is_cuda:  # under autocast cuDNN would compute in float16, whichever dtype autocast has
            with in_float32(vectors.device):
                states, _ = layer(vectors.float())
        else:
            states, _ = layer(vectors)
        return cast(Tensor, states)


def _at_steps(states: Tensor, steps: Tensor) -> Tensor:
    # States (B, L, D) in the order of `steps` (B, L); `gather` wants one index for each number of a state.
    return states.gather(1, steps.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


class Transformer(nn.Module):
    """A stack of blocks: self-attention over one stream, or attention of one stream to others (contexts)."""

    def __init__(
        self,
        settings: SequenceSettings,
        blocks: int,
        block: Callable[[SequenceSettings], nn.Module] = TransformerBlock,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block(settings) for _ in range(blocks))
        # With --norm pre the output is a sum of branches that no block normalises, so one LayerNorm follows.
        self.final_norm = nn.LayerNorm(settings.width) if settings.norm == "pre" and blocks else None

    def forward(self, states: Tensor, steps: RealSteps, contexts: Sequence[Tensor] = ()) -> Tensor:
        """(B, L, D) -> (B, L, D), zeros on padding; every block reads the same contexts, (B, L, D) each."""
        packed, read = steps.packed(states), tuple(steps.packed(context) for context in contexts)
        for block in self.blocks:
            packed = block(packed, steps, read)
        return steps.padded(packed if self.final_norm is None else self.final_norm(packed))

    def newest(self, states: Tensor, steps: RealSteps) -> Tensor:
        """(B, L, D) -> (B, D): what `forward` gives at the last step.

        The last block computes only the last step; the other steps serve it as keys and values. With two
        blocks that saves almost half of the work.
        """
        packed = steps.packed(states)
        if len(packed) == 0:  # nobody has a history
            return torch.zeros_like(states[:, -1])
        rows, real = steps.newest()
        *before, last = cast("list[TransformerBlock]", list(self.blocks))
        for block in before:
            packed = block(packed, steps)
        newest = last.newest(packed, steps, rows)
        newest = newest if self.final_norm is None else self.final_norm(newest)
        return torch.where(real[:, None], newest, 0.0)
