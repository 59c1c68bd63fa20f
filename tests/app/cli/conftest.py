from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from app.cli import main
from model.registry import Registry
from model.synthetic import write_market
from tests.app.parts import VERSION, write_version


@dataclass(frozen=True)
class Ran:
    """What a verb left behind."""

    code: int
    out: str
    err: str


Reid: TypeAlias = Callable[..., Ran]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data folder in which the tiny version is the active one."""
    registry = tmp_path / "data" / "models"
    write_version(registry)
    Registry(registry).activate(VERSION)
    return tmp_path / "data"


@pytest.fixture
def reid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reid:
    """Run `reid` in this process on a data folder of the test's own."""
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set: four people, four distractors, four junk pictures."""
    root = tmp_path_factory.mktemp("market") / "tree"
    return write_market(root, train_identities=0, test_identities=4, cameras=3, views=3)
