"""The changes of the active version, as clients follow them."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from app.errors import MigrationNotFound, MigrationState
from app.identifiers import new_ulid
from model.card import created_now

KEPT = 100


@dataclass(frozen=True, slots=True)
class Migration:
    """One change from a version to another; an empty gallery's has nothing to embed and is done at once."""

    migration_id: str
    source: str
    target: str
    state: str
    created: datetime
    done: int = 0
    total: int = 0


class Migrations:
    """The latest changes since the service was started."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Migration] = OrderedDict()

    def __iter__(self) -> Iterator[Migration]:
        """Iterate, the newest first."""
        return reversed(self._known.values())

    def add_finalized(self, source: str, target: str) -> Migration:
        """Record a change of an empty gallery, which is final as soon as it is made."""
        migration = Migration(new_ulid(), source, target, "finalized", created_now())
        self._known[migration.migration_id] = migration
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return migration

    def get(self, migration_id: str) -> Migration:
        """Return one; raise `MigrationNotFound`."""
        if migration_id not in self._known:
            raise MigrationNotFound(f"no migration {migration_id[:64]!r} was started since the service was")
        return self._known[migration_id]

    def refusal(self, migration_id: str, state: str) -> MigrationState:
        """Return the error for a change of state: what is finalized stays as it is."""
        now = self.get(migration_id).state
        return MigrationState(f"expected a migration that can become {state}, found one that is {now}")
