"""Lists of files and labels, one line each."""

from pathlib import Path

from model.errors import DatasetError


def read_lines(path: Path) -> list[str]:
    """Return a list's lines; raise `DatasetError` when it is missing or not text."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as exc:
        raise DatasetError(f"expected the list {path}, found none; unpack the data set again") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{path}: expected text, found byte {exc.object[exc.start]:#04x}") from exc
