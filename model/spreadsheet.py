"""What a table is that is not CSV in UTF-8: many a spreadsheet saves it with another separator or encoding."""

import codecs
from collections.abc import Sequence

ADVICE = "save it as CSV in UTF-8, with commas"
_SHOWN = 100
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}


def describe_header(names: Sequence[str]) -> str:
    """Say what is in a header that was split at its commas, and what separates its columns where none does."""
    if not names:
        return "nothing"
    told = ", ".join(map(repr, names))
    told = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
    separator = next((word for sign, word in _SEPARATORS.items() if len(names) == 1 and sign in names[0]), None)
    return f"{told}, separated by {separator}; {ADVICE}" if separator else told


def describe_encoding(error: UnicodeDecodeError) -> str:
    """Say what is there in place of UTF-8."""
    mark = error.object[error.start : error.start + 2]
    if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return f"UTF-16; {ADVICE}"
    return f"byte {mark[0]:#04x}; {ADVICE}"
