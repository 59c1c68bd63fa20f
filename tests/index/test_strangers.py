from collections.abc import Iterator
from pathlib import Path

import pytest

from index.errors import GalleryNotFound
from index.gallery import GalleryStore
from index.records import NewSample
from index.vectors import IndexOptions
from tests.index.people import VERSION, crowd, enrol, open_store, sample, vectors

OPTIONS = [IndexOptions(), IndexOptions(storage="float16"), IndexOptions(recall=0.99, exact_rows=100)]


@pytest.fixture(params=OPTIONS, ids=["exact", "float16", "codes"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[GalleryStore]:
    with open_store(folder, index=request.param) as store:
        yield store


def scores(store: GalleryStore, most: int = 1000, least_people: int = 2, seed: int = 0) -> list[float]:
    blocks = store.strangers("default", model_version=VERSION, most=most, least_people=least_people, seed=seed)
    return [score for block in blocks for score in block]


def plainly(samples: list[NewSample]) -> list[float]:
    return [
        max(float(one.embedding @ each.embedding) for each in samples if each.identity != one.identity)
        for one in samples
    ]


def test_each_is_compared_with_everybody_else_as_in_a_plain_loop(store: GalleryStore) -> None:
    samples = crowd(150, identities=30, cameras=3)
    enrol(store, samples)
    store.put_gallery("other")
    enrol(store, crowd(20, identities=5, cameras=1, seed=1), gallery="other")
    assert sorted(scores(store)) == pytest.approx(sorted(plainly(samples)), abs=1e-6)


def test_some_are_drawn_by_chance(store: GalleryStore) -> None:
    samples = crowd(150, identities=30, cameras=3)
    for each in enrol(store, samples)[100:]:
        store.delete("default", each)
    drawn, others = scores(store, most=40), scores(store, most=40, seed=1)
    assert len(drawn) == len(others) == 40
    assert drawn == scores(store, most=40)
    assert sorted(drawn) != sorted(others)
    everyone = plainly(samples[:100])
    assert all(min(abs(each - one) for one in everyone) < 1e-6 for each in drawn)


def test_too_few_people_tell_nothing(store: GalleryStore) -> None:
    assert scores(store) == []
    enrol(store, [sample(each, f"p{each % 4}") for each in range(40)])
    assert scores(store, least_people=5) == []
    assert len(scores(store, least_people=4)) == 40
    assert scores(store, most=3, least_people=4) == []  # who was not drawn does not count


def test_one_person_has_no_stranger(store: GalleryStore) -> None:
    enrol(store, [sample(each, "anna") for each in range(10)])
    assert scores(store, least_people=1) == []


def test_what_changes_meanwhile_counts_as_it_is_then(store: GalleryStore) -> None:
    samples = [sample(each, f"p{each}", embedding=one) for each, one in enumerate(vectors(60))]
    ids = enrol(store, samples)
    blocks = store.strangers("default", model_version=VERSION, most=60, least_people=2)
    found = next(blocks)
    for each in ids[:30]:
        store.delete("default", each)
    store.rename("default", "p30", "p31")  # the two are one person from now on
    rest = [score for block in blocks for score in block]
    assert len(found) + len(rest) < 60
    merged = [each if each.identity != "p30" else sample(30, "p31", embedding=each.embedding) for each in samples[30:]]
    expected = plainly(merged)
    assert all(min(abs(each - one) for one in expected) < 1e-6 for each in rest)


def test_a_gallery_that_is_not_there_is_told(store: GalleryStore) -> None:
    with pytest.raises(GalleryNotFound):
        list(store.strangers("nobody", model_version=VERSION, most=10, least_people=2))
