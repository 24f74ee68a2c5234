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

Under torchrun the processes share the distinct contents of the whole batch: each encodes its part of them,
all get all vectors, and each feeds back the gradients that all together ask of its part.

Shapes: N items, C content dimension, R distinct contents, K of them in a chunk, S met at once by the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..core.errors import TssrError
from ..core.torchrun import current_world

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
    """Some contents encoded by this process, and what encoding them again the same way takes."""

    contents: Tensor  # (K,)
    vectors: Tensor  # (K, C), with a graph only where this process had one chunk to encode in this step
    random: dict[str, Tensor]


@dataclass
class _Met:
    """Contents that the batch met at once: everybody's vectors, and the pieces that this process encoded."""

    vectors: Tensor  # (S, C), a leaf: the loss leaves its gradient here
    own: slice  # this process's part of the S
    pieces: list[_Piece]


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
        self._met: list[_Met] = []  # in this step
        self._place: Tensor | None = None  # of each content among them; 0 for none, (R + 1,), -1 comes last
        self._table: Tensor | None = None
        self.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]
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
        return torch.cat([zero, *(met.vectors for met in self._met)])[place[wanted]]

    def _encode(self, wanted: Tensor) -> Tensor:
        """Encode what of everybody's `wanted` (…) this step has not met; returns each content's place."""
        if self._place is None:
            self._place = torch.zeros(
                int(self.contents.max()) + 2, dtype=torch.int64, device=self.contents.device
            )
        distinct = torch.unique(current_world().gather(torch.unique(wanted[wanted >= 0])))
        new = distinct[self._place[distinct] == 0]
        if len(new):
            taken = 1 + sum(len(met.vectors) for met in self._met)
            self._place[new] = torch.arange(taken, taken + len(new), device=new.device)
            self._met.append(self._meet(new))
        return self._place

    def _meet(self, new: Tensor) -> _Met:
        """Encode this process's part of the contents `new` (S,) and get the others' vectors."""
        world = current_world()
        shares = new.tensor_split(world.size)
        low, own = sum(map(len, shares[: world.rank])), shares[world.rank]
        # What fits into one chunk keeps its graph: it needs no second pass.
        keep = len(own) <= self.how.chunk and not self._met
        pieces = [self._piece(chunk, keep=keep) for chunk in torch.split(own, self.how.chunk) if len(chunk)]
        vectors = [piece.vectors.detach() for piece in pieces]
        # A process with nothing to encode has no vectors to tell their number format by; it is the weights'.
        nothing = torch.zeros(0, self.width, device=new.device, dtype=self._dtype())
        return _Met(
            world.gather(torch.cat([nothing, *vectors])).requires_grad_(), slice(low, low + len(own)), pieces
        )

    def _dtype(self) -> torch.dtype:
        weight = next(self.encoder.parameters())
        return weight.dtype if weight.dtype == torch.float64 else torch.float32

    def _piece(self, contents: Tensor, *, keep: bool) -> _Piece:
        """Encode contents (K,), with a graph where it is to be kept."""
        random = _random_states(contents.device)
        with torch.set_grad_enabled(keep):
            return _Piece(contents, self._vectors(contents), random)

    def _vectors(self, contents: Tensor) -> Tensor:
        """Encode contents (K,): (K, C) in float32.

        Raises TssrError where batch normalisation is to be trained on a single value.
        """
        try:
            vectors: Tensor = self.encoder(*self._read(contents))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TssrError(
                f"--train-batchnorm: a chunk of one content (--encoder-chunk {self.how.chunk}) has no spread "
                "to normalise by; leave the option out, or choose a larger --encoder-chunk"
            ) from None
        return vectors.to(self._dtype())

    def feed_back(self) -> None:
        """Take the gradients of this step's vectors back into the encoder, chunk by chunk, and forget them.

        Call it in the precision (autocast) that the step's forward pass had.
        """
        met, self._met, self._place = self._met, [], None
        momenta = {part: part.momentum for part in self._batch_norms()}
        for part in momenta:
            part.momentum = 0.0  # the first pass has counted these contents already
        for each in met:
            asked = each.vectors.grad
            asked = torch.zeros_like(each.vectors) if asked is None else asked
            parts = torch.split(current_world().sum(asked)[each.own], self.how.chunk)
            for piece, gradients in zip(each.pieces, parts, strict=False):  # an empty part has no piece
                vectors = piece.vectors
                if not vectors.requires_grad:
                    with _drawing_as(piece.random, piece.contents.device):
                        vectors = self._vectors(piece.contents)
                vectors.backward(gradients)  # type: ignore[no-untyped-call]
        for part, momentum in momenta.items():
            part.momentum = momentum
            self._share_statistics(part)

    def _share_statistics(self, part: _BatchNorm) -> None:
        """Let batch normalisation go on everywhere with the mean of what the processes counted."""
        world = current_world()
        if world.size > 1 and self.how.train_batchnorm:
            for counted in (part.running_mean, part.running_var):
                if counted is not None:
                    counted.copy_(world.sum(counted.clone()) / world.size)

    def encode_all(self) -> Tensor:
        """All items' vectors as the encoder gives them in evaluation, (N + 1, C) float32, without a graph.

        Under torchrun each process encodes a part of the contents, so all must call this together where the
        encoder has changed. Raises TssrError where a vector is not finite.
        """
        if self._table is None:
            world = current_world()
            modes = {part: part.training for part in self.encoder.modules()}
            self.encoder.eval()
            count = int(self.contents.max()) + 1
            numbers = torch.arange(count, device=self.contents.device)
            own = numbers.tensor_split(world.size)[world.rank]
            nothing = torch.zeros(0, self.width, device=own.device, dtype=self._dtype())
            # On a GPU in half precision, as extract-features encodes there.
            half = torch.autocast("cuda", torch.bfloat16, enabled=numbers.is_cuda)
            with torch.no_grad(), half:
                parts = [self._vectors(chunk) for chunk in torch.split(own, self.how.chunk) if len(chunk)]
            for part, mode in modes.items():
                part.training = mode
            vectors = world.gather(torch.cat([nothing, *parts]))
            vectors = torch.cat([vectors, vectors.new_zeros(1, self.width)])  # the last for -1
            if not bool(vectors.isfinite().all()):
                raise TssrError("the trained encoder gives vectors that are not finite; lower --encoder-lr")
            self._table = vectors[self.contents]
        return self._table


def _without_frozen(content: nn.Module, weights: dict[str, Tensor], prefix: str, _: object) -> None:
    """Leave out of what is saved the encoder's weights that do not train: its own files have them.

    With an adapter of 300,000 weights in an encoder of 110 million, a checkpoint takes 3 MB in place of 440.
    """
    assert isinstance(content, TrainedContent)
    for name, weight in content.encoder.named_parameters(remove_duplicate=False):
        if not weight.requires_grad:
            weights.pop(f"{prefix}encoder.{name}", None)


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
