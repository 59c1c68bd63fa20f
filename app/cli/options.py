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
