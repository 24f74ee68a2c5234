"""The one training loop: Adam, early stopping on validation NDCG@10, exact resume.

The order of windows in an epoch depends on the seed and the epoch alone, and a checkpoint holds weights,
optimizer and random state, so a killed run goes on to the numbers of an unbroken one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.artifacts import write_text
from ..core.errors import TssrError
from ..core.progress import Advance, progress
from .batches import Samples
from .checkpoint import CHECKPOINT_FILE, MODEL_FILE, TrainState, load_checkpoint, save_checkpoint, save_model
from .recommender import Losses, NeuralRecommender
from .settings import TrainSettings

LOG_FILE = "log.jsonl"
STEPS_BETWEEN_CHECKS = 25  # losses are looked at this often: a look makes a GPU wait
SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass(frozen=True)
class Fit:
    """How training went."""

    best: float
    best_step: int
    steps: int
    epochs: float
    seconds: float
    positions_per_second: float
    stopped: str


class Trainer:
    """Trains one model in one run folder; `validate` gives NDCG@10 on the validation split."""

    def __init__(
        self,
        model: NeuralRecommender,
        samples: Samples,
        settings: TrainSettings,
        validate: Callable[[], float],
        folder: Path,
    ) -> None:
        self.model = model
        self.samples = samples
        self.settings = settings
        self.validate = validate
        self.folder = folder
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
        self.state = TrainState()
        self.steps_per_epoch = -(-samples.count // settings.batch_size)
        epochs = -(-settings.validate_every // self.steps_per_epoch)
        self.steps_between_validations = epochs * self.steps_per_epoch
        self.last_step = settings.max_epochs * self.steps_per_epoch
        self._order_of_epoch = -1
        self._order = torch.empty(0)
        self._recent: list[Losses] = []

    def fit(self) -> Fit:
        """Train until validation stops improving; leaves the best weights and a log in the run folder.

        Raises TssrError where a loss is not finite; the last good checkpoint stays.
        """
        if (self.folder / CHECKPOINT_FILE).exists():
            self.state = load_checkpoint(self.folder / CHECKPOINT_FILE, self.model, self.optimizer)
        self._cut_log()
        saved = started = time.monotonic()
        before = self.state.seconds
        with progress("training", None, "steps") as advance:
            while not (stopped := self._stop_reason()):
                self._step()
                step = self.state.step
                validating = step % self.steps_between_validations == 0 or step == self.last_step
                if not (validating or step % STEPS_BETWEEN_CHECKS == 0):
                    continue
                taken = self._check_losses()
                self.state.seconds = before + time.monotonic() - started
                saving = validating or time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS
                if saving:
                    self._check_weights()
                if validating:
                    self._validate()
                if saving:
                    save_checkpoint(self.folder / CHECKPOINT_FILE, self.model, self.optimizer, self.state)
                    saved = time.monotonic()
                self._recent.clear()
                self._show(advance, taken)
        return self._summary(stopped)

    def _stop_reason(self) -> str:
        if self.state.validations_without_gain >= self.settings.patience:
            return f"{self.settings.patience} validations without a better NDCG@10"
        if self.state.step >= self.last_step:
            return f"--max-epochs {self.settings.max_epochs}"
        return ""

    def _step(self) -> None:
        """Take one step of Adam on the next batch."""
        epoch, place = divmod(self.state.step, self.steps_per_epoch)
        if epoch != self._order_of_epoch:
            generator = torch.Generator().manual_seed((self.settings.seed << 32) + epoch)
            self._order = torch.randperm(self.samples.count, generator=generator).to(self.device)
            self._order_of_epoch = epoch
        size = self.settings.batch_size
        batch = self.samples.batch(self._order[place * size : (place + 1) * size])
        self.model.train()
        losses = self.model.losses(batch)
        self.optimizer.zero_grad()
        total: Tensor = torch.stack(list(losses.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._recent.append({name: term.detach() for name, term in losses.items()})
        self.state.step += 1

    def _check_losses(self) -> int:
        """Add the losses since the last look to the sums; raises TssrError where one is not finite."""
        values = torch.stack([torch.stack(list(losses.values())) for losses in self._recent]).double().cpu()
        names = list(self._recent[0])
        taken = len(self._recent)
        bad = (~values.isfinite()).any(dim=1).nonzero()
        if len(bad):
            first = int(bad[0])
            self._refuse(f"the loss is not finite at step {self.state.step - taken + first + 1}", first)
        for name, total in zip(names, values.sum(dim=0).tolist(), strict=True):
            self.state.sums[name] = self.state.sums.get(name, 0.0) + total
        return taken

    def _check_weights(self) -> None:
        """Keep broken weights out of validation and checkpoint: a finite loss can still have broken them."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self._refuse(f"the weights are not finite after step {self.state.step}", -1)

    def _refuse(self, what: str, recent: int) -> None:
        terms = ", ".join(f"{name} {float(term):g}" for name, term in self._recent[recent].items())
        norms = ", ".join(f"{name} {norm:.3g}" for name, norm in self._largest_norms())
        raise TssrError(
            f"{what} ({terms}; largest weights now: {norms}); lower --learning-rate or raise the "
            f"temperatures. The last good checkpoint is kept in {self.folder}"
        )

    def _largest_norms(self) -> list[tuple[str, float]]:
        norms = [(name, float(p.detach().float().norm())) for name, p in self.model.named_parameters()]
        return sorted(norms, key=lambda entry: -entry[1] if entry[1] == entry[1] else float("-inf"))[:3]

    def _validate(self) -> None:
        """Measure, keep the weights if they are the best so far, and write a line of the log."""
        self.model.eval()
        value = self.validate()
        state = self.state
        steps = state.step - state.last_validated
        terms = {name: total / steps for name, total in state.sums.items()}
        if value > state.best:
            state.best, state.best_step, state.validations_without_gain = value, state.step, 0
            save_model(
                self.folder / MODEL_FILE, self.model, {"step": state.step, "validation_ndcg@10": value}
            )
        else:
            state.validations_without_gain += 1
        state.sums, state.last_validated = {}, state.step
        line = {
            "step": state.step,
            "epoch": state.step / self.steps_per_epoch,
            **{f"loss_{name}": term for name, term in terms.items()},
            "validation_ndcg@10": value,
            "seconds": round(state.seconds, 3),
        }
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _cut_log(self) -> None:
        """Drop log lines that a resumed run is going to write again."""
        path = self.folder / LOG_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.state.step]
        write_text(path, "".join(line + "\n" for line in kept))

    def _speed(self) -> float:
        """Supervised positions per second so far."""
        positions = self.state.step / self.steps_per_epoch * self.samples.transitions
        return positions / max(self.state.seconds, 1e-9)

    def _show(self, advance: Advance, taken: int) -> None:
        state = self.state
        steps = max(1, state.step - state.last_validated)
        terms = " ".join(f"{name} {total / steps:.4f}" for name, total in state.sums.items())
        best = f"best NDCG@10 {state.best:.4f} at step {state.best_step}" if state.best_step else ""
        advance(taken, text=" · ".join(filter(None, (terms, f"{self._speed():,.0f} positions/s", best))))

    def _summary(self, stopped: str) -> Fit:
        state = self.state
        return Fit(
            best=state.best,
            best_step=state.best_step,
            steps=state.step,
            epochs=state.step / self.steps_per_epoch,
            seconds=round(state.seconds, 3),
            positions_per_second=round(self._speed(), 1),
            stopped=stopped,
        )
