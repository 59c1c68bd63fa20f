"""The index of one model version: its vectors in memory, their upkeep, and their snapshots."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from sqlalchemy import Connection, select

from index import catalogue, ledger, server
from index.database import Database, chunks
from index.follower import Follower, Shard, read_vectors
from index.ledger import Version
from index.loading import load
from index.records import Embedding, IndexInfo
from index.roster import Ints, Roster
from index.schema import samples
from index.snapshots import Snapshots
from index.upkeep import Keeper, reload
from index.vectors import ENGINES, IndexOptions

_log = logging.getLogger(__name__)
T = TypeVar("T")


class VersionIndex:
    """All galleries, searchable by one version's embeddings; loading it reads every one of them."""

    def __init__(self, database: Database, snapshots: Snapshots, version: Version, options: IndexOptions) -> None:
        self.version = version
        self.snapshots = snapshots
        self._database = database
        self._options = options
        self._beginning = threading.Lock()
        with database.read() as connection:
            self.follower = self._loaded(connection)
        if database.file is None:  # who erases does not reach the snapshots of other processes
            self.follower.lost = snapshots.discard
        self.keeper = Keeper(database, self.follower, snapshots, options.recall)
        self.keeper.look()

    def __len__(self) -> int:
        """Count the samples of all galleries."""
        with self.follower.lock.reading():
            return sum(len(shard.roster) for shard in self.follower.shards.values())

    def follow(self) -> None:
        """Apply what was committed, and start the upkeep that is due."""
        while not self._caught_up():
            self._begin_again()
        self.keeper.look()

    def complete(self) -> None:
        """Bring in every sample that has a vector, also those that got theirs after younger ones."""
        self.follow()
        while late := [(gallery, shard) for gallery, shard in self.follower.shards.items() if shard.late]:
            for gallery, shard in late:
                reload(self._database, self.follower, gallery, shard)

    def at_one_moment(self, gallery: str, ask: Callable[[Connection, int, Shard], T]) -> T:
        """Ask of a gallery when the index is where the connection's view of the catalogue is, with every sample in."""
        while True:
            before = self.follower.applied
            with self._database.read() as connection:
                number, last = catalogue.position(connection, gallery)
                shard = None
                if self._is_ours(connection, before, last):
                    self.follower.catch_up(connection, last)
                    with self.follower.lock.reading():
                        shard = self.follower.shard(number)
                        if self.follower.applied == last and not shard.late:
                            return ask(connection, number, shard)
            if shard is None:
                self._begin_again()
            elif shard.late:  # who enrolled them may have been answered
                reload(self._database, self.follower, number, shard)

    def info(self) -> list[IndexInfo]:
        """Tell how each gallery is searched, by name."""
        with self._database.read() as connection:
            numbers = catalogue.gallery_numbers(connection)
        with self.follower.lock.reading():
            return [_info(name, self.follower.shard(number)) for name, number in numbers.items()]

    def embeddings(self, gallery: str, sample_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings, (D,) each, of those samples that are there."""

        def ask(connection: Connection, _number: int, shard: Shard) -> dict[str, Embedding]:
            numbers = _numbers_by_id(connection, sample_ids)
            rows = shard.roster.find(np.array(list(numbers.values()), dtype=np.int64))
            there = [sample_id for sample_id, row in zip(numbers, rows.tolist(), strict=True) if row >= 0]
            return dict(zip(there, self.vectors_of(connection, shard, rows[rows >= 0]), strict=True))

        return self.at_one_moment(gallery, ask)

    def vectors_of(self, connection: Connection, shard: Shard, rows: Ints) -> Embedding:
        """Return the embeddings of rows, (N, D), from the catalogue where the index has them rounded."""
        if shard.vectors.lossless:
            return shard.vectors.read(rows)
        ids = shard.roster.facts.ids[rows].tolist()
        vectors = self.stored(connection, ids)
        return np.array([vectors[key] for key in ids], dtype=np.float32).reshape(-1, self.version.dim)

    def stored(self, connection: Connection, keys: list[int]) -> dict[int, Embedding]:
        """Return the catalogue's embeddings, (D,) each, of those samples that have one of this version."""
        return read_vectors(connection, self.version, keys)

    def _loaded(self, connection: Connection) -> Follower:
        engine = ENGINES[self._options.storage]
        follower = Follower(self.version, lambda dim: engine(dim, self._options.exact_rows))
        load(connection, follower, self.snapshots)
        return follower

    def _caught_up(self) -> bool:
        before = self.follower.applied
        with self._database.read() as connection:
            last = ledger.last_seq(connection)
            if ours := self._is_ours(connection, before, last):
                self.follower.catch_up(connection, last)
            return ours

    def _is_ours(self, connection: Connection, before: int, last: int) -> bool:
        """Tell whether the catalogue, now at change `last`, goes on from where the index was `before`.

        A copy that was put back, or a server that took over without the last commits of the one before, gives the
        same numbers to other changes and samples.
        """
        return last >= before and server.which(connection) == self.follower.server

    def _begin_again(self) -> None:
        """Read everything again, once for all threads that found the catalogue to be another."""
        with self._beginning, self._database.read() as connection:
            last = ledger.last_seq(connection)
            if self._is_ours(connection, self.follower.applied, last):
                return
            _log.warning(
                "the database server was started anew or its data were put back: the index, at change %d, is read "
                "again at change %d",
                self.follower.applied,
                last,
            )
            self.follower.begin_again(self._loaded(connection))


def _numbers_by_id(connection: Connection, sample_ids: Iterable[str]) -> dict[str, int]:
    """Return sample id -> number for those samples that are there, in whichever gallery.

    Asked for one gallery's, SQLite would go through the whole of it rather than look the ids up.
    """
    found: dict[str, int] = {}
    for chunk in chunks(sample_ids):
        query = select(samples.c.sample_id, samples.c.id).where(samples.c.sample_id.in_(chunk))
        found.update((key, number) for key, number in connection.execute(query).all())
    return found


def _info(name: str, shard: Shard) -> IndexInfo:
    held, codes = len(shard.roster), shard.vectors.codes
    size = shard.vectors.bytes_per_row + Roster.BYTES_PER_ROW
    if codes is None:
        return IndexInfo(name, held, "exact", 1.0, held, size)
    return IndexInfo(name, held, "codes", codes.setting.recall, codes.depth, size)
