"""`tssr train`."""

from __future__ import annotations

from functools import partial

import click

from ...core.torchrun import joined_world
from ...model.registry import MODELS
from ...model.settings import TrainSettings
from ..inputs.make_inputs import make_inputs
from ..runs.end_to_end_settings import EndToEndSettings
from ..runs.settings import RunSettings
from ..runs.train_config import TrainConfig
from .options import STAGE_OPTIONS, config_section, settings_options, stage_options, typed, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(RunSettings, TrainSettings, *(spec.settings for spec in MODELS.values()), EndToEndSettings)
@click.command("train", cls=StageCommand)
@click.option(
    "--make/--no-make",
    default=True,
    help="With --end-to-end, first extract the pixels, tokens or activations that it lacks. [default: make]",
)
@stage_options()
@click.pass_context
def command(ctx: click.Context, /, **_options: object) -> None:
    """Train a model on a preprocessed data set.

    An option that the chosen model does not have is refused. The same command given again resumes a
    killed run from its last checkpoint.

    \b
    Examples:
      tssr train
      tssr train --model sasrec-id --learning-rate 1e-3
      tssr train --features image --lambda-item 0.5 --run half-item-contrast
      tssr train --end-to-end --features image --encoder resnet50 --unfreeze layer4
      torchrun --nproc-per-node 4 -m -- tssr train --batch-size 1024
    """
    from ..runs.before_inputs import refuse_untrainable
    from ..runs.plan import plan_asked
    from ..runs.train import train

    config_path = ctx.params["config"]
    config = TrainConfig.of(config_section(config_path, "train"), config_path)
    options = {name: value for name, value in typed(ctx).items() if name not in {*STAGE_OPTIONS, "make"}}
    workspace = workspace_of(ctx)
    force = ctx.params["force"]
    first = make_inputs if ctx.params["make"] else refuse_untrainable
    # Joined once, for extraction and training together; each would join the processes by itself.
    with joined_world() as world:
        plan, name = plan_asked(workspace, config, options, partial(first, workspace, force=force))
        summary = train(workspace, plan, name, force=force)
    if world.is_main:
        show(summary, as_json=ctx.params["as_json"])
