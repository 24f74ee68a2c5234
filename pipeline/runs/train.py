"""The train stage: from a data set and its features to a run folder with weights, log and record."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifacts import sha256_file, sweep_partials
from ...core.dataset import LoadedDataset, Split, load_dataset
from ...core.device import choose_device
from ...core.errors import ArtifactError, DivergedError
from ...core.lock import LOCK_FILE, exclusive
from ...core.memory import peak_memory
from ...core.progress import note
from ...core.randomness import own_randomness
from ...core.schema import SELECTION_METRIC
from ...core.settings import as_options
from ...core.summary import Summary
from ...core.torchrun import current_world
from ...core.workspace import RUN_FILE, WorkspaceFolders, read_run
from ...model.settings import without_effect
from ...model.tracking import draw_finished, require_tensorboard
from .build import build_model, refuse_empty, refuse_too_large
from .kept_encoders import keep_encoders, keep_vectors
from .plan import RunPlan
from .readings import READINGS_FILE
from .record import write_run
from .start_from import started_model

if TYPE_CHECKING:
    import torch

    from ...model.recommender import Recommender


def train(workspace: WorkspaceFolders, plan: RunPlan, name: str | None, *, force: bool) -> Summary:
    """Train the plan's model; an unfinished run of the same plan goes on from its last checkpoint.

    Under torchrun the processes share each batch, and only the main one writes.
    Raises ArtifactError where a run folder of that name holds another plan, and for damaged features;
    DivergedError, which is recorded too, where the numbers are no longer finite.
    """
    folder = plan.folder(workspace, name)
    current_world().refuse_unequal("features or settings", f"{plan.key()} {folder}")
    result = None if force else _finished(folder, plan)
    if result is not None:
        return _again(folder, plan, result)
    device = choose_device(plan.train.device)
    dataset = trainable_dataset(plan, device)
    for store in plan.stores:
        store.refuse_damage()
    for line in without_effect(plan.model_settings):
        note(line)
    with own_randomness(device):
        return _train(workspace, plan, folder, dataset, device, force)


def trainable_dataset(plan: RunPlan, device: torch.device) -> LoadedDataset:
    """The plan's data set, after all checks that need neither features nor a model.

    Raises UsageError where no user can be ranked for, TssrError where a step cannot fit into memory or
    TensorBoard is missing.
    """
    dataset = load_dataset(plan.dataset)
    refuse_empty(dataset.split().validation, dataset)
    if plan.train.tensorboard:
        require_tensorboard()
    refuse_too_large(plan, dataset, device)
    return dataset


def untrained_model(
    workspace: WorkspaceFolders, plan: RunPlan, dataset: LoadedDataset, device: torch.device
) -> Recommender:
    """The plan's model with its first weights: those of another run with --start-from, else drawn.

    Raises UsageError for settings with which no model can be built, and for weights that do not fit.
    """
    if plan.end_to_end is not None and plan.end_to_end.settings.start_from is not None:
        return started_model(workspace, plan, plan.end_to_end.settings.start_from, dataset, device)
    return build_model(plan, dataset, device)


def _train(
    workspace: WorkspaceFolders,
    plan: RunPlan,
    folder: Path,
    dataset: LoadedDataset,
    device: torch.device,
    force: bool,
) -> Summary:
    """Train after all checks that need no model, with torch's random numbers for this run alone."""
    from ...model.checkpoint import CHECKPOINT_FILE, MODEL_FILE

    model = untrained_model(workspace, plan, dataset, device)
    world = current_world()
    with exclusive(folder) if world.is_main else nullcontext():  # the main process holds it for all
        result = None if force else _finished(folder, plan)
        if result is not None:  # by another process, while this one waited
            return _summary(folder, plan, result, cached=True)
        if force:
            world.barrier()  # until all have read the run that this one starts from, which may be the same
        if world.is_main:
            if force:  # only now, after every check that could still refuse the command
                _clear(folder)
            sweep_partials(folder)
            write_run(folder, plan, None)
        world.barrier()
        try:
            result = {**_fit(model, plan, plan.split(dataset), folder, device), **_memory(device)}
        except DivergedError as error:
            if world.is_main:
                write_run(folder, plan, None, diverged=str(error))
            raise
        kept = _keep(folder, plan, model)
        if world.is_main:
            result |= kept
            result["weights_sha256"] = sha256_file(folder / MODEL_FILE)
            write_run(folder, plan, result)
            # Only now that the record of the finished run is on the disk: before that, a kill would leave
            # neither checkpoint nor result.
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return _summary(folder, plan, result, cached=False)


def _again(folder: Path, plan: RunPlan, result: dict[str, Any]) -> Summary:
    """The summary of a run that was finished before; with --tensorboard, curves are written from its log."""
    if plan.train.tensorboard and current_world().is_main and draw_finished(folder, result.get("steps", 0)):
        note(f"the run is finished; its log is drawn for TensorBoard in {folder}")
    return _summary(folder, plan, result, cached=True)


def _finished(folder: Path, plan: RunPlan) -> dict[str, Any] | None:
    """The result of the finished run in `folder`, or None; the same for all processes."""

    def read() -> dict[str, Any] | None:
        record = recorded_run(folder, plan)
        return record["result"] if record is not None and record["finished_at"] else None

    return current_world().as_main_finds(read, f"run folder {folder}")


