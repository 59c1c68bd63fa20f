import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest

from app.cli import main
from model.errors import RecipeError
from model.training.checkpoint import NAME as CHECKPOINT
from model.training.evaluation import Retrieval
from model.training.recipe import Recipe, bundled_recipes, override, read_recipe, validate
from model.training.study import (
    RESULTS,
    STUDY_PAGE,
    Series,
    Study,
    bundled_studies,
    cells,
    fingerprint,
    read_results,
    read_study,
    run_study,
)

PLAN = """
name = "made up"
description = "for tests"
x_label = "share"
recipe = "RECIPE"
seeds = [1, 2]
series = [{name = "E"}, {name = "hard", set = {"loss.form" = "extreme"}}]
points = [{x = 0.0}, {x = 0.5, set = {"noise.share" = 0.5}}]
"""


class Stopped(Exception):
    """The process ends here."""


@pytest.fixture
def plan(tmp_path: Path, recipe_file: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace("RECIPE", str(recipe_file)))
    return path


@pytest.fixture
def study(plan: Path) -> Study:
    return read_study(str(plan))


class Trainer:
    """Answers at once, by what the recipe says, and writes down what it was asked."""

    def __init__(self, stop_after: int = 100) -> None:
        self.asked: list[Recipe] = []
        self.stop_after = stop_after

    def __call__(self, recipe: Recipe, folder: Path) -> Retrieval:
        if len(self.asked) == self.stop_after:
            raise Stopped
        self.asked.append(recipe)
        folder.mkdir(parents=True)
        (folder / CHECKPOINT).write_bytes(b"large")
        mAP = 0.5 + 0.1 * recipe.seed - 0.2 * recipe.noise.share
        return Retrieval(np.array([mAP + 0.1]), mAP, 0.1, 4, 0, 4, np.array([mAP]))


def test_every_series_meets_every_point_and_seed_and_nothing_else_changes(study: Study) -> None:
    found = list(cells(study))
    assert len({cell.folder for cell, _ in found}) == len(found) == 8
    first = found[0][1]
    assert {recipe.seed for _, recipe in found} == {1, 2}
    for cell, recipe in found:
        assert recipe.loss.form == ("extreme" if cell.series == "hard" else "exponential")
        assert recipe.noise.share == cell.x
        same = {"seed": first.seed, "name": first.name, "loss": first.loss, "noise": first.noise}
        assert recipe.model_copy(update=same) == first


def test_mean_and_deviation_over_the_seeds(study: Study, tmp_path: Path) -> None:
    rows = run_study(study, tmp_path / "out", Trainer(), data="ours")
    assert [(row.series, row.x, row.seeds) for row in rows] == [
        ("E", 0.0, 2), ("E", 0.5, 2), ("hard", 0.0, 2), ("hard", 0.5, 2),
    ]  # fmt: skip
    assert rows[1].mAP == pytest.approx(statistics.fmean([50, 60]))
    assert rows[1].mAP_deviation == pytest.approx(statistics.stdev([50, 60]))
    page = (tmp_path / "out" / STUDY_PAGE).read_text()
    assert "55.0 ± 7.1" in page
    assert "<svg" in page
    assert not list((tmp_path / "out").rglob(CHECKPOINT))


