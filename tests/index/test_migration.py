"""Whose vectors an ended migration leaves over."""

from collections.abc import Callable
from pathlib import Path

import pytest

from index.gallery import GalleryStore
from index.migration import Migration, State
from tests.index.moving import NEW, NEW_DIM, embed_all, fill, free_all, move, new
from tests.index.people import VERSION, enrol, open_store, sample

pytestmark = pytest.mark.databases


def failed(store: GalleryStore) -> Migration:
    """Embed all with the new version, in vain."""
    moving = embed_all(store, store.migrations.plan(NEW, NEW_DIM))
    return store.migrations.fail(moving, "the validation found something")


def rolled_back(store: GalleryStore) -> Migration:
    switched = move(store)
    back = store.migrations.roll_back(switched.migration_id)
    assert back is not None
    store.indexes.serve(VERSION)
    return back


def enrol_and_free(store: GalleryStore, ended: Migration) -> None:
    """Enrol with the new version, which serves, then free what an earlier migration to it left over."""
    assert store.migrations.serving() == NEW
    assert store.migrations.get(ended.migration_id).freed  # also once another version serves, with the way back to it
    enrol(store, [sample(1, embedding=new(b"picture 1"))])
    if ended.state is State.FAILED:  # until it is cancelled, nothing frees what it embedded
        store.migrations.cancel(ended.migration_id)
    free_all(store)
    report = store.check()
    assert (report.problems, report.vectors) == ((), 1)


@pytest.mark.parametrize("end", [failed, rolled_back])
def test_a_version_that_an_empty_store_changes_to_keeps_its_vectors(
    store: GalleryStore, end: Callable[[GalleryStore], Migration]
) -> None:
    fill(store)
    ended = end(store)
    store.delete_gallery("default")
    store.migrations.plan(NEW, NEW_DIM)
    store.migrations.load_serving()
    store.indexes.serve(NEW)
    enrol_and_free(store, ended)


def test_a_version_that_an_empty_store_is_opened_with_keeps_its_vectors(folder: Path) -> None:
    with open_store(folder) as store:
        fill(store)
        ended = failed(store)
        store.delete_gallery("default")
    with open_store(folder, NEW, NEW_DIM) as store:
        enrol_and_free(store, ended)


def test_a_migration_that_is_cancelled_does_not_free_the_version_that_serves(folder: Path) -> None:
    with open_store(folder) as store:
        fill(store)
        moving = store.migrations.plan(NEW, NEW_DIM)
        store.delete_gallery("default")
    with open_store(folder, NEW, NEW_DIM) as store:  # empty, it takes the target of a migration that is under way
        enrol(store, [sample(1, embedding=new(b"picture 1"))])
        store.migrations.cancel(moving.migration_id)
        free_all(store)
        assert store.migrations.get(moving.migration_id).freed
        report = store.check()
        assert (report.problems, report.vectors) == ((), 1)
