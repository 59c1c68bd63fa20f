"""A PostgreSQL server for tests: its own data in a folder of its own, reached by a socket in it."""

import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

LEAST = 15  # the first release whose databases may sort by ICU
_SECONDS = 60
# It never sorts by code point, so that the catalogue has to say that it wants that.
_INITDB = ("--username=reid", "--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=icu",
           "--icu-locale=en-US", "--no-sync")  # fmt: skip
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def programs() -> Path | None:
    """Return the folder of the newest server's programs; Debian does not put it on the path."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=_release, default=None)


def why_not() -> str | None:
    """Return why no server can be started here."""
    where = programs()
    if where is None:
        return "there is no PostgreSQL server here: install Debian's postgresql"
    if _release(where) < LEAST:
        return f"expected PostgreSQL {LEAST} or later, found {_release(where)}"
    return None


class PostgreSQL:
    """One running server; a fresh database is a copy of another."""

    def __init__(self) -> None:
        where = programs()
        assert where is not None
        self._programs = where
        self.folder = Path(tempfile.mkdtemp(prefix="reid-postgres-"))
        self._names = itertools.count()
        self._as = _nobody()
        if self._as:
            shutil.chown(self.folder, self._as["user"], self._as["group"])
        self._run("initdb", "--pgdata", str(self._data), *_INITDB)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *given], stdout=log, stderr=log, cwd="/", **self._as
            )
        end = time.monotonic() + _SECONDS
        while True:
            try:
                self._do("SELECT 1")
            except OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Cut all connections and stop."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://reid:secret@/{name}?host={self.folder}"

    def fresh_name(self) -> str:
        """Return a name that no database has."""
        return f"test{next(self._names)}"

    def create(self, name: str, template: str = "template0", more: str = "") -> str:
        """Make a database, a copy of another to which nobody is connected; return its URL."""
        strategy = "FILE_COPY" if template != "template0" else "WAL_LOG"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY {strategy} {more}")
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, and throw out who is connected to it."""
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def rename(self, name: str, new: str) -> None:
        """Give a database to which nobody is connected another name."""
        self._do(f"ALTER DATABASE {name} RENAME TO {new}")

    def _do(self, sql: str) -> None:
        engine = self._engine()
        with engine.connect() as connection:
            connection.exec_driver_sql(sql)

    def _engine(self) -> Engine:
        return create_engine(self.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._programs / program, *options], capture_output=True, text=True, check=False, cwd="/", **self._as
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}")


def _nobody() -> dict[str, Any]:
    """Return as whom a server runs: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _release(where: Path) -> int:
    told = subprocess.run([where / "initdb", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)", told)
    assert found is not None
    return int(found[1])
