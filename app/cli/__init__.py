"""The command line: `reid` is the same system without HTTP."""

from app.cli.program import main

__all__ = ["main"]
