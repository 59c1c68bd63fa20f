"""The entry point: parse, run one verb, and turn every failure into one line and an exit code."""

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, NoReturn, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.failures import explain, wants_trace
from app.cli.verbs import VERBS, LazyCommand

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `reid` and exit: 0 on success, 2 for wrong usage, 1 for a failure told in one line on stderr."""
    if isinstance(sys.stdout, TextIOWrapper):  # as stderr is: a name that the terminal cannot show fails nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        command_line().main(args=arguments, prog_name="reid")
    except Exception as exc:  # noqa: BLE001 - the outermost boundary: whatever it was, the user gets one line
        if wants_trace():
            traceback.print_exception(exc)
        typer.echo(f"reid: {explain(exc)}", err=True)
        sys.exit(FAILED)
    sys.exit(0)


def command_line() -> TyperGroup:
    """Build `reid` with its verbs, none of them imported."""
    root = typer.Typer(name="reid", add_completion=False, no_args_is_help=True)
    root.callback()(options)
    group = cast(TyperGroup, get_command(root))
    for verb in VERBS:
        group.add_command(LazyCommand(verb))
    return group


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reid {version('hap2s-reid')}")
        raise typer.Exit


def options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Person re-identification: a picture of a person in, the ranked identities of a gallery out."""
    from app.settings import unknown_variables  # here, because `reid --help` does not need it

    if context.invoked_subcommand != "serve":  # the service logs them
        for line in unknown_variables():
            typer.echo(f"reid: {line}", err=True)
