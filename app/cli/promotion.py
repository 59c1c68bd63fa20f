"""The promotion gate on the command line: its options, and who runs the command."""

import getpass
from typing import Annotated, TypeAlias

import typer

Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Activate it whatever speaks against it; that is recorded with the reasons.")
]
Margin: TypeAlias = Annotated[
    float, typer.Option(min=0, max=100, help="Points of mAP that it may be below the active version.")
]
CheckSet: TypeAlias = Annotated[
    str | None,
    typer.Option(help="A part of the protocol to compare by, such as test or held-out; the largest set otherwise."),
]


def caller() -> str:
    """Return who runs the command, by the name that the system has for them."""
    try:
        return f"command line, {getpass.getuser()}"
    except (OSError, KeyError):  # a container's user has no name
        return "command line"
