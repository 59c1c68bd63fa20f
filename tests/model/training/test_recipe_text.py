import tomllib
from pathlib import Path

import pytest

from model.training.recipe import bundled_recipes, override, parse_settings, read_recipe
from model.training.recipe_text import as_toml

EVERYTHING = (
    'network.frozen=["conv1"]',
    "network.opened={layer1 = 2}",
    "loss.kind=circle",
    "loss.parameters={m = 0.25, gamma = 80.0}",
    "optimiser.schedule=steps",
    "optimiser.steps=[3.5, 5]",
    "optimiser.weight_decay=1e-7",
    'description=two "words" and a \\ of Zürich',
    "distillation={logits = 2.0}",
)


@pytest.mark.parametrize("name", bundled_recipes())
def test_what_is_printed_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    for recipe in (read_recipe(name), override(read_recipe(name), parse_settings(EVERYTHING))):
        (tmp_path / "recipe.toml").write_text(as_toml(recipe), encoding="utf-8")
        assert read_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_every_setting_is_there_with_its_meaning() -> None:
    recipe = read_recipe("cpu")
    lines = as_toml(recipe).splitlines()
    assert all(line == "" or ("  # " in line.removeprefix("# ") and not line.endswith("# ")) for line in lines)
    assert 'precision = "auto"  # auto | float32 | bfloat16; auto: bfloat16 where it is fast' in lines
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines))
    assert shown.pop("distillation") == {"logits": 1.0, "distances": 10.0, "temperature": 4.0}
    content = recipe.model_dump(mode="json")
    assert content.pop("distillation") is None
    assert shown == content
