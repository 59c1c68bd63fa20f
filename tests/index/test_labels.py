from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from index.errors import GalleryNotFound, IdentityNotFound, InvalidValue, SampleNotFound
from index.gallery import GalleryStore
from index.labels import Answered
from tests.index.people import database_url, enrol, open_store, sample

NOTHING = Answered(frozenset(), frozenset())
pytestmark = pytest.mark.databases


def rows(folder: Path) -> tuple[int, int]:
    """Count the answers that are written down, whether they hold or not."""
    engine = create_engine(database_url(folder), poolclass=NullPool)
    with engine.connect() as connection:
        right, apart = (connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in TABLES)
    return int(right or 0), int(apart or 0)


TABLES = ("right_labels", "people_apart")


def apart(*pairs: tuple[str, str]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair) for pair in pairs)


def test_answers_outlive_the_process_and_are_of_one_gallery(store: GalleryStore, folder: Path) -> None:
    keys = enrol(store, [sample(number, name) for number, name in enumerate("abca")])
    store.put_gallery("other")
    [theirs] = enrol(store, [sample(9, "a")], "other")
    for _ in range(2):
        store.labels.call_right("default", keys[0])
        store.labels.call_apart("default", "b", "a")
    store.labels.call_apart("default", "a", "b")
    store.labels.call_right("other", theirs)
    with open_store(folder) as again:
        assert again.labels.of("default") == Answered(frozenset([keys[0]]), apart(("a", "b")))
        assert again.labels.of("other") == Answered(frozenset([theirs]), frozenset())
    assert rows(folder) == (2, 1)
    assert store.labels.forget("default") == 2
    assert (store.labels.of("default"), len(store.labels.of("other"))) == (NOTHING, 1)
    assert store.labels.forget("default") == 0


def test_an_answer_holds_as_long_as_it_speaks_of_what_is_there(store: GalleryStore) -> None:
    keys = enrol(store, [sample(number, name) for number, name in enumerate("abcd")])
    for key in keys:
        store.labels.call_right("default", key)
    store.labels.call_apart("default", "a", "b")
    store.labels.call_apart("default", "c", "d")
    store.rename("default", "a", "A")
    assert store.labels.of("default") == Answered(frozenset(keys), apart(("A", "b"), ("c", "d")))
    store.update("default", keys[1], {"identity": "x"})
    assert store.labels.of("default") == Answered(frozenset(keys) - {keys[1]}, apart(("c", "d")))
    store.rename("default", "c", "d")
    assert store.labels.of("default") == Answered(frozenset([keys[0], keys[3]]), frozenset())
    store.update("default", keys[1], {"identity": "b"})  # a new b: what was said of the one before is void
    assert keys[1] not in store.labels.of("default").right


def test_an_erasure_takes_answers_with_it(store: GalleryStore, folder: Path) -> None:
    keys = enrol(store, [sample(number, name) for number, name in enumerate("abc")])
    store.labels.call_right("default", keys[0])
    store.labels.call_apart("default", "a", "b")
    assert store.erase("default", "a").verified
    assert store.labels.of("default") == NOTHING
    [again] = enrol(store, [sample(0, "a")])
    assert store.labels.of("default") == NOTHING
    store.labels.call_right("default", again)
    assert rows(folder) == (1, 0)


def test_what_is_not_there_is_refused(store: GalleryStore, folder: Path) -> None:
    enrol(store, [sample(1, "a")])
    with pytest.raises(SampleNotFound):
        store.labels.call_right("default", "nobody")
    with pytest.raises(IdentityNotFound, match="identity 'b'"):
        store.labels.call_apart("default", "a", "b")
    with pytest.raises(InvalidValue, match="expected two identities, found 'a' twice"):
        store.labels.call_apart("default", "a", "a")
    for call in (store.labels.of, store.labels.forget):
        with pytest.raises(GalleryNotFound):
            call("none")
    assert rows(folder) == (0, 0)
