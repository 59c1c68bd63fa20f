"""What opening a store decides: the version that serves, and where its snapshots lie."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from index import catalogue, ledger, migration
from index.database import Database, file_of
from index.errors import InvalidValue, ModelMismatch, StoreUnavailable
from index.ledger import Version
from index.pictures import PictureStore
from index.schema import picture_removals, samples


def serving_version(database_url: str) -> str | None:
    """Return the version that what is enrolled was embedded with; None where nothing is enrolled."""
    file = file_of(database_url)
    if file is not None and not file.exists():
        return None
    with closing(Database.open(database_url)) as database, database.read() as connection:
        serving = ledger.opened_with(connection)
        return serving.name if serving is not None and catalogue.count(connection) else None


def snapshot_folder(database: Database, given: Path | None) -> Path:
    """Return where index snapshots lie: beside a SQLite file unless a folder is given."""
    if given is not None:
        return given
    if database.file is None:
        raise InvalidValue("snapshots", "expected a folder for index snapshots beside a database server, found none")
    return database.file.with_suffix(".index")


def require_pictures(database: Database, pictures: PictureStore) -> None:
    """Raise `StoreUnavailable` where there are to be pictures and their folder is empty.

    Otherwise what is erased would be called gone, and be there again once the disk is mounted.
    """
    if not pictures.is_empty():
        return
    for kept in (select(samples.c.id).where(samples.c.picture_stored), select(picture_removals.c.digest)):
        with database.read() as connection:
            if connection.execute(kept.limit(1)).first() is not None:
                raise StoreUnavailable(
                    "expected the pictures of what is enrolled, found their folder empty: mount its disk, or correct "
                    "REID_BLOB_URL; where they are lost for good, put any file into it to go on without them"
                )


def bind(database: Database, version: str, dim: int) -> Version:
    """Make a version the one that serves; raise `ModelMismatch` while samples of another are enrolled."""
    with database.write() as connection:
        catalogue.ensure_default(connection)
        wanted, current = ledger.version(connection, version, dim), ledger.opened_with(connection)
        if current is None or current.name != version:
            if current is not None and (count := catalogue.count(connection)):
                raise ModelMismatch(
                    f"{count} samples are enrolled with {current.name}, found {version}: open it with {current.name}"
                )
            migration.keep_vectors(connection, wanted.number)
            ledger.serve(connection, wanted.number)
    return wanted
