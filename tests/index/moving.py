"""Two versions of one made-up model, and the steps of a migration as the service does them."""

import numpy as np

from index.gallery import GalleryStore
from index.migration import Migration, State
from index.records import Embedding, NewSample
from index.reembedding import LEFT_OUT
from index.validation import Side
from tests.index.people import DIM, enrol, sample, unit, vectors

NEW = "test@2"
NEW_DIM = 8
PEOPLE = 12
VIEWS = 5
_BASES = vectors(1000, seed=5)
_TURN = np.random.default_rng(7).standard_normal((DIM, NEW_DIM))


def old(picture: bytes) -> Embedding:
    """Embed as the version that serves does: views of one person are near each other."""
    number = int(picture.split()[1])
    noise = vectors(1, seed=number)[0]
    return unit(_BASES[number // VIEWS] + 0.3 * noise)


def new(picture: bytes) -> Embedding:
    """Embed as the version to move to does, with fewer numbers."""
    return unit(old(picture).astype(np.float64) @ _TURN)


def seen(number: int, *, both: bool = False) -> NewSample:
    """Return one view of one person, seen by one of two cameras; embedded with both versions or with the first."""
    picture = b"picture %d" % number
    made = sample(number, f"p{number // VIEWS}", camera=f"c{number % 2}", embedding=old(picture), picture=picture)
    if not both:
        return made
    return NewSample(made.identity, made.embedding, made.picture, made.camera, others={NEW: new(picture)})


def fill(store: GalleryStore) -> list[str]:
    """Enrol a small crowd."""
    return enrol(store, [seen(number) for number in range(PEOPLE * VIEWS)])


def sides() -> tuple[Side, Side]:
    return Side(0.8, old), Side(0.8, new)


def embed_batch(store: GalleryStore, moving: Migration, limit: int = 16) -> tuple[Migration, int]:
    """Embed the next samples with the version that does not serve, as far as their pictures are there."""
    embed = old if moving.state is State.SWITCHED else new
    vectors = {
        each.number: embed(store.read_picture(each.digest)).tobytes() if each.picture_stored else LEFT_OUT
        for each in store.migrations.pending(moving, limit)
    }
    return (store.migrations.put(moving, vectors, max(vectors), rate=1.0) if vectors else moving), len(vectors)


def embed_all(store: GalleryStore, moving: Migration) -> Migration:
    """Embed until nothing is left."""
    while True:
        moving, count = embed_batch(store, moving)
        if count == 0:
            return moving


def advance(store: GalleryStore, moving: Migration) -> Migration:
    """Take a migration to its next state; it ends switched or failed."""
    if moving.state in (State.PLANNED, State.RUNNING):
        return store.migrations.begin_validation(embed_all(store, moving))
    store.migrations.load(moving.source_id)
    store.migrations.load(moving.target_id)
    validation = store.migrations.validate(moving, *sides())
    if not validation["passed"]:
        return store.migrations.fail(moving, "; ".join(validation["problems"]), validation)
    while (switched := store.migrations.switch(moving, validation)) is None:
        moving = embed_all(store, store.migrations.get(moving.migration_id))
    store.indexes.serve(switched.target)
    return switched


def move(store: GalleryStore, *, leave_out: bool = False) -> Migration:
    """Move a store to the new version."""
    moving = store.migrations.plan(NEW, NEW_DIM, leave_out=leave_out)
    while moving.state in (State.PLANNED, State.RUNNING, State.VALIDATING):
        moving = advance(store, moving)
    return moving


def free_all(store: GalleryStore) -> None:
    while store.migrations.free_some():
        pass
