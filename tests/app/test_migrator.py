import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import migrator as migrator_module
from app.engine import Engine, open_engine
from app.metrics import Metrics
from app.migrator import Migrator
from app.settings import Settings
from index.errors import StoreUnavailable
from index.migration import Migration, State
from model.errors import VersionDamaged
from tests.app.moving import OTHER, two_versions
from tests.app.parts import VERSION


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a data folder with two versions, in which one person is enrolled with the first."""
    return two_versions(tmp_path)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    with open_engine(settings) as opened:
        yield opened


def plan(engine: Engine) -> str:
    return engine.gallery.migrations.plan(OTHER, engine.embedder.dim).migration_id


def switched(settings: Settings) -> str:
    """Move the gallery to the other version; return the migration's id."""
    with open_engine(settings) as engine:
        identifier, migrator = plan(engine), Migrator(engine)
        while engine.gallery.migrations.get(identifier).state is not State.SWITCHED:
            assert migrator.step()
        migrator.release()
    return identifier


async def worked(migrator: Migrator, enough: Callable[[], bool]) -> None:
    async with migrator.running():
        while not enough():
            await asyncio.sleep(0.005)


def test_what_is_held_is_one_migration_and_not_the_next(engine: Engine) -> None:
    store, migrator = engine.gallery.migrations, Migrator(engine)
    first = plan(engine)
    assert migrator.step()
    store.cancel(first)
    second = plan(engine)
    assert store.hold(second, "another")
    assert not migrator.step()
    assert (store.get(second).state, store.get(second).owner) == (State.PLANNED, "another")


def test_a_version_before_that_cannot_be_opened_is_told_once_with_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identifier = switched(settings)
    file = settings.registry_dir / "tiny" / "1" / "model.onnx"
    whole = file.read_bytes()
    monkeypatch.setattr(migrator_module, "_RETRY_SECONDS", 0.005)
    with open_engine(settings) as engine:
        tries, follow = [0], engine.follow

        def counted() -> Migration | None:
            tries[0] += 1
            return follow()

        monkeypatch.setattr(engine, "follow", counted)
        file.write_bytes(b"damaged")
        with caplog.at_level(logging.ERROR, "app.migrator"):
            asyncio.run(worked(Migrator(engine), lambda: tries[0] > 5))
            [told] = caplog.messages
        assert "tiny@1: expected model.onnx with sha256" in told
        assert told.endswith(f"reid migrations finalize {identifier}")
        assert engine.model.version == OTHER
        assert engine.gallery.migrations.get(identifier).state is State.SWITCHED
        file.write_bytes(whole)
        asyncio.run(worked(Migrator(engine), lambda: bool(engine.others)))
        assert [each.version for each in engine.others] == [VERSION]


def test_it_is_told_again_when_it_was_well_in_between(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    switched(settings)
    for name in ("_RETRY_SECONDS", "_WAIT_SECONDS"):
        monkeypatch.setattr(migrator_module, name, 0.005)
    with open_engine(settings) as engine:
        outcomes = iter([*[True] * 3, False, *[True] * 3])
        missing = VersionDamaged("tiny@1: gone")
        tries = [0]

        def follow() -> None:
            tries[0] += 1
            if next(outcomes, False):
                raise missing

        monkeypatch.setattr(engine, "follow", follow)
        with caplog.at_level(logging.ERROR, "app.migrator"):
            asyncio.run(worked(Migrator(engine), lambda: tries[0] > 7))
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(("under_way", "counted"), [(False, False), (True, True)])
def test_a_catalogue_that_is_away_is_told_once_and_fails_no_migration_where_none_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, under_way: bool, counted: bool
) -> None:
    monkeypatch.setattr(migrator_module, "_WAIT_SECONDS", 0.005)
    metrics, tries = Metrics(), [0]
    migrator = Migrator(engine, metrics)
    if under_way:
        plan(engine)
    migrator.step()

    def follow() -> None:
        tries[0] += 1
        raise StoreUnavailable("the database server does not answer")

    monkeypatch.setattr(engine, "follow", follow)
    with caplog.at_level(logging.ERROR, "app.migrator"):
        asyncio.run(worked(migrator, lambda: tries[0] > 5))
    [told] = caplog.records
    assert told.getMessage().endswith("the database server does not answer")
    assert told.exc_info is None
    failures = metrics.registry.get_sample_value("reid_migration_failures_total")
    assert failures is not None
    assert (failures > 0) is counted
