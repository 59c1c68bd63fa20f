"""The time as the catalogue keeps it: UTC microseconds."""

import time

from sqlalchemy import Connection

_SERVER = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def now() -> int:
    """Return this machine's time."""
    return time.time_ns() // 1000


def shared(connection: Connection) -> int:
    """Return the time by one clock for all processes, who judge what others wrote by it."""
    if connection.dialect.name == "sqlite":
        return now()
    return int(connection.exec_driver_sql(_SERVER).scalar_one())