def _clear(folder: Path) -> None:
    """Delete a run's folder but for the lock that is held and the list of test readings; the record first.

    In another order, a kill in the middle would leave a run that counts as finished and lacks its weights.
    """
    (folder / RUN_FILE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (LOCK_FILE, READINGS_FILE):
            path.unlink(missing_ok=True)


def recorded_run(folder: Path, plan: RunPlan) -> dict[str, Any] | None:
    """The record of the run in `folder`, finished or not; None where there is none.

    Raises ArtifactError where it is a run of another plan. A plan whose encoders have no stores yet is
    compared without them.
    """
    if not (folder / RUN_FILE).exists():
        return None
    record = read_run(folder)
    without_stores = plan.end_to_end is not None and not plan.stores
    if record.get("key") != plan.key(record.get("features") if without_stores else None):
        raise ArtifactError(
            f"run folder {folder} holds a run with other settings or data, or of another version; choose "
            "another --run, or --force to replace it"
        )
    return record


def _fit(model: Any, plan: RunPlan, split: Split, folder: Path, device: torch.device) -> dict[str, Any]:
    from ...model.checkpoint import MODEL_FILE, load_model, save_model
    from ...model.precision import chosen_precision
    from ...model.recommender import ChosenOnValidation, WeighedOnValidation, parameter_count
    from ...model.trainer import Trainer
    from .representation import representation_probe
    from .scorer import validation_ndcg

    world = current_world()

    def validate() -> float:
        return validation_ndcg(model, split.validation, device)

    if not plan.spec.trained:
        chosen = {"chosen": model.choose(validate)} if isinstance(model, ChosenOnValidation) else {}
        if world.is_main:
            save_model(folder / MODEL_FILE, model, {"step": 0})
        return {"parameters": 0, **chosen, SELECTION_METRIC: validate()}
    samples = model.samples(split.train, plan.train.train_windows, device)
    probe = representation_probe(model, split, plan.train.seed)
    fit = Trainer(model, samples, plan.train, validate, folder, probe).fit()
    world.barrier()  # until the main process has written the best weights
    best = load_model(folder / MODEL_FILE, model)
    result = {
        "parameters": parameter_count(model),
        "precision": chosen_precision(plan.train.precision, device),
        SELECTION_METRIC: fit.best,
        **asdict(fit),
    }
    has_weights_to_choose = isinstance(model, WeighedOnValidation)
    if has_weights_to_choose:
        result |= {"shares": model.weigh(split.validation), SELECTION_METRIC: validate()}
        world.barrier()  # until all have read the weights that are replaced now
        if world.is_main:
            save_model(folder / MODEL_FILE, model, best)
    return result


def _keep(folder: Path, plan: RunPlan, model: Any) -> dict[str, Any]:
    """Write the trained encoders into the run's folder, and list them for its record; {} for other runs."""
    if plan.end_to_end is None:
        return {}
    keep_vectors(folder, plan.end_to_end, plan.stores, model)
    if not current_world().is_main:
        return {}
    return keep_encoders(folder, plan.end_to_end, plan.stores, model)


def _memory(device: torch.device) -> dict[str, int]:
    """The peak memory so far in bytes: of this process, and of the tensors on its GPU."""
    import torch

    peaks = {"peak_memory": peak_memory()}
    if device.type == "cuda":
        peaks["peak_gpu_memory"] = torch.cuda.max_memory_allocated(device)
    return peaks


def _encoder_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """For each encoder, the number of weights that were trained and its total; [] for frozen features."""
    return [
        (f"trained of the {modality} encoder", f"{trained:,} weights, {trained / whole:.2%} of its {whole:,}")
        for modality, counts in result.get("encoder_weights", {}).items()
        for trained, whole in [(counts["trained"], counts["whole"])]
    ]


def _summary(folder: Path, plan: RunPlan, result: dict[str, Any], *, cached: bool) -> Summary:
    rows = [("model", plan.title), ("data set", plan.dataset.name)]
    if plan.stores:
        rows.append(("features", ", ".join(store.name for store in plan.stores)))
    rows.append(("validation NDCG@10", f"{result[SELECTION_METRIC]:.4f}"))
    if result.get("chosen"):
        rows.append(("chosen on validation", as_options(result["chosen"])))
    if "shares" in result:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in result["shares"].items())
        rows.append(("shares chosen on validation", shares))
    if "steps" in result:
        rows += [
            ("best at step", f"{result['best_step']} of {result['steps']} ({result['epochs']:.1f} epochs)"),
            ("stopped by", result["stopped"]),
            ("parameters", f"{result['parameters']:,}"),
            *_encoder_rows(result),
            ("time", f"{result['seconds']:.1f} s, {result['positions_per_second']:,.0f} positions/s"),
        ]
    rows.append(("run", str(folder)))
    data = {"stage": "train", "run": folder.name, "folder": str(folder), **plan.record(), "result": result}
    return Summary(f"Trained {plan.title} on {plan.dataset.name}", rows, data, cached=cached)
