"""`tssr features`."""

from __future__ import annotations

import click

from .options import Choice, StageCommand, show, stage_options, workspace_of


@click.command("features", cls=StageCommand)
@click.argument("action", type=Choice(["list", "verify"]), default="list")
@click.option("--dataset", metavar="NAME", help="Only this data set's stores.  [default: all]")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, action: str, dataset: str | None, as_json: bool, **_: object) -> None:
    """List the feature stores, or verify that every file has its recorded checksum.

    \b
    Examples:
      tssr features
      tssr features verify --dataset hm
    """
    from ..extract.stores import list_features, verify_features

    stage = verify_features if action == "verify" else list_features
    show(stage(workspace_of(ctx), dataset), as_json=as_json)
