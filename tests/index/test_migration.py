"""Whose vectors an ended migration leaves over."""

from collections.abc import Callable
from pathlib import Path

import pytest

from index.gallery import GalleryStore
from index.migration import Migration, State
from index.versions import versions_in_use
from tests.index.moving import NEW, NEW_DIM, embed_all, fill, free_all, move, new, seen
from tests.index.people import DIM, VERSION, database_url, enrol, open_store, sample

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


def moved_for_good(store: GalleryStore, version: str) -> None:
    """Move to another version of the same model, and free what was before."""
    moving = store.migrations.plan(version, DIM)
    vectors = store.migrations.copied(moving, 10)
    store.migrations.put(moving, vectors, max(vectors))
    switched = store.migrations.switch(store.migrations.begin_validation(moving), {})
    assert switched is not None
    store.indexes.serve(version)
    store.migrations.finalize(switched.migration_id)
    free_all(store)


def test_a_version_that_is_moved_to_keeps_its_own_vectors_alone(store: GalleryStore, folder: Path) -> None:
    enrol(store, [seen(0), seen(1)])
    tried = failed(store)  # from the version that is moved to again
    moved_for_good(store, "other@1")
    moved_for_good(store, VERSION)
    store.migrations.cancel(tried.migration_id)
    free_all(store)
    assert [(use.version, use.embeddings) for use in versions_in_use(database_url(folder))] == [(VERSION, 2)]
