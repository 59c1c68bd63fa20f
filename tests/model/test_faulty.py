"""Wrong model files whose hash is right: refused at import and at opening, and nothing else changes."""

from pathlib import Path

import numpy as np
import pytest

from model.errors import ContractError, VersionDamaged
from model.registry import Registry
from model.trial import draw
from tests.model.faulty import FAULTS, faulty_version
from tests.tiny_model import write_version

pytestmark = pytest.mark.parametrize("fault", FAULTS)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "models", tmp_path / "bundled")
    registry.import_version(write_version(tmp_path / "first"))
    registry.activate("tiny@1")
    return registry


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def still_serves(registry: Registry) -> bool:
    embedder = registry.open(registry.active(), threads=1)
    return embedder.version == "tiny@1" and embedder.embed(draw(32, 16)).shape == (4, 32)


def test_it_is_not_imported(registry: Registry, tmp_path: Path, fault: str) -> None:
    content, told = FAULTS[fault]
    before = contents(registry.root)
    np.zeros(32 * 96, np.float32).tofile(tmp_path / "second-weights.bin")
    folder = faulty_version(tmp_path / "second", content)
    (folder / "weights.bin").write_bytes((tmp_path / "second-weights.bin").read_bytes())
    with pytest.raises((VersionDamaged, ContractError), match=told) as caught:
        registry.import_version(folder)
    assert str(tmp_path) not in str(caught.value)
    assert contents(registry.root) == before
    assert still_serves(registry)


def test_it_is_not_opened(registry: Registry, tmp_path: Path, fault: str) -> None:
    content, told = FAULTS[fault]
    faulty_version(registry.root / "tiny" / "2", content)
    with pytest.raises((VersionDamaged, ContractError), match=told):
        registry.open("tiny@2", threads=1)
    assert registry.active() == "tiny@1"
    assert still_serves(registry)
