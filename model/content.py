"""Where a model's content vectors come from: a table that stays as it is, or an encoder trained along.

An encoder in the graph of a step would hold the activations of every picture of a batch at once: some 110 GB
for the paper's 128 users with 10 pictures each. Two things make it a tenth, and change no number:

- Each distinct content is encoded once, however often it occurs, and padding never is.
- Contents go through the encoder in chunks without a graph; the loss is computed on their vectors, and its
  gradients with regard to the vectors are kept. Then each chunk goes through once more, now with a graph,
  and takes its part of the gradients back. Memory depends on the chunk, not on the batch, for one more
  forward pass. This is the gradient cache of Gao et al., "Scaling Deep Contrastive Learning Batch Size under
  Memory Limited Setup" (RepL4NLP 2021). Dropout draws the same in both passes.

Example: 256 users look back on 10 actions; of 2,560 steps 1,000 are real, on 800 distinct pictures. With
chunks of 64 the encoder sees 13 times 64 pictures, twice each, and holds the activations of 64.

Shapes: N items, C content dimension, R distinct contents, K of them in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..core.errors import TssrError

Read = Callable[[Tensor], tuple[Tensor, ...]]  # the inputs of contents (K,) by number, on their device


@dataclass(frozen=True)
class EncoderTraining:
    """How an encoder is trained along: its own rate, decay (of matrices alone), and contents at once."""

    learning_rate: float
    weight_decay: float
    chunk: int
    train_batchnorm: bool


class FrozenContent(nn.Module):
    """A table of vectors, (N + 1, C); not saved with the model, for it comes from the feature store."""

    features: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)

    @property
    def width(self) -> int:
        """C."""
        return self.features.shape[1]

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, C)."""
        return self.features[items]


@dataclass
class _Piece:
    """Some contents encoded without a graph, and what encoding them again the same way takes."""

    contents: Tensor  # (K,)
    vectors: Tensor  # (K, C), a leaf: the loss leaves its gradient here
    random: dict[str, Tensor]


class TrainedContent(nn.Module):
    """An encoder's vectors of N items, whose loss reaches the encoder.

    `contents` has each item's content by number 0…R-1, (N + 1,), and -1 for the padding and for items
    without content, whose vectors are 0. `read` gives the encoder's inputs for some contents.

    While the model trains, call `feed_back` after the loss's own backward pass. In evaluation all items'
    vectors are computed once and kept until the encoder changes.
    """

    contents: Tensor

    def __init__(
        self, encoder: nn.Module, read: Read, contents: Tensor, width: int, training: EncoderTraining
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.how = training
        self._read = read
        self.register_buffer("contents", contents, persistent=False)
        self._pieces: list[_Piece] = []
        self._encoded: list[Tensor] = []  # vectors of the contents met in this step, (K, C) each
        self._place: Tensor | None = None  # of each content among them; 0 for none, (R + 1,), -1 comes last
        self._table: Tensor | None = None
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda *_: self._forget_table()
        )

    def _forget_table(self) -> None:
        self._table = None

    def train(self, mode: bool = True) -> TrainedContent:
        """Batch normalisation stays in evaluation mode unless it is to be trained."""
        super().train(mode)
        if mode:
            self._forget_table()
        if not self.how.train_batchnorm:
            for part in self._batch_norms():
                part.eval()
        return self

    def _batch_norms(self) -> list[_BatchNorm]:
        return [part for part in self.encoder.modules() if isinstance(part, _BatchNorm)]

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, C)."""
        if not (self.training and torch.is_grad_enabled()):
            return self.encode_all()[items]
        wanted = self.contents[items]
        place = self._encode(wanted)
        zero = torch.zeros(1, self.width, device=wanted.device)  # what items without content have
        return torch.cat([zero, *self._encoded])[place[wanted]]

    def _encode(self, wanted: Tensor) -> Tensor:
        """Encode those of `wanted` (…) that this step has not met; returns each content's place."""
        if self._place is None:
            self._place = torch.zeros(
                int(self.contents.max()) + 2, dtype=torch.int64, device=self.contents.device
            )
        distinct = torch.unique(wanted[wanted >= 0])
        new = distinct[self._place[distinct] == 0]
        taken = 1 + sum(len(vectors) for vectors in self._encoded)
        self._place[new] = torch.arange(taken, taken + len(new), device=new.device)
        # What fits into one chunk needs no second pass.
        if 0 < len(new) <= self.how.chunk and not self._encoded:
            self._encoded.append(self._vectors(new))
            return self._place
        for chunk in torch.split(new, self.how.chunk) if len(new) else ():
            random = _random_states(chunk.device)
            with torch.no_grad():
                vectors = self._vectors(chunk)
            self._pieces.append(_Piece(chunk, vectors.requires_grad_(), random))
            self._encoded.append(vectors)
        return self._place

    def _vectors(self, contents: Tensor) -> Tensor:
        """Encode contents (K,): (K, C) in float32."""
        vectors: Tensor = self.encoder(*self._read(contents))
        return vectors if vectors.dtype == torch.float64 else vectors.float()

    def feed_back(self) -> None:
        """Take the gradients of this step's vectors back into the encoder, chunk by chunk, and forget them.

        Call it in the precision (autocast) that the step's forward pass had.
        """
        pieces, self._pieces, self._encoded, self._place = self._pieces, [], [], None
        momenta = {part: part.momentum for part in self._batch_norms()}
        for part in momenta:
            part.momentum = 0.0  # the first pass has counted these contents already
        for piece in pieces:
            if piece.vectors.grad is not None:
                with _drawing_as(piece.random, piece.contents.device):
                    self._vectors(piece.contents).backward(piece.vectors.grad)  # type: ignore[no-untyped-call]
        for part, momentum in momenta.items():
            part.momentum = momentum

    def encode_all(self) -> Tensor:
        """All items' vectors as the encoder gives them in evaluation, (N + 1, C) float32, without a graph.

        Raises TssrError where one is not finite.
        """
        if self._table is None:
            modes = {part: part.training for part in self.encoder.modules()}
            self.encoder.eval()
            count = int(self.contents.max()) + 1
            numbers = torch.arange(count, device=self.contents.device)
            # On a GPU in half precision, as extract-features encodes there.
            half = torch.autocast("cuda", torch.bfloat16, enabled=numbers.is_cuda)
            with torch.no_grad(), half:
                parts = [self._vectors(chunk) for chunk in torch.split(numbers, self.how.chunk)]
            for part, mode in modes.items():
                part.training = mode
            vectors = torch.cat([*parts, torch.zeros_like(parts[0][:1])])  # the last for -1
            if not bool(vectors.isfinite().all()):
                raise TssrError("the trained encoder gives vectors that are not finite; lower --encoder-lr")
            self._table = vectors[self.contents]
        return self._table


def trained_contents(model: nn.Module) -> list[TrainedContent]:
    """The parts of a model that train an encoder along."""
    return [part for part in model.modules() if isinstance(part, TrainedContent)]


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def _drawing_as(random: dict[str, Tensor], device: torch.device) -> Iterator[None]:
    """Draw as at an earlier moment, and go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(random["cpu"])
        if "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], device)
        yield
