"""The training loop of all models: steps, early stopping on validation NDCG@10, exact resume.

A killed run that is started again ends with the same numbers as one that was never interrupted. For that, the
order of windows in an epoch depends only on the seed and the epoch, the learning rate only on the step, and a
checkpoint holds weights, optimizer state and random state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..core.progress import Advance, duration, progress
from ..core.schema import SELECTION_METRIC
from ..core.torchrun import current_world
from .batches import Samples
from .checkpoint import CHECKPOINT_FILE, MODEL_FILE, TrainState, load_checkpoint, save_checkpoint, save_model
from .checks import check_weights, summed_losses
from .recommender import Losses, NeuralRecommender
from .settings import TrainSettings
from .tracking import RunLog
from .training_steps import TrainingSteps

STEPS_BETWEEN_CHECKS = 25  # between looks at the losses: reading a loss waits for all queued GPU work
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
    """Trains one model in one run folder; `validate` gives NDCG@10 on the validation split.

    `probe` measures further numbers at each validation, which are logged and decide nothing. It must not draw
    from torch's random state, or training would depend on it. Under torchrun `validate` must return the same
    value on every process, because each decides by it whether to stop; only the main process writes files
    and shows progress.
    """

    def __init__(
        self,
        model: NeuralRecommender,
        samples: Samples,
        settings: TrainSettings,
        validate: Callable[[], float],
        folder: Path,
        probe: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.model = model
        self.settings = settings
        self.validate = validate
        self.probe = probe
        self.folder = folder
        self.training_steps = TrainingSteps(model, samples, settings)
        self.world = current_world()
        self.state = TrainState()
        # Validation comes after whole epochs, so `validate_every` steps are rounded up to them.
        epochs = -(-settings.validate_every // self.training_steps.per_epoch)
        self.steps_between_validations = epochs * self.training_steps.per_epoch
        self._recent: list[Losses] = []

    def fit(self) -> Fit:
        """Train until validation stops improving; leaves the best weights and a log in the run folder.

        Raises TssrError where a loss is not finite or memory runs out; the last good checkpoint stays.
        """
        checkpoint, optimizer = self.folder / CHECKPOINT_FILE, self.training_steps.optimizer
        if checkpoint.exists():
            self.state = load_checkpoint(checkpoint, self.model, optimizer)
        self.training_steps.compile(self.state.step)
        saved = started = time.monotonic()
        # What earlier processes of a resumed run have spent, and the step at which this one begins.
        before, first = self.state.seconds, self.state.step
        with self._log() as log, progress("training", None, "steps", shown=self.world.is_main) as advance:
            while not (stopped := self._stop_reason()):
                self._recent.append(self.training_steps.take(self.state.step))
                self.state.step += 1
                step = self.state.step
                validating = step % self.steps_between_validations == 0 or step == self.training_steps.last
                # Most steps end here, without a look at any number, so that a GPU's queue never runs dry.
                if not (validating or step % STEPS_BETWEEN_CHECKS == 0):
                    continue
                taken = self._check_losses()
                self.state.seconds = before + time.monotonic() - started
                due = validating or time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS
                saving = self.world.broadcast(due)  # the processes' clocks differ, and all must save together
                if saving:
                    check_weights(self._recent, step, self.model, self.folder)
                # Validation changes the state (best value, patience), so the checkpoint is written after it.
                value = self._validate(log) if validating else None
                if saving:
                    save_checkpoint(checkpoint, self.model, optimizer, self.state)
                    saved = time.monotonic()
                self._recent.clear()
                self._show(advance, taken, (time.monotonic() - started) / (step - first), value)
        return self._summary(stopped)

    def _stop_reason(self) -> str:
        if self.state.validations_without_gain >= self.settings.patience:
            return f"{self.settings.patience} validations without a better NDCG@10"
        if self.state.step >= self.training_steps.last:
            return f"--max-epochs {self.settings.max_epochs}"
        return ""

    def _check_losses(self) -> int:
        """Add the losses since the last look to the sums, and say how many steps they are."""
        sums = self.state.sums
        for name, total in summed_losses(self._recent, self.state.step, self.model, self.folder).items():
            sums[name] = sums.get(name, 0.0) + total
        return len(self._recent)

    def _log(self) -> AbstractContextManager[RunLog | None]:
        if not self.world.is_main:
            return nullcontext()
        return RunLog(self.folder, self.state.step, tensorboard=self.settings.tensorboard)

    def _validate(self, log: RunLog | None) -> float:
        """Measure NDCG@10, keep the weights if they are the best so far, and write a line of the log."""
        self.model.eval()
        # Encoding all items is shared by the processes, so each must call it, even one without users to rank.
        for content in self.training_steps.contents:
            content.encode_all()
        value = self.validate()
        measured = self.probe()
        state = self.state
        steps = state.step - state.last_validated
        terms = {name: total / steps for name, total in state.sums.items()}
        if value > state.best:
            state.best, state.best_step, state.validations_without_gain = value, state.step, 0
            if self.world.is_main:
                record = {"step": state.step, SELECTION_METRIC: value}
                save_model(self.folder / MODEL_FILE, self.model, record)
        else:
            state.validations_without_gain += 1
        state.sums, state.last_validated = {}, state.step
        line = {
            "step": state.step,
            "epoch": state.step / self.training_steps.per_epoch,
            **{f"loss_{name}": term for name, term in terms.items()},
            SELECTION_METRIC: value,
            **measured,
            "learning_rate": self.training_steps.learning_rate(state.step - 1),
            "seconds": round(state.seconds, 3),
        }
        if log is not None:
            log.write(line)
        return value

    def _speed(self) -> float:
        """Supervised positions per second so far."""
        positions = self.state.step / self.training_steps.per_epoch * self.training_steps.samples.transitions
        return positions / max(self.state.seconds, 1e-9)

    def _show(self, advance: Advance, taken: int, seconds_per_step: float, validation: float | None) -> None:
        """Show where training is; `validation` is the NDCG@10 just measured, None between validations."""
        state = self.state
        steps = max(1, state.step - state.last_validated)
        terms = " ".join(f"{name} {total / steps:.4f}" for name, total in state.sums.items())
        speed = f"{self._speed():,.0f} positions/s"
        left = " to ".join(dict.fromkeys(duration(steps * seconds_per_step) for steps in self._steps_left()))
        best = f"best NDCG@10 {state.best:.4f} at step {state.best_step}" if state.best_step else ""
        now = "" if validation is None else f"validation NDCG@10 {validation:.4f}"
        advance(
            taken, text=" · ".join(filter(None, (now, terms, speed, f"{left} left", best))), now=bool(now)
        )

    def _steps_left(self) -> tuple[int, int]:
        """The fewest and the most steps left: if no validation improves on the best, and if all do."""
        state, between = self.state, self.steps_between_validations
        most = self.training_steps.last - state.step
        validations = self.settings.patience - state.validations_without_gain + (not state.best_step)
        return min(most, validations * between - state.step % between), most

    def _summary(self, stopped: str) -> Fit:
        state = self.state
        return Fit(
            best=state.best,
            best_step=state.best_step,
            steps=state.step,
            epochs=state.step / self.training_steps.per_epoch,
            seconds=round(state.seconds, 3),
            positions_per_second=round(self._speed(), 1),
            stopped=stopped,
        )
