"""The `tssr` command: a lazy group, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from typing import NoReturn

import click

from .core.errors import TssrError, cure_of, system_code
from .core.signals import keep_exit_code, signal_behind, stoppable
from .core.torchrun import refuse_torchrun
from .core.version import __version__
from .core.words import unknown_name
from .model.own_models import load_own_models
from .pipeline.commands import COMMANDS, RUN_BY_MANY

_HELP = {"-h", "--help"}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        load_own_models()  # before options are made from the models' settings
        module = importlib.import_module(f".pipeline.commands.{COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a name that is none, tell the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(unknown_name("command", args[0], list(COMMANDS)), ctx)
        completes = ctx.resilient_parsing  # for a shell that completes what is typed
        if args[0] in COMMANDS and args[0] not in RUN_BY_MANY and not completes and not _HELP & set(args):
            refuse_torchrun(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": sorted(_HELP)})
@click.version_option(__version__, prog_name="tssr")
def cli() -> None:
    """Recommend the next item from what users did and what items look and read like.

    \b
    The four stages, here on H&M:
      tssr preprocess hm
      tssr extract-features --modality image
      tssr train
      tssr evaluate --topk 10 20
    """


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a foreseen error is one line on stderr, a traceback only with --debug."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with stoppable():
            cli.main(args=given, prog_name="tssr", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        number = signal_behind(error)
        if number is not None:
            keep_exit_code()
            _fail("interrupted; finished work is kept, the same command resumes", 128 + number)
        _report(error, debug="--debug" in given)


def _report(error: BaseException, debug: bool) -> None:
    """Say an error that is no interruption in one line, and end with its exit code."""
    if isinstance(error, TssrError):
        if debug:
            traceback.print_exception(error)
        _fail(str(error), error.exit_code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # `tssr` alone: its message is the help
        click.echo(error.format_message())
        return
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "tssr"
        _fail(f"{error.format_message()} (see {path} --help)", error.exit_code)
    if isinstance(error, BrokenPipeError):
        sys.exit(1)
    if debug:
        raise error
    if isinstance(error, OSError) and system_code(error) in (errno.ENOSPC, errno.EDQUOT):
        _fail(str(cure_of(error, error.filename or "the output, the workspace or temporary files")), 1)
    # the last resort, so that no one meets a bare traceback
    _fail(f"unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)", 1)
