"""Tables of the command line."""

from collections.abc import Collection

from rich.table import Column, Table


def table(*headings: str, whole: Collection[str] = ()) -> Table:
    """Return a table that cuts no cell short: those of the columns `whole` keep to one line, others are folded."""
    return Table(*(Column(each, no_wrap=each in whole, overflow="fold") for each in headings), box=None)
