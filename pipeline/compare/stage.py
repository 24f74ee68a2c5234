"""The compare stage: trains a list of models with several seeds, measures them, and writes one table.

With --try, each model uses the values with the best validation NDCG@10 at the first seed; only the chosen
trial is measured on the test split. Every run is a run of `tssr train` in the folder that this command
would use, so finished runs are not trained again and interrupted ones are resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from ...core.artifacts import fingerprint, write_json, write_text
from ...core.dataset import DatasetInfo
from ...core.errors import DivergedError, UsageError
from ...core.progress import note
from ...core.settings import option_name, resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders, check_name, read_run
from ...evaluation.comparison import Comparison, compare
from ...evaluation.ranks import read_ranks
from ...evaluation.settings import By, EvaluateSettings
from ...evaluation.slices import slices_of
from ...evaluation.statistics import PairedTest, against_each
from ..runs.evaluate import evaluate, ranks_name
from ..runs.evaluate_lists import evaluate_lists
from ..runs.list_lengths import with_fitting_topk
from ..runs.plan import window_of
from ..runs.run_differences import run_differences
from .blends import MixedContender, blend_all
from .contenders import Contender
from .report import ComparisonReport, MeasuredContender
from .settings import CompareSettings
from .trained_trials import train_and_choose
from .training_pool import ContenderRuns

FOCUS, REFERENCE = "tssr", "sasrec-id"


def compare_models(
    workspace: WorkspaceFolders,
    settings: CompareSettings,
    contenders: Sequence[Contender],
    blends: Sequence[MixedContender] = (),
) -> Summary:
    """Train, choose and measure the models, and write the tables of their comparison into the workspace.

    `blends` are made of the contenders' runs and take part with their controls.
    Raises UsageError for a focus or reference that takes no part, TssrError where a run fails.
    """
    contenders = [contender.trained_once() for contender in contenders]
    names = [contender.name for contender in contenders] + [mixed.name for mixed in blends]
    names += [path.stem for path in settings.lists]
    _refuse_equal_names(settings, names)
    focus = _taking_part("focus", settings.focus, FOCUS, names)
    reference = _taking_part("reference", settings.reference, REFERENCE, names)
    dataset = contenders[0].trials[0].plan.dataset
    settings = with_fitting_topk(settings, dataset)
    resolve(EvaluateSettings, {"topk": settings.topk})  # refused now, not after the trainings
    _refuse_unequal_windows(settings, contenders)
    path = _path(workspace, settings, contenders, blends)
    trained = list(zip(contenders, train_and_choose(workspace, settings, contenders), strict=True))
    if blends:
        trained += blend_all(workspace, settings, blends, {one.name: (one, of) for one, of in trained})
    left_out = _left_out(trained)
    measured = [
        _measure(workspace, settings, contender, of) for contender, of in trained if of.choice is not None
    ]
    measured += [_measure_lists(workspace, settings, dataset.name, path) for path in settings.lists]
    compared = [one for one, _ in measured]
    comparison = compare(
        {one.contender.name: one.measurements(settings.mask) for one in compared},
        None if reference in left_out else reference,
        settings.topk,
        focus=None if focus in left_out else focus,
    )
    report = _report(dataset, settings, compared, comparison, left_out)
    runs = [run for one in compared for run in (*one.tried, *one.runs)]
    return _written(path, report, cached=all(run.cached for run in runs) and all(old for _, old in measured))


def _refuse_equal_names(settings: CompareSettings, names: Sequence[str]) -> None:
    """Raise UsageError for lists that are missing, or whose name a model or other lists have already."""
    for path in settings.lists:
        if not path.is_file():
            raise UsageError(f"--lists {path}: there is no such file")
        if names.count(path.stem) > 1:
            raise UsageError(f"--lists {path}: another contender is called {path.stem} too; rename the file")


def _left_out(trained: Sequence[tuple[Contender, ContenderRuns]]) -> dict[str, str]:
    """The contenders whose every trial diverged, with the first one's message.

    Raises DivergedError where these are all contenders.
    """
    left_out = {one.name: str(of.tried[0].diverged) for one, of in trained if of.choice is None}
    if len(left_out) == len(trained):
        words = left_out[trained[0][0].name]
        raise DivergedError(f"every training diverged, so there is nothing to compare; {words}")
    return left_out


def _taking_part(option: str, given: str | None, default: str, names: Sequence[str]) -> str | None:
    if given is not None and given not in names:
        raise UsageError(f"{option_name(option)} {given} is not among --models: {', '.join(names)}")
    return given or (default if default in names else None)


def _refuse_unequal_windows(settings: CompareSettings, contenders: Sequence[Contender]) -> None:
    """Raise UsageError where the mask depends on the window, and the models have several."""
    if settings.mask != "exempt":
        return
    windows = {
        contender.name: {window_of(trial.plan) for trial in contender.trials} for contender in contenders
    }
    if len(set().union(*windows.values())) > 1:
        told = ", ".join(f"{name} {'/'.join(map(str, sorted(of)))}" for name, of in windows.items())
        # A model without --length, such as poprec, has the data set's window, so that is one that fits all.
        window = contenders[0].trials[0].plan.dataset.manifest["window"]
        instead = " in place of --try length" if "length" in settings.tried else ""
        raise UsageError(
            f"--mask exempt keeps the last actions that a model reads, which differ here ({told}); give all "
            f"of them the data set's window with --length {window}{instead}, or choose another --mask"
        )


def _path(
    workspace: WorkspaceFolders,
    settings: CompareSettings,
    contenders: Sequence[Contender],
    blends: Sequence[MixedContender],
) -> Path:
    """The comparison's files without their endings: by the name given, or one made from what is compared."""
    plans = {contender.name: [trial.plan.key() for trial in contender.trials] for contender in contenders}
    asked = {name: value for name, value in settings.record().items() if name not in ("jobs", "name")}
    if blends:
        asked["blends"] = {one.name: [one.parts, one.settings.record()] for one in blends}
    made = f"{contenders[0].trials[0].plan.dataset.name}-{fingerprint({**asked, 'plans': plans})[:8]}"
    return workspace.root / "comparisons" / check_name(settings.name or made, "--name")


