from pathlib import Path

import pytest

from index.gallery import GalleryStore
from index.versions import VersionUse, versions_in_use
from tests.index.people import DIM, SERVER, VERSION, enrol, open_store, sample


def address(folder: Path) -> str:
    there = folder / SERVER
    return there.read_text() if there.exists() else f"sqlite:///{folder}/reid.db"


def test_no_catalogue_uses_no_version_and_is_not_made(tmp_path: Path) -> None:
    assert versions_in_use(f"sqlite:///{tmp_path}/data/reid.db") == ()
    assert not (tmp_path / "data").exists()


def test_an_empty_file_uses_no_version(tmp_path: Path) -> None:
    (tmp_path / "reid.db").touch()
    assert versions_in_use(f"sqlite:///{tmp_path}/reid.db") == ()


@pytest.mark.databases
def test_the_version_that_serves_is_used_before_anything_is_enrolled(folder: Path, store: GalleryStore) -> None:
    assert versions_in_use(address(folder)) == (VersionUse(VERSION, 0, serving=True),)


@pytest.mark.databases
def test_embeddings_are_counted_while_the_store_is_open(folder: Path, store: GalleryStore) -> None:
    enrol(store, [sample(number) for number in range(3)])
    assert versions_in_use(address(folder)) == (VersionUse(VERSION, 3, serving=True),)


@pytest.mark.databases
def test_both_versions_of_a_move_are_used_until_it_ends(folder: Path, store: GalleryStore) -> None:
    enrol(store, [sample(1)])
    planned = store.migrations.plan("other@1", DIM)
    assert versions_in_use(address(folder)) == (
        VersionUse("other@1", 0, serving=False, migrating=True),
        VersionUse(VERSION, 1, serving=True, migrating=True),
    )
    store.migrations.cancel(planned.migration_id)
    assert versions_in_use(address(folder)) == (VersionUse(VERSION, 1, serving=True),)


def test_a_version_that_nothing_is_left_of_is_not_used(folder: Path) -> None:
    with open_store(folder) as opened:
        opened.migrations.plan("other@1", DIM)  # of empty galleries, final at once
    assert versions_in_use(address(folder)) == (VersionUse("other@1", 0, serving=True),)
