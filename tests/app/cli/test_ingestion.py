"""Pictures are taken in while the galleries move to another version, by a process beside the service."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.cli.entries import Entry
from app.cli.ingestion import Ingestion, Outcome
from app.engine import Engine, open_engine
from app.migrator import Migrator, roll_back
from app.reembedding import embed_picture
from app.settings import Settings, load_settings
from index.gallery import GalleryStore
from index.migration import State
from index.records import Enrolled, EnrolStatus, NewSample
from tests import tiny_model
from tests.app.moving import OTHER
from tests.app.parts import VERSION, person

OLD = person(9)


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """Return settings of a data folder with two versions, of different pictures and of different lengths."""
    tiny_model.write_version(data_dir / "models" / "tiny" / "2", number=2)
    return load_settings(data_dir=data_dir)


@pytest.fixture
def service(settings: Settings) -> Iterator[Engine]:
    """Return the engine of another process on the same folder; the gallery `bare` keeps no pictures and has one."""
    with open_engine(settings) as opened:
        opened.gallery.put_gallery("bare", store_images=False)
        old = NewSample("old", embed_picture(opened.model, OLD), OLD)
        opened.gallery.enrol("bare", [old], model_version=VERSION)
        yield opened


@pytest.fixture
def people(tmp_path: Path) -> list[Entry]:
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(person(number))
    return [Entry(path.name, path, f"p{number}") for number, path in enumerate(paths)]


def plan(service: Engine) -> str:
    dim = service.open_model(OTHER).embedder.dim
    return service.gallery.migrations.plan(OTHER, dim, leave_out=True, forced=True).migration_id


def switch(service: Engine, identifier: str) -> None:
    migrator = Migrator(service)
    while service.gallery.migrations.get(identifier).state is not State.SWITCHED:
        assert migrator.step()


def ingested(settings: Settings, people: Sequence[Entry]) -> list[Outcome]:
    with open_engine(settings) as engine:
        return [each for outcomes in Ingestion(engine, "bare", 2).run(people) for each in outcomes]


def created(outcomes: Sequence[Outcome]) -> list[str]:
    assert {each.status for each in outcomes} == {EnrolStatus.CREATED}
    return [each.sample_id for each in outcomes if each.sample_id is not None]


def assert_of_both(service: Engine, people: Sequence[Entry], sample_ids: Sequence[str]) -> None:
    assert len(sample_ids) == len(people)
    for version in (VERSION, OTHER):
        model = service.open_model(version)
        for entry, sample_id in zip(people, sample_ids, strict=True):
            found = service.gallery.embedding("bare", sample_id, model_version=version)
            np.testing.assert_allclose(found, embed_picture(model, entry.path.read_bytes()), atol=1e-6)


def names(service: Engine) -> list[str]:
    return [each.identity for each in service.gallery.identities("bare", limit=99).items]


def test_what_is_ingested_during_a_move_is_not_left_out(
    service: Engine, settings: Settings, people: list[Entry]
) -> None:
    identifier = plan(service)
    sample_ids = created(ingested(settings, people))
    switch(service, identifier)
    assert_of_both(service, people, sample_ids)
    assert service.gallery.migrations.finalize(identifier).left_out == 1
    while service.gallery.migrations.free_some():
        pass
    assert names(service) == [entry.identity for entry in people]


def test_what_is_ingested_since_the_switch_comes_along_at_a_rollback(
    service: Engine, settings: Settings, people: list[Entry]
) -> None:
    identifier = plan(service)
    switch(service, identifier)
    sample_ids = created(ingested(settings, people))
    assert_of_both(service, people, sample_ids)
    roll_back(service, identifier, "me")
    assert names(service) == ["old", *(entry.identity for entry in people)]
    assert service.gallery.check().clean


def test_a_move_that_begins_and_switches_in_the_middle_is_followed(
    service: Engine, settings: Settings, people: list[Entry]
) -> None:
    """What was embedded ahead is embedded again."""
    done: list[Outcome] = []
    with open_engine(settings) as engine:
        for count, outcomes in enumerate(Ingestion(engine, "bare", 1).run(people)):
            done += outcomes
            if count == 0:
                identifier = plan(service)
            if count == 2:
                switch(service, identifier)
    # the second is enrolled while the outcome of the first is read, perhaps before the move
    assert_of_both(service, people[2:], created(done)[2:])
    assert service.gallery.check().clean


def test_a_switch_between_embedding_and_enrolling_is_followed(
    service: Engine, settings: Settings, people: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol = GalleryStore.enrol
    switched: list[str] = []

    def late(self: GalleryStore, gallery: str, items: Sequence[NewSample], *, model_version: str) -> list[Enrolled]:
        if not switched:
            switched.append(identifier)
            switch(service, identifier)
        return enrol(self, gallery, items, model_version=model_version)

    identifier = plan(service)
    monkeypatch.setattr(GalleryStore, "enrol", late)
    assert_of_both(service, people, created(ingested(settings, people)))


def test_without_the_other_version_it_goes_on_and_says_so(
    service: Engine, settings: Settings, people: list[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    switch(service, plan(service))
    (settings.registry_dir / "tiny" / "1" / "model.onnx").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING, "app.cli.ingestion"):
        assert len(created(ingested(settings, people))) == len(people)
    [told] = [each.getMessage() for each in caplog.records if each.name == "app.cli.ingestion"]
    assert "what is enrolled gets no vector of it" in told
    assert "tiny@1" in told
