"""A program that enrols, backs up or restores, and kills itself before its Nth step on the disk."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from index.enrolment import Enrolment
from index.restore import restore
from tests.index.people import enrol, open_store, sample

STEPS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")


class Death:
    """Counts the steps."""

    def __init__(self, at: int) -> None:
        self.done = 0
        self._at = at
        self._lock = threading.Lock()

    def before(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*values: Any, **options: Any) -> Any:  # noqa: ANN401 - as the step itself
            with self._lock:
                self.done += 1
                if self.done == self._at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return step(*values, **options)

        return stepping


def main(at: int, work: str, data: Path, backups: Path, name: str | None = None) -> None:
    store = None if work == "restore" else open_store(data)
    death = Death(at)
    for step in STEPS:
        setattr(os, step, death.before(getattr(os, step)))
    if store is not None and work == "enrol":
        Enrolment._commit = death.before(Enrolment._commit)  # type: ignore[method-assign]
        enrol(store, [sample(number) for number in range(3)])
    elif store is not None:
        store.backup(backups, keep=1)
    else:
        restore(backups, f"sqlite:///{data}/reid.db", f"{data}/pictures", name=name)
    sys.stdout.write(str(death.done))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
