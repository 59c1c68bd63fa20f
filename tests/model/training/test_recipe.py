from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training.recipe import bundled_recipes, read_recipe


def test_bundled_recipes_are_valid() -> None:
    assert bundled_recipes() == ["cpu", "ladder", "ladder-small", "paper", "strong", "student"]
    for name in bundled_recipes():
        assert read_recipe(name).name == name


def test_stages_follow_each_other(recipe_file: Path) -> None:
    recipe = read_recipe(str(recipe_file))
    assert recipe.epochs == 2
    assert [recipe.stage_of(epoch).height for epoch in range(2)] == [48, 64]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate = 3e-4", "rate = -1", "optimiser.rate"),
        ("rate = 3e-4", "speed = 1", "optimiser.speed"),
        ('"resnet18"', '"resnet19"', "network.backbone"),
        ("warmup_epochs = 0.5", "warmup_epochs = 2", "leaves nothing"),
        ("[loss]", "[loss", "not TOML"),
        ("embedding_dim = 32", "opened = {layer2 = 2}", "layer2 would open after the last of 2 epochs"),
        ('"resnet18"', '"vit_b_16"', "multiples of 16 pixels, and not 48×24"),
        ("embedding_dim = 32", "opened = {layer1 = 1}", "both name layer1"),
    ],
)
def test_mistakes_are_named(recipe_file: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(recipe_file.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=message):
        read_recipe(str(wrong))


def test_unknown_recipe_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="cpu, ladder, ladder-small, paper, strong, student"):
        read_recipe("gpu")
