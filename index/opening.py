"""Which version a store is to be opened with."""

from index import catalogue
from index.database import Database, file_of


def serving_version(database_url: str) -> str | None:
    """Return the version that what is enrolled was embedded with; None where nothing is enrolled."""
    file = file_of(database_url)
    if file is not None and not file.exists():
        return None
    database = Database(database_url)
    try:
        database.require_whole()
        database.migrate()
        with database.read() as connection:
            serving = catalogue.serving(connection)
            return serving.name if serving is not None and catalogue.count(connection) else None
    finally:
        database.close()
