"""`tssr evaluate`."""

from __future__ import annotations

import click

from ...core.torchrun import joined_world
from ...evaluation.settings import EvaluateSettings
from .options import (
    StageCommand,
    config_section,
    settings_from,
    settings_options,
    show,
    stage_options,
    workspace_of,
)


@settings_options(EvaluateSettings)
@click.command("evaluate", cls=StageCommand)
@click.option("--run", help="Run to evaluate. [default: the newest finished one]")
@stage_options()
@click.pass_context
def command(ctx: click.Context, /, run: str | None, **_options: object) -> None:
    """Rank every item for every user exactly, and measure.

    Recall, NDCG and MRR go to metrics.json in the run's folder, each with its protocol, and every user's rank
    to a Parquet file beside it.

    \b
    Examples:
      tssr evaluate --topk 10 20
      tssr evaluate --run hm-tssr-3f2a91bc --mask exempt --json
      torchrun --nproc-per-node 4 -m -- tssr evaluate
    """
    from ..runs.evaluate import evaluate

    settings = settings_from(ctx, EvaluateSettings, config_section(ctx.params["config"], "evaluate"))
    with joined_world() as world:
        summary = evaluate(workspace_of(ctx), run, settings, force=ctx.params["force"])
    if world.leads:
        show(summary, as_json=ctx.params["as_json"])
