"""`tssr extract-features`."""

from __future__ import annotations

import click

from ...features.settings import FeatureSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(FeatureSettings)
@click.command("extract-features", cls=StageCommand)
@stage_options()
@click.pass_context
def command(ctx: click.Context, /, force: bool, as_json: bool, **_: object) -> None:
    """Encode pictures or texts into the feature store.

    Each content is encoded once: the same command given again, also after a crash, encodes only new content.
    Items whose content is missing or broken are counted and listed, and have no vector.

    \b
    Examples:
      tssr extract-features --modality image
      tssr extract-features --modality image --encoder squeezenet1_1 --weights squeezenet1_1.pth
      tssr extract-features --modality image text --encoder resnet18 ./my-bert
      torchrun --nproc-per-node 4 -m -- tssr extract-features --modality image
    """
    from ..extract.stage import extract_features

    settings = settings_from(ctx, FeatureSettings, config_section(ctx.params["config"], "extract-features"))
    summary = extract_features(workspace_of(ctx), settings, force=force)
    if summary.rows:  # under torchrun, the main process speaks for all
        show(summary, as_json=as_json)
