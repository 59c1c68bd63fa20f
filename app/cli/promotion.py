"""The promotion gate on the command line: its options, and the verbs' one way through it."""

import getpass
from typing import Annotated, TypeAlias

import typer

from model.history import Promotion
from model.promotion import MARGIN, approve
from model.registry import Registry

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


def approve_promotion(
    registry: Registry,
    target: str,
    current: str | None,
    *,
    force: bool,
    margin: float = MARGIN,
    check_set: str | None = None,
) -> Promotion:
    """Return the record of a promotion by whoever runs the command; raise `PromotionRefused` unless it is forced."""
    return approve(registry, target, current, force=force, by=caller(), margin=margin, check_set=check_set)


def caller() -> str:
    """Return who runs the command, by the name that the system has for them."""
    try:
        return f"command line, {getpass.getuser()}"
    except (OSError, KeyError):  # a container's user has no name
        return "command line"