def _measure(
    workspace: WorkspaceFolders, settings: CompareSettings, contender: Contender, chosen: ContenderRuns
) -> tuple[MeasuredContender, bool]:
    """Measure the chosen runs on the test split; True where they had been measured before."""
    assert chosen.choice is not None
    device = contender.trials[chosen.choice].plan.train.device
    wanted = resolve(EvaluateSettings, {"topk": settings.topk, "device": device})
    ended = {seed: run for seed, run in enumerate(chosen.runs) if run.diverged is None}
    runs = list(ended.values())
    measured = [evaluate(workspace, run.folder.name, wanted, force=False, reader="compare") for run in runs]
    cached = all(summary.cached for summary in measured)
    if not cached:
        note(f"{contender.name}: measured")
    ranks = {seed: read_ranks(run.folder / ranks_name("test")) for seed, run in ended.items()}
    if len(chosen.runs) == 1:  # of a model that needs no training, or the only seed
        ranks = dict.fromkeys(range(settings.seeds), ranks[0])
    reports = [summary.data for summary in measured]
    lost = len(chosen.runs) - len(runs)
    return MeasuredContender(contender, chosen.tried, chosen.choice, runs, reports, ranks, lost), cached


def _measure_lists(
    workspace: WorkspaceFolders, settings: CompareSettings, dataset: str, path: Path
) -> tuple[MeasuredContender, bool]:
    """Measure the lists of a file on the test split; True where they had been measured before."""
    wanted = resolve(EvaluateSettings, {"topk": settings.topk})
    summary = evaluate_lists(workspace, path, dataset, wanted, force=False, reader="compare")
    ranks = read_ranks(Path(summary.data["folder"]) / ranks_name("test"))
    contender = Contender(path.stem, str(summary.data["title"]), "lists", [])
    at_each_seed = dict.fromkeys(range(settings.seeds), ranks)
    return MeasuredContender(contender, [], None, [], [summary.data], at_each_seed), summary.cached


def _report(
    dataset: DatasetInfo,
    settings: CompareSettings,
    compared: Sequence[MeasuredContender],
    comparison: Comparison,
    left_out: Mapping[str, str],
) -> ComparisonReport:
    k = settings.topk[0]
    slices = {} if settings.by is None else _by_slice(settings.by, settings, compared)
    tests = _tests(compared, comparison.focus, settings, k)
    return ComparisonReport(
        dataset.name,
        settings.record(),
        compared,
        comparison,
        f"ndcg@{k}",
        tests,
        settings.by,
        slices,
        left_out,
        _unlike(compared),
    )


def _unlike(compared: Sequence[MeasuredContender]) -> list[str]:
    """How the models differ beyond what they are: in defaults of their own, and in versions and precision."""
    own = [one.contender.name for one in compared if one.contender.own_defaults]
    defaults = f"trained with defaults of their own, which tssr train --help shows: {', '.join(own)}"
    runs = ((one.contender.name, read_run(run.folder)) for one in compared for run in one.runs)
    made = run_differences(runs)
    return [*([defaults] if own else []), *([made] if made is not None else [])]


def _tests(
    compared: Sequence[MeasuredContender], focus: str | None, settings: CompareSettings, k: int
) -> dict[str, PairedTest]:
    ranks = {one.contender.name: one.ranks for one in compared}
    if focus is None or len(ranks) == 1:
        return {}
    return against_each(ranks.pop(focus), ranks, settings.mask, k)


def _by_slice(
    by: By, settings: CompareSettings, compared: Sequence[MeasuredContender]
) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """For each model, its metrics by slice, the mean over seeds."""
    found: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for one in compared:
        reports = [slices_of(report, by, settings.mask) for report in one.measured]
        found[one.contender.name] = {
            seeds[0]["slice"]: {
                "queries": seeds[0]["queries"],
                **{name: fmean(seed["metrics"][name] for seed in seeds) for name in seeds[0]["metrics"]},
            }
            for seeds in zip(*reports, strict=True)  # the same slice at each seed
        }
    return found


def _written(path: Path, report: ComparisonReport, *, cached: bool) -> Summary:
    texts = {"md": report.markdown(), "csv": report.csv(), "tex": report.latex()}
    for ending, text in texts.items():
        write_text(path.with_name(f"{path.name}.{ending}"), text)
    record = {**report.record(), "files": str(path)}
    write_json(path.with_name(f"{path.name}.json"), record)
    notes = [*report.notes(), f"files: {path}.md, .csv, .tex, .json"]
    return Summary(
        report.title,
        report.rows(),
        record,
        report.columns,
        notes,
        cached=cached,
        records=report.records(),
    )
