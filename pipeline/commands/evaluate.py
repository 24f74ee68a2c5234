"""`tssr evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from ...core.errors import UsageError
from ...core.torchrun import joined_world, refuse_torchrun
from ...evaluation.settings import EvaluateSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(EvaluateSettings)
@click.command("evaluate", cls=StageCommand)
@click.option("--run", help="Run to evaluate. [default: the newest finished one]")
@click.option(
    "--lists",
    type=click.Path(path_type=Path),
    help="Measure the lists of another system instead: columns user, item, and rank or score (Parquet, CSV "
    "or JSON lines), or a .npy matrix of all scores.",
)
@click.option("--dataset", help="Data set that --lists is for; may be left out where there is just one.")
@stage_options()
@click.pass_context
def command(
    ctx: click.Context, /, run: str | None, lists: Path | None, dataset: str | None, **_options: object
) -> None:
    """Rank all items for every user and measure Recall, NDCG and MRR.

    The metrics are written to metrics.json in the run's folder with the protocol they were measured under;
    the rank of every user's target is written to a Parquet file beside it.

    \b
    Examples:
      tssr evaluate --topk 10 20
      tssr evaluate --run hm-tssr-3f2a91bc --mask exempt --json
      tssr evaluate --lists theirs.parquet --dataset hm --by popularity
      torchrun --nproc-per-node 4 -m -- tssr evaluate
    """
    from ..runs.evaluate import evaluate
    from ..runs.evaluate_lists import evaluate_lists

    settings = settings_from(ctx, EvaluateSettings, config_section(ctx.params["config"], "evaluate"))
    if lists is not None:
        if run is not None:
            raise UsageError("--lists and --run name two things to evaluate; give one")
        refuse_torchrun("evaluate --lists")
        summary = evaluate_lists(workspace_of(ctx), lists, dataset, settings, force=ctx.params["force"])
        return show(summary, as_json=ctx.params["as_json"])
    if dataset is not None:
        raise UsageError("--dataset is for --lists; a run knows its data set (--run chooses one)")
    with joined_world() as world:
        summary = evaluate(workspace_of(ctx), run, settings, force=ctx.params["force"])
    if world.is_main:
        show(summary, as_json=ctx.params["as_json"])
