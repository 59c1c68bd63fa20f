"""The catalogue on a PostgreSQL server: how connections to it are made, and what is asked of it alone.

One lock, held to the end of the transaction, is the door for the writers of every process. It is no row's lock, so
that it is there before the tables are: two processes that start together on an empty database migrate it once. A
writer reads only what was committed before each of its statements, so whoever got the lock sees all that the holder
before did. Its number means nothing; it only has to be the same in every release.
"""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from index.errors import StoreUnavailable

READING: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_IDLE_SECONDS = 60  # of a writer: far more than its looks into the picture store take
# Whoever is paused or cut off while it has the door is thrown out, or a server whose client's machine is gone keeps
# every writer waiting for the two hours after which its system asks for it.
WRITING: dict[str, Any] = {
    "isolation_level": "READ COMMITTED",
    "begin": f"SELECT set_config('idle_in_transaction_session_timeout', '{_IDLE_SECONDS}s', true), "
    "pg_advisory_xact_lock(20180907)",
}

_CONNECTIONS = {"pool_size": 8, "max_overflow": 24}  # three processes fit into the 100 that a server gives by default
# A server that is gone without a word is noticed within a minute; what the URL says goes first.
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# `synchronous_commit` is raised where a server is set to answer before a commit is on the disk.
_PREPARE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    "SELECT set_config('lock_timeout', '{wait}s', false)",
)
_OLDER_SECONDS = 5.0  # for transactions that began before an erasure; those of queries end in a moment
_LOOK_SECONDS = 0.02
_OLDER = """
    SELECT coalesce(nullif(application_name, ''), 'one') || ' of process ' || pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND age(backend_xmin) > age(%(now)s::xid)
    AND backend_type <> 'autovacuum worker' AND query NOT LIKE 'VACUUM%%'
"""
_WHICH = "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"


def engine(url: URL, wait: float) -> Engine:
    """Make the engine of a server; nobody waits for a lock longer than `wait` seconds."""
    connect = {key: value for key, value in _CONNECT.items() if key not in url.query}
    made = create_engine(url, pool_pre_ping=True, connect_args=connect, **_CONNECTIONS)

    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for statement in _PREPARE:
            cursor.execute(statement.format(wait=wait))
        entry.info["server"] = cursor.execute(_WHICH).fetchone()
        cursor.close()
        connection.commit()

    event.listen(made, "connect", prepare)
    return made


def which(connection: Connection) -> object:
    """Return what tells the running server and its database from any other at that address; None for a file."""
    return connection.info.get("server")


def require_usable(made: Engine) -> None:
    """Raise `StoreUnavailable`, with the server's reason, where it cannot be reached or takes no Unicode."""
    try:
        with made.connect() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    except DBAPIError as exc:  # its text names host, port and user, and never the password
        reason = " ".join(str(exc.orig).split())
        raise StoreUnavailable(f"the catalogue's database server cannot be used: {reason}") from exc
    if encoding != "UTF8":
        raise StoreUnavailable(f"expected a database of the encoding UTF8, found {encoding}: make one with it")


def clean(connection: Connection, tables: Sequence[str]) -> None:
    """Take dead rows, and what indexes hold of them, out of tables.

    Raises `StoreUnavailable` where an older transaction, such as that of a pg_dump, still sees them: they stay then.
    Those of other roles are told only to a role that may read all statistics.
    """
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    _wait_for_older(connection)
    # Empty pages at a table's end stay: to cut them off, a server waits until nobody is in its way, five seconds long.
    connection.exec_driver_sql(f"VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) {', '.join(tables)}")


def _wait_for_older(connection: Connection) -> None:
    now = connection.exec_driver_sql("SELECT pg_current_xact_id()::xid").scalar_one()
    end = time.monotonic() + _OLDER_SECONDS
    while older := connection.exec_driver_sql(_OLDER, {"now": now}).scalars().all():
        if time.monotonic() > end:
            raise StoreUnavailable(
                f"the database server keeps the deleted rows for transactions that began before: {', '.join(older)}"
            )
        time.sleep(_LOOK_SECONDS)
