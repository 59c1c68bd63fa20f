from pathlib import Path

import pytest
import torch

from benchmarks import pieces
from benchmarks.pieces import join, split
from model.errors import RecipeError
from model.training.checkpoint import load_checkpoint
from model.training.datasets.reading import read_dataset
from model.training.recipe import read_recipe
from model.training.train import train


@pytest.fixture
def cut(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pieces, "PIECE", 2**20)
    split(run, tmp_path / "pieces")
    return tmp_path / "pieces"


def test_joined_run_is_the_split_one_in_half_precision(run: Path, cut: Path, tmp_path: Path) -> None:
    assert len(list(cut.glob("piece-*"))) > 5
    join(cut, tmp_path / "joined")
    before, after = load_checkpoint(run), load_checkpoint(tmp_path / "joined")
    assert (after.recipe, after.data_sha256, after.identities) == (before.recipe, before.data_sha256, before.identities)
    for name, value in before.served.items():
        assert after.network[name].dtype == value.dtype
        assert torch.allclose(after.network[name].float(), value.float(), rtol=1e-3, atol=1e-5)


def test_a_joined_run_does_not_go_on(cut: Path, market: Path, recipe_file: Path, tmp_path: Path) -> None:
    join(cut, tmp_path / "joined")
    with pytest.raises(RecipeError, match="was joined from pieces"):
        train(read_recipe(str(recipe_file)), read_dataset(market), tmp_path / "joined", weights=None, device="cpu")


def test_damaged_or_missing_piece_is_named(cut: Path, tmp_path: Path) -> None:
    (cut / "piece-003").write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="piece-003 is missing or damaged"):
        join(cut, tmp_path / "joined")
    (cut / "piece-002").unlink()
    with pytest.raises(RecipeError, match="piece-002"):
        join(cut, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
