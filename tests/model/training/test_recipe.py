from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training.recipe import DistillationRecipe, bundled_recipes, override, parse_settings, read_recipe


def test_bundled_recipes_are_valid() -> None:
    assert bundled_recipes() == ["cpu", "cpu-larger", "ladder", "ladder-small", "paper", "strong", "student"]
    for name in bundled_recipes():
        assert read_recipe(name).name == name


def test_the_student_is_trained_as_its_teacher() -> None:
    teacher, student = read_recipe("strong"), read_recipe("student")
    assert teacher.network.model_copy(update={"backbone": "resnet18"}) == student.network
    for part in ("loss", "batch", "optimiser", "averaging", "stages", "held_out_identities", "seed"):
        assert getattr(teacher, part) == getattr(student, part), part


def test_stages_follow_each_other(recipe_file: Path) -> None:
    recipe = read_recipe(str(recipe_file))
    assert recipe.epochs == 2
    assert [recipe.stage_of(epoch).height for epoch in range(2)] == [48, 64]


def test_what_settings_do_to_each_other_is_told_without_all_of_them() -> None:
    with pytest.raises(RecipeError) as refused:
        override(read_recipe("cpu-larger"), {"stages.0.epochs": 1})
    assert str(refused.value).endswith("the file: warm-up of 1.0 epochs leaves nothing of 1 epochs")


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
        ("embedding_dim = 32", "opened = {layer2 = 1.5}", "layer2 would open after the last of 2 epochs began"),
        ("embedding_dim = 32", "opened = {layer1 = 1}", "both name layer1"),
        ("embedding_dim = 32", "hidden_dim = 32", "embedding_dim, which is 0; set both"),
        ("softplus = true", "weight = 0\nidentity_weight = 0", "nothing would be learnt"),
        ("validate_every = 1", "seed = -1", "seed: Input should be greater than or equal to 0, found -1"),
        ("[batch]", "[noise]\nseed = -1\n\n[batch]", r"noise\.seed: Input should be greater than or equal to 0"),
    ],
)
def test_mistakes_are_named(recipe_file: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(recipe_file.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=message):
        read_recipe(str(wrong))


def test_unknown_recipe_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="cpu, cpu-larger, ladder, ladder-small, paper, strong, student"):
        read_recipe("gpu")


def test_settings_are_replaced_and_nothing_else() -> None:
    recipe = read_recipe("cpu")
    changed = override(recipe, {"loss.alpha": 5, "stages.1.epochs": 2, "network.opened": {"layer2": 1}, "seed": 7})
    assert (changed.loss.alpha, changed.stages[1].epochs, changed.network.opened, changed.seed) == (
        5.0, 2, {"layer2": 1.0}, 7,
    )  # fmt: skip
    back = {"loss.alpha": 10, "stages.1.epochs": 18, "network.opened": {}, "seed": 1}
    assert override(changed, back) == recipe
    assert override(recipe, {}) == recipe
    taught = override(recipe, {"distillation.logits": 0})
    assert taught.distillation == DistillationRecipe(logits=0)  # the section comes with what is usual in it
    assert override(taught, {"distillation": None}) == recipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss.gamma": 1}, "found loss.gamma"),
        ({"loss.form.deep": 1}, "found loss.form.deep"),
        ({"stages.9.epochs": 1}, r"found stages\.9\.epochs"),
        ({"stages.last.epochs": 1}, r"found stages\.last\.epochs"),
        ({"distillation.depth": 1}, r"found distillation\.depth"),
        ({"optimiser.steps": [3]}, "optimiser: .*are the epochs of the schedule `steps`"),
        ({"optimiser.schedule": "steps"}, "give both, or neither"),
        ({"loss.sigma": -1}, r"recipe ladder: loss\.sigma"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        override(read_recipe("ladder"), changes)


def test_settings_are_written_as_in_toml_and_text_needs_no_quotes() -> None:
    texts = ["loss.alpha=5", "loss.softplus = false", "loss.form=extreme", 'name="a = b"', "network.frozen=['conv1']"]
    assert parse_settings(texts) == {
        "loss.alpha": 5,
        "loss.softplus": False,
        "loss.form": "extreme",
        "name": "a = b",
        "network.frozen": ["conv1"],
    }
    with pytest.raises(RecipeError, match=r"NAME=VALUE, such as loss\.alpha=5, found loss\.alpha"):
        parse_settings(["loss.alpha"])
