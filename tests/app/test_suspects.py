import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app import suspects
from app.errors import Stopped
from app.suspects import Findings, GalleryAudit
from index.errors import GalleryNotFound, ModelMismatch
from index.gallery import GalleryStore
from index.records import NewSample
from tests.index.people import enrol, open_store, sample, unit

PEOPLE, EACH = 12, 6


def people() -> list[NewSample]:
    """Twelve people; two samples of the fourth are labelled as the first, and the sixth has a second name."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((PEOPLE, 16))
    made = []
    for number in range(PEOPLE * EACH):
        who = number // EACH
        name = "p0" if number in (18, 19) else "again" if number in (30, 31, 32) else f"p{who}"
        made.append(sample(number, name, embedding=unit(centres[who] + 0.3 * rng.standard_normal(16))))
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with open_store(tmp_path) as store:
        yield store


def test_wrong_labels_and_double_names_are_found(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_BLOCK", 7)
    ids = enrol(store, people())
    told: list[tuple[int, int]] = []
    found = GalleryAudit(store, "default").run(0.7, lambda done, total: told.append((done, total)))
    assert (found.samples, found.identities, found.model_version) == (72, 13, store.model_version)
    assert {(each.sample_id, each.identity, each.suggested) for each in found.suspects} >= {
        (ids[18], "p0", "p3"),
        (ids[19], "p0", "p3"),
    }
    assert [each.margin for each in found.suspects] == sorted((each.margin for each in found.suspects), reverse=True)
    assert all(each.margin == each.suggested_score - each.own_score > 0 for each in found.suspects)
    assert {(each.first, each.second) for each in found.merges} == {("again", "p5")}
    assert told == sorted(told)
    assert told[-1] == (144, 144)


def test_merges_are_not_looked_for_without_a_threshold(store: GalleryStore) -> None:
    enrol(store, people())
    assert GalleryAudit(store, "default").run(None).merges == ()


def test_what_cannot_be_judged_is_counted_and_how_many_pairs_chance_brings(store: GalleryStore) -> None:
    enrol(store, [each for each in people() if each.identity != "p11"])
    enrol(store, [sample(900 + number, f"once{number}") for number in range(5)])
    found = GalleryAudit(store, "default").run(0.7, rate=0.01)
    assert (found.samples, found.identities, found.alone) == (71, 17, 5)
    assert found.by_chance == pytest.approx(0.01 * 17 * 16 / 2)
    assert GalleryAudit(store, "default").run(0.7).by_chance is None
    assert GalleryAudit(store, "default").run(None, rate=0.01).by_chance is None


def test_what_was_answered_is_not_found_again(store: GalleryStore) -> None:
    ids = enrol(store, people())
    before = GalleryAudit(store, "default").run(0.7)
    store.labels.call_right("default", ids[18])
    store.labels.call_apart("default", "p5", "again")
    after = GalleryAudit(store, "default").run(0.7)
    left = [each.sample_id for each in before.suspects if each.sample_id != ids[18]]
    assert [each.sample_id for each in after.suspects] == left
    assert ids[19] in left
    assert (before.merges[0].first, after.merges) == ("again", ())
    store.update("default", ids[18], {"identity": "p7"})  # and that nobody called right
    assert ids[18] in {each.sample_id for each in GalleryAudit(store, "default").run(None).suspects}


def test_an_empty_gallery_has_nothing_wrong(store: GalleryStore) -> None:
    nothing = Findings("default", store.model_version, 0, 0, 0, 0.5, 0, (), ())
    assert GalleryAudit(store, "default").run(0.5, rate=0.001) == nothing
    with pytest.raises(GalleryNotFound):
        GalleryAudit(store, "none").run(0.5)


def test_what_is_deleted_meanwhile_is_passed_over(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_BLOCK", 10)
    ids = enrol(store, people())
    deleted: list[str] = []

    def delete(done: int, total: int) -> None:
        if done >= 72 and not deleted:
            deleted.append(ids[18])
            for each in (ids[18], *ids[60:]):
                store.delete("default", each)

    found = GalleryAudit(store, "default").run(None, delete)
    assert ids[19] in {each.sample_id for each in found.suspects}
    assert not {each.sample_id for each in found.suspects} & {ids[18], *ids[60:]}


def test_it_can_be_stopped(store: GalleryStore) -> None:
    enrol(store, people())
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        GalleryAudit(store, "default", stopped).run(None)


def test_vectors_of_two_versions_are_not_compared(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(store, people())
    audit = GalleryAudit(store, "default")
    monkeypatch.setattr(GalleryStore, "model_version", "test@2")
    with pytest.raises(ModelMismatch, match="start it again"):
        audit.run(None)
