"""A CSV manifest: one picture per line, with what is known of it.

`path` and `identity` are required; `camera`, `captured_at`, `attributes` (a JSON object) and `external_id` may be
there. A column `attributes.colour` is the attribute `colour`, as text. Any other column is refused, so that a
misspelt one is not lost in silence. Paths are relative to the manifest.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from app.cli.entries import AnyEntry, BadEntry, Entry
from app.cli.failures import CommandError
from app.errors import InvalidParameter
from app.forms import validate
from app.parameters import NewSampleFields
from model.spreadsheet import describe_encoding, describe_header

REQUIRED = ("path", "identity")
OPTIONAL = ("camera", "captured_at", "attributes", "external_id")
ATTRIBUTE_PREFIX = "attributes."
_PLAIN = ("identity", "camera", "captured_at", "external_id")


class Manifest:
    """The rows of a CSV manifest, read one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = sum(1 for _ in self.entries())
        if not self.total:
            raise CommandError(f"{path}: expected at least one row after the header, found none")

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is left out."""
        return ()

    def entries(self) -> Iterator[AnyEntry]:
        """Yield the rows in order; a row that cannot be used comes as a `BadEntry` that names its line."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            try:
                header = _header(next(rows, []), self.path)
                line = rows.line_num + 1
                for cells in rows:
                    if any(cells):  # spreadsheets end in rows of empty cells
                        yield self._entry(header, cells, f"{self.path.name} line {line}")
                    line = rows.line_num + 1
            except csv.Error as exc:
                raise CommandError(f"{self.path} line {rows.line_num}: not CSV: {exc}") from exc
            except UnicodeDecodeError as exc:
                raise CommandError(f"{self.path}: expected UTF-8, found {describe_encoding(exc)}") from exc

    def _entry(self, header: list[str], cells: list[str], where: str) -> AnyEntry:
        if len(cells) != len(header):
            return BadEntry(where, f"expected {len(header)} fields as in the header, found {len(cells)}")
        row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        missing = [name for name in REQUIRED if name not in row]
        if missing:
            return BadEntry(where, f"{missing[0]} is empty")
        try:
            fields = _fields(row)
        except InvalidParameter as exc:
            return BadEntry(where, f"{exc.field}: {exc}")
        return Entry(
            where=where,
            path=self.path.parent / row["path"],
            identity=fields.identity,
            camera=fields.camera,
            captured_at=fields.captured_at,
            attributes=fields.attributes,
            external_id=fields.external_id,
        )


def _header(names: list[str], path: Path) -> list[str]:
    known = [*REQUIRED, *OPTIONAL]
    if not set(REQUIRED) <= set(names):
        raise CommandError(
            f"{path} line 1: expected a header with the columns {', '.join(REQUIRED)}, and {', '.join(OPTIONAL)} if "
            f"known, separated by commas, found {describe_header(names)}"
        )
    for name in names:
        if name not in known and not (name.startswith(ATTRIBUTE_PREFIX) and len(name) > len(ATTRIBUTE_PREFIX)):
            expected = ", ".join(known)
            raise CommandError(
                f"{path} line 1: column {name!r} is not known; expected {expected}, or attributes.NAME for your own"
            )
        if names.count(name) > 1:
            raise CommandError(f"{path} line 1: column {name!r} is there {names.count(name)} times, expected once")
    return names


def _fields(row: dict[str, str]) -> NewSampleFields:
    """Check a row by the rules of an enrolment over HTTP; raise `InvalidParameter`."""
    values: dict[str, object] = {name: row[name] for name in _PLAIN if name in row}
    own = {key[len(ATTRIBUTE_PREFIX) :]: cell for key, cell in row.items() if key.startswith(ATTRIBUTE_PREFIX)}
    values["attributes"] = {**_attributes(row.get("attributes", "{}")), **own}
    return validate(NewSampleFields, values)


def _attributes(text: str) -> dict[str, object]:
    try:
        attributes = json.loads(text)
    except ValueError as exc:
        raise InvalidParameter("attributes", f"expected a JSON object: {exc}") from exc
    if not isinstance(attributes, dict):
        raise InvalidParameter("attributes", f"expected a JSON object, found {text!r}")
    return attributes
