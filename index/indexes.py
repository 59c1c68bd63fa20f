"""The indexes that are in memory, one for each model version that can be asked, and which of them serves."""

import threading
from pathlib import Path

from index import ledger
from index.database import Database
from index.errors import ModelMismatch
from index.follower import Follower
from index.ledger import Version
from index.records import IndexInfo
from index.snapshots import Snapshots
from index.vectors import IndexOptions
from index.version_index import VersionIndex


class Indexes:
    """What is asked names its version, so an answer never mixes two. Readers need no lock: the table is replaced."""

    def __init__(self, database: Database, snapshots: Path, options: IndexOptions, serving: Version) -> None:
        self._database = database
        self._snapshots = snapshots
        self._options = options
        self._changing = threading.Lock()
        self._loaded: dict[str, VersionIndex] = {}
        self._serving = serving.name
        self.load(serving)

    @property
    def serving(self) -> VersionIndex:
        """The index of the version that serves."""
        return self._loaded[self._serving]

    def of(self, version: str) -> VersionIndex:
        """Return a version's index or raise `ModelMismatch`."""
        index = self._loaded.get(version)
        if index is None:
            raise ModelMismatch(f"expected an embedding of {self._serving}, found one of {version}: embed it again")
        return index

    def followers(self) -> list[Follower]:
        """Return the follower of each index."""
        return [index.follower for index in self._loaded.values()]

    def load(self, version: Version, *, anew: bool = False) -> None:
        """Load a version's index beside the others, unless it is there; `anew`: read it again from the catalogue."""
        with self._changing:
            if anew or version.name not in self._loaded:
                snapshots = Snapshots(self._snapshots, version.number)
                index = VersionIndex(self._database, snapshots, version, self._options)
                self._loaded = {**self._loaded, version.name: index}

    def serve(self, version: str) -> None:
        """Serve a version whose index is loaded, with every sample in it; the one before stays until it is dropped."""
        index = self.of(version)
        index.complete()
        self._serving = version

    def drop(self, version: str) -> None:
        """Let a version's index go, unless it serves."""
        with self._changing:
            if version != self._serving:
                self._loaded = {name: index for name, index in self._loaded.items() if name != version}

    def forget(self, number: int) -> None:
        """Remove the snapshots of a version by its number in the catalogue."""
        Snapshots(self._snapshots, number).discard_version()

    def versions(self) -> tuple[str, ...]:
        """Return the versions whose embeddings can be searched for."""
        return tuple(self._loaded)

    def info(self) -> list[IndexInfo]:
        """Tell how the version that serves searches each gallery, by name."""
        return self.serving.info()

    def sample_count(self) -> int:
        """Count the samples of all galleries."""
        self.follow()
        return len(self.serving)

    def lag(self) -> int:
        """Count the changes of the catalogue that the version that serves has not applied; the next query will."""
        with self._database.read() as connection:
            return max(0, ledger.last_seq(connection) - self.serving.follower.applied)

    def settle(self) -> None:
        """Do what is done in the background, and wait for it: space taken back, codes learnt, snapshots written."""
        self.serving.keeper.settle()

    def follow(self) -> None:
        """Let every index apply what was committed."""
        for index in self._loaded.values():
            index.follow()

    def save(self) -> None:
        """Write the snapshots that make the next opening faster."""
        for index in self._loaded.values():
            index.keeper.save_all()
