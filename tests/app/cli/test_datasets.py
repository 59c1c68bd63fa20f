import csv
import json
from pathlib import Path

import pytest

from app.engine import open_engine
from app.settings import load_settings
from index.gallery import GalleryStore
from model.errors import DatasetError
from model.synthetic import write_market
from model.training.datasets.reading import read_dataset
from tests.app.cli.conftest import Reid


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crowd") / "tree"
    return write_market(root, train_identities=0, test_identities=24, cameras=3, views=3)


@pytest.fixture
def filled(reid: Reid, data_dir: Path, crowd: Path) -> None:
    assert reid("ingest", crowd, "--json").code == 0


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_training_reads_what_is_written(reid: Reid, filled: None, tmp_path: Path) -> None:
    with open_engine(load_settings()) as engine:
        engine.gallery.rename("default", "0003", "Anna Beispiel")
    ran = reid("gallery", "export-dataset", tmp_path / "out", "--holdout", "0.3", "--json")
    told = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    dataset = read_dataset(tmp_path / "out")
    assert dataset.protocol == "re-identification"
    assert len(dataset.train) == told["images"]["train"]
    assert len(dataset.query) == told["images"]["test"]
    assert len(dataset.gallery) == told["images"]["test"] + told["images"]["gallery"]
    assert told["cameras"] == 3
    assert told["left_out"] == {"few_samples": 24}  # one picture of each distractor
    assert "Anna" not in (tmp_path / "out" / "manifest.csv").read_text()
    files = [path for path in (tmp_path / "out" / "pictures").rglob("*") if path.is_file()]
    assert len(files) == len(rows(tmp_path / "out"))


def test_names_are_written_when_asked_for(reid: Reid, filled: None, tmp_path: Path) -> None:
    with open_engine(load_settings()) as engine:
        engine.gallery.rename("default", "0003", 'Anna, "Beispiel"')
    out = tmp_path / "the set"
    told = reid("gallery", "export-dataset", out, "--names", "--link")
    assert told.code == 0
    assert f"next: reid train --data '{out}' --out RUN\n" in told.out
    assert "left out: 24 samples: too few samples of the identity" in told.out
    assert 'Anna, "Beispiel"' in {row["identity"] for row in rows(out)}
    linked = next(path for path in (out / "pictures").rglob("*.jpg"))
    assert linked.stat().st_nlink == 2


def test_an_export_that_was_cut_short_is_gone_on_with(
    reid: Reid, filled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reid("gallery", "export-dataset", tmp_path / "whole", "--json")
    asked: list[str] = []
    original = GalleryStore.picture

    def failing(store: GalleryStore, gallery: str, sample_id: str) -> bytes:
        asked.append(sample_id)
        if len(asked) == 20:
            raise KeyboardInterrupt
        return original(store, gallery, sample_id)

    with monkeypatch.context() as patch:
        patch.setattr(GalleryStore, "picture", failing)
        assert reid("gallery", "export-dataset", tmp_path / "out").code != 0
    assert not (tmp_path / "out" / "manifest.csv").exists()
    with pytest.raises(DatasetError):
        read_dataset(tmp_path / "out")
    (tmp_path / "out" / "pictures" / "stray.jpg").write_bytes(b"left by an earlier attempt")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").rglob("*.jpg")}
    done = json.loads(reid("gallery", "export-dataset", tmp_path / "out", "--json").out)
    assert {**done, "manifest": ""} == {**json.loads(whole.out), "manifest": ""}
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")
    assert not (tmp_path / "out" / "pictures" / "stray.jpg").exists()
    kept = [path for path in before if path.exists()]
    assert len(kept) == 19
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_what_is_erased_or_unreadable_is_left_out(
    reid: Reid, filled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = GalleryStore.all_samples
    with open_engine(load_settings()) as engine:
        [lost, erased] = [each for each in listed(engine.gallery, "default") if each.identity == "0001"][:2]
    (tmp_path / "data" / "pictures" / lost.digest[:2] / lost.digest).unlink()
    times: list[None] = []

    def listing(store: GalleryStore, gallery: str) -> object:
        times.append(None)
        if len(times) == 2:  # after the pictures were written
            store.delete(gallery, erased.sample_id)
        return listed(store, gallery)

    monkeypatch.setattr(GalleryStore, "all_samples", listing)
    told = json.loads(reid("gallery", "export-dataset", tmp_path / "out", "--json").out)
    assert (told["left_out"]["unreadable"], told["left_out"]["erased"]) == (1, 1)
    written = {Path(row["path"]).stem for row in rows(tmp_path / "out")}
    assert not written & {lost.digest, erased.digest}
    assert not list((tmp_path / "out").rglob(f"{erased.digest}*"))


def test_a_folder_with_something_else_is_not_written_into(reid: Reid, filled: None, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    ran = reid("gallery", "export-dataset", tmp_path / "out")
    assert (ran.code, "expected a new folder for the data set, found thesis.txt" in ran.err) == (1, True)


def test_nothing_is_written_of_a_gallery_that_cannot_be_exported(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    for gallery, told in (("nope", "no gallery 'nope' was made"), ("default", "expected 2 identities to train on")):
        ran = reid("gallery", "export-dataset", tmp_path / "out", "--gallery", gallery)
        assert (ran.code, told in ran.err) == (1, True)
        assert not (tmp_path / "out").exists()
