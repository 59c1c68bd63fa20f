"""Tables of the command line."""

from collections.abc import Collection

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text


def table(*headings: str, whole: Collection[str] = ()) -> Table:
    """Return a table that cuts no cell short: those of the columns `whole` keep to one line, others are folded."""
    return Table(*(Column(each, no_wrap=each in whole, overflow="fold") for each in headings), box=None)


def print_table(rows: Table | Text) -> None:
    """Print a table, or what is said below one, to stdout.

    A name in square brackets is no markup, and one between colons no emoji.
    """
    Console(markup=False, emoji=False).print(rows)
