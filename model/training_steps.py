"""One step of training: choice of samples, mixed precision, gradients, clipping, learning rate and Adam."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import memory_errors_as_tssr
from ..core.float32 import full_float32
from ..core.torchrun import current_world
from .batches import Samples
from .compiling import compile_encoders
from .content import trained_contents
from .gathering import own_part, sum_gradients
from .precision import training_autocast
from .recommender import Losses, NeuralRecommender
from .schedule import learning_rate
from .settings import TrainSettings

SHARE = "share_of_learning_rate"  # of a parameter group, beside torch's own entries


def _seed_of(*numbers: int) -> int:
    """One seed made from several numbers; of 32 bits, because torch's CPU generator uses no more."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def parameter_groups(model: NeuralRecommender, learning_rate: float) -> list[dict[str, Any]]:
    """Adam's parameter groups: the model's own weights, then those of encoders trained with it.

    The schedule scales both learning rates alike: where the model's is 1e-4 and an encoder's 1e-5, the
    encoder's stays a tenth during warm-up and decay. An encoder's weight decay is decoupled from the gradient
    (AdamW) and applies to matrices only, not to biases and the scales of norms, which have one dimension.
    """
    groups: list[dict[str, Any]] = []
    encoders: set[Tensor] = set()
    for content in trained_contents(model):
        trained = [weight for weight in content.encoder.parameters() if weight.requires_grad]
        encoders.update(trained)
        share = content.encoder_training.learning_rate / learning_rate
        for decay, weights in (
            (content.encoder_training.weight_decay, [weight for weight in trained if weight.ndim > 1]),
            (0.0, [weight for weight in trained if weight.ndim <= 1]),
        ):
            if weights:
                more = {"weight_decay": decay, "decoupled_weight_decay": True} if decay else {}
                groups.append({"params": weights, SHARE: share, **more})
    own = [weight for weight in model.parameters() if weight.requires_grad and weight not in encoders]
    return [{"params": own, SHARE: 1.0}, *groups]


class TrainingSteps:
    """Adam on one model; the samples of step s depend only on the seed and on s.

    Under torchrun each process takes a part of each batch and draws its own dropout. All apply the summed
    gradients, so their weights stay equal.
    """

    def __init__(self, model: NeuralRecommender, samples: Samples, settings: TrainSettings) -> None:
        self.model = model
        self.samples = samples
        self.settings = settings
        self.device = next(model.parameters()).device
        self.contents = trained_contents(model)
        groups = parameter_groups(model, settings.learning_rate)
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, fused=True)
        # Steps in an epoch, rounded up: the last one takes the samples that are left.
        self.per_epoch = -(-samples.count // settings.batch_size)
        self.last = settings.max_epochs * self.per_epoch
        # Each process draws dropout of its own. The first keeps the seed of the run, so it draws
        # as one process alone does.
        if rank := current_world().rank:
            torch.manual_seed(_seed_of(settings.seed, rank))
        self._order_of_epoch = -1
        self._order = torch.empty(0)

    def compile(self, step: int) -> None:
        """Compile the model's transformers, if the settings ask for it (--compile); `step` is tried."""
        if self.settings.compile:
            with self._memory_errors(step), full_float32(gpu_gru=False):
                compile_encoders(self.model, lambda: self._backward(step))

    def learning_rate(self, step: int) -> float:
        """The rate of step 0…last - 1."""
        return learning_rate(self.settings, step, self.last)

    def take(self, step: int) -> Losses:
        """Take step 0…last - 1 and give this process's contributions to the terms of its loss.

        Raises TssrError where memory runs out.
        """
        with self._memory_errors(step), full_float32(gpu_gru=False):
            losses = self._backward(step)
            if self.settings.clip_norm:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(step) * group[SHARE]
            self.optimizer.step()
        return {name: term.detach() for name, term in losses.items()}

    def _backward(self, step: int) -> Losses:
        """Compute the loss of a step and its gradients, summed over processes, into the weights' `.grad`."""
        for content in self.contents:
            content.begin_epoch(step // self.per_epoch)
        batch = self.samples.batch(own_part(self._numbers(step)))
        self.model.train()
        with training_autocast(self.settings.precision, self.device):
            losses = self.model.losses(batch)
        self.optimizer.zero_grad()
        # Summed in float32, because under autocast a term may come in bfloat16,
        # which has two to three digits.
        total: Tensor = torch.stack([term.float() for term in losses.values()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        for content in self.contents:
            with training_autocast(self.settings.precision, self.device):
                content.feed_back()
        sum_gradients(self.model)
        return losses

    def _memory_errors(self, step: int) -> AbstractContextManager[None]:
        cure = (
            f"lower --batch-size (now {self.settings.batch_size}); where that does not help, --length, "
            "--width, --softmax-sample or --drawn-negatives"
        )
        if self.contents:  # an encoder's activations are most of what is held
            chunk = max(content.encoder_training.chunk for content in self.contents)
            cure = f"lower --encoder-chunk (now {chunk}); where that does not help, {cure}"
        return memory_errors_as_tssr(f"at step {step + 1}", cure)

    def _numbers(self, step: int) -> Tensor:
        """The samples of a step, (B,)."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._order_of_epoch:
            # A generator of its own on the CPU: the order is the same on every device, in every process and
            # after a restart, whatever else was drawn.
            generator = torch.Generator().manual_seed(_seed_of(self.settings.seed, epoch))
            self._order = torch.randperm(self.samples.count, generator=generator).to(self.device)
            self._order_of_epoch = epoch
        size = self.settings.batch_size
        return self._order[place * size : (place + 1) * size]
