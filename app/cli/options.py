"""Options that several verbs have."""

from typing import Annotated, TypeAlias

import typer

Url: TypeAlias = Annotated[
    str | None, typer.Option(help="Ask the service at this address over HTTP, and not the data folder.")
]
Key: TypeAlias = Annotated[str | None, typer.Option(help="The key for --url. Better in REID_KEY, which no list shows.")]
Gallery: TypeAlias = Annotated[
    str | None, typer.Option(help="Which gallery; where none is named, default, or with --url the key's own.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]


def require_url(url: str | None, key: str | None) -> None:
    """Refuse a key for the data folder: who gives one means a service, and forgot its address."""
    if key is not None and url is None:
        raise typer.BadParameter(
            "expected --url with it, found none: the data folder asks for no key", param_hint="--key"
        )
