"""What was read of a store, for as long as nobody commits anything to it."""

import sqlite3
from pathlib import Path
from typing import Any


class Notes:
    """Asks SQLite, in microseconds, whether any other connection of any process has committed since.

    Of a database server, where `file` is None, nothing is kept; nor while the file cannot be asked.
    """

    def __init__(self, file: Path | None) -> None:
        self._connection = None if file is None else sqlite3.connect(file, timeout=0, check_same_thread=False)
        self._mark: int | None = None
        self._kept: dict[Any, Any] = {}

    def current(self) -> dict[Any, Any]:
        """Return what was noted since the last commit, to read and to add to.

        Ask before reading the store: what a commit has overtaken meanwhile is then noted where nobody looks any more.
        """
        mark = self._read_mark()
        if mark is None or mark != self._mark:
            self._mark, self._kept = mark, {}
        return self._kept

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def _read_mark(self) -> int | None:
        if self._connection is None:
            return None
        try:
            (mark,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # busy for a moment, or worse, which who reads the store will be told
            return None
        return int(mark)
