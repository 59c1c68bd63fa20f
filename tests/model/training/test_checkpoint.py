import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training.checkpoint import NAME, load_checkpoint, save_checkpoint


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow past a megabyte: a write fails halfway, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_else(run: Path, tmp_path: Path) -> None:
    found = load_checkpoint(run)
    (tmp_path / NAME).write_bytes(b"the one before")
    with pytest.raises(RecipeError, match=rf"cannot write {tmp_path / NAME}: .*; the one before is whole: make room"):
        save_checkpoint(found, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"the one before"


def test_a_disk_that_is_full_already_is_told_alike(run: Path, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.tmp").symlink_to("/dev/full")
    with pytest.raises(RecipeError, match="No space left on device"):
        save_checkpoint(load_checkpoint(run), tmp_path)
