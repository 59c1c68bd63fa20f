"""A program that moves a store to another version and back or for good, and kills itself around its Nth write."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from index.database import Database
from index.migration import State
from index.opening import serving_version
from tests.index.moving import NEW, NEW_DIM, advance, embed_batch, free_all
from tests.index.people import DIM, VERSION, database_url, open_store


class Death:
    """Counts write transactions; dies before the Nth commits, or as soon as it has."""

    def __init__(self, at: int, *, committed: bool) -> None:
        self.done = 0
        self._at = at
        self._committed = committed
        self._write = Database.write

    def install(self) -> None:
        death, write = self, self._write

        @contextmanager
        def dying(database: Database) -> Iterator[Connection]:
            death.done += 1
            with write(database) as connection:
                yield connection
                death.strike(after=False)
            death.strike(after=True)

        Database.write = dying  # type: ignore[method-assign, assignment]

    def strike(self, *, after: bool) -> None:
        if self.done == self._at and after is self._committed:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, end: str, at: int, *, committed: bool) -> None:
    """Go on from wherever an earlier run was killed, to the `end` that is wanted."""
    version = serving_version(database_url(folder)) or VERSION
    with open_store(folder, version, DIM if version == VERSION else NEW_DIM) as store:
        death = Death(at, committed=committed)
        death.install()
        found = store.migrations.latest()
        moving = found[0] if found else store.migrations.plan(NEW, NEW_DIM)
        while moving.state in (State.PLANNED, State.RUNNING, State.VALIDATING):
            moving, count = embed_batch(store, moving) if moving.state is not State.VALIDATING else (moving, 0)
            if count == 0:
                moving = advance(store, moving)
        if moving.state is State.SWITCHED and end == "finalized":
            store.migrations.finalize(moving.migration_id)
        if moving.state is State.SWITCHED and end == "rolled_back":
            store.migrations.load(moving.source_id)
            assert store.migrations.roll_back(moving.migration_id) is not None
            store.indexes.serve(VERSION)
        free_all(store)
        sys.stdout.write(str(death.done))
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), committed=sys.argv[4] == "committed")