def test_a_stopped_study_goes_on_where_it_was(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        run_study(study, out, Trainer(stop_after=3), data="ours")
    with (out / RESULTS).open("a") as file:
        file.write('{"series": "E"')  # the power went
    again = Trainer()
    rows = run_study(study, out, again, data="ours")
    assert len(again.asked) == 5
    assert rows == run_study(study, tmp_path / "straight", Trainer(), data="ours")
    once_more = Trainer()
    assert run_study(study, out, once_more, data="ours") == rows
    assert not once_more.asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [1, 2, 1]}, "seeds: 1 is there more than once"),
        ({"series": [{"name": "E"}, {"name": "E", "set": {"loss.form": "extreme"}}]}, "series: E is there more than"),
        ({"points": [{"x": 0.5}, {"x": 0.5000000001}]}, r"points: 0\.5 is there more than once; give each a name"),
    ],
)
def test_two_trainings_under_one_name_are_refused(study: Study, change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        validate(Study, "study", study.model_dump(mode="json") | change)


def test_results_of_two_set_ups_are_not_mixed(study: Study, tmp_path: Path) -> None:
    run_study(study, tmp_path / "out", Trainer(), data="ours")
    more = study.model_copy(update={"seeds": (1, 2, 3)})
    assert {row.seeds for row in run_study(more, tmp_path / "out", Trainer(), data="ours")} == {3}
    trainer = Trainer()
    run_study(more.model_copy(update={"name": "another name"}), tmp_path / "out", trainer, data="ours")
    assert not trainer.asked
    other = study.model_copy(update={"recipe": "ladder"})
    with pytest.raises(RecipeError, match="trained by another"):
        run_study(other, tmp_path / "out", Trainer(), data="ours")
    with pytest.raises(RecipeError, match=r"E/0/1 trained on other images: give that data, or another folder"):
        run_study(study, tmp_path / "out", Trainer(), data="another's")


def test_results_without_a_hash_of_their_data_are_gone_on_from(study: Study, tmp_path: Path) -> None:
    rows = run_study(study, tmp_path, Trainer(), data="")
    trainer = Trainer()
    assert run_study(study, tmp_path, trainer, data="ours") == rows
    assert not trainer.asked


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"loss.parameters": {"gamma": 1.0}}, r"loss\.parameters of hap2s: expected none, found gamma"),
        ({"network.frozen": ["layer9"]}, "resnet18 has no module named layer9"),
    ],
)
def test_what_cannot_be_built_is_told_before_the_first_training(
    study: Study, tmp_path: Path, setting: dict[str, object], message: str
) -> None:
    wrong = study.model_copy(update={"series": (*study.series, Series(name="wrong", set=setting))})
    trainer = Trainer()
    with pytest.raises(RecipeError, match=message):
        run_study(wrong, tmp_path, trainer, data="ours")
    assert not trainer.asked


def test_bundled_studies_are_of_settings_that_exist() -> None:
    assert set(bundled_studies()) >= {"alpha", "noise", "sigma"}
    for name in bundled_studies():
        assert len(list(cells(read_study(name)))) >= 12


@pytest.mark.parametrize("text", ["name = ", "name = 1", PLAN.replace("seeds", "grains")])
def test_what_is_no_study_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"study .*plan\.toml"):
        read_study(str(path))
    with pytest.raises(RecipeError, match="expected a study out of alpha, losses, noise"):
        read_study("nothing")


def test_the_verb_trains_and_prints(
    recipe_file: Path, market: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLAN.replace("[1, 2]", "[1]")  # of a recipe that is not there
    (tmp_path / "plan.toml").write_text(text.replace('{name = "E"}, ', ""))
    with pytest.raises(SystemExit) as ended:
        main(
            ["study", str(tmp_path / "plan.toml"), "--data", str(market), "--out", str(tmp_path / "out"),
             "--recipe", str(recipe_file), "--weights", str(weights), "--device", "cpu", "--json"]
        )  # fmt: skip
    assert not ended.value.code
    rows = json.loads(capsys.readouterr().out)
    assert [row["x"] for row in rows] == [0.0, 0.5]
    assert all(0 <= row["mAP"] <= 100 for row in rows)


def test_every_setting_tells_two_trainings_apart() -> None:
    recipe = read_recipe("ladder")
    changed = [
        override(recipe, {name: value})
        for name, value in (("network.embedding", "whitened"), ("network.pooling", "gem"), ("averaging", 0.5))
    ]
    assert len({fingerprint(each) for each in (recipe, *changed)}) == 4
    assert fingerprint(recipe) == fingerprint(recipe.model_copy(update={"name": "x", "description": "y"}))


LADDERS = [recipe for recipe in bundled_recipes() if recipe.startswith("ladder")]
PUBLISHED = Path(__file__).parents[3] / "docs" / "results"


@pytest.mark.parametrize("name", bundled_studies())
def test_published_results_can_be_gone_on_from(name: str, tmp_path: Path) -> None:
    shutil.copy(PUBLISHED / f"{name}.jsonl", tmp_path / RESULTS)
    set_ups = [read_study(name).model_copy(update={"recipe": recipe, "seeds": (1, 2, 3)}) for recipe in LADDERS]
    known = {(cell, fingerprint(recipe)) for study in set_ups for cell, recipe in cells(study)}
    found = {(cell, result.recipe) for cell, result in read_results(tmp_path).items()}
    assert found
    assert found <= known
