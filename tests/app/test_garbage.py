import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from app.garbage import Garbage


class Knot:
    """Holds itself, so that only a collection lets it go."""

    def __init__(self) -> None:
        self.itself = self


def old_knot() -> "weakref.ref[Knot]":
    """Return a reference to garbage that only a full collection finds."""
    knot = Knot()
    gc.collect()  # what is there now is old
    return weakref.ref(knot)


def many() -> list[list[int]]:
    """Make enough new objects for a full collection: a quarter of those that outlived the last one."""
    return [[each] for each in range(200_000 + len(gc.get_objects()))]


def outlives(garbage: Garbage, seconds: float) -> bool:
    """Run for so long, with enough of new objects for Python to want a full collection; tell what became of a knot."""

    async def run() -> bool:
        gc.collect()
        async with garbage.running():
            found = old_knot()
            held = many()
            assert held
            await asyncio.sleep(seconds)
            return found() is not None

    return asyncio.run(run())


def nothing() -> int:
    return 0


def much() -> int:
    return 512


def test_python_collects_it_by_itself_without() -> None:
    """What the other tests stand on."""
    found = old_knot()
    held = many()
    assert held
    assert found() is None


@pytest.mark.parametrize("waiting", [nothing, much])
def test_new_objects_bring_no_full_collection(waiting: Callable[[], int]) -> None:
    assert outlives(Garbage(waiting, every=3600.0), 0.0)


def test_garbage_goes_when_nothing_waits() -> None:
    assert not outlives(Garbage(nothing, every=0.001), 0.05)


def test_it_stays_while_something_waits() -> None:
    assert outlives(Garbage(much, every=0.001, longest=3600.0), 0.05)


def test_it_does_not_stay_for_ever() -> None:
    assert not outlives(Garbage(much, every=0.001, longest=0.01), 0.05)


def test_what_was_there_before_is_not_gone_through() -> None:
    async def run() -> int:
        async with Garbage(nothing).running():
            return len(gc.get_objects())

    there = len(gc.get_objects())
    assert asyncio.run(run()) < there / 10
    assert gc.get_freeze_count() == 0


def test_python_has_its_way_again_afterwards() -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 11)
    try:
        outlives(Garbage(nothing), 0.0)
        assert gc.get_threshold() == (700, 10, 11)
    finally:
        gc.set_threshold(*before)
