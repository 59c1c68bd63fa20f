"""The index of one model version: its vectors in memory, their upkeep, and their snapshots."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from sqlalchemy import Connection

from index import catalogue
from index.catalogue import Version
from index.database import Database
from index.follower import Follower, Shard, read_vectors
from index.loading import load
from index.records import Embedding
from index.roster import Ints
from index.snapshots import Snapshots
from index.upkeep import Keeper, reload
from index.vectors import ENGINES, IndexOptions

T = TypeVar("T")


class VersionIndex:
    """All galleries, searchable by one version's embeddings; loading it reads every one of them."""

    def __init__(self, database: Database, snapshots: Snapshots, version: Version, options: IndexOptions) -> None:
        self.version = version
        self.snapshots = snapshots
        self._database = database
        engine = ENGINES[options.storage]
        self.follower = Follower(version.number, version.dim, lambda dim: engine(dim, options.exact_rows))
        if database.file is None:  # who erases does not reach the snapshots of other processes
            self.follower.lost = snapshots.discard
        with database.read() as connection:
            load(connection, self.follower, snapshots, version.name)
        self.keeper = Keeper(database, self.follower, snapshots, version.name, options.recall)
        self.keeper.look()

    def __len__(self) -> int:
        """Count the samples of all galleries."""
        with self.follower.lock.reading():
            return sum(len(shard.roster) for shard in self.follower.shards.values())

    def follow(self) -> None:
        """Apply what was committed, and start the upkeep that is due."""
        with self._database.read() as connection:
            self.follower.catch_up(connection, catalogue.last_seq(connection))
        self.keeper.look()

    def complete(self) -> None:
        """Bring in every sample that has a vector, also those that got theirs after younger ones."""
        self.follow()
        while late := [(gallery, shard) for gallery, shard in self.follower.shards.items() if shard.late]:
            for gallery, shard in late:
                reload(self._database, self.follower, gallery, shard)

    def at_one_moment(self, gallery: str, ask: Callable[[Connection, int, Shard], T]) -> T:
        """Ask of a gallery when the index is where the connection's view of the catalogue is."""
        while True:
            with self._database.read() as connection:
                number, last = catalogue.position(connection, gallery)
                self.follower.catch_up(connection, last)
                with self.follower.lock.reading():
                    if self.follower.applied == last:
                        return ask(connection, number, self.follower.shard(number))

    def vectors_of(self, connection: Connection, shard: Shard, rows: Ints) -> Embedding:
        """Return the embeddings of rows, (N, D), from the catalogue where the index has them rounded."""
        if shard.vectors.lossless:
            return shard.vectors.read(rows)
        ids = shard.roster.facts.ids[rows].tolist()
        vectors = self.stored(connection, ids)
        return np.stack([vectors[key] for key in ids])

    def stored(self, connection: Connection, keys: list[int]) -> dict[int, Embedding]:
        """Return the catalogue's embeddings, (D,) each, of those samples that have one of this version."""
        return read_vectors(connection, self.version.number, self.version.dim, keys)
