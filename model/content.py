"""Where a model's content vectors come from: a fixed table, or an encoder that is trained with the model.

Plain backpropagation through an encoder keeps the activations of every picture of a batch in memory: some
110 GB for the paper's 128 users with 10 pictures each. Two measures take a tenth of that and give the same
gradients:

- Each distinct content is encoded once, however often it occurs in the batch, and padding never is.
- The gradient cache of Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
  (RepL4NLP 2021). First the contents go through the encoder in chunks, without keeping activations. The loss
  is computed on the resulting vectors, and backpropagation stops at them: their gradients are kept. Then each
  chunk goes through the encoder once more, now with activations, and the kept gradients of its vectors are
  propagated into the encoder's weights. Memory depends on the chunk, not on the batch; the price is a second
  forward pass, of all chunks but the last, which keeps its activations the first time. Dropout draws the
  same masks in both passes, or the gradients would be of other vectors.

Example: a batch of 256 users with L = 10 has 2,560 steps, of which 1,000 are real and show 800 distinct
pictures. With chunks of 64 the encoder runs 13 chunks, 12 of them twice, and holds the activations of 64
pictures.

Under torchrun each process encodes a part of the distinct contents of the whole batch and receives the
vectors of the others. In the second pass it propagates the gradients of its part, summed over all processes.

Shapes: N items, C content dimension, R distinct contents, K of them in a chunk, S new ones of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..core.errors import TssrError, memory_errors_as_tssr
from ..core.float32 import full_float32
from ..core.torchrun import current_world
from .random_state import drawing_as, random_states

Read = Callable[[Tensor], tuple[Tensor, ...]]  # numbers (K,) on the CPU to inputs on the encoder's device

_HEAD_READS = ContextVar("head_reads", default=False)


@contextmanager
def read_by_head() -> Iterator[None]:
    """Whoever reads content within the context is a head that scores by it: see `--refresh-items`."""
    before = _HEAD_READS.set(True)
    try:
        yield
    finally:
        _HEAD_READS.reset(before)


@dataclass(frozen=True)
class EncoderTraining:
    """How an encoder is trained: learning rate, weight decay (of matrices only), contents in a chunk.

    The last `kept_chunks` of a step keep their activations through the loss, so that they need no second
    pass; that takes the memory of as many chunks. With `refresh_items` a head reads a table of all items
    that is encoded at the beginning of each epoch.
    """

    learning_rate: float
    weight_decay: float
    chunk: int
    train_batchnorm: bool
    refresh_items: bool = False
    kept_chunks: int = 1


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
class _EncodedChunk:
    """A chunk that this process encoded, with the random state before, to draw the same dropout again."""

    contents: Tensor  # (K,), on the CPU
    vectors: Tensor  # (K, C), with a graph where the activations were kept
    random: dict[str, Tensor]


@dataclass
class _EncodedContents:
    """The contents that one call of `forward` asked for first: their vectors, and this process's chunks."""

    vectors: Tensor  # (S, C), a leaf of the graph: backpropagation of the loss ends here and leaves `.grad`
    own: slice  # this process's part of the S
    chunks: list[_EncodedChunk]


