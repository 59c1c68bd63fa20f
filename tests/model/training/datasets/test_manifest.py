from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.manifest import LAYOUT, read
from tests.model.training.datasets.trees import write_picture

FULL = """path,identity,camera,split
a1.jpg,Ann,door,train
a2.jpg,Ann,yard,train
b1.jpg,Bob,door,train
b2.jpg,Bob,yard,train
c1.jpg,Cid,door,query
c2.jpg,Cid,yard,gallery
d1.jpg,Dan,door,test
d2.jpg,Dan,yard,test
"""


def manifest(folder: Path, text: str) -> Path:
    """Write a manifest and the pictures that it names."""
    for line in text.splitlines()[1:]:
        if line.partition(",")[0].endswith(".jpg"):
            write_picture(folder / line.partition(",")[0])
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_go_where_their_split_says(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, FULL))
    assert [path.name for path in dataset.train.paths] == ["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg"]
    assert [path.name for path in dataset.query.paths] == ["c1.jpg", "d1.jpg", "d2.jpg"]
    assert [path.name for path in dataset.gallery.paths] == ["c2.jpg", "d1.jpg", "d2.jpg"]
    assert dataset.train.paths[0] == tmp_path / "a1.jpg"
    assert (dataset.name, dataset.protocol, dataset.train.name) == ("people", "re-identification", "people.csv/train")


def test_identities_and_cameras_have_one_number_in_all_splits(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, FULL))
    assert dataset.train.identities.tolist() == [1, 1, 2, 2]
    assert dataset.query.identities.tolist() == [3, 4, 4]
    assert dataset.gallery.identities.tolist() == [3, 4, 4]
    assert dataset.query.cameras.tolist() == [1, 1, 2]


def test_another_label_is_another_data_set(tmp_path: Path) -> None:
    first = read(manifest(tmp_path, FULL)).train.sha256()
    assert read(manifest(tmp_path, FULL.replace("b2.jpg,Bob", "b2.jpg,Ann"))).train.sha256() != first


def test_without_a_split_all_is_for_training(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, "path,identity,camera\na1.jpg,Ann,1\na2.jpg,Ann,2\n"))
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (2, 0, 0)


@pytest.mark.parametrize("header", ["path,identity", "path,identity,camera"])
def test_without_cameras_each_picture_has_its_own(tmp_path: Path, header: str) -> None:
    comma = "," if header.endswith("camera") else ""
    dataset = read(manifest(tmp_path, f"{header}\na1.jpg,Ann{comma}\na2.jpg,Ann{comma}\nb1.jpg,Bob{comma}\n"))
    assert dataset.protocol == "retrieval"
    assert len(set(dataset.train.cameras)) == 3


def test_columns_of_ingest_are_passed_over_and_a_byte_order_mark_too(tmp_path: Path) -> None:
    text = "\ufeffpath,identity,camera,captured_at,attributes,attributes.hat,external_id\na.jpg,Ann,1,,{},red,7\n"
    assert len(read(manifest(tmp_path, text)).train) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected a header with the columns path, identity, and camera, split if known, separated by"),
        ("path,person\na.jpg,Ann\n", r"separated by commas, found 'path', 'person'"),
        ("path;identity\na.jpg;Ann\n", r"found 'path;identity', separated by semicolons; save it as CSV"),
        ("path\tidentity\na.jpg\tAnn\n", r"found 'path\\tidentity', separated by tabs; save it as CSV"),
        ("path,identity,camra\na.jpg,Ann,1\n", r"line 1: column 'camra' is not known; expected path, identity, camera"),
        ("path,identity,path\na.jpg,Ann,b.jpg\n", r"line 1: column 'path' is there 2 times"),
        ("path,identity\n", r"found only a header"),
        ("path,identity\na.jpg\n", r"people\.csv line 2: expected 2 fields as in the header, found 1"),
        ("path,identity\na.jpg,Ann\n\n,\nb.jpg,\n", r"people\.csv line 5: identity is empty"),
        ('path,identity\na.jpg,"Ann\nB"\n,Bob\n', r"people\.csv line 4: path is empty"),
        (
            "path,identity,split\na.jpg,Ann,val\n",
            r"line 2: expected the split train, query, gallery or test, found 'val'",
        ),
        ("path,identity,camera\na.jpg,Ann,1\nb.jpg,Ann,\n", r"line 3: camera is empty; give every picture its camera"),
        (
            "path,identity\na.jpg,Ann\nb.jpg,Ann\na.jpg,Bob\n",
            r"line 4: .*a\.jpg is there already, in people\.csv line 2",
        ),
        ('path,identity\na.jpg,"Ann\n', r"people\.csv: not CSV"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(manifest(tmp_path, text))


def test_a_picture_that_is_missing_is_named(tmp_path: Path) -> None:
    path = manifest(tmp_path, FULL)
    (tmp_path / "b2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"people\.csv: 1 of the 8 listed files are missing, among them .*b2\.jpg;"):
        read(path)


@pytest.mark.parametrize(("encoding", "told"), [("latin-1", "byte 0xe4"), ("utf-16", "UTF-16")])
def test_another_encoding_is_told(tmp_path: Path, encoding: str, told: str) -> None:
    (tmp_path / "people.csv").write_bytes("path,identity\nä.jpg,Ann\n".encode(encoding))
    with pytest.raises(DatasetError, match=f"expected UTF-8, found {told}; save it as CSV in UTF-8, with commas"):
        read(tmp_path / "people.csv")


def test_a_folder_with_a_manifest_is_one(tmp_path: Path) -> None:
    manifest(tmp_path, FULL).rename(tmp_path / "manifest.csv")
    assert LAYOUT.fits(tmp_path)
    dataset = read(tmp_path)
    assert (dataset.name, len(dataset.train), len(dataset.query)) == (tmp_path.name, 4, 3)


def test_only_csv_files_fit(tmp_path: Path) -> None:
    assert LAYOUT.fits(manifest(tmp_path, FULL))
    assert not LAYOUT.fits(tmp_path)
    assert not LAYOUT.fits(tmp_path / "a1.jpg")
