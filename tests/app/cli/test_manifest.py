from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.entries import BadEntry, Entry
from app.cli.failures import CommandError
from app.cli.manifest import Manifest


def write(folder: Path, text: str | bytes) -> Manifest:
    path = folder / "people.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Manifest(path)


def bad(folder: Path, row: str, header: str = "path,identity,camera,captured_at,attributes") -> str:
    entry = next(write(folder, f"{header}\n{row}\n").entries())
    assert isinstance(entry, BadEntry)
    return f"{entry.where}: {entry.detail}"


def test_every_column_is_read(tmp_path: Path) -> None:
    header = "path,identity,camera,captured_at,attributes,external_id,attributes.coat"
    row = 'a/b.jpg,Ann,c1,2026-05-01T10:00:00Z,"{""bag"": true}",x-1,red'
    assert list(write(tmp_path, f"{header}\n{row}\n").entries()) == [
        Entry(
            where="people.csv line 2",
            path=tmp_path / "a/b.jpg",
            identity="Ann",
            camera="c1",
            captured_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
            attributes={"bag": True, "coat": "red"},
            external_id="x-1",
        )
    ]


def test_empty_cells_and_missing_columns_say_nothing(tmp_path: Path) -> None:
    manifest = write(tmp_path, "identity,path,camera\nAnn,a.jpg,\n")
    assert list(manifest.entries()) == [Entry("people.csv line 2", tmp_path / "a.jpg", "Ann")]


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    manifest = write(tmp_path, b"\xef\xbb\xbfpath,identity\r\na.jpg,Ann\r\n\r\nb.jpg,Bob\r\n")
    assert [(entry.where, manifest.total) for entry in manifest.entries()] == [
        ("people.csv line 2", 2),
        ("people.csv line 4", 2),
    ]


def test_rows_of_empty_cells_as_spreadsheets_leave_them_are_blank_lines(tmp_path: Path) -> None:
    manifest = write(tmp_path, "path,identity,camera\na.jpg,Ann,c1\n,,\n,\nb.jpg,Bob,c1\n,,,\n")
    assert [(entry.where, manifest.total) for entry in manifest.entries()] == [
        ("people.csv line 2", 2),
        ("people.csv line 5", 2),
    ]


def test_a_line_is_counted_where_it_begins(tmp_path: Path) -> None:
    manifest = write(tmp_path, 'path,identity\n"a\nb.jpg",Ann\nc.jpg\n')
    assert [entry.where for entry in manifest.entries()] == ["people.csv line 2", "people.csv line 4"]


def test_a_bad_row_names_its_line_and_spares_its_neighbours(tmp_path: Path) -> None:
    entries = list(write(tmp_path, "path,identity\na.jpg,Ann,more\nb.jpg,Bob\n").entries())
    assert entries[0] == BadEntry("people.csv line 2", "expected 2 fields as in the header, found 3")
    assert isinstance(entries[1], Entry)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a.jpg,,,,", "identity is empty"),
        (",Ann,,,", "path is empty"),
        ("a.jpg,Ann,,2026-05-01T10:00:00,", "captured_at: expected an RFC 3339 time with an offset"),
        ("a.jpg,Ann,,soon,", "found 'soon'"),
        ("a.jpg,Ann,,,{", "attributes: expected a JSON object"),
        ("a.jpg,Ann,,,[1]", "attributes: expected a JSON object"),
        (f"a.jpg,{'n' * 2000},,,", "identity: "),
    ],
)
def test_a_wrong_value_is_told_with_its_column(tmp_path: Path, row: str, told: str) -> None:
    found = bad(tmp_path, row)
    assert found.startswith("people.csv line 2: ")
    assert told in found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: expected a header with the columns path, identity, and camera, captured_at, attributes, "),
        ("a.jpg,Ann\n", "external_id if known, separated by commas, found 'a.jpg', 'Ann'"),
        ("path;identity\n", "found 'path;identity', separated by semicolons; save it as CSV in UTF-8, with commas"),
        ("path,identity\n".encode("utf-16"), "expected UTF-8, found UTF-16; save it as CSV in UTF-8, with commas"),
        ("path,identity\n\n", "people.csv: expected at least one row after the header, found none"),
        ("path,identity,captured\n", "column 'captured' is not known"),
        ("path,identity,attributes.\n", "column 'attributes.' is not known"),
        ("path,path,identity\n", "column 'path' is there 2 times"),
        ('path,identity\n"a.jpg"x,Ann\n', "line 2: not CSV"),
        (b"path,identity\n\xff.jpg,Ann\n", "expected UTF-8, found byte 0xff; save it as CSV in UTF-8, with commas"),
    ],
)
def test_what_is_not_a_manifest_is_refused_at_once(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(CommandError) as refused:
        write(tmp_path, text)
    assert told in str(refused.value)