class TrainedContent(nn.Module):
    """The vectors of N items from an encoder that is trained with the model.

    `contents` has each item's content by number 0…R-1, (N + 1,), and -1 for the padding and for items
    without content, whose vectors are 0. `read` gives the encoder's inputs for some contents.

    While the model trains, call `feed_back` after the loss's own backward pass. In evaluation all items'
    vectors are computed once and kept until the encoder changes.

    A head that scores by content reads all N items at each step. With `refresh_items` it reads a table
    without a graph, which `begin_epoch` makes: within an epoch it stays as the encoder was at its beginning.
    Evaluation never reads this table but the encoder as it is, for so a finished run is used. Validation
    stands at the end of an epoch, so the next one takes over the vectors that validation has encoded.
    """

    contents: Tensor

    def __init__(
        self, encoder: nn.Module, read: Read, contents: Tensor, width: int, training: EncoderTraining
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.encoder_training = training
        self._read = read
        self.register_buffer("contents", contents, persistent=False)
        self._encoded: list[_EncodedContents] = []  # in this step
        # (R + 1,): where each content's vector stands among those of this step, counted from 1; 0 for a
        # content that this step has not encoded. The last entry is for -1, items without content.
        self._place: Tensor | None = None
        self._table: Tensor | None = None
        self._epoch = -1  # the epoch that heads read `_table_of_epoch` in; -1 before the first
        self._table_of_epoch: Tensor | None = None
        self.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda *_: self._forget_table()
        )

    def _forget_table(self) -> None:
        self._table = None

    def train(self, mode: bool = True) -> TrainedContent:
        """Set the mode as torch does, but leave batch normalisation in evaluation mode unless it trains."""
        super().train(mode)
        if mode:
            self._forget_table()
        if not self.encoder_training.train_batchnorm:
            for part in self._batch_norms():
                part.eval()
        return self

    def _batch_norms(self) -> list[_BatchNorm]:
        return [part for part in self.encoder.modules() if isinstance(part, _BatchNorm)]

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, C)."""
        if not (self.training and torch.is_grad_enabled()):
            return self.encode_all()[items]
        if self.encoder_training.refresh_items and _HEAD_READS.get():
            assert self._table_of_epoch is not None, "begin_epoch comes before the epoch's first step"
            return self._table_of_epoch[items]
        wanted = self.contents[items]
        place = self._encode(wanted)
        zero = torch.zeros(1, self.width, device=wanted.device)  # what items without content have
        return torch.cat([zero, *(encoded.vectors for encoded in self._encoded)])[place[wanted]]

    def begin_epoch(self, epoch: int) -> None:
        """Encode all items for the heads that read them in this epoch; does nothing within the same epoch.

        Under torchrun all processes must call it together. Raises TssrError as `encode_all`.
        """
        if self.encoder_training.refresh_items and epoch != self._epoch:
            self._table_of_epoch, self._epoch = self.encode_all(), epoch

    def state_of_epoch(self) -> dict[str, Tensor]:
        """What `begin_epoch` made, for a checkpoint: the encoder that could make it again has moved on."""
        if self._table_of_epoch is None:
            return {}
        return {"table": self._table_of_epoch, "epoch": torch.tensor(self._epoch)}

    def restore_epoch(self, table: Tensor, epoch: Tensor) -> None:
        """Go on with what `state_of_epoch` gave."""
        self._table_of_epoch, self._epoch = table.to(self.contents.device), int(epoch)

    def _encode(self, wanted: Tensor) -> Tensor:
        """Encode what any process wants and this step has not encoded yet; returns each content's place."""
        if self._place is None:
            self._place = torch.zeros(
                int(self.contents.max()) + 2, dtype=torch.int64, device=self.contents.device
            )
        distinct = torch.unique(current_world().gather(torch.unique(wanted[wanted >= 0])))
        new = distinct[self._place[distinct] == 0]
        if len(new):
            taken = 1 + sum(len(encoded.vectors) for encoded in self._encoded)
            self._place[new] = torch.arange(taken, taken + len(new), device=new.device)
            self._encoded.append(self._encode_new(new))
        return self._place

    def _encode_new(self, new: Tensor) -> _EncodedContents:
        """Encode this process's part of the contents `new` (S,) and get the others' vectors."""
        world = current_world()
        # The CPU reads by these numbers. Were they copied to it chunk by chunk, each copy would wait until
        # the GPU has done all its queued work.
        parts = new.cpu().tensor_split(world.size)
        low, own = sum(map(len, parts[: world.rank])), parts[world.rank]
        cut = self._chunks(own)
        first_kept = len(cut) - self.encoder_training.kept_chunks if not self._encoded else len(cut)
        chunks = [self._encode_chunk(chunk, keep=place >= first_kept) for place, chunk in enumerate(cut)]
        vectors = [chunk.vectors.detach() for chunk in chunks]
        # A process with nothing to encode still takes part in the exchange, with 0 rows of the same dtype.
        nothing = torch.zeros(0, self.width, device=new.device, dtype=self._dtype())
        return _EncodedContents(
            world.gather(torch.cat([nothing, *vectors])).requires_grad_(), slice(low, low + len(own)), chunks
        )

    def _dtype(self) -> torch.dtype:
        weight = next(self.encoder.parameters())
        return weight.dtype if weight.dtype == torch.float64 else torch.float32

    def _encode_chunk(self, contents: Tensor, *, keep: bool) -> _EncodedChunk:
        """Encode contents (K,), with a graph where it is to be kept."""
        random = random_states(self.contents.device)
        with torch.set_grad_enabled(keep):
            return _EncodedChunk(contents, self._vectors(contents), random)

    def _chunks(self, contents: Tensor) -> list[Tensor]:
        """Contents in chunks of about equal size, none of a single content where batch normalisation trains.

        Example: of 65 contents, chunks of at most 64 are 33 and 32. With --train-batchnorm and chunks of
        at most 2, 5 contents are 3 and 2, for no equal parts avoid a single one.
        """
        count = -(-len(contents) // self.encoder_training.chunk)
        if self.encoder_training.train_batchnorm:
            count = min(count, max(1, len(contents) // 2))
        return list(contents.tensor_split(count)) if count else []

    def _vectors(self, contents: Tensor) -> Tensor:
        """Encode contents (K,): (K, C) in float32.

        A step, or a process's part of it, may have a single content, which has no spread to normalise by:
        batch normalisation that trains then takes its running statistics.
        """
        counting = [part for part in self._batch_norms() if part.training and len(contents) == 1]
        for part in counting:
            part.eval()
        vectors: Tensor = self.encoder(*self._read(contents))
        for part in counting:
            part.train()
        return vectors.to(self._dtype())

    def feed_back(self) -> None:
        """Propagate the gradients of this step's vectors into the encoder, chunk by chunk, and forget both.

        Call it in the precision (autocast) that the step's forward pass had.
        """
        encoded, self._encoded, self._place = self._encoded, [], None
        momenta = {part: part.momentum for part in self._batch_norms()}
        for part in momenta:
            part.momentum = 0.0  # the first pass has already updated the running mean by these contents
        for each in encoded:
            asked = each.vectors.grad
            asked = torch.zeros_like(each.vectors) if asked is None else asked
            own = current_world().sum(asked)[each.own]
            parts = torch.split(own, [len(chunk.contents) for chunk in each.chunks])
            # From the last to the first, so that kept activations are given up before others need memory.
            for chunk, gradients in reversed(list(zip(each.chunks, parts, strict=True))):
                vectors = chunk.vectors
                if not vectors.requires_grad:
                    with drawing_as(chunk.random, self.contents.device):
                        vectors = self._vectors(chunk.contents)
                vectors.backward(gradients)  # type: ignore[no-untyped-call]
        for part, momentum in momenta.items():
            part.momentum = momentum
            self._share_statistics(part)

    def _share_statistics(self, part: _BatchNorm) -> None:
        """Set the running mean and variance to their mean over the processes, so that all stay equal."""
        world = current_world()
        if world.size > 1 and self.encoder_training.train_batchnorm:
            for counted in (part.running_mean, part.running_var):
                if counted is not None:
                    counted.copy_(world.sum(counted.clone()) / world.size)

    @full_float32()
    def encode_all(self) -> Tensor:
        """All items' vectors as the encoder gives them in evaluation, (N + 1, C) float32, without a graph.

        Under torchrun each process encodes a part of the contents, so all must call this together where the
        encoder has changed. Raises TssrError where a vector is not finite, or memory runs out.
        """
        if self._table is None:
            world = current_world()
            modes = {part: part.training for part in self.encoder.modules()}
            self.encoder.eval()
            count = int(self.contents.max()) + 1
            own = torch.arange(count).tensor_split(world.size)[world.rank]
            nothing = torch.zeros(0, self.width, device=self.contents.device, dtype=self._dtype())
            # In half precision on a GPU, because extract-features encodes so, and both should agree.
            half = torch.autocast("cuda", torch.bfloat16, enabled=self.contents.is_cuda)
            cure = f"lower --encoder-chunk (now {self.encoder_training.chunk})"
            with torch.no_grad(), half, memory_errors_as_tssr("encoding all items", cure):
                parts = [self._vectors(chunk) for chunk in self._chunks(own)]
            for part, mode in modes.items():
                part.training = mode
            vectors = world.gather(torch.cat([nothing, *parts]))
            vectors = torch.cat([vectors, vectors.new_zeros(1, self.width)])  # the last for -1
            if not bool(vectors.isfinite().all()):
                raise TssrError("the trained encoder gives vectors that are not finite; lower --encoder-lr")
            self._table = vectors[self.contents]
        return self._table


def _without_frozen(content: nn.Module, weights: dict[str, Tensor], prefix: str, _: object) -> None:
    """Do not save the encoder's frozen weights with the model: they are in the encoder's own files.

    With an adapter of 300,000 weights in an encoder of 110 million, a checkpoint takes 3 MB in place of 440.
    """
    assert isinstance(content, TrainedContent)
    for name, weight in content.encoder.named_parameters(remove_duplicate=False):
        if not weight.requires_grad:
            weights.pop(f"{prefix}encoder.{name}", None)


def trained_contents(model: nn.Module) -> list[TrainedContent]:
    """The parts of a model that train an encoder along."""
    return [part for part in model.modules() if isinstance(part, TrainedContent)]
