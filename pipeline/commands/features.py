"""`tssr features`."""

from __future__ import annotations

import click

from ...core.errors import UsageError
from ...core.settings import option_name
from ...features.settings import ImportSettings
from .options import settings_from, settings_options, stage_options, typed, workspace_of
from .printing import show
from .stage_command import Choice, StageCommand


@settings_options(ImportSettings)
@click.command("features", cls=StageCommand)
@click.argument("action", type=Choice(["list", "verify", "import"]), default="list")
@click.option("--dataset", metavar="NAME", help="Only this data set's stores.  [default: all]")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, action: str, dataset: str | None, as_json: bool, **_: object) -> None:
    """List the feature stores, verify that every file has its recorded checksum, or import vectors.

    import puts vectors that were made elsewhere into a store like any other, under the ids of their items.

    \b
    Examples:
      tssr features
      tssr features verify --dataset hm
      tssr features import --dataset hm --modality image --vectors clip.npz --key image --ids article_id
      tssr features import --dataset hm --modality text --vectors embeddings.parquet
    """
    from ..extract.import_vectors import import_features
    from ..extract.stores import list_features, verify_features

    workspace = workspace_of(ctx)
    if action == "import":
        show(import_features(workspace, settings_from(ctx, ImportSettings, {})), as_json=as_json)
        return
    for name in typed(ctx):
        if name in ImportSettings.model_fields and name != "dataset":
            raise UsageError(f"{option_name(name)} is for tssr features import")
    stage = verify_features if action == "verify" else list_features
    show(stage(workspace, dataset), as_json=as_json)
