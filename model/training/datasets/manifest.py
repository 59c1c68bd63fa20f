"""A CSV manifest of one's own pictures: one picture per line, with who is on it, by which camera, in which split.

`path` and `identity` are required, `camera` and `split` may be there; paths are relative to the manifest. The columns
that only `reid ingest` reads are passed over, any other is refused, so that a misspelt one is not lost in silence.
Splits are train, query, gallery, and test for both query and gallery. Without the column all is for training. Without
cameras it is a data set of classes, in which each picture has a camera of its own.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError
from model.spreadsheet import describe_encoding, describe_header
from model.training.datasets.dataset import Dataset, Layout, Protocol
from model.training.datasets.images import LabelledImages, label_list

NAME = "manifest.csv"
TERMS = "Data: as their owner says."
REQUIRED = ("path", "identity")
OPTIONAL = ("camera", "split")
PASSED_OVER = ("captured_at", "attributes", "external_id")
SPLITS = {"train": {"train"}, "query": {"query", "test"}, "gallery": {"gallery", "test"}}
LOOKS = (
    f"a .csv file, or a folder with {NAME}, with the columns {', '.join(REQUIRED)}, and {', '.join(OPTIONAL)} if known"
)


@dataclass(frozen=True)
class Row:
    """One picture."""

    where: str
    path: Path
    identity: str
    camera: str
    split: str


def fits(path: Path) -> bool:
    """Tell whether this is a manifest, or a folder with one, as `reid gallery export-dataset` writes it."""
    return (path / NAME).is_file() or (path.is_file() and path.suffix.lower() == ".csv")


def read(path: Path) -> Dataset:
    """Read a manifest; identities and cameras are numbered from 1 in the order of their names."""
    name = path.stem
    if (path / NAME).is_file():
        path = path / NAME
    rows = read_rows(path)
    cameras = {row.camera for row in rows} - {""}
    without = next((row for row in rows if not row.camera), None)
    if cameras and without:
        raise DatasetError(f"{without.where}: camera is empty; give every picture its camera, or none")
    identities = number_names([row.identity for row in rows])
    numbers = number_names([row.camera for row in rows]) if cameras else np.arange(len(rows))
    images = label_list(path.name, [row.path for row in rows], np.stack([identities, numbers], axis=1))
    train, query, gallery = (take_split(images, rows, split) for split in SPLITS)
    protocol: Protocol = "re-identification" if cameras else "retrieval"
    return Dataset(name, TERMS, protocol, train, query, gallery)


def take_split(images: LabelledImages, rows: list[Row], split: str) -> LabelledImages:
    """Return the pictures of a split."""
    chosen = np.array([row.split in SPLITS[split] for row in rows], dtype=np.bool_)
    return replace(images.subset(chosen), name=f"{images.name}/{split}")


def number_names(names: list[str]) -> NDArray[np.int64]:
    """Return a number for each name, from 1 in the order of the names."""
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64) + 1


def read_rows(path: Path) -> list[Row]:
    """Return the rows; raise `DatasetError` naming the line that is wrong."""
    if not path.is_file():
        raise DatasetError(f"expected {LOOKS}, found the folder {path}; give the file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(file, path))
    except csv.Error as exc:
        raise DatasetError(f"{path}: not CSV: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{path}: expected UTF-8, found {describe_encoding(exc)}") from exc
    if not rows:
        raise DatasetError(f"{path}: expected pictures, found only a header; add a line for each")
    seen: dict[Path, str] = {}
    for row in rows:
        if seen.setdefault(row.path, row.where) != row.where:
            raise DatasetError(f"{row.where}: {row.path} is there already, in {seen[row.path]}; keep one of the two")
    return rows


def _rows(file: TextIO, path: Path) -> Iterator[Row]:
    lines = csv.reader(file, strict=True)
    header = _header(next(lines, []), path)
    number = lines.line_num + 1
    for cells in lines:
        if any(cells):  # spreadsheets end in rows of empty cells
            yield _row(header, cells, path, f"{path.name} line {number}")
        number = lines.line_num + 1  # a quoted cell may go over several


def _header(names: list[str], path: Path) -> list[str]:
    if not set(REQUIRED) <= set(names):
        raise DatasetError(
            f"{path} line 1: expected a header with the columns {', '.join(REQUIRED)}, and {', '.join(OPTIONAL)} if "
            f"known, separated by commas, found {describe_header(names)}"
        )
    for name in names:
        if name not in (*REQUIRED, *OPTIONAL, *PASSED_OVER) and not name.startswith("attributes."):
            known = ", ".join((*REQUIRED, *OPTIONAL))
            raise DatasetError(f"{path} line 1: column {name!r} is not known; expected {known}; rename or remove it")
        if names.count(name) > 1:
            raise DatasetError(f"{path} line 1: column {name!r} is there {names.count(name)} times, expected once")
    return names


def _row(header: list[str], cells: list[str], path: Path, where: str) -> Row:
    if len(cells) != len(header):
        raise DatasetError(f"{where}: expected {len(header)} fields as in the header, found {len(cells)}")
    fields = dict(zip(header, cells, strict=True))
    for name in REQUIRED:
        if not fields[name]:
            raise DatasetError(f"{where}: {name} is empty")
    split = fields.get("split", "train")
    if not any(split in names for names in SPLITS.values()):
        raise DatasetError(f"{where}: expected the split train, query, gallery or test, found {split!r}")
    return Row(where, path.parent / fields["path"], fields["identity"], fields.get("camera", ""), split)


LAYOUT = Layout("manifest", LOOKS, frozenset({NAME}), fits, (read,))
