"""`tssr recommend`."""

from __future__ import annotations

import click

from ..runs.recommend_settings import RecommendSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(RecommendSettings)
@click.command("recommend", cls=StageCommand)
@click.option("--run", help="Run to recommend with. [default: the newest finished one]")
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, run: str | None, as_json: bool, **_options: object) -> None:
    """List the best items for users of the data set, or for other histories.

    Without --user and --history there is a list for every user of the data set. With --history the lists
    depend only on the history given there, so users need not be in the data set. Scores are the model's own;
    only scores within one list can be compared.

    \b
    Examples:
      tssr recommend --output lists.parquet
      tssr recommend --user 42 --topk 5
      tssr recommend --history new-customers.csv --mask hard --output lists.parquet
      echo "item1 item7 item3" | tssr recommend --history - --json
    """
    from ..runs.recommend import recommend_items

    settings = settings_from(ctx, RecommendSettings, config_section(ctx.params["config"], "recommend"))
    show(recommend_items(workspace_of(ctx), run, settings), as_json=as_json)
