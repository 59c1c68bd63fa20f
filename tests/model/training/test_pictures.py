import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import DatasetError
from model.training import pictures as module
from model.training.pictures import load_pictures

SIZE = (64, 32)


@pytest.fixture
def paths(market: Path) -> tuple[Path, ...]:
    return tuple(sorted((market / "query").iterdir()))


def test_pictures_are_decoded_once(paths: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_pictures(paths, *SIZE)
    first = load_pictures(paths, *SIZE, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(module, "prepare_file", None)
        mapped = load_pictures(paths, *SIZE, cache=tmp_path / "cache")
    assert torch.equal(plain, first)
    assert torch.equal(plain, mapped)
    assert mapped.stride() == plain.stride()


def test_other_bytes_order_or_size_are_another_entry(paths: tuple[Path, ...], tmp_path: Path) -> None:
    changed = tmp_path / "changed.jpg"
    changed.write_bytes(paths[1].read_bytes())
    cache = tmp_path / "cache"
    for these, size in (
        (paths, SIZE),
        (paths, (32, 16)),
        (paths[::-1], SIZE),
        ((changed, *paths[1:]), SIZE),
    ):
        assert torch.equal(load_pictures(these, *size, cache=cache), load_pictures(these, *size))
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("cut", [0, 50, 500])
def test_torn_entry_is_told_and_replaced(
    paths: tuple[Path, ...], tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load_pictures(paths, *SIZE, cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    good = entry.read_bytes()
    entry.write_bytes(good[:cut])
    assert torch.equal(load_pictures(paths, *SIZE, cache=tmp_path), whole)
    assert "decoded again" in caplog.text
    assert entry.read_bytes() == good


def test_entry_of_another_shape_is_not_taken(
    paths: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load_pictures(paths, *SIZE, cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    np.save(entry, np.zeros((1, 2), dtype=np.uint8))
    assert torch.equal(load_pictures(paths, *SIZE, cache=tmp_path), whole)
    assert "holds (1, 2)" in caplog.text


def test_full_disk_costs_the_cache_alone(paths: tuple[Path, ...], tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; from model.training.pictures import load_pictures\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))\n"
        f"print(len(load_pictures(tuple(map(Path, sys.argv[2:])), *{SIZE}, cache=Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "cache", *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(len(paths))
    assert "cannot keep the decoded pictures" in done.stderr
    assert not list((tmp_path / "cache").iterdir())


def test_broken_picture_is_named_and_nothing_is_kept(paths: tuple[Path, ...], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    for these in ((*paths, broken), (*paths, tmp_path / "missing.jpg")):
        with pytest.raises(DatasetError, match=r"broken\.jpg|missing\.jpg"):
            load_pictures(these, *SIZE, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
