"""Enrolments that come together share a commit, and each caller gets its own items' outcomes."""

import threading
from collections.abc import Callable, Sequence

import pytest

from index.errors import GalleryNotFound, StoreUnavailable
from index.gallery import GalleryStore
from index.records import Enrolled, EnrolStatus, NewSample
from index.shared_commit import SharedCommit
from tests.index.people import VERSION, sample


def together(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Commits:
    """Notes what was committed; the first commit waits until all other requests have come."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str], str]] = []
        self.go = threading.Event()

    def __call__(self, gallery: str, items: Sequence[NewSample], version: str) -> list[Enrolled]:
        self.go.wait(10)
        self.seen.append((gallery, [item.identity for item in items], version))
        if any(item.identity == "bad" for item in items):
            raise StoreUnavailable("no space is left")
        return [Enrolled(EnrolStatus.CREATED, item.identity) for item in items]


def run(requests: Sequence[tuple[str, list[NewSample], str]]) -> tuple[Commits, list[object]]:
    commits = Commits()
    shared = SharedCommit(commits)
    found: list[object] = [None] * len(requests)

    def call(place: int) -> None:
        try:
            found[place] = [item.sample_id for item in shared.enrol(*requests[place])]
        except StoreUnavailable as exc:
            found[place] = str(exc)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(requests))]
    for number, thread in enumerate(threads, 1):
        thread.start()
        while len(shared._waiting) < number - 1:  # the first is taken out at once
            pass
    commits.go.set()
    for thread in threads:
        thread.join()
    return commits, found


def test_who_waits_together_is_committed_together() -> None:
    requests = [("g", [sample(number), sample(100 + number)], "v") for number in range(5)]
    commits, found = run(requests)
    assert found == [[f"p{number}", f"p{100 + number}"] for number in range(5)]
    assert [len(identities) for _, identities, _ in commits.seen] == [2, 8]


def test_only_requests_into_one_gallery_and_version_are_joined() -> None:
    requests = [("g", [sample(0)], "v"), ("g", [sample(1)], "v"), ("h", [sample(2)], "v"), ("g", [sample(3)], "w")]
    commits, found = run(requests)
    assert found == [["p0"], ["p1"], ["p2"], ["p3"]]
    assert sorted(commits.seen) == [("g", ["p0"], "v"), ("g", ["p1"], "v"), ("g", ["p3"], "w"), ("h", ["p2"], "v")]


def test_a_commit_is_bounded() -> None:
    requests = [("g", [sample(number) for number in range(400)], "v") for _ in range(5)]
    commits, _ = run(requests)
    assert [len(identities) for _, identities, _ in commits.seen] == [400, 800, 800]


def test_a_failure_is_told_to_all_of_the_commit_and_to_no_other() -> None:
    commits, found = run([("g", [sample(0)], "v"), ("g", [sample(1, "bad")], "v"), ("h", [sample(2)], "v")])
    assert found == [["p0"], "no space is left", ["p2"]]
    assert len(commits.seen) == 3


@pytest.mark.databases
def test_concurrent_enrolments_of_the_same_content_make_one_sample(store: GalleryStore) -> None:
    outcomes: list[Enrolled] = []

    def client(place: int) -> None:
        for number in range(20):
            item = sample(number, external_id=f"e{number}" if place % 2 else None)
            outcomes.extend(store.enrol("default", [item], model_version=VERSION))

    together([lambda place=place: client(place) for place in range(8)])  # type: ignore[misc]
    statuses = [item.status for item in outcomes]
    assert statuses.count(EnrolStatus.CREATED) == 20
    assert statuses.count(EnrolStatus.DUPLICATE) == 140
    assert store.indexes.sample_count() == 20
    assert len({item.sample_id for item in outcomes}) == 20


def test_a_gallery_that_is_not_there_fails_its_own_callers_alone(store: GalleryStore) -> None:
    failures: list[str] = []

    def lost() -> None:
        try:
            store.enrol("nowhere", [sample(1)], model_version=VERSION)
        except GalleryNotFound as exc:
            failures.append(str(exc))

    def found() -> None:
        store.enrol("default", [sample(2)], model_version=VERSION)

    together([lost, found, lost])
    assert len(failures) == 2
    assert store.indexes.sample_count() == 1
    with pytest.raises(GalleryNotFound):
        store.enrol("nowhere", [], model_version=VERSION)
